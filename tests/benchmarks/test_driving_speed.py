"""Steps a second of the driving environment beside highway-env's, and what traffic, pictures and rewards cost.

Run with `python -m pytest -n 0 -s -m benchmark tests/benchmarks/test_driving_speed.py`. Everything is counted in CPU
seconds of one thread, the best of a few repeats, so that other load matters less. What is asserted are ratios of one
run, for machines differ; on the development machine (2 shared cores) the targets are 20,000 steps a second without a
picture, 2,000 with 96 x 96 masks, 800 with masks and 20 cars.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")

from stable_baselines3.common.vec_env import DummyVecEnv

from apps.driving.drivers.rule_based import RuleBased
from apps.driving.env_config import EnvConfig, RouteConfig, TrafficConfig, ViewConfig
from apps.driving.environment.env import DrivingEnv
from apps.driving.rewards import build
from common.models.clip import Clip
from common.rewards.base import take_rows
from common.training.sb3.replay import buffer_bytes
from tests.apps.driving.states import random_states
from tests.apps.driving.test_rewards import TEXTS, config
from tests.common.models.tiny_clip import tiny_clip_folder

pytestmark = pytest.mark.benchmark

REPEATS, STEPS = 3, 400


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def seconds(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    best = float("inf")
    for _ in range(repeats):
        gc.collect()
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def settings(vehicles: int = 0, bev: str = "none", size: int = 96) -> EnvConfig:
    made = EnvConfig(traffic=TrafficConfig(vehicles=[vehicles, vehicles]), routes=RouteConfig(shortest=250, pool=8))
    made.observation.bev = ViewConfig(bev, size=size, metres=38.4 * size / 96)  # type: ignore[arg-type]
    made.end.collisions = False
    made.end.stuck_seconds = made.end.seconds = 0
    return made


@lru_cache
def driven(vehicles: int) -> tuple[Any, ...]:
    """What a good driver does: the episodes that are timed are those of a car that keeps its lane."""
    env = DrivingEnv(settings(vehicles))
    driver, found = RuleBased(env.config), []
    observation, _ = env.reset(seed=0)
    for _ in range(STEPS):
        found.append(driver.act(observation))
        observation, _, terminated, truncated, _ = env.step(found[-1])
        if terminated or truncated:
            observation, _ = env.reset()
    return tuple(found)


def ours(made: EnvConfig) -> float:
    """Seconds of a step, resets left out."""
    actions = driven(made.traffic.vehicles[0])
    env = DrivingEnv(made)

    def drive() -> float:
        env.reset(seed=0)
        spent, started = 0.0, time.process_time()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                spent += time.process_time() - started
                env.reset()
                started = time.process_time()
        return spent + time.process_time() - started

    return min(drive() for _ in range(REPEATS)) / len(actions)


def highway(name: str, steps: int = 30) -> tuple[float, float]:
    """Seconds of a step of highway-env as it comes (cars, numbers to see), resets left out; seconds it simulates."""
    gymnasium = pytest.importorskip("gymnasium")
    pytest.importorskip("highway_env")
    env: Any = gymnasium.make(name).unwrapped
    action = 1 if isinstance(env.action_space, gymnasium.spaces.Discrete) else np.zeros(env.action_space.shape)

    def drive() -> float:
        env.reset(seed=0)
        spent, started = 0.0, time.process_time()
        for _ in range(steps):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                spent += time.process_time() - started
                env.reset()
                started = time.process_time()
        return spent + time.process_time() - started

    found = min(drive() for _ in range(REPEATS)) / steps
    env.close()
    return found, 1 / env.config["policy_frequency"]


def test_steps_a_second_beside_highway_env() -> None:
    theirs, simulated = {}, {}
    for name in ("highway-fast-v0", "intersection-v1"):
        step, simulated[name] = highway(name)
        theirs[name] = 1 / step
    own = {
        "no picture": 1 / ours(settings()),
        "masks 96 x 96": 1 / ours(settings(0, "masks")),
        "masks 192 x 192": 1 / ours(settings(0, "masks", 192)),
        "RGB 96 x 96": 1 / ours(settings(0, "rgb")),
        "no picture, 20 cars": 1 / ours(settings(20)),
        "masks 96 x 96, 20 cars": 1 / ours(settings(20, "masks")),
    }
    fast = theirs["highway-fast-v0"]
    print("\n                   steps a second of one core      simulated seconds")
    for name, value in (theirs | own).items():
        print(f"{name:24} {value:9,.0f} {value / fast:7.1f} x fast {value * simulated.get(name, 0.1):9,.0f}")
    quickest = max(theirs.values())
    assert own["no picture"] > 200 * quickest
    assert own["masks 96 x 96"] > 20 * quickest
    assert own["masks 96 x 96, 20 cars"] > 8 * quickest


def test_cost_of_traffic() -> None:
    print("\ncars, steps a second without and with 96 x 96 masks, episodes begun a second")
    costs = {}
    for vehicles in (0, 5, 10, 20, 40):
        made = settings(vehicles)
        costs[vehicles] = ours(made)
        masks = ours(settings(vehicles, "masks"))
        env = DrivingEnv(made)
        env.reset(seed=0)
        reset = seconds(lambda env=env: [env.reset() for _ in range(8)]) / 8
        print(f"{vehicles:4} {1 / costs[vehicles]:9,.0f} {1 / masks:9,.0f} {1 / reset:9,.0f}")
    # All cars are moved at once: forty cost far less than eight times what five do.
    assert costs[40] - costs[0] < 4 * (costs[5] - costs[0])


def test_cost_of_environments() -> None:
    made = settings(10, "masks")
    actions = driven(10)
    rates = {}
    for count in (1, 4, 8):
        venv = DummyVecEnv([lambda rank=rank: DrivingEnv(made, rank=rank) for rank in range(count)])
        venv.seed(0)
        venv.reset()
        steps = len(actions) // count

        def go(venv: DummyVecEnv = venv, steps: int = steps, count: int = count) -> None:
            for action in actions[:steps]:
                venv.step(np.tile(action, (count, 1)))

        rates[count] = steps * count / seconds(go)
        venv.close()
    told = ", ".join(f"{count}: {rate:,.0f}" for count, rate in rates.items())
    print(f"\nsteps a second of DummyVecEnv with 10 cars and masks, resets among them, by environments: {told}")
    assert rates[8] > 0.5 * rates[1]


def test_rewards_of_a_rollout_in_one_call(tmp_path: Any) -> None:
    pytest.importorskip("open_clip")
    rows = 256
    clip = Clip(tiny_clip_folder(tmp_path / "clip", TEXTS))
    pictures = torch.rand(rows, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    columns = {"images": pictures, "state": random_states(rows), "group": torch.arange(rows)}
    single = [take_rows(columns, [row], rows) for row in range(rows)]
    print("\nrewards a second: in one call, one by one")
    ratios = {}
    for recipe in ("vlm_rl", "vlm_rl_no_clip", "progress"):
        reward = build(config(recipe), clip)
        reward(**single[0])
        together = seconds(lambda reward=reward: reward(**columns))
        apart = seconds(lambda reward=reward: [reward(**one) for one in single])
        ratios[recipe] = apart / together
        print(f"{recipe:16} {rows / together:9,.0f} {rows / apart:9,.0f} {ratios[recipe]:6.1f} times")
    assert min(ratios.values()) > 2


def test_memory_of_a_replay_of_pictures() -> None:
    made = settings(20, "masks", 192)
    made.observation.bev.history = [16, 11, 1]
    env = DrivingEnv(made)
    assert env.observation_space["bev"].shape == (6, 192, 192)
    ours_, theirs = (
        buffer_bytes(env.observation_space, env.action_space, 100_000, binary=binary, endings=1000) * copies
        for binary, copies in ((("bev",), 1), ((), 2))
    )
    told = f"{ours_ / 1e9:.2f} GB; as bytes, and twice: {theirs / 1e9:.1f} GB"
    print(f"\n100,000 steps of 192 x 192 x 6 masks: {told}")
    assert ours_ < 3.5e9
    assert theirs > 12 * ours_
