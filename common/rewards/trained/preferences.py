"""Preference pairs in files: read, checked, and split so that no prompt is both trained on and held out."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import DataError, UsageError
from common.files import read_jsonl

Message = Mapping[str, Any]
Text = str | Sequence[Message]

#: Prompts that a split needs at least: a share of fewer is no estimate.
FEWEST = 10


@dataclass(frozen=True)
class Preference:
    """One of two answers to a prompt is better than the other.

    Attributes:
        prompt: a text or a conversation that ends before the answer.
        chosen: the better answer.
        rejected: the other one.
        images: files that the prompt is about.
        references: right answers, where they are known.
        group: what is trained on or held out together.
        labels: for each dimension whether chosen and rejected have it; None where not known.
        line: in the file, from 1.
    """

    prompt: str | tuple[Message, ...]
    chosen: str
    rejected: str
    images: tuple[Path, ...] = ()
    references: tuple[str, ...] = ()
    group: str = ""
    labels: Mapping[str, tuple[bool | None, bool | None]] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True)
class Preferences:
    """What a file of pairs holds.

    Attributes:
        rows: the pairs that can be learnt from.
        same: lines whose two answers are the same text.
        repeated: lines that say what an earlier one says.
        contradicted: lines that say the opposite of an earlier one; both stay.
        dimensions: the labels that the rows have.
        fingerprint: of the file's bytes.
    """

    rows: tuple[Preference, ...]
    same: tuple[int, ...]
    repeated: tuple[int, ...]
    contradicted: tuple[int, ...]
    dimensions: tuple[str, ...]
    fingerprint: str

    def notes(self) -> list[str]:
        """What was left out, and what is odd, for the person at the terminal."""
        told = (
            (self.same, "left out: chosen and rejected are the same text"),
            (self.repeated, "left out: the same pair stands in an earlier line"),
            (self.contradicted, "say the opposite of an earlier line (both are kept)"),
        )
        return [f"{len(lines)} pairs {what}; the first is line {lines[0]}" for lines, what in told if lines]


@dataclass(frozen=True)
class Split:
    """Indices of the pairs that are trained on, that watch the training, and that are measured."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def read_preferences(path: Path | str, dimensions: Sequence[str] = ()) -> Preferences:
    """Read a JSONL file of preference pairs.

    A row holds `prompt`, `chosen` and `rejected`. These are texts, or lists of messages as trl has them; without a
    `prompt`, what both begin with is taken for it (trl's implicit prompt). Beside them may stand `images` (one path or
    a list, relative to the file), `reference` (a text or a list), `group` (what must stay together in the split; the
    prompt with its images where not given) and labels: `chosen_NAME` and `rejected_NAME`, each 0, 1, true, false or
    null. Other columns are passed over.

    Args:
        path: the file.
        dimensions: names of the labels to read; every pair of columns with nothing but such values where empty.

    Raises:
        DataError: no such file, no rows, or a row that is none of this; named with its line.
    """
    path = Path(path)
    lines = list(read_jsonl(path))
    names = tuple(dimensions) or _dimensions([row for _, row in lines])
    rows: list[Preference] = []
    same, repeated, contradicted = [], [], []
    seen: set[tuple[Any, ...]] = set()
    for number, row in lines:
        one = _preference(path, number, row, names)
        if one.chosen == one.rejected:
            same.append(number)
            continue
        asked = (str(one.prompt), one.images)
        if (*asked, one.chosen, one.rejected) in seen:
            repeated.append(number)
            continue
        if (*asked, one.rejected, one.chosen) in seen:
            contradicted.append(number)
        seen.add((*asked, one.chosen, one.rejected))
        rows.append(one)
    if not rows:
        raise DataError("no pair in it can be learnt from; a row holds prompt, chosen and rejected", path=path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Preferences(tuple(rows), tuple(same), tuple(repeated), tuple(contradicted), names, digest)


def split_preferences(rows: Sequence[Preference], held_out: float, validation: float, seed: int) -> Split:
    """Share the prompts out; all pairs of one `group` go the same way.

    Args:
        rows: the pairs.
        held_out: share of the groups to measure on.
        validation: share of the groups that watch the training.
        seed: which.

    Raises:
        UsageError: the shares leave nothing to train on.
        DataError: there are fewer than `FEWEST` groups.
    """
    if not (0 < held_out < 1 and 0 < validation < 1 and held_out + validation < 1):
        raise UsageError(
            f"held_out {held_out} and validation {validation} are shares above 0 that leave something to train on"
        )
    groups = sorted({row.group for row in rows})
    if len(groups) < FEWEST:
        raise DataError(f"{len(groups)} prompts in {len(rows)} pairs; a split by prompt needs {FEWEST} or more")
    random.Random(seed).shuffle(groups)
    # Rounded, each side still has a prompt at least.
    tested = min(max(1, round(held_out * len(groups))), len(groups) - 2)
    watched = min(max(1, round(validation * len(groups))), len(groups) - tested - 1)
    place = {group: min(2, (at >= tested) + (at >= tested + watched)) for at, group in enumerate(groups)}
    test, watch, train = (tuple(at for at, row in enumerate(rows) if place[row.group] == part) for part in range(3))
    return Split(train, watch, test)


def _dimensions(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Names of the pairs of columns that hold labels only."""
    columns = {name for row in rows for name in row}
    names = sorted(name.removeprefix("chosen_") for name in columns if name.startswith("chosen_"))
    return tuple(
        name
        for name in names
        if f"rejected_{name}" in columns
        and all(_is_label(row.get(f"{side}_{name}")) for row in rows for side in ("chosen", "rejected"))
    )


def _is_label(value: Any) -> bool:
    return value is None or value in (0, 1)


def _preference(path: Path, line: int, row: Mapping[str, Any], dimensions: Sequence[str]) -> Preference:
    def wrong(problem: str) -> DataError:
        return DataError(problem, path=path, line=line)

    for name in ("chosen", "rejected"):
        if name not in row:
            raise wrong(f"no field {name!r}; found: {', '.join(sorted(row)) or 'none'}")
        if not (_is_text(row[name]) or _is_conversation(row[name])):
            raise wrong(f"{name!r} must be a text or a list of messages with role and content")
    prompt, chosen, rejected = row.get("prompt"), row["chosen"], row["rejected"]
    if isinstance(chosen, str) != isinstance(rejected, str):
        raise wrong("'chosen' is a text and 'rejected' a list of messages, or the reverse")
    if prompt is None:
        prompt, chosen, rejected = _shared(chosen, rejected)
    if not (_is_text(prompt) or _is_conversation(prompt)) or not prompt:
        raise wrong("no 'prompt', and chosen and rejected do not begin with the same one")
    texts = []
    for name, said in (("chosen", chosen), ("rejected", rejected)):
        text = said if isinstance(said, str) else _answer(said)
        if text is None:
            raise wrong(f"{name!r} must be one message of the assistant, with a text; found {len(said)} messages")
        texts.append(text)
    images = _images(path, row.get("images"), wrong)
    labels = {}
    for name in dimensions:
        pair = (row.get(f"chosen_{name}"), row.get(f"rejected_{name}"))
        for side, value in zip(("chosen", "rejected"), pair, strict=True):
            if not _is_label(value):
                raise wrong(f"'{side}_{name}' is a label: 0, 1 or null, not {value!r:.40}")
        labels[name] = (None if pair[0] is None else bool(pair[0]), None if pair[1] is None else bool(pair[1]))
    return Preference(
        prompt if isinstance(prompt, str) else tuple(prompt),
        texts[0],
        texts[1],
        images,
        _references(row.get("reference"), wrong),
        str(row["group"]) if row.get("group") is not None else _group(prompt, images),
        labels,
        line,
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and isinstance(one.get("role"), str) and isinstance(one.get("content"), (str, list))
        for one in value
    )


def _shared(chosen: Text, rejected: Text) -> tuple[Any, Any, Any]:
    """What both begin with, and what each goes on with; of texts the prompt ends with a blank, as trl has it."""
    same = 0
    while same < min(len(chosen), len(rejected)) and chosen[same] == rejected[same]:
        same += 1
    if isinstance(chosen, str):
        # Inside a word nothing is a prompt: "a lion" and "a line" share "a ".
        same = chosen.rfind(" ", 0, same) + 1
    return chosen[:same], chosen[same:], rejected[same:]


def _answer(messages: Sequence[Message]) -> str | None:
    """The text of a single message of the assistant; None for anything else."""
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        return None
    content = messages[0]["content"]
    if isinstance(content, str):
        return content
    texts = [block.get("text") for block in content if isinstance(block, dict)]
    return "".join(map(str, texts)) if texts and all(isinstance(text, str) for text in texts) else None


def _images(path: Path, given: Any, wrong: Any) -> tuple[Path, ...]:
    several = [] if given is None else given if isinstance(given, list) else [given]
    found = []
    for one in several:
        if not isinstance(one, str) or not one:
            raise wrong("'images' must be a path or a list of paths")
        file = Path(one) if Path(one).is_absolute() else path.parent / one
        if not file.is_file():
            raise wrong(f"no such picture: {file}; paths are relative to the file of pairs")
        found.append(file)
    return tuple(found)


def _references(given: Any, wrong: Any) -> tuple[str, ...]:
    several = [] if given is None else given if isinstance(given, list) else [given]
    if not all(isinstance(one, str) for one in several):
        raise wrong("'reference' must be a text or a list of texts")
    return tuple(one for one in several if one.strip())


def _group(prompt: Any, images: Sequence[Path]) -> str:
    """The prompt, whatever its capitals and blanks, with its images."""
    text = prompt if isinstance(prompt, str) else "\n".join(f"{one['role']}: {one['content']}" for one in prompt)
    return "\n".join([" ".join(text.split()).casefold(), *map(str, images)])
