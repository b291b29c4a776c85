"""Multiple-choice data sets: PMC-VQA and OmniMedVQA."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from apps.medvqa.data import LETTERS, Example
from apps.medvqa.data_config import DataConfig
from apps.medvqa.reading.records import Fields, Reading
from apps.medvqa.reading.tables import find_tables, one_version, read_table
from apps.medvqa.reading.vocabulary import (
    modality_of,
    organ_of,
    split_name,
    typed,
)
from common.errors import DataError
from common.rewards.functional import normalise

_PMC_TABLE = r"(train|test|val(id(ation)?)?)(_clean|_2)?(-\d{5}-of-\d{5}.*)?\.(csv|jsonl?|parquet)"
#: `A:`, ` B.` or `(C)` in front of a choice.
_MARK = re.compile(r"^\(?([A-Z])\s*[:.)]\s*")
_PMC_ARTICLE = re.compile(r"PMC\d+")


def read_pmc_vqa(path: Path, split: str, config: DataConfig) -> Reading:
    """PMC-VQA (Zhang et al. 2023): `train.csv` and `test.csv`; `Figure_path`, `Question`, `Choice A` to `Choice D`.

    Version 1 has the answer's text in `Answer` (in some files spelt `Anwser`) and its letter in `Answer_label`,
    version 2 (`train_2.csv`, `test_2.csv`) the letter in `Answer`. Where a text and its letter differ, the letter
    counts and the row is named. Version 2, or the cleaned test set, is read by its file's name as the split (`test_2`,
    `test_clean`). A study is the article that a figure comes from.

    Raises:
        DataError: names the file and the next step.
        UsageError: there is no such split.
    """
    tables = find_tables(path, _PMC_TABLE)
    if not tables:
        raise DataError("no train.csv or test.csv here; give PMC-VQA's folder or one of its files", path=path)
    reading = Reading(path if path.is_dir() else path.parent)
    for table_split, file in one_version(tables, split):
        for number, (where, raw) in enumerate(read_table(file, reading)):
            row = Fields(raw)
            id = f"{file.stem}-{row.text('index') or number}"
            choices = _choices(row, "choice")
            answer = _right(reading, row, choices, id, where)
            if answer is None:
                continue
            picture = reading.picture(row.get("figurepath") or row.get("image"))
            article = _PMC_ARTICLE.match(picture.name)
            question = row.text("question")
            question_type, tags = typed("", question, answer)
            if row.text("caption"):
                tags["caption"] = row.text("caption")
            example = Example(
                id=id,
                question=question,
                answer=answer,
                pictures=picture.contents,
                kind="closed",
                question_type=question_type,
                split=table_split,
                study=article.group() if article else PurePosixPath(picture.name).stem,
                choices=choices,
                tags=tags,
            )
            reading.add(example, picture.names, where)
    return reading.finish()


def read_omni_med_vqa(path: Path, split: str, config: DataConfig) -> Reading:
    """OmniMedVQA (Hu et al. 2024): `QA_information/Open-access/*.json`, pictures in `Images/`.

    Two to four options, of which `gt_answer` is one. The data set has no splits; a field `split`, as others add it, is
    taken over.

    Raises:
        DataError: names the file and the next step.
    """
    inside = path / "QA_information"
    tables = find_tables(inside if inside.is_dir() else path, r".*\.jsonl?")
    if not tables:
        raise DataError("no QA_information/*/*.json here; give OmniMedVQA's folder or one of its files", path=path)
    reading = Reading(path if path.is_dir() else path.parent)
    for _, file in tables:
        for number, (where, raw) in enumerate(read_table(file, reading)):
            row = Fields(raw)
            own_split = split_name(row.text("split"))
            if split and own_split != split_name(split):
                reading.passed_over[f"split {own_split or 'without a name'}"] += 1
                continue
            id = row.text("questionid", "id") or f"{file.stem}-{number}"
            choices = _choices(row, "option")
            answer = _right(reading, row, choices, id, where, lettered=False)
            if answer is None:
                continue
            picture = reading.picture(row.get("imagepath") or row.get("image"))
            label = row.text("questiontype")
            question = row.text("question")
            question_type, inferred = typed(label, question, answer)
            tags = {
                "data_set": row.text("dataset") or file.stem,
                "access": file.parent.name,
                "question_type": label,
                **inferred,
            }
            example = Example(
                id=id,
                question=question,
                answer=answer,
                pictures=picture.contents,
                kind="closed",
                question_type=question_type,
                # One file of the original says `modality` in one row.
                modality=modality_of(row.text("modalitytype", "modality")),
                organ=organ_of(row.text("organ", "bodypart")),
                split=own_split,
                study=picture.name,
                choices=choices,
                tags={name: value for name, value in tags.items() if value},
            )
            reading.add(example, picture.names, where)
    return reading.finish()


def _choices(row: Fields, prefix: str) -> tuple[str, ...]:
    texts = [row.text(f"{prefix}{letter.lower()}") for letter in LETTERS]
    while texts and not texts[-1]:
        texts.pop()
    return tuple(_unmarked(text, LETTERS[at]) for at, text in enumerate(texts))


def _unmarked(text: str, letter: str) -> str:
    mark = _MARK.match(text)
    return text[mark.end() :].strip() if mark and mark.group(1) == letter else text


def _right(
    reading: Reading, row: Fields, choices: tuple[str, ...], id: str, where: str, lettered: bool = True
) -> str | None:
    """The right choice; None where there is none, which is a problem of its own. Empty where it is hidden.

    Args:
        reading: takes the problems.
        row: of the table.
        choices: texts, in order.
        id: of the row.
        where: file and row.
        lettered: an answer of one letter is a choice's letter also where a choice reads so.
    """
    text, label = row.text("answer", "anwser", "gtanswer"), row.text("answerlabel").upper()
    if len(choices) < 2 or not all(choices):
        reading.note(id, "bad_choice", f"of the choices {list(choices)} one is empty or there are too few", where)
        return None
    said = _MARK.sub("", text) if _MARK.match(text) else text
    same = next((choice for choice in choices if normalise(choice) in (normalise(text), normalise(said))), "")
    letter = text if len(text) == 1 and (lettered or not same) else ""
    named = _at(_MARK.sub(r"\1", label)[:1] or letter, choices)
    if named and text and len(text) > 1 and same != named:
        reason = f"the letter {label} means {named!r}, the answer says {text!r}; the letter counts"
        reading.note(id, "answer_differs", reason, where)
    if (text or label) and not (named or same):
        reading.note(id, "bad_choice", f"the answer {text or label!r} is none of {list(choices)}", where)
        return None
    return named or same


def _at(letter: str, choices: tuple[str, ...]) -> str:
    position = LETTERS.find(letter.upper()) if letter else -1
    return choices[position] if 0 <= position < len(choices) else ""
