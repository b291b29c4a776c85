"""The `score` verb on files as people have them: good rows, bad rows and rows with fields of their own."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.score import run_score
from common.errors import DataError, UsageError

SETUP = "CREATE TABLE t(x INT, y TEXT); INSERT INTO t VALUES (1,'a'),(2,'b'),(2,'c');"


def score(folder: Path, rows: list[Any], **flags: Any) -> list[dict[str, Any]]:
    pairs = folder / "pairs.jsonl"
    pairs.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n", "utf-8")
    run_score(Text2SqlConfig(), str(pairs), str(folder / "out.jsonl"), **flags)
    return [json.loads(line) for line in (folder / "out.jsonl").read_text("utf-8").splitlines()]


def pair(gold: str, pred: str | None, **more: Any) -> dict[str, Any]:
    return {"setup": SETUP, "gold": gold, "pred": pred, **more}


def test_rows_come_back_in_order_with_all_their_fields(tmp_path: Path) -> None:
    rows = [
        pair("SELECT x FROM t", "SELECT x FROM t ORDER BY y", id="q1", note={"deep": [1, None]}, ä="ö"),
        pair("SELECT y FROM t", "SELECT x FROM t", id=7),
        pair("SELECT y FROM t ORDER BY x DESC LIMIT 1", "SELECT 'c'", id=None),
        pair("SELECT z FROM t", "SELECT x FROM t"),
        pair("SELECT x FROM t WHERE x > 9", "SELECT x FROM t WHERE x > 8"),
        pair("SELECT x FROM t", "DROP TABLE t", difficulty=0.5),
        pair("SELECT x FROM t", None),
    ]
    got = score(tmp_path, rows)
    assert [row["verdict"] for row in got] == [
        "correct", "wrong", "ambiguous", "gold_error", "correct_empty", "rejected", "invalid"
    ]  # fmt: skip
    assert [row["reward"] for row in got] == [1.0, 0.0, None, None, None, 0.0, 0.0]
    added = {"verdict", "reward", "parts", "reason"}
    for before, after in zip(rows, got, strict=True):
        assert {name: value for name, value in after.items() if name not in added} == before
        assert added <= set(after)
    assert got[1]["parts"]["execution"] == 0.0
    assert 0.0 <= got[1]["parts"]["soft_f1"] <= 1.0
    assert got[5]["reason"].startswith("write_attempt")


def test_bad_rows_are_named_by_line_and_stop_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        pair("SELECT 1", "SELECT 1", id="first"),
        "{not json",
        "",
        "[1, 2]",
        {"setup": SETUP, "gold": "SELECT 1", "id": "no pred"},
        {"gold": "SELECT 1", "pred": "SELECT 1", "id": "no database"},
        {"setup": SETUP, "database": "x", "gold": "SELECT 1", "pred": "SELECT 1", "id": "two databases"},
        {"setup": "CREATE TABLE broken(", "gold": "SELECT 1", "pred": "SELECT 1", "id": "bad setup"},
        pair("SELECT 1", "SELECT 1", dialect="klingon", id="bad dialect"),
        {"setup": SETUP, "gold": 5, "pred": "SELECT 1", "id": "number"},
        pair("SELECT 1", "SELECT 2", id="last"),
    ]
    got = score(tmp_path, rows, json_output=True)
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    assert [problem["line"] for problem in summary["unread"]] == [2, 4, 5, 6, 7, 8, 9, 10]
    assert [row["id"] for row in got] == [
        "first", "no pred", "no database", "two databases", "bad setup", "bad dialect", "number", "last"
    ]  # fmt: skip
    assert [row["verdict"] for row in got] == ["correct", None, None, None, None, None, None, "wrong"]
    assert got[1]["reason"] == "line 5: no field 'pred'"
    assert "line 2: not JSON" in printed.err


def test_databases_by_path_are_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "my data.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(SETUP)
    connection.close()
    before = path.read_bytes()
    rows = [
        {"database": str(path), "gold": "SELECT x FROM t", "pred": "SELECT x FROM t"},
        {"database": str(path), "gold": "SELECT x FROM t", "pred": "WITH c AS (SELECT 1) DELETE FROM t"},
        {"database": str(tmp_path / "missing.sqlite"), "gold": "SELECT 1", "pred": "SELECT 1"},
    ]
    got = score(tmp_path, rows)
    assert [row["verdict"] for row in got] == ["correct", "rejected", "gold_error"]
    assert "no such database file" in got[2]["reason"]
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["my data.sqlite", "out.jsonl", "pairs.jsonl"]


def test_setups_are_built_once_and_cleaned_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import apps.text2sql.score as module

    built = []
    original = module.build
    monkeypatch.setattr(module, "build", lambda script, path: built.append(path) or original(script, path))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    score(
        tmp_path, [pair("SELECT 1", f"SELECT {i}") for i in range(5)] + [{**pair("SELECT 1", "SELECT 1"), "setup": ""}]
    )
    assert len(built) == 2
    assert os.listdir(scratch) == []


@pytest.mark.parametrize("statement", ["ATTACH '{}' AS e; CREATE TABLE e.t(x);", "VACUUM INTO '{}';"])
def test_a_setup_writes_nothing_else(tmp_path: Path, statement: str) -> None:
    got = score(tmp_path, [{**pair("SELECT 1", "SELECT 1"), "setup": statement.format(tmp_path / "evil.db")}])
    assert got[0]["verdict"] is None
    assert "setup fails" in got[0]["reason"]
    assert not (tmp_path / "evil.db").exists()


def test_presets_and_dialects(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    rows = [
        pair("SELECT x FROM t", "SELECT DISTINCT x FROM t"),
        pair("SELECT x FROM t", "SELECT DISTINCT x FROM t", dialect="duckdb"),
        pair("SELECT y FROM t WHERE y ILIKE 'A'", "SELECT y FROM t WHERE LOWER(y) = 'a'", dialect="postgres"),
    ]
    assert [row["verdict"] for row in score(tmp_path, rows)] == ["wrong", "wrong", "correct"]
    assert [row["verdict"] for row in score(tmp_path, rows, preset="bird")] == ["correct"] * 3
    with pytest.raises(UsageError, match="unknown preset"):
        score(tmp_path, rows, preset="brid")


def test_odd_characters_pass_through(tmp_path: Path) -> None:
    rows = [
        json.dumps({**pair("SELECT 1", "SELECT '\ud800'"), "id": "\udfff"}),
        "\ufeff" + json.dumps(pair("SELECT 1", "SELECT 1")),
        json.dumps(pair("SELECT 1", "SELECT 1\0")),
    ]
    got = score(tmp_path, rows[:1] + rows[2:])
    assert [row["verdict"] for row in got] == ["invalid", "invalid"]
    assert got[0]["id"] == "\udfff"
    assert score(tmp_path, [rows[1]])[0]["verdict"] == "correct"


def test_a_missing_file_is_one_readable_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        run_score(Text2SqlConfig(), str(tmp_path / "none.jsonl"), str(tmp_path / "out.jsonl"))
    assert not (tmp_path / "out.jsonl").exists()
