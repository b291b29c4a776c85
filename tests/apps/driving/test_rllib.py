"""Training on RLlib: the environments and rewards of the other engine, the same files at the end. Slow: Ray."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("ray.rllib", reason="Ray's RLlib is not installed: pip install 'touchstone-rl[rllib]'")

from apps.driving import train
from apps.driving.drivers.load import load_driver
from apps.driving.train_rllib import Rewarded
from common.errors import UsageError
from common.training.rllib import ActorCritic, OneOf
from common.training.sb3.model import load_policy
from tests.apps.driving.test_train import completed, figures, settings

pytestmark = pytest.mark.slow

ENGINE = "--learn.engine=rllib"
SHORT = [ENGINE, "--env.end.seconds=3", "--control.steps=128"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train.train_one(settings(tmp_path_factory.mktemp("runs"), *SHORT), name="short")


def test_a_run_leaves_the_files_of_the_other_engine(found: Any) -> None:
    folder = found.run.folder
    for file in (
        "config.yaml",
        "run.json",
        "log.jsonl",
        "report.html",
        "driven/evaluation.json",
        "driven/report.html",
    ):
        assert (folder / file).is_file(), file
    rows = figures(folder)
    assert [row["step"] for row in rows] == [64, 128]
    assert {"reward", "reward/goal", "reward/failed", "episode/route_completion", "episode/length"} <= rows[-1].keys()
    assert rows[-1]["episode/length"] == 30.0
    driver = load_driver(str(folder), settings(folder).env)
    assert (driver.name, len(found.trained.episodes)) == ("short", len(found.beside[0].episodes))


def test_the_policy_that_is_kept_has_learned(found: Any) -> None:
    kept = load_policy(found.run.folder / "model").network.state_dict()
    begun = torch.full_like(kept["log_std"], float(np.log(settings(found.run.folder).control.ppo.spread)))
    assert not torch.allclose(kept["log_std"], begun, atol=1e-5)


@pytest.mark.parametrize("recipe", ["vlm_rl", "progress"])
def test_environments_and_rewards_are_those_of_the_other_engine(tmp_path: Path, recipe: str) -> None:
    config = settings(tmp_path, f"--reward.recipe={recipe}", "--env.end.seconds=2", "--learn.environments=1")
    venv = train.stepwise(train.environments(config), config, *train.build_reward(config))
    spaces = venv.observation_space, venv.action_space
    env = OneOf(lambda: Rewarded(config)(0), *spaces, seed=3)
    venv.seed(3)
    wanted, (seen, _) = venv.reset(), env.reset()
    random = np.random.default_rng(0)
    ended = 0
    for _ in range(50):
        for name, value in seen.items():
            np.testing.assert_array_equal(value, wanted[name][0])
        action = random.uniform(spaces[1].low, spaces[1].high).astype(np.float32)
        wanted, rewards, dones, infos = venv.step(action[None])
        seen, reward, terminated, truncated, info = env.step(action)
        assert (reward, terminated or truncated) == (rewards[0], dones[0])
        assert info["scored"] == infos[0]["scored"]
        if dones[0]:
            for name, value in seen.items():
                np.testing.assert_array_equal(value, infos[0]["terminal_observation"][name])
            ended += 1
            seen, _ = env.reset()
    assert ended >= 2


def test_the_network_is_the_other_engines(tmp_path: Path) -> None:
    from ray.rllib.core import Columns

    config = settings(tmp_path)
    venv = train.environments(config)
    module = ActorCritic(
        observation_space=venv.observation_space,
        action_space=venv.action_space,
        model_config={"control": config.control},
    )
    seen = {name: torch.as_tensor(value) for name, value in venv.reset().items()}
    with torch.no_grad():
        inputs = module.forward_inference({Columns.OBS: seen})[Columns.ACTION_DIST_INPUTS]
        actions, values, chances = module.network(seen, deterministic=True)
        kind = module.get_train_action_dist_cls().from_logits(inputs)
        assert torch.equal(inputs[:, : actions.shape[1]], actions)
        torch.testing.assert_close(kind.logp(actions), chances)
        torch.testing.assert_close(module.compute_values({Columns.OBS: seen}), values[:, 0])


def test_each_worker_has_a_carla_server_of_its_own(tmp_path: Path) -> None:
    config = settings(tmp_path, "--simulator.kind=carla", "--simulator.carla.port=2000")
    ports = [train.Maker(config, rank)()._make_backend.config.carla.port for rank in range(3)]
    assert ports == [2000, 2010, 2020]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--control.algorithm=sac"], "ppo"),
        (["--control.sde=true"], "sde"),
        (["--control.ppo.target_kl=0.1"], "target_kl"),
        (["--reward.recipe=tirl", "--reward.decomposition.on=true"], "learns from what it scores"),
    ],
)
def test_what_rllib_does_not_do_is_said_before_anything_starts(tmp_path: Path, more: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        train.train_one(settings(tmp_path, ENGINE, *more), name="no")


def test_the_flag_stands_for_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    start = SimpleNamespace(start=lambda config, *_: asked.append(config.learn.engine) or 0)
    monkeypatch.setattr("apps.driving.comparison.TRAINING", start)
    config = settings(tmp_path)
    train.run_train(config, engine="rllib")
    train.run_train(replace(config, learn=replace(config.learn, engine="rllib")))
    train.run_train(config)
    assert asked == ["rllib", "rllib", "sb3"]


def test_the_policy_learns_to_drive(tmp_path: Path) -> None:
    """The other engine's test of learning, with half its steps and a quarter of its environments."""
    more = [
        ENGINE,
        "--reward.recipe=vlm_rl_no_clip",
        "--control.steps=12288",
        "--control.ppo.rollout=512",
        "--control.ppo.batch_size=128",
        "--control.ppo.epochs=8",
        "--control.learning_rate=1e-3",
        "--control.final_learning_rate=1e-3",
        "--learn.environments=2",
        "--env.routes.maps=[town]",
        "--env.traffic.vehicles=[0, 0]",
        "--env.end.seconds=30",
        "--evaluate.routes_per_map=4",
        "--evaluate.end.seconds=30",
    ]
    result = train.train_one(settings(tmp_path, *more), name="learning")
    random, rules = result.beside
    print(json.dumps([completed(one) for one in (result.trained, random, rules)]))
    assert completed(result.trained) > completed(random) + 0.5 * (completed(rules) - completed(random))
