"""The trl example is short, and trains."""

from __future__ import annotations

import ast
import os
import runpy
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "examples" / "trl_reward.py"


def test_it_is_ten_lines_of_code() -> None:
    lines = [line for line in FILE.read_text().splitlines() if line.strip()]
    docstring = ast.parse(FILE.read_text()).body[0]
    assert len(lines) - (docstring.end_lineno or 1) <= 10


def test_it_trains_two_steps_on_our_reward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The model's path is relative to the repository, and trl writes where it is run.
    os.symlink(FILE.parents[1] / "assets", tmp_path / "assets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(FILE)])
    trainer = runpy.run_path(str(FILE))
    assert trainer["weights"] == [0.7, 0.3]
    said = capsys.readouterr().out
    assert said.count("rewards/token_f1/mean") == 2
    assert "'reward/exact_match/failed': '0'" in said
    assert "train_loss" in said
