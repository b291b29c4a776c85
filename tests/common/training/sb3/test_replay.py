"""A replay buffer that stores frames once: what SB3's own samples, in a sixteenth of the memory."""

from __future__ import annotations

import resource
import zipfile

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")

from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from common.errors import DataError, UsageError
from common.training.sb3.replay import FrameReplayBuffer, buffer_bytes
from common.training.sb3.replay_files import load_buffer, save_buffer
from tests.common.worlds import Corridor

ACTIONS = spaces.Box(-1.0, 1.0, (2,), np.float32)
DICTIONARY = spaces.Dict(
    {
        "masks": spaces.Box(0, 255, (3, 5, 2), np.uint8),
        "flags": spaces.MultiBinary(11),
        "grid": spaces.Box(0, 1, (4, 3), np.uint8),
        "speed": spaces.Box(-1, 1, (2,), np.float32),
        "way": spaces.Discrete(5),
    }
)
BINARY = ("masks",)


def observe(random, number: int):
    return {
        "masks": random.integers(0, 2, (number, 3, 5, 2), dtype=np.uint8) * 255,
        "flags": random.integers(0, 2, (number, 11), dtype=np.int8),
        "grid": random.integers(0, 2, (number, 4, 3), dtype=np.uint8),
        "speed": random.normal(size=(number, 2)).astype(np.float32),
        "way": random.integers(0, 5, number),
    }


def copy(observation):
    return {key: np.array(value) for key, value in observation.items()}


def fill(buffers, steps: int, number: int, seed: int = 0, ends: float = 0.2) -> None:
    """The same transitions into all buffers: what follows a step is what the next begins with, but at an end."""
    random = np.random.default_rng(seed)
    now = observe(random, number)
    for _ in range(steps):
        after = observe(random, number)
        dones = random.random(number) < ends
        limits = dones & (random.random(number) < 0.5)
        infos = [{"TimeLimit.truncated": bool(one)} for one in limits]
        last = copy(after)
        for row in np.flatnonzero(dones):
            for key, value in observe(random, number).items():
                last[key][row] = value[row]
        action, reward = random.normal(size=(number, 2)), random.normal(size=number)
        for buffer in buffers:
            buffer.add(copy(now), copy(last), action.copy(), reward.copy(), dones.copy(), infos)
        now = after


def drawn(buffer, seed: int = 3, size: int = 64, env=None):
    np.random.seed(seed)
    return buffer.sample(size, env=env)


def assert_same(one, other) -> None:
    for name in ("actions", "dones", "rewards"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    for name in ("observations", "next_observations"):
        first, second = getattr(one, name), getattr(other, name)
        if isinstance(first, torch.Tensor):
            assert torch.equal(first, second)
            continue
        assert first.keys() == second.keys()
        for key in first:
            assert first[key].dtype == second[key].dtype, key
            assert torch.equal(first[key], second[key]), (name, key)


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 12),
    steps=st.integers(1, 40),
    number=st.integers(1, 3),
    ends=st.sampled_from([0.0, 0.2, 1.0]),
    timeouts=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_it_samples_what_sb3_samples(size, steps, number, ends, timeouts, seed):
    """Several environments, before and after the buffer wraps, with and without the handling of time limits."""
    ours = FrameReplayBuffer(
        size * number, DICTIONARY, ACTIONS, "cpu", number, handle_timeout_termination=timeouts, binary=BINARY
    )
    theirs = DictReplayBuffer(size * number, DICTIONARY, ACTIONS, "cpu", number, handle_timeout_termination=timeouts)
    fill([ours, theirs], steps, number, seed, ends)
    assert (ours.pos, ours.full, ours.size()) == (theirs.pos, theirs.full, theirs.size())
    assert_same(drawn(ours), drawn(theirs))


def test_it_samples_what_sb3_samples_of_plain_observations():
    box = spaces.Box(-1, 1, (3,), np.float32)
    buffers = [kind(20, box, spaces.Discrete(4), "cpu", 2) for kind in (FrameReplayBuffer, ReplayBuffer)]
    random = np.random.default_rng(0)
    now = random.normal(size=(2, 3)).astype(np.float32)
    for step in range(27):
        after = random.normal(size=(2, 3)).astype(np.float32)
        for buffer in buffers:
            dones = np.array([step % 5 == 4, False])
            last = np.where(dones[:, None], np.float32(9.0), after)
            buffer.add(now, last, np.array([step % 4, 1]), np.array([step, 0.5]), dones, [{}, {}])
        now = after
    assert_same(drawn(buffers[0]), drawn(buffers[1]))


def test_it_normalises_as_sb3_does():
    venv = VecNormalize(DummyVecEnv([lambda: Corridor(masks=True)]), norm_obs_keys=["measures"])
    venv.reset()
    buffers = [
        kind(30, venv.observation_space, venv.action_space, "cpu", 1) for kind in (FrameReplayBuffer, DictReplayBuffer)
    ]
    for _ in range(20):
        before = venv.get_original_obs()
        _, _, dones, infos = venv.step(np.ones((1, 1), np.float32) * 0.1)
        for buffer in buffers:
            buffer.add(
                copy(before), copy(venv.get_original_obs()), np.ones((1, 1)), venv.get_original_reward(), dones, infos
            )
    assert_same(drawn(buffers[0], env=venv), drawn(buffers[1], env=venv))
    plain = drawn(buffers[0]).observations["measures"]
    assert not torch.equal(plain, drawn(buffers[0], env=venv).observations["measures"])


def test_a_step_that_does_not_begin_where_the_last_ended_loses_nothing():
    """Environments were reset between two calls of `learn`, though no episode had ended."""
    buffers = [
        FrameReplayBuffer(10, DICTIONARY, ACTIONS, "cpu", 1),
        DictReplayBuffer(10, DICTIONARY, ACTIONS, "cpu", 1),
    ]
    fill(buffers, 4, 1, seed=1, ends=0.0)
    fill(buffers, 4, 1, seed=2, ends=0.0)
    assert_same(drawn(buffers[0]), drawn(buffers[1]))


def test_final_observations_are_let_go_with_their_steps():
    buffer = FrameReplayBuffer(20, DICTIONARY, ACTIONS, "cpu", 2, binary=BINARY)
    fill([buffer], 2000, 2, ends=1.0)
    # 20 transitions, of each of which the end is kept.
    assert len(buffer.finals["speed"]) <= 32


def test_memory_is_what_was_estimated():
    """100,000 steps of 192 x 192 x 6 masks: SB3's takes 44.3 GB."""
    sizes = {"binary": BINARY, "n_envs": 2}
    buffer = FrameReplayBuffer(200, DICTIONARY, ACTIONS, "cpu", **sizes)
    fill([buffer], 300, 2, ends=0.2)
    endings = int((buffer.final_at >= 0).sum())
    assert abs(buffer.nbytes - buffer_bytes(DICTIONARY, ACTIONS, 200, endings=endings, **sizes)) <= 64 * 100
    masks = spaces.Dict(
        {
            "masks": spaces.Box(0, 255, (192, 192, 6), np.uint8),
            "measures": spaces.Box(-1, 1, (3,), np.float32),
            "waypoints": spaces.Box(-1, 1, (15, 2), np.float32),
        }
    )
    packed = buffer_bytes(masks, ACTIONS, 100_000, binary=("masks",), endings=2_000)
    assert packed <= 3.5e9
    plain = buffer_bytes(masks, ACTIONS, 100_000, endings=2_000)
    assert plain / packed > 7.9
    assert 192 * 192 * 6 * 2 * 100_000 / packed > 15


def test_memory_is_taken_as_it_is_filled():
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    masks = spaces.Dict({"masks": spaces.Box(0, 255, (192, 192, 6), np.uint8)})
    before = resident()
    buffer = FrameReplayBuffer(50_000, masks, ACTIONS, "cpu", 1, binary=("masks",))
    assert buffer.nbytes > 1.3e9
    assert resident() - before < 0.1e9


def test_only_masks_are_packed():
    with pytest.raises(UsageError, match="no \\['nothing'\\]"):
        FrameReplayBuffer(4, DICTIONARY, ACTIONS, "cpu", binary=("nothing",))
    with pytest.raises(UsageError, match="speed"):
        FrameReplayBuffer(4, DICTIONARY, ACTIONS, "cpu", binary=("speed",))
    with pytest.raises(UsageError, match="optimize_memory_usage"):
        FrameReplayBuffer(4, DICTIONARY, ACTIONS, "cpu", optimize_memory_usage=True)


@pytest.mark.parametrize(("key", "value"), [("masks", 254), ("masks", 1), ("grid", 2), ("flags", -1)])
def test_a_mask_that_is_not_binary_is_refused_and_nothing_is_stored(key, value):
    buffer = FrameReplayBuffer(4, DICTIONARY, ACTIONS, "cpu", binary=BINARY)
    fill([buffer], 2, 1)
    wrong = observe(np.random.default_rng(0), 1)
    wrong[key].reshape(-1)[3] = value
    with pytest.raises(ValueError, match="binary"):
        buffer.add(wrong, wrong, np.zeros((1, 2)), np.zeros(1), np.zeros(1, bool), [{}])
    assert (buffer.pos, buffer.count) == (2, 2)


@pytest.mark.parametrize("steps", [0, 1, 7, 10, 11, 33])
def test_a_buffer_that_was_saved_goes_on_as_if_it_had_not_been(tmp_path, steps):
    def make():
        return FrameReplayBuffer(20, DICTIONARY, ACTIONS, "cpu", 2, binary=BINARY)

    buffer, other, reference = make(), make(), DictReplayBuffer(20, DICTIONARY, ACTIONS, "cpu", 2)
    fill([other], 5, 2, seed=9)  # what was in it before does not matter
    fill([buffer, reference], steps, 2)
    load_buffer(other, save_buffer(buffer, tmp_path / "replay.npz"))
    fill([other, reference], 6, 2, seed=4)
    assert_same(drawn(other), drawn(reference))
    fill([other, reference], 26, 2, seed=5)
    assert_same(drawn(other), drawn(reference))


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    buffer = FrameReplayBuffer(20, DICTIONARY, ACTIONS, "cpu", 2, binary=BINARY)
    fill([buffer], 5, 2)
    path = save_buffer(buffer, tmp_path / "replay.npz")
    for other in (
        FrameReplayBuffer(22, DICTIONARY, ACTIONS, "cpu", 2, binary=BINARY),
        FrameReplayBuffer(20, DICTIONARY, ACTIONS, "cpu", 1, binary=BINARY),
        FrameReplayBuffer(20, DICTIONARY, ACTIONS, "cpu", 2),
    ):
        with pytest.raises(DataError, match="another kind"):
            load_buffer(other, path)
    with pytest.raises(DataError, match="no such file"):
        load_buffer(buffer, tmp_path / "none.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged"):
        load_buffer(buffer, path)
    assert zipfile.is_zipfile(save_buffer(buffer, path))
    # Only what is filled: the file of a tenth of a buffer is about a tenth of it.
    large = FrameReplayBuffer(2000, DICTIONARY, ACTIONS, "cpu", 1, binary=BINARY)
    fill([large], 200, 1)
    assert save_buffer(large, path).stat().st_size < 0.2 * large.nbytes


def test_pickled_contents_are_not_read(tmp_path):
    buffer = FrameReplayBuffer(20, DICTIONARY, ACTIONS, "cpu", 2, binary=BINARY)
    np.savez(tmp_path / "evil.npz", meta=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="damaged"):
        load_buffer(buffer, tmp_path / "evil.npz")
