"""Episodes that are gone through again."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("gymnasium")

from gymnasium.wrappers import TimeLimit

from common.errors import DataError
from common.training.plain_state import load_state, save_state
from common.training.sb3.replayed import Replayed
from tests.common.worlds import Corridor


def make(discrete: bool = False) -> Replayed:
    return Replayed(TimeLimit(Corridor(discrete=discrete, keep_state=False, push=0.1), 7))


def go(env, random, steps: int) -> list:
    told = []
    for _ in range(steps):
        action = random.integers(3) if hasattr(env.action_space, "n") else random.uniform(-1, 1, 1)
        observation, reward, terminated, truncated, _ = env.step(action)
        told.append((observation.tolist(), reward, terminated, truncated))
        if terminated or truncated:
            told.append(env.reset()[0].tolist())
    return told


@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("steps", [0, 3, 7, 25])
def test_an_environment_goes_on_where_another_one_was(tmp_path, discrete, steps):
    """In its first episode and in later ones, the time limit around it too."""
    one, other = make(discrete), make(discrete)
    one.reset(seed=4)
    other.reset(seed=4)
    go(one, np.random.default_rng(0), steps)
    save_state(tmp_path, one.get_state())
    other.set_state(load_state(tmp_path))
    assert go(one, np.random.default_rng(1), 30) == go(other, np.random.default_rng(1), 30)


def test_an_episode_that_comes_out_otherwise_is_noticed():
    one, other = make(), Replayed(Corridor(push=5.0))
    one.reset(seed=4)
    go(one, np.random.default_rng(0), 4)
    with pytest.raises(DataError, match="not deterministic"):
        other.set_state(one.get_state())
    with pytest.raises(DataError, match="not reset"):
        make().get_state()
