"""One `Example` type, a question about pictures with what is known of it, and the way in to all data sets."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from apps.medvqa.data_config import DataConfig
from common.errors import DataError

if TYPE_CHECKING:
    from common.pictures import Source

T = TypeVar("T")

#: The letters that name the choices of a question, in order.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Example:
    """One question about none, one or several pictures.

    Attributes:
        id: unique in its data set.
        question: as it is asked, in `language`, without the choices.
        answer: the reference answer (the text of the right choice, where there are choices); empty where hidden.
        pictures: see `common.pictures.Source`; none for a question that has no picture.
        answers: further right answers.
        kind: `closed` (yes or no, or a choice) or `open`.
        question_type: one of `reading.vocabulary.QUESTION_TYPES`, or empty where not known.
        modality: one of `reading.vocabulary.MODALITIES`, or empty where not known.
        organ: one of `reading.vocabulary.ORGANS`, or empty where not known.
        language: ISO 639-1 code.
        split: `train`, `validation`, `test` or the data set's own name; empty where there are no splits.
        study: what pictures of one patient, study or file have in common: no study may be in two splits.
        reasoning: how a person comes to the answer, without tags.
        choices: texts to choose from, in order (A, B, ...), without their letters.
        tags: whatever else is known, text by name.
    """

    id: str
    question: str
    answer: str
    pictures: tuple[Source, ...] = ()
    answers: tuple[str, ...] = ()
    kind: str = "open"
    question_type: str = ""
    modality: str = ""
    organ: str = ""
    language: str = "en"
    split: str = ""
    study: str = ""
    reasoning: str = ""
    choices: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def references(self) -> tuple[str, ...]:
        """Every right answer, the reference first; none where it is hidden."""
        return tuple(text for text in dict.fromkeys((self.answer, *self.answers)) if text)

    @property
    def letter(self) -> str:
        """The letter of the right choice, or empty."""
        return LETTERS[self.choices.index(self.answer)] if self.answer in self.choices[: len(LETTERS)] else ""


def load_examples(config: DataConfig) -> list[Example]:
    """The questions that a config describes; pictures in files are not opened yet.

    Rows that had to be left out are counted in a warning; `prepare` lists each with its reason.

    Raises:
        DataError: names the file, the row and the next step.
        UsageError: the format, the split or the path is wrong.
    """
    if config.format != "pocket":
        from apps.medvqa.readers import read_examples

        return read_examples(config)
    from apps.medvqa.pocket import load_pocket

    selects = config.languages or config.kinds
    examples = load_pocket(config.split or "train", None if selects else config.limit or None, config.seed)
    if selects:
        examples = limited([example for example in examples if wanted(example, config)], config.limit)
    if not examples:
        raise DataError("no phantom question has this language and kind; check `languages` and `kinds`", path="pocket")
    return examples


def wanted(example: Example, config: DataConfig) -> bool:
    """Whether a config's languages and kinds keep an example."""
    spoken = not config.languages or example.language in config.languages
    return spoken and (not config.kinds or example.kind in config.kinds)


def limited(items: Sequence[T], limit: int, seed: int = 0) -> list[T]:
    """At most `limit` items in their order (0: all): the first ones for seed 0, else a draw."""
    order = list(range(len(items)))
    if limit and seed:
        random.Random(seed).shuffle(order)
    return [items[position] for position in sorted(order[: limit or len(order)])]


def to_row(example: Example, folder: Path) -> dict[str, Any]:
    """The row of our JSONL for an example whose pictures are files; empty fields are left out.

    Fields: `id`, `question`, `answer`, `pictures` (paths relative to `folder` where they lie in it or in the folder
    above, else absolute), `answers`, `kind`, `question_type`, `modality`, `organ`, `language`, `split`, `study`,
    `reasoning`, `choices`, `tags` (texts by name). `reading.rows.read_rows` reads them back.
    """
    row: dict[str, Any] = {
        **{name: getattr(example, name) for name in ("id", "question", "answer")},
        "pictures": [_place(Path(str(picture)), folder) for picture in example.pictures],
        "answers": list(example.answers),
        **{name: getattr(example, name) for name in ("kind", "question_type", "modality", "organ", "language")},
        **{name: getattr(example, name) for name in ("split", "study", "reasoning")},
        "choices": list(example.choices),
        "tags": dict(example.tags),
    }
    return {name: value for name, value in row.items() if value or name == "answer"}


def _place(file: Path, folder: Path) -> str:
    file, folder = file.resolve(), folder.resolve()
    near = file.is_relative_to(folder.parent) and folder.parent != Path(folder.anchor)
    return Path(os.path.relpath(file, folder)).as_posix() if near else str(file)
