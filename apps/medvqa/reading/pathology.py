"""PathVQA, in every form but its pickles."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from apps.medvqa.data import Example
from apps.medvqa.data_config import DataConfig
from apps.medvqa.reading.records import Fields, Reading
from apps.medvqa.reading.tables import find_tables, one_version, pickle_advice, read_table
from apps.medvqa.reading.vocabulary import kind_of, typed
from common.errors import DataError

_TABLE = r"(train|val(id(ation)?)?|test)(_qa)?(-\d{5}-of-\d{5}.*)?\.(jsonl?|csv|tsv|parquet)"
_PICKLE = r".*_(qa|vqa)\.(pkl|pickle)"


def read_path_vqa(path: Path, split: str, config: DataConfig) -> Reading:
    """PathVQA (He et al. 2020): `image`, `question`, `answer`; pictures `images/<split>/<image>.jpg`.

    The original `qas/<split>/<split>_qa.pkl` is not opened; converted to JSON beside it, it is read, as are the hub's
    tables (JSON, JSONL, CSV, Parquet). Closed are the questions whose answer is yes or no.

    Raises:
        DataError: names the file and the next step, for pickles the command that converts them.
        UsageError: there is no such split.
    """
    tables = find_tables(path, _TABLE)
    if not tables:
        pickles = find_tables(path, _PICKLE)
        if pickles:
            raise DataError(pickle_advice(pickles[0][1]), path=pickles[0][1])
        raise DataError(
            "no train, val or test table here (JSON, JSONL, CSV, Parquet); give PathVQA's folder", path=path
        )
    reading = Reading(path if path.is_dir() else path.parent)
    for table_split, file in one_version(tables, split):
        for number, (where, raw) in enumerate(read_table(file, reading)):
            row = Fields(raw)
            picture = reading.picture(row.get("image") or row.get("imageid") or row.get("filename"))
            question, answer = row.text("question"), row.text("answer")
            question_type, tags = typed("", question, answer)
            example = Example(
                id=row.text("id", "questionid", "qid") or f"{table_split or file.stem}-{number}",
                question=question,
                answer=answer,
                pictures=picture.contents,
                kind=kind_of(row.text("answertype"), question, answer),
                question_type=question_type,
                modality="pathology",
                split=table_split,
                study=PurePosixPath(picture.name).stem,
                tags=tags,
            )
            reading.add(example, picture.names, where)
    return reading.finish()
