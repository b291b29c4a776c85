"""VQA-RAD and SLAKE, which label their questions themselves."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from apps.medvqa.data import Example
from apps.medvqa.data_config import DataConfig
from apps.medvqa.reading.records import Fields, Reading, Row
from apps.medvqa.reading.tables import find_tables, one_version, read_table
from apps.medvqa.reading.vocabulary import (
    kind_of,
    modality_of,
    organ_of,
    split_name,
    typed,
)
from common.errors import DataError, UsageError

_TABLE = r"(train|val(id(ate|ation)?)?|test)(set)?(-\d{5}-of-\d{5}.*)?\.(jsonl?|csv|tsv|parquet)"
_PUBLIC = r"vqa.?rad.*public\.json"
PHRASE_TYPES = ("freeform", "para", "frame")


def read_vqa_rad(path: Path, split: str, config: DataConfig) -> Reading:
    """VQA-RAD (Lau et al. 2018): `trainset.json` and `testset.json`, the OSF's one public file, or the hub's tables.

    The public file marks its test questions by `test_freeform` and `test_para`; the wording by template stands there
    in a column, `question_frame`, and becomes a question of its own where `phrase_types` asks for `frame`. A study is
    the MedPix case of a picture where the file names it, else the picture. The modality is what the answers to
    questions for it say, where these agree for a picture.

    Raises:
        DataError: names the file and the next step.
        UsageError: there is no such split or phrase type.
    """
    wanted = {_phrase_type(name) for name in config.phrase_types}
    if wanted - set(PHRASE_TYPES):
        unknown = ", ".join(sorted(wanted - set(PHRASE_TYPES)))
        raise UsageError(f"data.phrase_types: there is no {unknown}; use {', '.join(PHRASE_TYPES)}")
    reading = Reading(path if path.is_dir() else path.parent)
    for table_split, file in _rad_tables(path, split):
        for number, (where, raw) in enumerate(read_table(file, reading)):
            _add_rad(reading, Fields(raw), table_split, where, f"{table_split or file.stem}-{number}", wanted, split)
    reading.finish()
    reading.rows = spread(reading.rows, "modality", modality_of)
    return reading


def read_slake(path: Path, split: str, config: DataConfig) -> Reading:
    """SLAKE (Liu et al. 2021): `train.json`, `validate.json`, `test.json`, pictures `imgs/xmlabN/source.jpg`.

    Masks, detections and the knowledge graph are not read; questions that need it are of type `knowledge`.

    Raises:
        DataError: names the file and the next step.
        UsageError: there is no such split.
    """
    tables = find_tables(path, _TABLE)
    if not tables:
        raise DataError("no train.json, validate.json or test.json here; give SLAKE's folder", path=path)
    reading = Reading(path if path.is_dir() else path.parent)
    for table_split, file in one_version(tables, split):
        for number, (where, raw) in enumerate(read_table(file, reading)):
            row = Fields(raw)
            picture = reading.picture(row.get("imgname") or row.get("image"))
            question, answer, label = row.text("question"), row.text("answer"), row.text("contenttype")
            question_type, inferred = typed(label, question, answer)
            place = row.text("location")
            example = Example(
                id=row.text("qid", "id") or f"{table_split}-{number}",
                question=question,
                answer=answer,
                pictures=picture.contents,
                kind=kind_of(row.text("answertype"), question, answer),
                question_type=question_type,
                modality=modality_of(row.text("modality")),
                organ=organ_of(place),
                language=row.text("qlang").lower() or ("en" if question.isascii() else "zh"),
                split=table_split,
                study=PurePosixPath(picture.name).parent.name or picture.name or row.text("imgid"),
                tags=_known(location=place, content_type=label, base_type=row.text("basetype"), **inferred),
            )
            reading.add(example, picture.names, where)
    return reading.finish()


def spread(rows: list[Row], name: str, read: Callable[[str], str]) -> list[Row]:
    """Give each study without a modality (or organ) the one that the questions for it agree on, marked as inferred.

    Args:
        rows: of one data set.
        name: the field to fill, and the type of the questions that name it: in their answer, or in themselves where
            the answer is yes.
        read: finds it in a text.
    """
    found: dict[str, set[str]] = {}
    for row in rows:
        own = row.example
        # "What type of imaging does this not represent?" says nothing of what it is.
        if own.question_type == name and own.study and not re.search(r"\bnot\b", own.question):
            found.setdefault(own.study, set()).add(read(own.question if own.answer.lower() == "yes" else own.answer))
    known = {study: names.pop() for study, said in found.items() if len(names := said - {""}) == 1}

    def filled(own: Example) -> Example:
        if getattr(own, name) or own.study not in known:
            return own
        fields: dict[str, Any] = {name: known[own.study]}
        inferred = ", ".join(filter(None, (own.tags.get("inferred"), name)))
        return replace(own, **fields, tags={**own.tags, "inferred": inferred})

    return [replace(row, example=filled(row.example)) for row in rows]


def _rad_tables(path: Path, split: str) -> list[tuple[str, Path]]:
    public = [file for _, file in find_tables(path, _PUBLIC) if re.fullmatch(_PUBLIC, file.name, re.IGNORECASE)]
    if public:
        return [("", public[0])]
    tables = find_tables(path, _TABLE)
    if not tables:
        raise DataError(
            "no trainset.json, testset.json, 'VQA_RAD Dataset Public.json' or train and test tables here; give "
            "VQA-RAD's folder or its file",
            path=path,
        )
    return one_version(tables, split)


def _add_rad(
    reading: Reading, row: Fields, table_split: str, where: str, spare_id: str, wanted: set[str], split: str
) -> None:
    phrase = row.text("phrasetype").lower()
    own_split = "test" if phrase.startswith("test_") else table_split or ("train" if phrase else "")
    phrase = _phrase_type(phrase.removeprefix("test_"))
    if split and own_split != split_name(split):
        reading.passed_over[f"split {own_split}"] += 1
        return
    picture = reading.picture(row.get("imagename") or row.get("image"))
    question, answer, label = row.text("question"), row.text("answer"), row.text("questiontype")
    question_type, inferred = typed(label, question, answer)
    example = Example(
        id=row.text("qid", "id") or spare_id,
        question=question,
        answer=answer,
        pictures=picture.contents,
        kind=kind_of(row.text("answertype"), question, answer),
        question_type=question_type,
        organ=organ_of(row.text("imageorgan")),
        split=own_split,
        study=row.text("imagecaseurl") or PurePosixPath(picture.name).stem,
        tags=_known(phrase_type=phrase, question_type=label, linked=row.text("qidlinkedid"), **inferred),
    )
    if wanted and phrase and phrase not in wanted:
        reading.passed_over[f"phrase type {phrase}"] += 1
    else:
        reading.add(example, picture.names, where)
    frame = row.text("questionframe")
    if "frame" in wanted and own_split == "train" and frame and frame.lower() != "null":
        reading.read += 1
        tags = {**example.tags, "phrase_type": "frame"}
        reading.add(replace(example, id=f"{example.id}-frame", question=frame, tags=tags), picture.names, where)


def _phrase_type(name: str) -> str:
    return "para" if name.lower().startswith("para") else name.lower()


def _known(**tags: Any) -> dict[str, str]:
    return {name: value for name, value in tags.items() if value}
