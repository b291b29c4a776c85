"""The Gymnasium half of the core, as ratios within one run. Run with `-n 0 -s -m benchmark`.

Counted in CPU seconds of one thread, best of the repeats, so that other load matters less.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")

from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv

from common.rewards.adapters.gym import VecRewardWrapper
from common.rewards.adapters.scores import Scoring
from common.rewards.adapters.transitions import Columns, Picture
from common.rewards.base import Reward, RewardOutput
from common.training.sb3.replay import FrameReplayBuffer, buffer_bytes

pytestmark = pytest.mark.benchmark

REPEATS = 3
MASKS = spaces.Dict(
    {
        "masks": spaces.Box(0, 255, (6, 192, 192), np.uint8),
        "measures": spaces.Box(-1, 1, (3,), np.float32),
        "waypoints": spaces.Box(-1, 1, (15, 2), np.float32),
    }
)
ACTIONS = spaces.Box(-1, 1, (2,), np.float32)


def seconds(work: Callable[[], Any]) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        gc.collect()
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def observations(number: int) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    return [
        {
            "masks": random.integers(0, 2, (1, 6, 192, 192), dtype=np.uint8) * 255,
            "measures": random.normal(size=(1, 3)).astype(np.float32),
            "waypoints": random.normal(size=(1, 15, 2)).astype(np.float32),
        }
        for _ in range(number)
    ]


def fill(buffer: Any, seen: list[dict[str, np.ndarray]], steps: int) -> None:
    for step in range(steps):
        now, after = seen[step % len(seen)], seen[(step + 1) % len(seen)]
        buffer.add(dict(now), dict(after), np.zeros((1, 2)), np.zeros(1), np.zeros(1, bool), [{}])


def test_replay_buffer() -> None:
    seen, steps = observations(32), 1000
    theirs = DictReplayBuffer(steps, MASKS, ACTIONS, "cpu", 1)
    ours = FrameReplayBuffer(steps, MASKS, ACTIONS, "cpu", 1, binary=("masks",))
    sizes = []
    for buffer in (ours, theirs):
        before = resident()
        fill(buffer, seen, steps)
        sizes.append(resident() - before)
    added = [seconds(lambda buffer=buffer: fill(buffer, seen, 200)) / 200 for buffer in (ours, theirs)]
    sampled = [seconds(lambda buffer=buffer: buffer.sample(64)) for buffer in (ours, theirs)]
    full = buffer_bytes(MASKS, ACTIONS, 100_000, binary=("masks",), endings=2000)
    print(f"\n1,000 steps of 192 x 192 x 6 masks: {sizes[0] / 1e6:.0f} MB, SB3 {sizes[1] / 1e6:.0f} MB")
    print(f"100,000 steps: {full / 1e9:.2f} GB, SB3 {2 * 192 * 192 * 6 * 1e5 / 1e9:.1f} GB")
    print(f"add {1e3 * added[0]:.2f} ms a step, SB3 {1e3 * added[1]:.2f}: {added[0] / added[1]:.2f} times")
    print(f"sample 64: {1e3 * sampled[0]:.1f} ms, SB3 {1e3 * sampled[1]:.1f}: {sampled[0] / sampled[1]:.2f} times")
    assert sizes[1] / sizes[0] > 12
    assert sampled[0] < 3 * sampled[1]


class Pictures(gymnasium.Env):
    """Shows another picture in every step."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        picture = self.np_random.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        return np.zeros(1, np.float32), 0.0, False, False, {"state": {"speed": 1.0}, "picture": picture}


class Mean(Reward):
    """Cheap beside the encoder."""

    name = "mean"
    needs = ("images",)

    def score(self, **columns: Any) -> RewardOutput:
        return RewardOutput(columns["images"].mean(1).sigmoid())


def encoder() -> Callable[[torch.Tensor], torch.Tensor]:
    """A small vision transformer, as CLIP's are."""
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    patches = torch.nn.Conv2d(3, 64, 8, 8)
    body = torch.nn.TransformerEncoder(layer, 4).eval()
    return lambda images: body(patches(images).flatten(2).transpose(1, 2)).mean(1)


def test_reward_of_all_environments_at_once() -> None:
    model, columns = encoder(), Columns(picture=Picture())

    def per_row(environments: int, stride: int = 1) -> float:
        venv = VecRewardWrapper(
            DummyVecEnv([Pictures] * environments), Mean(), columns, Scoring(stride=stride, cache=0), model
        )
        plain = DummyVecEnv([Pictures] * environments)
        steps, actions = 256 // environments, np.zeros(environments, int)

        def go(which: Any) -> None:
            which.reset()
            for _ in range(steps):
                which.step(actions)

        return (seconds(lambda: go(venv)) - seconds(lambda: go(plain))) / (steps * environments)

    alone = per_row(1)
    print(f"\none environment: {1e3 * alone:.2f} ms a step for the reward")
    for environments in (2, 4, 8, 16, 32):
        together = per_row(environments)
        print(f"{environments} at once: {1e3 * together:.2f} ms, {alone / together:.1f} times as fast")
    strided = per_row(8, stride=4)
    print(f"8 at once, every 4th frame: {1e3 * strided:.2f} ms, {alone / strided:.1f} times as fast")
    assert together < alone
    assert strided < alone / 2
