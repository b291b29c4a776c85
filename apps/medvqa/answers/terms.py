"""The medical words that the scorer knows: concepts with parents, and the phrases that stand for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from apps.medvqa.answers.tables import TABLES, read_table
from apps.medvqa.answers.text import Token, clean, is_unspaced, tokens
from common.errors import DataError

#: Kinds of concept. `region`, `quality` and `other` carry an axis: two values of one axis exclude each other.
ROOT = "abnormal"
"""Every finding is one; "normal" denies it."""
KINDS = frozenset({"finding", "anatomy", "modality", "plane", "side", "region", "quality", "state", "other"})


@dataclass(frozen=True)
class Concept:
    """One meaning.

    Attributes:
        name: unique.
        kind: one of `KINDS`.
        axis: what it is a value of, for the kinds that have one.
        rank: its place on an ordinal axis, else None.
        ancestors: more general concepts with their distance, itself at 0.
        places: of a finding: where it sits when nothing else is said.
        opposites: concepts of other axes that deny it, and that it denies.
    """

    name: str
    kind: str
    axis: str = ""
    rank: float | None = None
    ancestors: Mapping[str, int] = field(default_factory=dict, compare=False)
    places: tuple[str, ...] = field(default=(), compare=False)
    opposites: set[str] = field(default_factory=set, compare=False)


@dataclass(frozen=True)
class Sense:
    """What a phrase may stand for: concepts, each with True (said) or False (denied), and the phrase's language."""

    atoms: tuple[tuple[Concept, bool], ...]
    language: str = "en"
    answer: str = ""
    """`yes` or `no`, for the words of other languages."""


@dataclass(frozen=True)
class Phrase:
    """Words that stand for something, likeliest sense first."""

    words: tuple[str, ...]
    senses: tuple[Sense, ...]
    capital: bool = False
    """Counts only where it is written in capitals: AS, US, ALL."""


class Terms:
    """Concepts and the phrases of all tables.

    Args:
        extra: folders or files with further tables in the form of `answers/tables`: a file is read as `concepts.tsv`,
            `compounds.tsv` or `languages.tsv` by its columns. Their phrases come before the shipped ones.

    Raises:
        DataError: a table names a concept that is not there, or an unknown kind; names the file.
    """

    def __init__(self, extra: Sequence[Path | str] = ()) -> None:
        own, compounds, languages = [TABLES / "concepts.tsv"], [TABLES / "compounds.tsv"], [TABLES / "languages.tsv"]
        for path in _files(extra):
            header = read_table_header(path)
            place = own if "kind" in header else languages if "language" in header else compounds
            place.insert(0, path)
        self.concepts: dict[str, Concept] = {}
        self._phrases: dict[tuple[str, ...], list[Phrase]] = {}
        self._lengths: dict[str, tuple[int, ...]] = {}
        self._unspaced: dict[str, list[tuple[str, tuple[Sense, ...]]]] = {}
        self.words: set[str] = set()
        self.compounding: set[str] = set()
        """Words of a language that writes compounds as one word."""
        self._found: dict[tuple[tuple[str, ...], bool], list[Sense]] = {}
        self._read_concepts(own)
        for path in compounds:
            for row in read_table(path, ("forms", "expansion")):
                self._add(row["forms"], Sense(self._expansion(row["expansion"], path)))
        self._compose()
        for path in languages:
            for row in read_table(path, ("language", "forms", "expansion")):
                answer = row["expansion"] if row["expansion"] in ("yes", "no") else ""
                atoms = () if answer else self._expansion(row["expansion"], path)
                self._add(row["forms"], Sense(atoms, row["language"], answer))
        self.joins = {
            frozenset(_split(row["parts"].replace("+", "|"))): self._expansion(row["expansion"], TABLES / "joins.tsv")
            for row in read_table(TABLES / "joins.tsv", ("parts", "expansion"))
        }
        for row in read_table(TABLES / "opposites.tsv", ("one", "other")):
            one, other = (self._expansion(row[side], TABLES / "opposites.tsv")[0][0] for side in ("one", "other"))
            one.opposites.add(other.name)
            other.opposites.add(one.name)
        self._rewrites: dict[str, list[tuple[tuple[str, ...], list[Token]]]] = {}
        for row in read_table(TABLES / "rewrites.tsv", ("forms", "text")):
            for form in _split(row["forms"]):
                words = tuple(token.text for token in tokens(clean(form)))
                self._rewrites.setdefault(words[0], []).append((words, tokens(clean(row["text"]))))
        self._index()

    def rewritten(self, found: list[Token]) -> list[Token]:
        """The tokens with every phrase of `rewrites.tsv` in its other words."""
        if not any(token.text in self._rewrites for token in found):
            return found
        result: list[Token] = []
        texts, at = tuple(token.text for token in found), 0
        while at < len(found):
            phrase = self.match(found, texts, at)
            for words, text in self._rewrites.get(found[at].text, ()):
                # "Thumb sign" is no finger.
                if phrase is not None and len(phrase.words) > len(words):
                    continue
                if texts[at : at + len(words)] == words:
                    result += text
                    at += len(words)
                    break
            else:
                result.append(found[at])
                at += 1
        return result

    def match(self, found: Sequence[Token], texts: tuple[str, ...], at: int) -> Phrase | None:
        """The longest phrase that begins at a token; `texts` are the tokens' texts."""
        for length in self._lengths.get(texts[at], ()):
            for phrase in self._phrases.get(texts[at : at + length], ()):
                if not phrase.capital or all(token.capital for token in found[at : at + length]):
                    return phrase
        return None

    def cut(self, run: str) -> list[tuple[str, tuple[Sense, ...]]]:
        """A run of a script without spaces, cut into the longest known words; the rest character by character."""
        pieces: list[tuple[str, tuple[Sense, ...]]] = []
        at = 0
        while at < len(run):
            found = next((one for one in self._unspaced.get(run[at], ()) if run.startswith(one[0], at)), (run[at], ()))
            pieces.append(found)
            at += len(found[0])
        return pieces

    def _read_concepts(self, paths: Iterable[Path]) -> None:
        rows = [(path, row) for path in paths for row in read_table(path, ("concept", "kind", "parents", "forms"))]
        parents: dict[str, list[str]] = {}
        for path, row in rows:
            kind, _, axis = row["kind"].partition(":")
            if kind not in KINDS:
                raise DataError(f"concept {row['concept']!r} is of the unknown kind {kind!r}", path=path)
            axis, _, rank = axis.partition(":")
            parents.setdefault(row["concept"], []).extend(_split(row["parents"]))
            self.concepts[row["concept"]] = Concept(
                row["concept"],
                kind,
                axis or (kind if kind in ("side", "plane", "state") else ""),
                float(rank) if rank else None,
                {},
                tuple(_split(row.get("place", ""))),
            )
        for path, row in rows:
            unknown = [one for one in parents[row["concept"]] if one not in self.concepts]
            if unknown:
                raise DataError(f"concept {row['concept']!r} has the unknown parent {unknown[0]!r}", path=path)
        for name, concept in self.concepts.items():
            above = _ancestors(name, parents)
            if concept.kind == "finding":
                above.setdefault(ROOT, max(above.values()) + 1)
            object.__setattr__(concept, "ancestors", above)
        for _, row in rows:
            forms = row["forms"] + "|" + row["concept"].replace("_", " ")
            self._add(forms, Sense(((self.concepts[row["concept"]], True),)))

    def _expansion(self, text: str, path: Path) -> tuple[tuple[Concept, bool], ...]:
        atoms = []
        for part in text.split("+"):
            name = part.strip().removeprefix("-")
            if name not in self.concepts:
                raise DataError(f"the expansion {text!r} names the unknown concept {name!r}", path=path)
            atoms.append((self.concepts[name], not part.strip().startswith("-")))
        return tuple(atoms)

    def _add(self, forms: str, sense: Sense) -> None:
        for form in _split(forms):
            if is_unspaced(form):
                self._unspaced.setdefault(form[0], []).append((clean(form).strip(), (sense,)))
                continue
            words = tuple(token.text for token in tokens(clean(form)) if token.text != "-")
            capital = form.isupper() and len(form) > 1 and form.isascii()
            if len(words) == 1 and sense.language == "de":
                self.compounding.add(words[0])
            if words:
                senses = self._found.setdefault((words, capital), [])
                if sense not in senses:
                    senses.append(sense)

    def _index(self) -> None:
        lengths: dict[str, set[int]] = {}
        for (words, capital), senses in self._found.items():
            self._phrases.setdefault(words, []).append(Phrase(words, tuple(senses), capital))
            lengths.setdefault(words[0], set()).add(len(words))
            self.words.update(words)
        self._lengths = {word: tuple(sorted(found, reverse=True)) for word, found in lengths.items()}
        for phrases in self._phrases.values():
            phrases.sort(key=lambda phrase: not phrase.capital)
        for pieces in self._unspaced.values():
            pieces.sort(key=lambda piece: -len(piece[0]))
        self._found.clear()

    def _compose(self) -> None:
        """Greek and Latin compounds; a phrase of the tables goes before."""
        parts: dict[str, list[tuple[str, Concept]]] = {"root": [], "suffix": []}
        for row in read_table(TABLES / "morphemes.tsv", ("kind", "forms", "concept")):
            ((concept, _),) = self._expansion(row["concept"], TABLES / "morphemes.tsv")
            parts[row["kind"]] += [(form, concept) for form in _split(row["forms"])]
        for root, organ in parts["root"]:
            for suffix, concept in parts["suffix"]:
                self._found.setdefault(((root + suffix,), False), [Sense(((concept, True), (organ, True)))])


@lru_cache(maxsize=8)
def load_terms(extra: tuple[str, ...] = ()) -> Terms:
    """The shipped terms, and those of extra tables; read once a process."""
    return Terms(extra)


def read_table_header(path: Path) -> list[str]:
    """Column names of a table."""
    rows = read_table(path, ())
    return list(rows[0]) if rows else []


def _files(extra: Sequence[Path | str]) -> list[Path]:
    files: list[Path] = []
    for path in map(Path, extra):
        files += sorted(path.glob("*.tsv")) if path.is_dir() else [path]
    return files


def _split(cell: str) -> list[str]:
    return [part.strip() for part in cell.split("|") if part.strip()]


def _ancestors(name: str, parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    found = {name: 0}
    queue = [name]
    while queue:
        current = queue.pop(0)
        for parent in parents.get(current, ()):
            if parent not in found:
                found[parent] = found[current] + 1
                queue.append(parent)
    return found
