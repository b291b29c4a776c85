"""What the readers of all formats have in common: splits, pictures, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.medvqa.data_config import DataConfig
from apps.medvqa.readers import read_examples
from apps.medvqa.reading.vocabulary import (
    MODALITIES,
    ORGANS,
    QUESTION_TYPES,
)
from common.errors import DataError, UsageError
from tests.apps.medvqa.data_folders import (
    FOLDERS,
    jsonl,
    kinds,
    picture,
    read,
    slake,
    slake_row,
    vqa_rad,
    write,
)

# All formats


@pytest.mark.parametrize("format", FOLDERS)
def test_every_row_is_kept_left_out_or_not_asked_for(tmp_path: Path, format: str) -> None:
    path = FOLDERS[format](tmp_path)
    first = read(path, format).examples[0]
    for settings in ({}, {"kinds": [first.kind]}, {"split": first.split}, {"limit": 1}):
        found = read(path, format, **settings)
        lost = sum(not problem.kept for problem in found.problems)
        assert found.read == len(found.examples) + lost + found.passed_over.total(), settings
        assert len({example.id for example in found.examples}) == len(found.examples)


@pytest.mark.parametrize("format", FOLDERS)
def test_labels_are_of_the_vocabulary_and_pictures_exist(tmp_path: Path, format: str) -> None:
    for example in read(FOLDERS[format](tmp_path), format).examples:
        assert example.question_type in QUESTION_TYPES
        assert example.modality in ("", *MODALITIES)
        assert example.organ in ("", *ORGANS)
        assert example.kind in ("open", "closed")
        assert all(isinstance(file, Path) and file.is_file() for file in example.pictures)


@pytest.mark.parametrize("format", FOLDERS)
def test_byte_order_marks_and_line_ends_do_not_matter(tmp_path: Path, format: str) -> None:
    path = FOLDERS[format](tmp_path)
    before = read(path, format).examples
    for file in tmp_path.rglob("*"):
        if file.suffix in (".json", ".jsonl", ".csv", ".txt"):
            text = file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            file.write_bytes(b"\xef\xbb\xbf" + text)
    assert read(path, format).examples == before


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"format": "nonsense", "path": "."}, UsageError, "no format 'nonsense'"),
        ({"format": "slake"}, UsageError, "data.path"),
        ({"format": "slake", "path": "/no/such/place"}, DataError, "no such file or folder"),
    ],
)
def test_a_wrong_config_says_what_to_correct(settings: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        read_examples(DataConfig(**settings))


@pytest.mark.parametrize("format", [name for name in FOLDERS if name != "jsonl"])
def test_an_empty_folder_is_named(tmp_path: Path, format: str) -> None:
    with pytest.raises(DataError, match=tmp_path.name):
        read(tmp_path, format)


@pytest.mark.parametrize("format", ["vqa_rad", "slake", "path_vqa", "vqa_med_2019", "vqa_med_2021", "pmc_vqa"])
def test_an_unknown_split_names_the_known_ones(tmp_path: Path, format: str) -> None:
    with pytest.raises(UsageError, match=r"no split 'tset'.*test"):
        read(FOLDERS[format](tmp_path), format, split="tset")


# Pictures


def test_missing_pictures_stop_or_drop_or_are_done_without(tmp_path: Path) -> None:
    path = vqa_rad(tmp_path)
    (path / "images" / "synpic1.jpg").unlink()
    with pytest.raises(DataError, match=r"2 of 3 questions lack their pictures: trainset.json: row 0.*synpic1.jpg"):
        read(path, "vqa_rad")
    dropped = read(path, "vqa_rad", missing_pictures="drop")
    assert [example.id for example in dropped.examples] == ["9"]
    assert kinds(dropped) == ["missing_picture"] * 2
    kept = read(path, "vqa_rad", missing_pictures="keep")
    assert [bool(example.pictures) for example in kept.examples] == [False, False, True]
    assert kinds(kept) == ["without_picture"] * 2


def test_an_empty_file_is_no_picture(tmp_path: Path) -> None:
    path = vqa_rad(tmp_path)
    (path / "images" / "synpic2.jpg").write_bytes(b"")
    assert kinds(read(path, "vqa_rad", missing_pictures="drop")) == ["missing_picture"]


def test_the_picture_of_another_study_is_never_taken(tmp_path: Path) -> None:
    path = slake(tmp_path)
    write(path / "test.json", [slake_row(3, 99, "What is it?", "Lung")])
    with pytest.raises(DataError, match=r"xmlab99/source\.jpg"):
        read(path, "slake", split="test")


def test_pictures_of_one_name_are_told_apart_by_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        jsonl(tmp_path / f"{split}.jsonl", {"image": "1.jpg", "question": "What is it?", "answer": split})
        picture(tmp_path / "images" / split / "1.jpg", len(split))
    found = read(tmp_path, "path_vqa").examples
    assert [example.pictures[0].parent.name for example in found] == ["train", "test"]  # type: ignore[union-attr]


def test_pictures_of_one_name_that_cannot_be_told_apart_are_an_error(tmp_path: Path) -> None:
    jsonl(tmp_path / "train.jsonl", {"image": "1.jpg", "question": "What is it?", "answer": "x"})
    for folder in ("a", "b"):
        picture(tmp_path / folder / "1.jpg", len(folder))
    with pytest.raises(DataError, match=r"several pictures are called '1.jpg'"):
        read(tmp_path, "path_vqa")


def test_a_picture_folder_elsewhere_and_other_letter_case(tmp_path: Path) -> None:
    jsonl(tmp_path / "tables" / "train.jsonl", {"image": "A.JPG", "question": "What is it?", "answer": "x"})
    picture(tmp_path / "films" / "a.jpg")
    found = read(tmp_path / "tables", "path_vqa", pictures=str(tmp_path / "films"))
    assert found.examples[0].pictures == (tmp_path / "films" / "a.jpg",)
