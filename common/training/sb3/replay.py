"""A replay buffer that stores each frame once and binary masks as bits.

stable-baselines3's `DictReplayBuffer` stores every observation twice, as an observation and as the next one, and
refuses `optimize_memory_usage`: 100,000 steps of 192 x 192 x 6 masks take 44.3 GB. Stored once they take 22.1 GB, and
as bits 2.8 GB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples

from common.errors import UsageError
from common.training.sb3.replay_codecs import WHOLE, codecs

Array = NDArray[Any]


class FrameReplayBuffer(ReplayBuffer):
    """A replay buffer with SB3's interface; see the module. It samples what SB3's own buffers sample, bit for bit.

    The observation that follows a step is the next step's, so it is stored once, in a ring that is one frame longer
    than the buffer. Where it is not (an episode ended, environments were reset) it is kept apart. The memory is
    committed by the operating system as it is filled.

    For Dict observations and for any other. `rewards`, `dones`, `timeouts` and `actions` are arrays
    `(buffer_size, n_envs, …)` as in SB3; observations are had by sampling or `transition`.

    Args:
        buffer_size: steps of all environments together.
        observation_space: of one environment.
        action_space: of one environment.
        device: where samples go.
        n_envs: environments.
        optimize_memory_usage: must be False; SB3 passes it.
        handle_timeout_termination: as in SB3: a time limit is no end.
        binary: keys stored as bits; see `codecs`.

    Raises:
        UsageError: `optimize_memory_usage`, or keys that cannot be stored as bits.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: Any = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        binary: Sequence[str] = (),
    ) -> None:
        # Not ReplayBuffer's own: it would make the arrays that this class is there to avoid.
        super(ReplayBuffer, self).__init__(buffer_size, observation_space, action_space, device, n_envs=n_envs)
        if optimize_memory_usage:
            raise UsageError("FrameReplayBuffer stores frames once anyway; leave optimize_memory_usage off")
        self.buffer_size = max(buffer_size // n_envs, 1)
        self.optimize_memory_usage = False
        self.handle_timeout_termination = handle_timeout_termination
        self.codecs = codecs(observation_space, binary)
        steps = (self.buffer_size, n_envs)
        self.frames = {
            key: np.empty((self.buffer_size + 1, n_envs, *codec.stored_shape), codec.stored_dtype)
            for key, codec in self.codecs.items()
        }
        self.actions = np.zeros((*steps, self.action_dim), self._maybe_cast_dtype(action_space.dtype))
        self.rewards = np.zeros(steps, np.float32)
        self.dones = np.zeros(steps, np.float32)
        self.timeouts = np.zeros(steps, np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        #: Steps added since the beginning; step t has its frame in row t % (buffer_size + 1) of the ring.
        self.count = 0
        #: Row in `finals` of a step's next observation; -1 where it is the next step's.
        self.final_at = np.full((self.buffer_size, self.n_envs), -1, np.int64)
        self.finals = {
            key: np.empty((16, *codec.stored_shape), codec.stored_dtype) for key, codec in self.codecs.items()
        }
        self.free = list(range(16))

    def add(
        self,
        obs: Any,
        next_obs: Any,
        action: Array,
        reward: Array,
        done: Array,
        infos: list[dict[str, Any]],
    ) -> None:
        """Store one step of every environment; see `ReplayBuffer.add`.

        Raises:
            ValueError: a mask that is stored as bits is not binary; nothing is stored then.
        """
        before, after = self._encoded(obs), self._encoded(next_obs)
        here, there = self.count % (self.buffer_size + 1), (self.count + 1) % (self.buffer_size + 1)
        if self.count:
            self._keep_apart(here, before)
        for environment in np.flatnonzero(self.final_at[self.pos] >= 0):
            self.free.append(int(self.final_at[self.pos, environment]))
        self.final_at[self.pos] = -1
        for key in self.codecs:
            self.frames[key][here] = before[key]
            self.frames[key][there] = after[key]
        self.actions[self.pos] = np.array(action).reshape(self.n_envs, self.action_dim)
        self.rewards[self.pos] = np.array(reward)
        self.dones[self.pos] = np.array(done)
        if self.handle_timeout_termination:
            self.timeouts[self.pos] = np.array([info.get("TimeLimit.truncated", False) for info in infos])
        self.count += 1
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full = True
            self.pos = 0

    def _encoded(self, observation: Any) -> dict[str, Array]:
        parts = observation if isinstance(self.observation_space, spaces.Dict) else {WHOLE: observation}
        return {key: codec.encode(parts[key]) for key, codec in self.codecs.items()}

    def _keep_apart(self, row: int, observation: Mapping[str, Array]) -> None:
        """Keep the next observations of the last step which this step does not begin with."""
        slot = (self.pos - 1) % self.buffer_size
        differ = np.zeros(self.n_envs, bool)
        for key in self.codecs:
            # As bytes: NaN is equal to itself, and 0 differs from -0.
            told = _bytes(self.frames[key][row], self.n_envs) != _bytes(observation[key], self.n_envs)
            differ |= told.any(axis=1)
        for environment in np.flatnonzero(differ):
            at = self._room()
            for key in self.codecs:
                self.finals[key][at] = self.frames[key][row, environment]
            self.final_at[slot, environment] = at

    def _room(self) -> int:
        if not self.free:
            size = len(next(iter(self.finals.values())))
            for key, values in self.finals.items():
                more = np.empty((2 * size, *values.shape[1:]), values.dtype)
                more[:size] = values
                self.finals[key] = more
            self.free = list(range(size, 2 * size))
        return self.free.pop()

    def transition(self, slots: Array, environments: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        """Observations and next observations `(n, *shape)` by key, decoded."""
        age = (self.pos - 1 - slots) % self.buffer_size
        steps = self.count - 1 - age
        apart = self.final_at[slots, environments]
        rows = np.flatnonzero(apart >= 0)
        before, after = {}, {}
        for key, codec in self.codecs.items():
            ring = self.frames[key]
            before[key] = codec.decode(ring[steps % len(ring), environments])
            following = ring[(steps + 1) % len(ring), environments]
            following[rows] = self.finals[key][apart[rows]]
            after[key] = codec.decode(following)
        return before, after

    def sample(self, batch_size: int, env: Any = None) -> Any:
        """Sample as `ReplayBuffer.sample` does, from the same random numbers."""
        return super(ReplayBuffer, self).sample(batch_size=batch_size, env=env)

    def _get_samples(self, batch_inds: Array, env: Any = None) -> Any:
        environments = np.random.randint(0, high=self.n_envs, size=(len(batch_inds),))
        parts = self.transition(batch_inds, environments)
        dictionary = isinstance(self.observation_space, spaces.Dict)
        before, after = (self._normalize_obs(part if dictionary else part[WHOLE], env) for part in parts)
        at = (batch_inds, environments)
        ends = (self.dones[at] * (1 - self.timeouts[at])).reshape(-1, 1)
        rewards = self._normalize_reward(self.rewards[at].reshape(-1, 1), env)
        if not isinstance(before, dict) or not isinstance(after, dict):
            data = (before, self.actions[at], after, ends, rewards)
            return ReplayBufferSamples(*map(self.to_torch, data))
        return DictReplayBufferSamples(
            observations={key: self.to_torch(value) for key, value in before.items()},
            actions=self.to_torch(self.actions[at]),
            next_observations={key: self.to_torch(value) for key, value in after.items()},
            dones=self.to_torch(ends),
            rewards=self.to_torch(rewards),
        )

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take once they are full."""
        return sum(array.nbytes for array in self._arrays())

    def _arrays(self) -> Iterator[Array]:
        yield from self.frames.values()
        yield from self.finals.values()
        yield from (self.actions, self.rewards, self.dones, self.timeouts, self.final_at)


def buffer_bytes(
    observation_space: spaces.Space,
    action_space: spaces.Space,
    buffer_size: int,
    n_envs: int = 1,
    binary: Sequence[str] = (),
    endings: int = 0,
) -> int:
    """Bytes that a full `FrameReplayBuffer` takes; nothing is allocated.

    Args:
        observation_space: as in the buffer.
        action_space: as in the buffer.
        buffer_size: as in the buffer.
        n_envs: as in the buffer.
        binary: as in the buffer.
        endings: ends of episodes among its steps; their final observations are kept apart, in room that doubles.
    """
    steps = max(buffer_size // n_envs, 1)
    frame = sum(codec.nbytes for codec in codecs(observation_space, binary).values())
    apart = 16
    while apart < endings:
        apart *= 2
    actions = prod(action_space.shape or (1,)) * np.dtype(ReplayBuffer._maybe_cast_dtype(action_space.dtype)).itemsize
    # Reward, done and time-out as float32, and the row of a final observation.
    return (steps + 1) * n_envs * frame + apart * frame + steps * n_envs * (actions + 3 * 4 + 8)


def _bytes(values: Array, rows: int) -> Array:
    return np.ascontiguousarray(values).reshape(rows, -1).view(np.uint8)
