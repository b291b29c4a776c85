"""The whole of `train` on the shipped pocket model, made short."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from apps.text2sql import comparison, train
from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.data import load_examples
from apps.text2sql.measures.evaluation import Evaluation
from common.config import load
from common.errors import TouchstoneError, UsageError
from common.training.run import Interrupted

POCKET = Path(__file__).resolve().parents[3] / "configs" / "text2sql" / "pocket.yaml"
SHORT = [
    "--grpo.steps=4",
    "--grpo.prompts_per_step=4",
    "--grpo.generations=4",
    "--grpo.eval_every=2",
    "--train.limit=70",
    "--heldout.limit=14",
    "--minimum_accuracy=0",
    "--reward.recipe=execution",
]


def settings(folder: Path, *more: str) -> Text2SqlConfig:
    return load(Text2SqlConfig, POCKET, [*SHORT, "--runs", str(folder), *more])


def predictions(evaluation: Evaluation) -> list[list[str]]:
    return [item.predictions for item in evaluation.items]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return train.train_one(settings(tmp_path_factory.mktemp("runs")), name="whole")


def test_a_run_leaves_what_its_user_needs(uninterrupted):
    folder = uninterrupted.run.folder
    for file in ("config.yaml", "run.json", "log.jsonl", "before.json", "evaluation.json", "report.html"):
        assert (folder / file).is_file(), file
    assert (folder / "model" / "model.safetensors").is_file()
    assert list((folder / "samples").glob("grpo-*.jsonl"))
    steps = uninterrupted.run.rows("grpo")
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    assert [row["step"] for row in steps if "heldout/execution_accuracy" in row] == [2, 4]
    page = (folder / "report.html").read_text("utf-8")
    for words in ("Before and after", "By language", "Reinforcement stage", "Settings"):
        assert words in page


def test_the_saved_settings_are_a_config_again(uninterrupted):
    again = load(Text2SqlConfig, uninterrupted.run.folder / "config.yaml")
    assert again.grpo.steps == 4
    assert again.reward.recipe == "execution"


def test_interrupted_and_resumed_equals_uninterrupted(uninterrupted, tmp_path, monkeypatch):
    from apps.text2sql import rewards

    calls = []
    build = rewards.build_reward

    def interrupting(*arguments):
        reward = build(*arguments)
        score = reward.score

        def scored(**columns):
            calls.append(len(columns["completion"]))
            if calls.count(16) == 3:  # the third step's 4 x 4 completions; fewer are the reward's check beforehand
                os.kill(os.getpid(), signal.SIGINT)
            return score(**columns)

        monkeypatch.setattr(type(reward), "score", lambda self, **columns: scored(**columns), raising=True)
        return reward

    monkeypatch.setattr(rewards, "build_reward", interrupting)
    with pytest.raises(Interrupted, match="--resume"):
        train.train_one(settings(tmp_path), name="cut")
    monkeypatch.undo()
    assert not (tmp_path / "cut" / "evaluation.json").exists()
    assert comparison.TRAINING.resume(tmp_path / "cut", json_output=True) == 0
    resumed = Evaluation.load(tmp_path / "cut" / "evaluation.json")
    assert predictions(resumed) == predictions(uninterrupted.after)
    cut, whole = (
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (tmp_path / "cut", uninterrupted.run.folder)
    )
    for name in ("step", "loss", "reward", "grad_norm"):
        assert [row[name] for row in cut] == [row[name] for row in whole]


def test_a_model_that_is_never_right_does_not_get_to_reinforcement(tmp_path):
    with pytest.raises(TouchstoneError, match=r"less than minimum_accuracy 100%.*train it supervised first"):
        train.train_one(settings(tmp_path, "--minimum_accuracy=1"), name="weak")


def test_held_out_questions_may_not_be_trained_on():
    config = load(Text2SqlConfig, POCKET, ["--heldout.split=train", "--heldout.limit=70", "--train.limit=70"])
    with pytest.raises(UsageError, match="choose another split"):
        train.refuse_overlap(load_examples(config.train), load_examples(config.heldout))


def test_resuming_a_folder_that_is_no_run_says_so(tmp_path):
    with pytest.raises(UsageError, match="no run to go on with"):
        comparison.TRAINING.resume(tmp_path, json_output=True)


def test_comparison_trains_every_recipe_and_seed_and_goes_on_where_it_stopped(tmp_path, capsys):
    short = ["--grpo.steps=1", "--grpo.eval_every=0", "--heldout.limit=7"]
    config = settings(tmp_path, "--comparison.recipes=[execution, arctic]", "--comparison.seeds=[0, 1]", *short)
    assert train.run_train(config, name="compare", json_output=True) == 0
    summary = json.loads(capsys.readouterr().out)
    assert list(summary["recipes"]) == ["execution", "arctic"]
    for found in summary["recipes"].values():
        assert set(found["seeds"]) == {"0", "1"}
        gains = list(found["seeds"].values())
        assert found["gain"]["mean"] == pytest.approx(sum(gains) / 2)
        assert found["gain"]["low"] <= found["gain"]["mean"] <= found["gain"]["high"]
        assert len(found["languages"]) == 7
    assert "execution - arctic" in summary["differences"]
    folder = tmp_path / "compare"
    assert "Learning curves" in (folder / "report.html").read_text("utf-8")
    # A second call finds every run done, and only counts again.
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*/log.jsonl")}
    assert len(before) == 4
    assert comparison.TRAINING.resume(folder, json_output=True) == 0
    assert json.loads(capsys.readouterr().out) == summary
    assert {file: file.stat().st_mtime_ns for file in folder.glob("*/log.jsonl")} == before
    with pytest.raises(UsageError, match="go on with --resume"):
        train.run_train(config, name="compare")
