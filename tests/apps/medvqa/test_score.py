"""`score`: every row comes back with its fields, a reward, its parts and a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from apps.medvqa.config import MedVqaConfig
from apps.medvqa.score import run_score
from common.errors import DataError, UsageError
from common.files import read_jsonl, write_jsonl

ROWS = [
    {"id": 7, "question": "Is a pneumothorax seen?", "reference": "No pneumothorax", "answer": "none", "note": "kept"},
    {"question": "Where is it?", "reference": "left lower lobe", "answer": "right lower lobe"},
    {"question": "Which?", "reference": ["CT", "computed tomography"], "answer": "CT scan"},
    {"question": "What is shown?", "reference": "edema", "answer": ""},
    {"question": "What is shown?", "reference": "edema", "answer": None},
    {"question": "Which organ?", "reference": "lung", "answer": "B", "choices": ["liver", "lung"]},
]
BROKEN = [
    ({"question": "?", "answer": "x"}, "no field 'reference'"),
    ({"question": "?", "reference": "x"}, "no field 'answer'"),
    ({"question": "?", "reference": " ", "answer": "x"}, "reference is empty"),
    ({"question": "?", "reference": {"a": 1}, "answer": "x"}, "must be a text or a list"),
    ({"question": "?", "reference": None, "answer": "x"}, "must be a text or a list"),
    ({"question": ["x"], "reference": "x", "answer": "x"}, "'question' must be text"),
    ({"question": "?", "reference": "x", "answer": {"text": "x"}}, "'answer' must be text"),
    ({"question": "?", "reference": "x", "answer": "x", "choices": "ab"}, "'choices' must be a list"),
]


def scored(folder: Path, rows: list[dict], recipe: str = "scorer") -> list[dict]:
    write_jsonl(folder / "pairs.jsonl", rows)
    out = folder / "out" / "scored.jsonl"
    assert run_score(MedVqaConfig(), str(folder / "pairs.jsonl"), str(out), recipe, json_output=True) == 0
    return [row for _, row in read_jsonl(out)]


def test_rows_come_back_whole_and_in_order(tmp_path, capsys):
    found = scored(tmp_path, ROWS)
    assert [{key: row[key] for key in given} for row, given in zip(found, ROWS, strict=True)] == ROWS
    rewards = [row["reward"] for row in found]
    assert rewards[0] == 1.0
    assert rewards[1] < 0.2
    assert found[1]["veto"] == "side"
    assert rewards[2] >= 0.8
    assert rewards[3] == rewards[4] == 0.0
    assert rewards[5] == 1.0
    assert all(row["reason"] and set(row["parts"]) >= {"recall", "precision"} for row in found)
    summary = json.loads(capsys.readouterr().out)
    assert summary["rows"] == summary["scored"] == 6
    assert summary["vetoes"] == {"side": 1}


@pytest.mark.parametrize(("row", "problem"), BROKEN)
def test_a_row_that_cannot_be_scored_has_no_reward_and_a_reason(tmp_path, row, problem):
    found = scored(tmp_path, [row, ROWS[0]])
    assert found[0]["reward"] is None
    assert problem in found[0]["reason"]
    assert found[1]["reward"] == 1.0


def test_bare_numbers_and_truth_values_count_as_text(tmp_path):
    rows = [
        {"question": "How many nodules?", "reference": 3, "answer": 3},
        {"question": "How many nodules?", "reference": "three", "answer": 4},
        {"question": "Is there a nodule?", "reference": [True], "answer": "yes"},
        {"question": "Is there a nodule?", "reference": "no", "answer": False},
    ]
    for recipe in ("scorer", "configured"):
        found = scored(tmp_path, rows, recipe)
        assert [row["answer"] for row in found] == [3, 4, "yes", False]
        assert found[0]["reward"] > found[1]["reward"] < found[2]["reward"]
        assert found[3]["reward"] > 0.5


def test_fields_that_the_result_replaces_are_told(tmp_path, capsys):
    scored(tmp_path, [{**ROWS[0], "reward": "mine"}])
    assert "line 1: reward" in capsys.readouterr().err
    # A file that was scored before is scored again, in place.
    again = tmp_path / "out" / "scored.jsonl"
    assert run_score(MedVqaConfig(), str(again), str(again), json_output=True) == 0
    assert not capsys.readouterr().err
    assert next(row for _, row in read_jsonl(again))["reward"] == 1.0


def test_the_configured_reward_scores_too(tmp_path):
    rows = [{**row, "answer": f"<think>x</think><answer>{row['answer']}</answer>"} for row in ROWS[:3]]
    found = scored(tmp_path, rows, "configured")
    assert found[0]["reward"] > found[1]["reward"]
    assert found[2]["reward"] > found[1]["reward"]


def test_broken_files_are_named(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"question": "?"}\nnot json\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.jsonl.*2"):
        run_score(MedVqaConfig(), str(tmp_path / "bad.jsonl"), str(tmp_path / "out.jsonl"))
    with pytest.raises(DataError, match="nothing"):
        run_score(MedVqaConfig(), str(tmp_path / "nothing.jsonl"), str(tmp_path / "out.jsonl"))
    write_jsonl(tmp_path / "pairs.jsonl", ROWS)
    with pytest.raises(UsageError, match="is a folder"):
        run_score(MedVqaConfig(), str(tmp_path / "pairs.jsonl"), str(tmp_path))


def test_the_command_needs_no_torch(tmp_path):
    write_jsonl(tmp_path / "pairs.jsonl", ROWS)
    code = (
        "import sys; from apps.medvqa.__main__ import APP; "
        f"sys.argv = ['medvqa', 'score', '--pairs', r'{tmp_path / 'pairs.jsonl'}', '--out', "
        f"r'{tmp_path / 'o.jsonl'}']; "
        "code = APP.main(); assert 'torch' not in sys.modules, 'torch was imported'; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(read_jsonl(tmp_path / "o.jsonl"))) == len(ROWS)
