"""The tutorial's application: what it promises a reader who copies it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from examples.numbers_app import APP, Digits, NumbersConfig, in_words, rows

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--sft.steps=2", "--sft.batch_size=4", "--heldout=8"]
SMALL += ["--grpo.steps=2", "--grpo.prompts_per_step=2", "--grpo.generations=4"]


def test_it_is_short() -> None:
    assert len((ROOT / "examples" / "numbers_app.py").read_text(encoding="utf-8").splitlines()) < 150


def test_help_waits_for_nothing_heavy() -> None:
    asked = [sys.executable, "-X", "importtime", "-m", "examples.numbers_app", "train", "--help"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--grpo.steps" in done.stdout
    assert not {"torch", "transformers"} & {line.split("|")[-1].strip() for line in done.stderr.splitlines()}


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (7, "seven"),
        (20, "twenty"),
        (412, "four hundred twelve"),
        (9099, "nine thousand ninety nine"),
        (3000, "three thousand"),
    ],
)
def test_words(number: int, words: str) -> None:
    assert in_words(number) == words


def test_no_number_is_trained_on_and_held_out() -> None:
    train, heldout = rows(NumbersConfig())
    assert not set(train["reference"]) & set(heldout["reference"])


@pytest.mark.parametrize(
    ("said", "earned"),
    [("412", 1.0), ("413", 1 / 3), ("4120", 0.0), ("41", 0.0), ("", 0.0), ("four", 0.0), ("999", 0.0)],
)
def test_reward(said: str, earned: float) -> None:
    assert Digits()(completion=[said], reference=["412"]).values.tolist() == pytest.approx([earned])


def test_audit_kills_every_mutant(capsys: pytest.CaptureFixture[str]) -> None:
    assert APP.main(["audit"]) == 0
    assert capsys.readouterr().out.count("100.0 [98.7, 100.0]") == 3


def test_train_goes_through_and_the_same_command_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", *SMALL, "--runs", str(tmp_path / "numbers")]
    run = tmp_path / "numbers" / "seed0"
    assert APP.main(command) == 0
    said = capsys.readouterr().out
    assert "of 8 held-out numbers" in said
    assert "Before and after" in (run / "report.html").read_text(encoding="utf-8")
    steps = (run / "log.jsonl").read_text(encoding="utf-8")
    assert APP.main(command) == 0  # both stages are done: nothing is trained again
    assert capsys.readouterr().out == said
    assert (run / "log.jsonl").read_text(encoding="utf-8") == steps
    assert APP.main([*command, "--grpo.temperature", "0.5"]) == 2, "other settings are another run"
