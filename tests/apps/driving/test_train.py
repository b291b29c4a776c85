"""The whole of `train`, made short: what a run leaves, that it can be gone on with, and that it teaches."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from apps.driving import comparison, train
from apps.driving.audit import run_audit
from apps.driving.config import DrivingConfig
from apps.driving.drivers.load import load_driver
from apps.driving.environment.env import DrivingEnv
from apps.driving.evaluate import Evaluation
from common.config import load
from common.errors import UsageError
from common.training.run import Interrupted

POCKET = Path(__file__).resolve().parents[3] / "configs" / "driving" / "pocket.yaml"
#: Three updates of 64 steps, cars and the pocket CLIP among them.
SHORT = [
    "--control.steps=192",
    "--control.ppo.rollout=32",
    "--control.ppo.batch_size=32",
    "--control.ppo.epochs=2",
    "--control.save_every=64",
    "--control.eval_every=0",
    "--learn.environments=2",
    "--env.routes.maps=[ring]",
    "--env.routes.pool=8",
    "--env.traffic.vehicles=[4, 4]",
    "--evaluate.routes_per_map=1",
    "--evaluate.vehicles=[0]",
    "--evaluate.end.seconds=3",
    "--evaluate.show=[]",
]
SAC = [
    "--control.algorithm=sac",
    "--control.sac.buffer_size=200",
    "--control.sac.learning_starts=32",
    "--control.sac.batch_size=16",
    "--control.sac.collect=16",
    "--control.sac.updates=4",
    "--env.observation.bev={kind: masks, size: 36}",
    "--control.sac.binary=[bev]",
]


def settings(folder: Path, *more: str) -> DrivingConfig:
    return load(DrivingConfig, POCKET, [*SHORT, "--runs", str(folder), *more])


def figures(folder: Path) -> list[dict[str, object]]:
    """The log without what the clock said."""
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: row[name] for name in row if name != "stage" and not name.startswith("time")} for row in rows]


def assert_same_run(one: Path, other: Path) -> None:
    """Equal to the last digits: numpy lends torch its memory, and where that lies decides how MKL sums."""
    for row, wanted in zip(figures(one), figures(other), strict=True):
        assert row == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    found, kept = (load_file(folder / "model" / "tensors.safetensors") for folder in (one, other))
    assert found.keys() == kept.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, kept[name], rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def ppo(tmp_path_factory):
    return train.train_one(settings(tmp_path_factory.mktemp("runs")), name="whole")


def test_a_run_leaves_what_its_user_needs(ppo):
    folder = ppo.run.folder
    for file in (
        "config.yaml",
        "run.json",
        "log.jsonl",
        "report.html",
        "driven/evaluation.json",
        "driven/report.html",
    ):
        assert (folder / file).is_file(), file
    assert load_driver(str(folder), settings(folder).env).name == "whole"
    rows = figures(folder)
    assert [row["step"] for row in rows] == [64, 128, 192]
    # The parts of the reward, CLIP's among them, and what the driver did.
    assert {"reward", "reward/goal", "reward/speed", "reward/failed", "reward/environment"} <= rows[0].keys()
    assert {one.name for one in ppo.beside} == {"random", "rule-based"}
    page = (folder / "report.html").read_text("utf-8")
    for words in ("Held-out routes", "Training", "Settings", "Simulator: embedded"):
        assert words in page


def test_the_log_tells_how_episodes_ended(tmp_path):
    found = train.train_one(settings(tmp_path, "--env.end.seconds=1.5", "--reward.recipe=progress"), name="short")
    last = figures(found.run.folder)[-1]
    assert last["episode/success"] == 0.0 == last["episode/collided"]
    assert 0.0 <= last["episode/route_completion"] < 0.2
    assert last["episode/length"] == 15.0


@pytest.mark.parametrize("more", [[], SAC, ["--learn.relabel=false"]], ids=["ppo", "sac", "step by step"])
def test_interrupted_and_resumed_equals_uninterrupted(ppo, tmp_path, monkeypatch, more):
    whole = train.train_one(settings(tmp_path, *more), name="whole") if more else ppo
    step, steps = DrivingEnv.step, []

    def counted(self, action):
        steps.append(1)
        if len(steps) == 100:  # Ctrl-C in the middle of the second collection
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, action)

    monkeypatch.setattr(DrivingEnv, "step", counted)
    with pytest.raises(Interrupted, match="--resume"):
        train.train_one(settings(tmp_path, *more), name="cut")
    monkeypatch.undo()
    assert not (tmp_path / "cut" / "model").exists()
    assert comparison.TRAINING.resume(tmp_path / "cut", json_output=True) == 0
    assert_same_run(tmp_path / "cut", whole.run.folder)


def test_environments_in_processes_of_their_own_drive_the_same(ppo, tmp_path):
    found = train.train_one(settings(tmp_path, "--learn.processes=true"), name="whole")
    assert_same_run(found.run.folder, ppo.run.folder)


def test_a_reward_of_the_catalogue_in_the_recipes_place(tmp_path):
    goal = "{name: contrastive_goal, clip: 'local-dir:assets/driving/clip', form: softmax, positive: a, negative: b}"
    rules = "{name: 'apps.driving.parts.rules:Chen', weight: 0.1}"
    own = f"--reward.own={{name: weighted_sum, parts: {{goal: {goal}, rules: {rules}}}}}"
    found = train.train_one(settings(tmp_path, own, "--control.steps=64"), name="own")
    row = figures(found.run.folder)[-1]
    assert 0.0 < row["reward/goal"] < 1.0
    assert row["reward"] == pytest.approx(row["reward/goal"] + 0.1 * row["reward/rules"], abs=1e-4)
    assert "weighted_sum reward, PPO" in (found.run.folder / "report.html").read_text("utf-8")


def test_an_own_reward_is_refused_where_it_cannot_be_had(tmp_path, capsys):
    text = settings(tmp_path, "--reward.own={name: token_f1}")
    with pytest.raises(UsageError, match="token_f1 needs the column 'completion', and a step of driving has state"):
        train.train_one(text, name="text")
    assert train.run_train(text, dry_run=True) != 0
    assert "needs the column 'completion'" in capsys.readouterr().out
    goal = "{name: contrastive_goal, clip: 'local-dir:assets/driving/clip', positive: a, negative: b}"
    with pytest.raises(UsageError, match="the reward contrastive_goal looks at pictures"):
        train.build_reward(settings(tmp_path, f"--reward.own={goal}", "--env.picture.kind=none"))
    with pytest.raises(UsageError, match="apps audit --app driving"):
        run_audit(text)
    text.comparison.recipes = ["lord"]
    with pytest.raises(UsageError, match=r"comparison\.recipes"):
        train.run_train(text)


def test_a_map_is_not_trained_and_measured_on(tmp_path):
    with pytest.raises(UsageError, match=r"ring is in env\.routes\.maps and in evaluate\.maps"):
        train.train_one(settings(tmp_path, "--evaluate.maps=[ring]"))


def test_a_comparison_names_every_recipe_and_seed(tmp_path, capsys):
    more = ["--comparison.recipes=[progress, carl]", "--comparison.seeds=[0, 1]", "--control.steps=64"]
    more += ["--evaluate.end.seconds=1", "--env.routes.pool=2", "--env.traffic.vehicles=[0, 0]"]
    assert train.run_train(settings(tmp_path, *more), name="two", json_output=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "two" / "comparison.json").read_text())
    assert told["seeds"] == [0, 1]
    assert set(told["recipes"]) == {"progress", "carl"}
    assert set(told["beside"]) == {"random", "rule-based"}
    assert all(
        (tmp_path / "two" / f"{name}-seed{seed}" / "model").is_dir() for name in told["recipes"] for seed in (0, 1)
    )
    assert "carl" in (tmp_path / "two" / "report.html").read_text("utf-8")


def test_the_policy_learns_to_drive(tmp_path):
    """Empty roads and a reward without pictures: what takes the whole recipe minutes can be seen in seconds."""
    more = [
        "--reward.recipe=vlm_rl_no_clip",
        "--control.steps=20480",
        "--control.ppo.rollout=256",
        "--control.ppo.batch_size=128",
        "--control.ppo.epochs=6",
        "--control.learning_rate=1e-3",
        "--control.final_learning_rate=1e-3",
        "--control.save_every=0",
        "--learn.environments=8",
        "--env.routes.maps=[town]",
        "--env.traffic.vehicles=[0, 0]",
        "--env.end.seconds=30",
        "--evaluate.routes_per_map=4",
        "--evaluate.end.seconds=30",
    ]
    found = train.train_one(settings(tmp_path, *more), name="learning")
    random, rules = found.beside
    # In 30 s nobody gets far; seeds 0, 1, 2: 0.63, 0.79, 0.64 beside 0.05 and 0.72, and 0.0 with a learning rate of 0.
    assert completed(found.trained) > completed(random) + 0.5 * (completed(rules) - completed(random))


def completed(evaluation: Evaluation) -> float:
    return sum(one.route_completion for one in evaluation.episodes) / len(evaluation.episodes)
