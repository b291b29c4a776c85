"""The whole of `train` on the shipped pocket model, made short."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from apps.medvqa import comparison, train
from apps.medvqa.config import MedVqaConfig
from apps.medvqa.data import load_examples
from apps.medvqa.measures.evaluation import Evaluation
from common.config import load
from common.errors import TouchstoneError, UsageError
from common.training.run import Interrupted

POCKET = Path(__file__).resolve().parents[3] / "configs" / "medvqa" / "pocket.yaml"
SHORT = [
    "--grpo.steps=4",
    "--grpo.prompts_per_step=4",
    "--grpo.generations=4",
    "--grpo.eval_every=2",
    "--grpo.max_completion_length=24",
    "--evaluate.max_new_tokens=24",
    "--train.limit=40",
    "--heldout.limit=16",
    "--demonstrations.limit=40",
    "--minimum_accuracy=0",
    "--reward.recipe=scorer",
]


def settings(folder: Path, *more: str) -> MedVqaConfig:
    return load(MedVqaConfig, POCKET, [*SHORT, "--runs", str(folder), *more])


def said(evaluation: Evaluation) -> list[str]:
    return [item.completion for item in evaluation.items]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return train.train_one(
        settings(tmp_path_factory.mktemp("runs"), "--sft.steps=2", "--sft.batch_size=4"), name="whole"
    )


def test_a_run_leaves_what_its_user_needs(uninterrupted):
    from transformers import AutoProcessor, ProcessorMixin

    folder = uninterrupted.run.folder
    for file in ("config.yaml", "run.json", "log.jsonl", "before.json", "evaluation.json", "report.html"):
        assert (folder / file).is_file(), file
    assert (folder / "model" / "model.safetensors").is_file()
    assert isinstance(AutoProcessor.from_pretrained(folder / "model"), ProcessorMixin)
    assert list((folder / "samples").glob("grpo-*.jsonl"))
    assert [row["step"] for row in uninterrupted.run.rows("sft")] == [1, 2]
    steps = uninterrupted.run.rows("grpo")
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    assert [row["step"] for row in steps if "heldout/truth_open" in row] == [2, 4]
    page = (folder / "report.html").read_text("utf-8")
    for words in ("Before and after", "Supervised stage", "Reinforcement stage", "Not for clinical use", "Settings"):
        assert words in page


def test_the_saved_settings_are_a_config_again(uninterrupted):
    again = load(MedVqaConfig, uninterrupted.run.folder / "config.yaml")
    assert again.grpo.steps == 4
    assert again.reward.recipe == "scorer"


def test_the_saved_model_says_what_was_measured(uninterrupted):
    from apps.medvqa.evaluate import answers_of
    from apps.medvqa.models import open_model

    config = load(MedVqaConfig, uninterrupted.run.folder / "config.yaml")
    config.model.path = str(uninterrupted.run.folder / "model")
    model, processor = open_model(config, training=False)
    assert answers_of(model, processor, load_examples(config.heldout), config) == said(uninterrupted.after)


def test_interrupted_and_resumed_equals_uninterrupted(uninterrupted, tmp_path, monkeypatch):
    from apps.medvqa import rewards

    calls = []
    build = rewards.build_reward

    def interrupting(*arguments):
        reward = build(*arguments)
        score = type(reward).score

        def scored(self, **columns):
            if self is reward:
                calls.append(len(columns["completion"]))
                if calls.count(16) == 3:  # the third step's 4 x 4 completions; fewer are the reward's check beforehand
                    os.kill(os.getpid(), signal.SIGINT)
            return score(self, **columns)

        monkeypatch.setattr(type(reward), "score", scored)
        return reward

    monkeypatch.setattr(rewards, "build_reward", interrupting)
    with pytest.raises(Interrupted, match="--resume"):
        train.train_one(settings(tmp_path, "--sft.steps=2", "--sft.batch_size=4"), name="cut")
    monkeypatch.undo()
    assert not (tmp_path / "cut" / "evaluation.json").exists()
    assert comparison.TRAINING.resume(tmp_path / "cut", json_output=True) == 0
    assert said(Evaluation.load(tmp_path / "cut" / "evaluation.json")) == said(uninterrupted.after)
    cut, whole = (
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (tmp_path / "cut", uninterrupted.run.folder)
    )
    for name in ("step", "loss", "grad_norm"):
        assert [row[name] for row in cut] == [row[name] for row in whole]


def test_a_model_that_is_never_right_does_not_get_to_reinforcement(tmp_path):
    with pytest.raises(TouchstoneError, match=r"less than minimum_accuracy 100%.*train it by example first"):
        train.train_one(settings(tmp_path, "--minimum_accuracy=1"), name="weak")


def test_held_out_studies_may_not_be_trained_on():
    config = load(MedVqaConfig, POCKET, ["--heldout.split=train", "--heldout.limit=20", "--train.limit=20"])
    with pytest.raises(UsageError, match="about a study that is trained on"):
        train.refuse_overlap(load_examples(config.train), load_examples(config.heldout))


def test_rows_with_none_one_and_two_pictures_train_together(tmp_path):
    from dataclasses import replace

    config = settings(tmp_path)
    one, other, third = load_examples(config.train)[:3]
    rows = train.training_rows(
        [replace(one, pictures=()), other, replace(third, pictures=(*third.pictures, *one.pictures))], config
    )
    assert [len(row["images"]) for row in rows] == [0, 1, 2]
    assert all(row["reference"] and row["question"] for row in rows)


@pytest.mark.slow  # text2sql tries the same of common/training/comparison.py in every run
def test_comparison_trains_every_recipe_and_seed_and_goes_on_where_it_stopped(tmp_path, capsys):
    recipes = "--comparison.recipes=[scorer, token_f1]"
    config = settings(tmp_path, recipes, "--comparison.seeds=[0, 1]", "--grpo.steps=1", "--grpo.eval_every=0")
    assert train.run_train(config, name="compare", json_output=True) == 0
    summary = json.loads(capsys.readouterr().out)
    assert list(summary["recipes"]) == ["scorer", "token_f1"]
    assert summary["metric"] == "truth_open"
    for found in summary["recipes"].values():
        assert set(found["seeds"]) == {"0", "1"}
        assert found["gain"]["mean"] == pytest.approx(sum(found["seeds"].values()) / 2)
    assert "scorer - token_f1" in summary["differences"]
    folder = tmp_path / "compare"
    assert "Learning curves" in (folder / "report.html").read_text("utf-8")
    # A second call finds every run done, and only counts again.
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*/log.jsonl")}
    assert len(before) == 4
    assert comparison.TRAINING.resume(folder, json_output=True) == 0
    assert json.loads(capsys.readouterr().out) == summary
    assert {file: file.stat().st_mtime_ns for file in folder.glob("*/log.jsonl")} == before


def test_resuming_a_folder_that_is_no_run_says_so(tmp_path):
    with pytest.raises(UsageError, match="no run to go on with"):
        comparison.TRAINING.resume(tmp_path, json_output=True)
