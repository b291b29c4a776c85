from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.medvqa.data import Example, limited, load_examples, to_row
from apps.medvqa.data_config import DataConfig
from common.errors import DataError, UsageError
from common.files import write_jsonl
from tests.apps.medvqa.data_folders import FOLDERS, jsonl, picture, rows


def load(path: Path, **settings: Any) -> list[Example]:
    return load_examples(DataConfig(format="jsonl", path=str(path), **settings))


def test_our_rows_with_no_one_and_two_pictures(tmp_path: Path) -> None:
    found = load(rows(tmp_path))
    assert [len(example.pictures) for example in found] == [1, 2, 0]
    assert [example.kind for example in found] == ["open", "open", "closed"]
    assert [example.id for example in load(rows(tmp_path), split="test")] == ["b", "c"]


@pytest.mark.parametrize("format", FOLDERS)
def test_what_is_written_is_read_back(tmp_path: Path, format: str) -> None:
    path = FOLDERS[format](tmp_path / "data")
    before = load_examples(DataConfig(format=format, path=str(path)))  # type: ignore[arg-type]
    file = write_jsonl(tmp_path / "out" / "own.jsonl", (to_row(example, tmp_path / "out") for example in before))
    after = load(file)
    for first, second in zip(before, after, strict=True):
        resolved = tuple(Path(str(place)).resolve() for place in second.pictures)
        assert resolved == tuple(Path(str(place)).resolve() for place in first.pictures)
        for name in ("id", "question", "answer", "answers", "kind", "question_type", "modality", "organ", "language"):
            assert getattr(first, name) == getattr(second, name), name
        for name in ("split", "study", "choices", "tags", "letter"):
            assert getattr(first, name) == getattr(second, name), name


def test_pictures_near_the_file_are_relative_and_far_ones_absolute(tmp_path: Path) -> None:
    near, far = picture(tmp_path / "a" / "pictures" / "1.png"), Path("/somewhere/else/2.png")
    example = Example("x", "What?", "that", pictures=(near, far))
    assert to_row(example, tmp_path / "a" / "out")["pictures"] == ["../pictures/1.png", str(far)]


def test_fields_of_a_row(tmp_path: Path) -> None:
    file = jsonl(
        tmp_path / "x.jsonl",
        {
            "id": 7,
            "question": " How  many? ",
            "answer": 4,
            "answers": ["four", 4.0],
            "choices": ["4", "5"],
            "reasoning": "I count.\nFour.",
            "split": "val",
            "surprise": 1,
            "tags": {"size_mm": 12},
            "answer_hint": None,
        },
    )
    example = load(file)[0]
    assert (example.id, example.question, example.references) == ("7", "How many?", ("4", "four"))
    assert (example.kind, example.question_type, example.split) == ("closed", "count", "validation")
    assert example.reasoning == "I count.\nFour."
    assert example.tags == {"size_mm": "12", "surprise": "1"}
    assert example.letter == "A"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"answer": "x"}, "needs the text 'question'; found the fields answer"),
        ({"question": ["a"], "answer": "x"}, "needs the text 'question'"),
        ({"question": "a", "answer": {"text": "x"}}, "needs the text 'answer'"),
        ({"question": "a", "answer": "x", "choices": [{}]}, "'choices' is a list of texts"),
        ({"question": "a", "answer": "x", "tags": ["t"]}, "'tags' is an object"),
        ({"question": "a", "answer": "x", "image": 3}, "a picture is a path"),
        ({"question": "a", "answer": "x", "images": ["1.png", ""]}, "a picture is a path"),
        ({"question": "a", "answer": "x", "image": "1.png"}, "1.png"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    good = {"id": "first", "question": "What?", "answer": "that"}
    with pytest.raises(DataError) as error:
        load(jsonl(tmp_path / "x.jsonl", good, row))
    assert says in str(error.value)
    assert "x.jsonl" in str(error.value)
    assert error.value.line == 2 or "line 2" in str(error.value)


def test_ids_may_be_numbers_or_left_out(tmp_path: Path) -> None:
    row = {"question": "What?", "answer": "that"}
    file = jsonl(tmp_path / "x.jsonl", {"id": 0, **row}, row, {"id": None, **row})
    assert [example.id for example in load(file)] == ["0", "2", "3"]


def test_ids_must_differ(tmp_path: Path) -> None:
    row = {"id": "a", "question": "What?", "answer": "that"}
    with pytest.raises(DataError, match=r"x\.jsonl:2: id 'a' was used in line 1"):
        load(jsonl(tmp_path / "x.jsonl", row, row))


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    row = {"question": "What?", "answer": "that"}
    for name in ("\0.png", "x" * 5000):
        with pytest.raises(DataError, match="lack their pictures"):
            load(jsonl(tmp_path / "x.jsonl", {**row, "image": name}))


def test_a_hidden_answer_is_kept_where_all_are(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "x.jsonl", {"question": "What?"}, {"question": "And?", "answer": None})
    assert [example.references for example in load(file)] == [(), ()]


def test_rows_that_are_left_out_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = jsonl(tmp_path / "x.jsonl", {"question": "What?", "answer": "that"}, {"question": "And?", "answer": ""})
    assert len(load(file)) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "left out 1 of 2 rows: 1 no answer" in said


def test_filters_and_what_is_left_of_them(tmp_path: Path) -> None:
    file = rows(tmp_path)
    assert [example.id for example in load(file, kinds=["closed"])] == ["c"]
    assert len(load(file, limit=2)) == 2
    with pytest.raises(DataError, match=r"no questions are left of 3 rows; the others: .*open question in 'en'"):
        load(file, languages=["zh"])


@given(st.integers(0, 30), st.integers(0, 40), st.integers(0, 5))
def test_a_limit_keeps_the_order(size: int, limit: int, seed: int) -> None:
    kept = limited(list(range(size)), limit, seed)
    assert kept == sorted(kept)
    assert len(kept) == (min(size, limit) if limit else size)
    assert kept == limited(list(range(size)), limit, seed)
    if not seed:
        assert kept == list(range(len(kept)))


def test_a_format_needs_its_path() -> None:
    with pytest.raises(UsageError, match=r"data\.path"):
        load_examples(DataConfig(format="vqa_rad"))


def test_phantoms_are_filtered_as_other_questions_are(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int | None, int]] = []
    phantoms = [Example(str(n), "What?", "that", kind="closed" if n % 2 else "open") for n in range(6)]

    def load_pocket(split: str, limit: int | None, seed: int) -> list[Example]:
        asked.append((split, limit, seed))
        return phantoms[:limit]

    monkeypatch.setattr("apps.medvqa.pocket.load_pocket", load_pocket, raising=False)
    assert load_examples(DataConfig(limit=2, seed=3)) == phantoms[:2]
    assert [own.id for own in load_examples(DataConfig(split="heldout", kinds=["closed"], limit=2))] == ["1", "3"]
    assert asked == [("train", 2, 3), ("heldout", None, 0)]
    with pytest.raises(DataError, match="no phantom question"):
        load_examples(DataConfig(languages=["zh"]))
