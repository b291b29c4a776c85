"""The environment's own states and pictures through every recipe: what it tells is what they read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from apps.driving.env_config import EnvConfig
from apps.driving.environment.env import DrivingEnv
from apps.driving.parts.factors import driving_factors, events
from apps.driving.reward_config import RECIPE_NAMES, RewardConfig
from apps.driving.rewards import build
from common.models.clip import Clip
from tests.apps.driving.test_rewards import TEXTS, config
from tests.common.models.tiny_clip import tiny_clip_folder

pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip(tiny_clip_folder(tmp_path_factory.mktemp("clip") / "tiny", TEXTS))


@pytest.fixture(scope="module")
def episodes() -> dict[str, Any]:
    """Columns of two short episodes that end badly or in time."""
    settings = EnvConfig()
    settings.picture.kind, settings.picture.size = "rgb", 32
    settings.end.seconds = 8.0
    env = DrivingEnv(settings)
    states, pictures, groups = [], [], []
    for number in range(2):
        observation, _ = env.reset(seed=number)
        done = False
        while not done:
            steer = np.clip(4 * observation["waypoints"][3][1], -1, 1)
            observation, _, terminated, truncated, info = env.step(np.array([steer, 0.4], np.float32))
            done = terminated or truncated
            states.append(info["state"])
            pictures.append(info["image"])
            groups.append(number)
    env.close()
    return {
        "state": {name: torch.tensor([one[name] for one in states], dtype=torch.float32) for name in states[0]},
        "images": torch.from_numpy(np.stack(pictures)).float() / 255,
        "group": torch.tensor(groups),
    }


@pytest.mark.parametrize("recipe", RECIPE_NAMES)
def test_every_recipe_reads_what_the_environment_tells(recipe: str, clip: Clip, episodes: dict[str, Any]) -> None:
    reward = build(config(recipe), clip)
    values = reward(**episodes).values
    low, high = reward.bounds
    assert ((values >= low - 1e-3) & (values <= high + 1e-3)).all()


def test_12_progress_sums_to_the_route_completion(episodes: dict[str, Any]) -> None:
    values = build(RewardConfig("progress", penalty=0.0, scale=1.0))(**episodes).values
    for number in range(2):
        rows = episodes["group"] == number
        completion = episodes["state"]["progress"][rows][-1].item()
        assert completion > 0.01
        assert values[rows].sum().item() == pytest.approx(completion, abs=1e-5)


def test_roboclip_pays_once_an_episode(clip: Clip, episodes: dict[str, Any]) -> None:
    values = build(config("roboclip"), clip)(**episodes).values
    last = (episodes["state"]["terminated"] + episodes["state"]["truncated"]) > 0
    assert last.sum() == 2
    assert (values[last] != 0).all()
    assert (values[~last] == 0).all()


def test_factors_and_words(episodes: dict[str, Any]) -> None:
    assert driving_factors(episodes["state"]).isfinite().all()
    assert all(text.startswith("the car ") for text in events(episodes["state"]))
