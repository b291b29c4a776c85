"""Words for modalities, organs, kinds and splits, and tables of plain values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps.medvqa.reading.records import plain
from apps.medvqa.reading.tables import split_in
from apps.medvqa.reading.vocabulary import (
    kind_of,
    modality_of,
    organ_of,
    question_type_of,
)
from common.errors import DataError
from tests.apps.medvqa.data_folders import (
    jsonl,
    picture,
    read,
    write,
)

# Vocabulary


@pytest.mark.parametrize(
    ("text", "modality"),
    [
        ("XR - Plain Film", "xray"),
        ("X-Ray", "xray"),
        ("cta - ct angiography", "ct"),
        ("mr - t1w w/gadolinium", "mri"),
        ("MRA - MR Angiography/Venography", "mri"),
        ("flair", "mri"),
        ("an - angiogram", "angiography"),
        ("us-d - doppler ultrasound", "ultrasound"),
        ("Mammograph", "mammography"),
        ("PET - Positron Emission", "nuclear"),
        ("BE - Barium Enema", "fluoroscopy"),
        ("OCT (Optical Coherence Tomography)", "oct"),
        ("CT(Computed Tomography)", "ct"),
        ("Microscopy Images", "pathology"),
        ("Infrared Reflectance Imaging", "infrared"),
        ("核磁共振", "mri"),
        ("fracture of the direct kind", ""),
        ("iv", ""),
        ("", ""),
    ],
)
def test_modalities(text: str, modality: str) -> None:
    assert modality_of(text) == modality


@pytest.mark.parametrize(
    ("text", "organ"),
    [
        ("HEAD", "head"),
        ("ABD", "abdomen"),
        ("Brain_Tissue", "head"),
        ("Chest_mediastinal", "chest"),
        ("Pelvic Cavity", "pelvis"),
        ("heart and great vessels", "chest"),
        ("spine and contents", "spine"),
        ("genitourinary", "urogenital"),
        ("gastrointestinal", "abdomen"),
        ("vascular and lymphatic", "vessels"),
        ("musculoskeletal", "bone"),
        ("elsewhere", ""),
    ],
)
def test_organs(text: str, organ: str) -> None:
    assert organ_of(text) == organ


@pytest.mark.parametrize(
    ("label", "question", "answer", "expected"),
    [
        ("PRES, ATTRIB", "", "", "presence"),
        ("PRSE", "", "", "presence"),
        ("ATRIB", "", "", "attribute"),
        ("POS", "Where is it?", "in the left lower lobe", "zone"),
        ("POS", "Where is it?", "left side", "side"),
        ("Position", "肺在哪侧?", "左侧", "side"),
        ("POS", "On which side is it?", "the one with the heart", "side"),
        ("Disease Diagnosis", "", "", "abnormality"),
        ("something else", "", "", ""),
    ],
)
def test_question_types(label: str, question: str, answer: str, expected: str) -> None:
    assert question_type_of(label, question, answer) == expected


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("Is there a mass?", "No.", "closed"),
        ("Is it a t1 weighted or t2 weighted image?", "T2", "closed"),
        ("Which is bigger, lung or heart?", "Lung", "closed"),
        ("Where is it?", "no place like home", "open"),
        ("Is there a mass or a cyst?", "an abscess", "open"),
        ("图中有肺吗?", "不包含", "closed"),
    ],
)
def test_kinds_are_inferred(question: str, answer: str, kind: str) -> None:
    assert kind_of("", question, answer) == kind
    assert kind_of("OPEN ", question, answer) == "open"
    assert kind_of("", question, "free text", ("free text", "other text")) == "closed"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("trainset.json", "train"),
        ("validate.json", "validation"),
        ("VQA-Med-2021-VQAnswering-Task1-New-ValidationSet.txt", "validation"),
        ("test_clean.csv", "test"),
        ("train-00000-of-00003-0a1b.parquet", "train"),
        ("latest.json", ""),
        ("devices.json", ""),
        ("constrained.csv", ""),
        ("dev/rows.json", "validation"),
    ],
)
def test_splits_are_told_by_whole_words(name: str, split: str) -> None:
    assert split_in(Path("/data/contest") / name) == split


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (4, "4"),
        (4.0, "4"),
        (2.5, "2.5"),
        (True, "yes"),
        (" a \t b\u2028", "a b"),
        (["a", None, 2], "a, 2"),
    ],
)
def test_values_as_text(value: Any, text: str) -> None:
    assert plain(value) == text


def test_rows_of_a_json_object(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    row = {"image": "1.png", "question": "What?", "answer": "x"}
    write(tmp_path / "train.json", json.dumps({"version": 1, "data": [row]}))
    assert read(tmp_path, "path_vqa").examples[0].id == "train-0"
    write(tmp_path / "train.json", json.dumps({"q7": row}))
    assert read(tmp_path, "path_vqa").examples[0].id == "q7"


def test_two_tables_of_one_split_are_not_chosen_between(tmp_path: Path) -> None:
    row = {"image": "1.png", "question": "What?", "answer": "x"}
    picture(tmp_path / "1.png")
    write(tmp_path / "train.json", [row])
    jsonl(tmp_path / "data" / "train.jsonl", row)
    with pytest.raises(DataError, match=r"several tables may be the split 'train'"):
        read(tmp_path, "path_vqa")
    assert len(read(tmp_path / "train.json", "path_vqa").examples) == 1
