"""Whether two answers could mean the same, by their words and by the tables of medical terms.

It reads the tables for itself and asks nothing of the scorer, so that what the scorer makes of them is no part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from apps.medvqa.answers.tables import TABLES, read_table
from apps.medvqa.answers.text import clean, tokens
from apps.medvqa.auditing.mutation_words import CONFUSABLE

#: Words that say too little to make two answers alike.
EMPTY = frozenset(("the", "and", "with", "side", "lobe", "there", "for", "from", "area", "image", "seen"))
#: What is true of every finding, so that it is like any of them.
ANY_FINDING = "abnormal"


def alike(text: str, references: Sequence[str]) -> bool:
    """Whether a text shares a word, or by the tables a concept or a more general one, with a right answer.

    So that what is put in an answer's place is wrong: it errs towards "alike".
    """
    words, concepts = _content(text)
    if ANY_FINDING in concepts or not words:
        return True
    for reference in references:
        own, its = _content(reference)
        if words & own or any(
            one in above or name in concepts[one] for name, above in its.items() for one in concepts
        ):
            return True
    return False


@lru_cache(maxsize=1)
def findings() -> tuple[str, ...]:
    """Phrases of the tables, and of `CONFUSABLE`, that name a finding."""
    own = [row["concept"].replace("_", " ") for row in _concepts() if row["kind"] == "finding"]
    return tuple(dict.fromkeys((*own, *(one for group in CONFUSABLE for one in group), "lesion", "opacity")))


@lru_cache(maxsize=4096)
def _content(text: str) -> tuple[frozenset[str], Mapping[str, frozenset[str]]]:
    """Words that carry meaning, and the concepts that the tables know, each with itself and what is more general."""
    found = _words(text)
    words = frozenset(word for word in found if word[0].isalpha() and len(word) > 2) - EMPTY
    phrases, parents = _tables()
    longest = max(map(len, phrases), default=1)
    concepts: dict[str, frozenset[str]] = {}
    at = 0
    while at < len(found):
        for length in range(min(longest, len(found) - at), 0, -1):
            names = phrases.get(found[at : at + length])
            if names is not None:
                concepts |= {name: frozenset(_above(name, parents)) for name in names}
                break
        at += length
    return words or frozenset(found), concepts


@lru_cache(maxsize=1)
def _tables() -> tuple[Mapping[tuple[str, ...], frozenset[str]], Mapping[str, Sequence[str]]]:
    """What each phrase stands for, and the next more general concepts of each."""
    phrases: dict[tuple[str, ...], frozenset[str]] = {}
    rows = [(row["concept"].replace("_", " ") + "|" + row["forms"], row["concept"]) for row in _concepts()]
    compounds = read_table(TABLES / "compounds.tsv", ("forms", "expansion"))
    for forms, names in (*rows, *((row["forms"], row["expansion"]) for row in compounds)):
        meant = frozenset(name.strip().lstrip("-") for name in names.split("+"))
        for form in forms.split("|"):
            phrases[_words(form)] = phrases.get(_words(form), frozenset()) | meant
    phrases.pop((), None)
    return phrases, {row["concept"]: [one for one in row["parents"].split("|") if one] for row in _concepts()}


@lru_cache(maxsize=1)
def _concepts() -> list[dict[str, str]]:
    return read_table(TABLES / "concepts.tsv", ("concept", "kind", "parents", "forms"))


def _words(text: str) -> tuple[str, ...]:
    return tuple(token.text for token in tokens(clean(text)) if token.text[0].isalnum())


def _above(name: str, parents: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield name
    for one in parents.get(name, ()):
        yield from _above(one.strip(), parents)
