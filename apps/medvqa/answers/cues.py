"""Words that turn, weaken, separate or void what stands beside them; the words themselves are in `tables/cues.tsv`."""

from __future__ import annotations

from dataclasses import dataclass

from apps.medvqa.answers.tables import TABLES, read_table
from apps.medvqa.answers.text import clean, tokens

Words = tuple[str, ...]
#: How sure a speaker is who uses a hedge of that kind; 3 is certain.
CERTAINTY_OF = {"likely": 2, "possible": 1}
#: Of two kinds with the same words, the earlier wins.
_ORDER = ("no_negation", "noncommittal", "refusal", "likely", "possible", "denial", "negation", "end")


@dataclass(frozen=True)
class Cue:
    """A phrase and what it does."""

    words: Words
    kind: str


def _read() -> dict[str, set[Words]]:
    found: dict[str, set[Words]] = {}
    for row in read_table(TABLES / "cues.tsv", ("kind", "phrases")):
        for phrase in row["phrases"].split("|"):
            words = tuple(token.text for token in tokens(clean(phrase)))
            if words:
                found.setdefault(row["kind"], set()).add(words)
    return found


_PHRASES = _read()
YES, NO = _PHRASES["yes"], _PHRASES["no"]
FILLERS = frozenset(words[0] for words in _PHRASES["filler"] if len(words) == 1)


_CUES = {words: Cue(words, kind) for kind in reversed(_ORDER) for words in _PHRASES[kind]}
#: Words that begin a cue, with the lengths of such cues, the longest first.
CUE_WORDS = {
    first: tuple(sorted({len(words) for words in _CUES if words[0] == first}, reverse=True))
    for first in {words[0] for words in _CUES}
}


def find_cue(texts: Words, at: int) -> Cue | None:
    """The longest cue that begins at a place of a text's words."""
    for length in CUE_WORDS.get(texts[at], ()):
        cue = _CUES.get(texts[at : at + length])
        if cue is not None:
            return cue
    return None
