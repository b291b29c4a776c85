"""What every `score` verb writes and tells."""

from __future__ import annotations

import json

import pytest

from common.scored_rows import finite, tell, to_line


def row(reward: float | None, reason: str = "", **parts: float | None) -> dict[str, object]:
    return {"reward": reward, "parts": parts, "reason": reason}


@pytest.mark.parametrize("text", ["café", "\ud83d", "a\nb\u2028c"])
def test_a_line_is_one_line_of_utf_8_whatever_its_fields_hold(text: str) -> None:
    line = to_line({"prompt": text})
    assert json.loads(line.encode("utf-8")) == {"prompt": text}
    assert line.count("\n") == 1


def test_json_knows_no_infinity_and_no_nan() -> None:
    assert [finite(value) for value in (0.5, float("inf"), float("nan"))] == [0.5, None, None]


def test_a_failed_row_is_no_score_of_0(capsys: pytest.CaptureFixture[str]) -> None:
    tell({3: row(1.0, exact=1.0), 7: row(None, "no picture")}, "out.jsonl", True, more={"grader_failed": 1})
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["scored"], told["grader_failed"]) == (2, 1, 1)
    assert told["reward"]["mean"] == told["parts"]["exact"]["mean"] == 1.0
    assert told["unscored"] == [{"line": 7, "problem": "no picture"}]


def test_rows_without_a_score_are_named_and_many_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    tell({number: row(None, f"why {number}") for number in range(1, 14)}, "out.jsonl", False, "rows.jsonl:")
    told = capsys.readouterr().err
    assert "rows.jsonl:1: why 1" in told
    assert "why 11" not in told
    assert "3 further rows" in told
