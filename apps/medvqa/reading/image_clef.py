"""VQA-Med of ImageCLEF, 2019 and 2021: text files with `|` between the columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from apps.medvqa.data import Example
from apps.medvqa.data_config import DataConfig
from apps.medvqa.reading.radiology import spread
from apps.medvqa.reading.records import Reading, plain
from apps.medvqa.reading.tables import find_tables
from apps.medvqa.reading.vocabulary import (
    kind_of,
    modality_of,
    organ_of,
    split_name,
    typed,
)
from common.errors import DataError, UsageError
from common.files import text_lines

_CATEGORY = r"c[1-4]_(modality|plane|organ|abnormality)_(train|val|test)\.txt"
#: Of 2019, the best first: a split is read from the files of the first pattern that it has any of.
_FILES_2019 = (_CATEGORY, r".*w_ref_answers\.txt", r"all_qa_pairs_.*\.txt", r".*test_questions\.txt")
_FILES_2021 = (
    r".*2020_(train|val)_qa_?pairs\.txt",
    r".*(vqanswering|task1).*validation.?set\.txt",
    r".*task1.*test.?set.?questions\.txt",
)
_ANSWERS_2021 = r".*task1.*test.?set.?reference.?answers.*\.txt"
_OPTIONAL = re.compile(r"\([^()]*\)")


def read_vqa_med_2019(path: Path, split: str, config: DataConfig) -> Reading:
    """VQA-Med 2019 (Ben Abacha et al.): `QAPairsByCategory/C1_Modality_train.txt` and so on, or all pairs in one file.

    Rows are `image|question|answer`; in the test set `image|category|question|answers`, where `#` stands between right
    answers and a part in brackets may be left out. A picture's modality and organ are what its questions say.

    Raises:
        DataError: names the file and the next step.
        UsageError: there is no such split.
    """
    reading = Reading(path if path.is_dir() else path.parent)
    for own_split, file in _files(path, _FILES_2019, split):
        category = re.fullmatch(_CATEGORY, file.name, re.IGNORECASE)
        for where, columns in _columns(file, reading, most=4):
            label = category.group(1).lower() if category else columns.pop(1) if len(columns) == 4 else ""
            right = _alternatives(columns[2]) if own_split == "test" and len(columns) == 3 else tuple(columns[2:])
            reading.add(_example(columns[0], columns[1], right, own_split, label), (columns[0],), where)
    _number(reading)
    reading.finish()
    reading.rows = spread(spread(reading.rows, "modality", modality_of), "organ", organ_of)
    return reading


def read_vqa_med_2021(path: Path, split: str, config: DataConfig) -> Reading:
    """VQA-Med 2021 (Ben Abacha et al.), task 1: questions for abnormalities.

    Rows are `image|question|answer`; the test set's answers stand in a file of their own, `image|answer|answer...`.
    The training set is what VQA-Med 2020 had for training and validation.

    Raises:
        DataError: names the file and the next step.
        UsageError: there is no such split.
    """
    reading = Reading(path if path.is_dir() else path.parent)
    for own_split, file in _files(path, _FILES_2021, split):
        answers = _reference_answers(file.parent, reading) if own_split == "test" else {}
        for where, columns in _columns(file, reading, most=8):
            right = tuple(columns[2:]) or answers.get(columns[0], ())
            reading.add(_example(columns[0], columns[1], right, own_split, "abnormality"), (columns[0],), where)
    _number(reading)
    return reading.finish()


def _example(image: str, question: str, right: tuple[str, ...], split: str, label: str) -> Example:
    answer = right[0] if right else ""
    asked, tags = typed(label, question, answer)
    return Example(
        id=image,
        question=question,
        answer=answer,
        answers=tuple(right[1:]),
        kind=kind_of("", question, answer),
        question_type=asked,
        # "Is this an MRI?" does not say that it is one; "in what plane is this MRI?" does.
        modality=modality_of(question) if asked != "modality" else "",
        split=split,
        study=image,
        tags={"category": label} if label else tags,
    )


def _files(path: Path, patterns: tuple[str, ...], split: str) -> list[tuple[str, Path]]:
    if path.is_file():
        return [(name or split_name(split), file) for name, file in find_tables(path, "")]
    first_only = patterns is _FILES_2019
    found: list[tuple[str, Path]] = []
    for pattern in patterns:
        done = {name for name, _ in found} if first_only else set()
        tables = find_tables(path, pattern)
        # The training and the validation set of 2020 are the training set of 2021.
        named = [("train" if "_2020_" in file.name else name, file) for name, file in tables]
        found += [table for table in named if table[0] not in done]
    if not found:
        raise DataError("no question files of VQA-Med here (*.txt); give the folder that holds them", path=path)
    wanted = [table for table in found if not split or table[0] == split_name(split)]
    if not wanted:
        raise UsageError(f"no split {split!r}; the data set has {', '.join(sorted({name for name, _ in found}))}")
    return wanted


def _columns(file: Path, reading: Reading, most: int) -> Iterator[tuple[str, list[str]]]:
    for number, line in text_lines(file):
        if not line.strip():
            continue
        reading.read += 1
        where = f"{file.name}: line {number}"
        columns = _split(line)
        if 2 <= len(columns) <= most and columns[0]:
            yield where, columns
        else:
            reading.note(columns[0], "malformed", f"expected image|question|answer, found {line[:60]!r}", where)


def _split(line: str) -> list[str]:
    columns = [column.strip() for column in line.split("|")]
    # Some rows went through a spreadsheet, which quotes columns that hold quotes.
    return [plain(text[1:-1].replace('""', '"') if _quoted(text) else text) for text in columns]


def _quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] == '"'


def _reference_answers(folder: Path, reading: Reading) -> dict[str, tuple[str, ...]]:
    answers: dict[str, tuple[str, ...]] = {}
    for _, file in find_tables(folder, _ANSWERS_2021):
        for number, line in text_lines(file):
            image, *right = _split(line)
            if image:
                answers[image] = tuple(dict.fromkeys(filter(None, right)))
            elif any(right):
                reading.read += 1
                reading.note(
                    "", "malformed", f"answers without an image: {line[:60]!r}", f"{file.name}: line {number}"
                )
    return answers


def _alternatives(text: str) -> tuple[str, ...]:
    """Right answers of the test set of 2019, each whole and then without what stands in brackets."""
    found: list[str] = []
    for part in text.split("#"):
        found += [plain(part.replace("(", " ").replace(")", " ")), plain(_OPTIONAL.sub(" ", part))]
    return tuple(dict.fromkeys(filter(None, found)))


def _number(reading: Reading) -> None:
    """Ids of pictures that are asked about several times get a number."""
    times = Counter(row.example.id for row in reading.rows)
    seen: Counter[str] = Counter()
    for at, row in enumerate(reading.rows):
        own = row.example.id
        seen[own] += 1
        if times[own] > 1:
            reading.rows[at] = replace(row, example=replace(row.example, id=f"{own}-{seen[own]}"))
