from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.data import load_examples
from apps.text2sql.data_config import DataConfig
from apps.text2sql.prepare import local_folder, run_prepare
from common.errors import DataError, UsageError
from tests.apps.text2sql.data_folders import QUERIES, multispider_folder, row, spider_folder, write


def prepare(capsys: pytest.CaptureFixture[str], source: Path, format: str, out: Path, **flags: Any) -> dict[str, Any]:
    assert run_prepare(Text2SqlConfig(), str(source), format, str(out), json_output=True, **flags) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    report = json.loads(out.with_name(f"{out.stem}.report.json").read_text(encoding="utf-8"))
    assert report["counts"] == printed["counts"]
    return printed


def test_every_problem_is_found_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = spider_folder(tmp_path / "spider")
    rows = [row(f"Question {number}?", query) for number, query in enumerate(QUERIES)]
    rows += [
        row("Question 0?", QUERIES[0]),
        row("Broken?", "SELECT height FROM singer"),
        row("Destroyed?", "DROP TABLE singer"),
        row("Elsewhere?", QUERIES[0], "pets"),
        row("Hidden?", ""),
    ]
    write(folder / "dev.json", rows)
    out = tmp_path / "dev.jsonl"
    found = prepare(capsys, folder, "spider", out)
    assert found["counts"] == {
        "read": 10,
        "gold runs": 6,
        "gold returns rows": 5,
        "missing database": 1,
        "duplicate": 1,
        "no gold": 1,
        "gold error": 2,
        "empty gold": 1,
        "kept": 5,
    }
    problems = {problem["id"]: problem for problem in found["problems"]}
    assert "height" in problems["dev-6"]["reason"]
    assert problems["dev-7"]["code"] == "write_attempt"
    assert "pets" in problems["dev-8"]["reason"]
    assert "dev-0" in problems["dev-5"]["reason"]
    kept = load_examples(DataConfig(format="jsonl", path=str(out)))
    assert [example.sql for example in kept] == QUERIES
    assert [example.hardness for example in kept] == ["easy", "medium", "medium", "easy", "easy"]
    assert [example.tags for example in kept].count(("empty_gold",)) == 1


def test_translations_are_no_duplicates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = prepare(capsys, multispider_folder(tmp_path), "multispider", tmp_path / "out.jsonl", limit=3)
    assert found["counts"]["kept"] == 3
    kept = load_examples(DataConfig(format="jsonl", path=str(tmp_path / "out.jsonl")))
    assert [example.language for example in kept] == ["en", "de", "ja"]
    assert len({example.parallel for example in kept}) == 1


def test_what_was_prepared_can_be_prepared_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(capsys, spider_folder(tmp_path / "spider"), "spider", tmp_path / "a.jsonl", split="train")
    found = prepare(capsys, tmp_path / "a.jsonl", "jsonl", tmp_path / "b.jsonl")
    assert found["counts"]["kept"] == 2
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()


def test_a_data_set_without_any_database_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "dev.json", [row("a", QUERIES[0]), row("b", QUERIES[1])])
    with pytest.raises(DataError, match=r"1 database files are missing \(2 of 2"):
        run_prepare(Text2SqlConfig(), str(tmp_path), "spider", str(tmp_path / "out.jsonl"))
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("source", ["nowhere", "/no/where", "./no/where"])
def test_a_missing_source_is_an_error(source: str) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        local_folder(source)


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this is a folder"):
        run_prepare(Text2SqlConfig(), str(spider_folder(tmp_path)), "spider", str(tmp_path))


@pytest.mark.parametrize(
    ("folder", "format", "counts"),
    [
        ("spider_dev_en", "spider", {"read": 1034, "gold runs": 1034, "gold returns rows": 941, "gold error": 0}),
        ("machine_spider_de", "machine_spider", {"read": 1030, "gold runs": 978, "gold error": 52}),
    ],
)
def test_real_data(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str, format: str, counts: dict[str, int]
) -> None:
    found = prepare(capsys, shared / "data" / folder, format, tmp_path / "out.jsonl")
    assert {name: found["counts"][name] for name in counts} == counts
    errors = [problem for problem in found["problems"] if problem["kind"] == "gold_error"]
    assert all("alter" in problem["sql"].lower() for problem in errors)
    kept = load_examples(DataConfig(format="jsonl", path=str(tmp_path / "out.jsonl")))
    assert len(kept) == found["counts"]["kept"] >= counts["gold runs"] - 4
