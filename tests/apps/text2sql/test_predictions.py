from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.text2sql.data import Example, load_examples
from apps.text2sql.data_config import DataConfig
from apps.text2sql.measures.predictions import read_predictions
from common.errors import DataError, UsageError
from tests.apps.text2sql.data_folders import QUERIES, bird_folder, spider_folder


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    return load_examples(DataConfig(format="spider", path=str(spider_folder(tmp_path / "spider"))))


@pytest.mark.parametrize("mark", ["", "\tmusic", "\tMusic"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n\n"])
def test_spiders_text(tmp_path: Path, examples: list[Example], mark: str, end: str) -> None:
    file = tmp_path / "predictions.txt"
    line_end = "\r\n" if "\r" in end else "\n"
    file.write_bytes((line_end.join(f"{query}{mark}" for query in QUERIES) + end).encode())
    assert read_predictions(file, examples) == [[query] for query in QUERIES]


def test_an_empty_line_is_an_empty_prediction_also_the_last(tmp_path: Path, examples: list[Example]) -> None:
    file = tmp_path / "predictions.txt"
    file.write_text("a\n\nb\nc\n\n", encoding="utf-8")
    assert read_predictions(file, examples) == [["a"], [""], ["b"], ["c"], [""]]


@pytest.mark.parametrize("lines", [1, 4, 6])
def test_a_wrong_number_is_an_error_that_says_both(tmp_path: Path, examples: list[Example], lines: int) -> None:
    file = tmp_path / "predictions.txt"
    file.write_text("SELECT 1\n" * lines, encoding="utf-8")
    with pytest.raises(DataError, match=f"{lines} predictions for 5 questions; the file holds one query a line"):
        read_predictions(file, examples)


def test_predictions_for_another_database_are_refused(tmp_path: Path, examples: list[Example]) -> None:
    file = tmp_path / "predictions.txt"
    file.write_text("SELECT 1\tmusic\nSELECT 1\tpets\n" + "SELECT 1\n" * 3, encoding="utf-8")
    with pytest.raises(DataError, match="database 'pets', the question 'dev-1' is about 'music'") as caught:
        read_predictions(file, examples)
    assert caught.value.line == 2


@pytest.mark.parametrize("keys", [("0", "1"), ("7", "9")])
def test_birds_json_by_position_or_question_number(tmp_path: Path, keys: tuple[str, str]) -> None:
    examples = load_examples(DataConfig(format="bird", path=str(bird_folder(tmp_path / "bird"))))
    file = tmp_path / "predictions.json"
    content = {keys[1]: "SELECT 2\t----- bird -----\tmusic", keys[0]: "SELECT 1\t----- bird -----\tmusic"}
    file.write_text(json.dumps(content), encoding="utf-8")
    assert read_predictions(file, examples) == [["SELECT 1"], ["SELECT 2"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"0": "SELECT 1"}, "1 predictions for 2 questions.*none for 1"),
        ({"0": "SELECT 1", "5": "SELECT 1"}, "no prediction for the numbers 1"),
        ({"0": "SELECT 1", "1": None}, "number 1: expected a text"),
        ({"0": "SELECT 1", "1": "SELECT 1\t----- bird -----\tpets"}, "number 1: .*'pets'"),
        (["SELECT 1"], "1 predictions for 2 questions"),
        ("SELECT 1", "expected an object"),
    ],
)
def test_wrong_bird_files(tmp_path: Path, content: object, message: str) -> None:
    examples = load_examples(DataConfig(format="bird", path=str(bird_folder(tmp_path / "bird"))))
    file = tmp_path / "predictions.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_predictions(file, examples)


def test_jsonl_in_order_by_id_and_with_samples(tmp_path: Path, examples: list[Example]) -> None:
    file = tmp_path / "predictions.jsonl"
    ordered = [{"pred": query} for query in QUERIES]
    by_id = [{"id": e.id, "sql": e.sql} for e in reversed(examples)]
    lists = [{"id": e.id, "prediction": [e.sql, "SELECT 2"]} for e in examples]
    rows = [row for e in examples for row in ({"id": e.id, "pred": e.sql}, {"id": e.id, "pred": "SELECT 2"})]
    beside = [{"id": e.id, "sql": "SELECT 9", "query": "SELECT 9", "prediction": e.sql} for e in examples]
    answered = [{"sql": "SELECT 9", "query": "SELECT 9", "completion": query} for query in QUERIES]
    answers = [{"completion": f"<think>x</think><answer>```sql\n{query}\n```</answer>"} for query in QUERIES]
    for written, expected in (
        (ordered, [[query] for query in QUERIES]),
        (by_id, [[query] for query in QUERIES]),
        (lists, [[query, "SELECT 2"] for query in QUERIES]),
        (rows, [[query, "SELECT 2"] for query in QUERIES]),
        (answers, [[query] for query in QUERIES]),
        # Beside a prediction `sql` and `query` are the gold.
        (beside, [[query] for query in QUERIES]),
        (answered, [[query] for query in QUERIES]),
    ):
        file.write_text("".join(json.dumps(row) + "\n" for row in written), encoding="utf-8")
        assert read_predictions(file, examples) == expected


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"pred": "a"}] * 4, "4 predictions for 5 questions"),
        ([{"id": "dev-9", "pred": "a"}], "no question has the id 'dev-9'; ids look like 'dev-0'"),
        ([{"id": "dev-0", "pred": "a"}], "no prediction for 4 of 5 questions: dev-1"),
        ([{"text": "a"}] * 5, "a row needs one of pred, prediction"),
        ([{"pred": 3}] * 5, "'pred' is a text or a list of texts"),
        ([{"pred": ["a", "b"]}] + [{"pred": "a"}] * 4, "between 1 and 2 samples"),
    ],
)
def test_wrong_jsonl_files(tmp_path: Path, examples: list[Example], rows: list[object], message: str) -> None:
    file = tmp_path / "predictions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_predictions(file, examples)


def test_unreadable_files(tmp_path: Path, examples: list[Example]) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_predictions(tmp_path / "nowhere.txt", examples)
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match="not UTF-8"):
        read_predictions(tmp_path / "latin.txt", examples)
    with pytest.raises(UsageError, match="unknown format"):
        read_predictions(tmp_path / "latin.txt", examples, "csv")
