"""What one step of N environments tells a reward: its columns, read from observations and infos.

Nothing of gymnasium or stable-baselines3 is imported, only their convention followed: `infos[i]` belongs to the step
that was taken, `infos[i]["terminal_observation"]` is what an ended episode was left with (the observation returned
beside it is the next episode's first), and `infos[i]["TimeLimit.truncated"]` tells a time limit from an end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import RewardError

Array = NDArray[Any]
Layout = Literal["HWC", "CHW"]


@dataclass(frozen=True)
class Picture:
    """Where the picture of a step lies.

    Attributes:
        source: "info" or "observation". In an info it need only be there in steps that are looked at; see `stride`.
        key: its key; "" for an observation that is the picture.
        layout: order of its axes. It is said, not guessed: a picture of height 3 fits both. Colours are RGB.
    """

    source: Literal["info", "observation"] = "info"
    key: str = "picture"
    layout: Layout = "HWC"


@dataclass(frozen=True)
class Columns:
    """Which columns a reward is given.

    Beside those named here it gets `environment` (B,) long; `group` (B,) long, the number of the row's episode, which
    no other one has; `first` and `last` (B,) bool, which say where episodes begin and end; and `step`, the calls so
    far, while it trains.

    Attributes:
        state: key of the info that holds a dictionary of numbers, the same keys in every step; it becomes the column
            `state`, a dictionary of `(B,)` float32 tensors. "" for none.
        picture: where the column `images` comes from, `(B, 3, H, W)` in [0, 1]; None for none.
        info: further keys of the info; each becomes a column of that name, a list.
        constants: columns that are the same in every row, such as `goal`.
    """

    state: str = "state"
    picture: Picture | None = None
    info: tuple[str, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)


class Transition(NamedTuple):
    """What a reward may know of one step of one environment.

    Attributes:
        environment: number of the environment.
        episode: number of the episode.
        reward: what the environment itself paid.
        first: the first step of an episode.
        terminated: the episode came to its end in this step.
        truncated: the episode was broken off after this step (time limit).
        state: the numbers; None where no column of them is made.
        picture: as the environment made it; None where the one before holds.
        extra: further entries of the info.
    """

    environment: int
    episode: int
    reward: float
    first: bool
    terminated: bool
    truncated: bool
    state: Mapping[str, float] | None
    picture: Array | None
    extra: Mapping[str, Any]

    @property
    def last(self) -> bool:
        """Whether the episode ends with this step."""
        return self.terminated or self.truncated


class StepReader:
    """Turns what a vector environment returns into transitions.

    With a stride of k the picture is read in the first step of an episode, every k-th after it, and the last one (an
    accident must be seen); in between the picture before it holds.

    Args:
        columns: what to read.
        environments: their number.
        stride: k.
        pictures: whether pictures are wanted at all.

    Raises:
        RewardError: a stride below 1, or pictures are wanted and `columns` does not say where they lie.
    """

    def __init__(self, columns: Columns, environments: int, stride: int = 1, pictures: bool = True) -> None:
        if stride < 1:
            raise RewardError(f"a stride of {stride} is none; give 1 or more")
        if pictures and columns.picture is None:
            raise RewardError("the reward needs the column 'images'; say in Columns(picture=...) where pictures lie")
        self.columns = columns
        self.stride = stride
        self.pictures = pictures
        self.clock = [0] * environments
        self.episodes = list(range(environments))

    def restart(self) -> None:
        """All environments were reset."""
        self.clock = [0] * len(self.clock)
        for number in range(len(self.clock)):
            self._begin(number)

    def _begin(self, number: int) -> None:
        self.episodes[number] = max(self.episodes) + 1

    def read(
        self, observations: Any, rewards: Array, dones: Array, infos: Sequence[Mapping[str, Any]]
    ) -> list[Transition]:
        """The transitions of one step, one for each environment; pictures and states are copied.

        Raises:
            RewardError: an entry is missing; the message names its key.
        """
        rows = []
        for number, info in enumerate(infos):
            done = bool(dones[number])
            truncated = done and bool(info.get("TimeLimit.truncated", False))
            due = self.pictures and (done or self.clock[number] % self.stride == 0)
            rows.append(
                Transition(
                    number,
                    self.episodes[number],
                    float(rewards[number]),
                    self.clock[number] == 0,
                    done and not truncated,
                    truncated,
                    dict(self._entry(info, self.columns.state)) if self.columns.state else None,
                    self._picture(observations, info, number, done) if due else None,
                    {key: self._entry(info, key) for key in self.columns.info},
                )
            )
            self.clock[number] += 1
            if done:
                self.clock[number] = 0
                self._begin(number)
        return rows

    def _entry(self, info: Mapping[str, Any], key: str) -> Any:
        if key not in info:
            raise RewardError(
                f"the environment's info has no {key!r}, which the reward's columns come from; it has {sorted(info)}"
            )
        return info[key]

    def _picture(self, observations: Any, info: Mapping[str, Any], number: int, done: bool) -> Array:
        picture = self.columns.picture
        assert picture is not None
        if picture.source == "info":
            return np.array(self._entry(info, picture.key))
        if done:
            found = self._entry(info, "terminal_observation")
            return np.array(found[picture.key] if picture.key else found)
        whole = observations[picture.key] if picture.key else observations
        return np.array(whole[number])

    def state_dict(self) -> dict[str, Any]:
        """Where each episode stands."""
        return {"clock": list(self.clock), "episodes": list(self.episodes)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned.

        Raises:
            RewardError: it is of another number of environments.
        """
        if len(state["clock"]) != len(self.clock):
            raise RewardError(f"the saved state is of {len(state['clock'])} environments, here are {len(self.clock)}")
        self.clock = [int(step) for step in state["clock"]]
        self.episodes = [int(number) for number in state["episodes"]]


def as_pictures(pictures: Sequence[Array], layout: Layout) -> Tensor:
    """`(B, 3, H, W)` float32 in [0, 1] from bytes or from floats in [0, 1]; one channel is taken for grey.

    Raises:
        RewardError: pictures of different sizes, of another number of channels or type, or out of range.
    """
    shapes = {(picture.shape, picture.dtype) for picture in pictures}
    if len(shapes) != 1:
        raise RewardError(f"pictures of one call must be alike; they are {sorted(map(str, shapes))}")
    stacked = torch.from_numpy(np.ascontiguousarray(np.stack(pictures)))
    if stacked.ndim != 4:
        raise RewardError(f"a picture has three axes ({layout}); this one has the shape {tuple(stacked.shape[1:])}")
    if layout == "HWC":
        stacked = stacked.permute(0, 3, 1, 2)
    if stacked.shape[1] not in (1, 3):
        raise RewardError(f"a picture in {layout} of shape {tuple(pictures[0].shape)} has {stacked.shape[1]} channels")
    if stacked.dtype == torch.uint8:
        stacked = stacked.float() / 255
    elif stacked.is_floating_point():
        stacked = stacked.float()
        if not bool(((stacked >= 0) & (stacked <= 1)).all()):
            raise RewardError("pictures of floats must lie in [0, 1]")
    else:
        raise RewardError(f"pictures must be bytes or floats, not {stacked.dtype}")
    return stacked.expand(-1, 3, -1, -1).contiguous()


def as_states(states: Sequence[Mapping[str, float]]) -> dict[str, Tensor]:
    """The column `state`: a `(B,)` float32 tensor for each key.

    Raises:
        RewardError: rows differ in their keys.
    """
    keys = states[0].keys()
    for state in states:
        if state.keys() != keys:
            raise RewardError(f"states must have the same keys in every step; {sorted(set(state) ^ set(keys))} differ")
    # One array for all keys: a tensor made for each would take longer than the reward.
    table = np.array([[state[key] for state in states] for key in keys], np.float32).reshape(len(keys), len(states))
    return dict(zip(keys, torch.from_numpy(table).unbind(), strict=True))


def to_plain(rows: Sequence[Transition]) -> list[dict[str, Any]]:
    """Transitions as tensors, numbers, texts, lists and dictionaries, for a checkpoint."""
    plain = []
    for row in rows:
        entry = {**row._asdict(), "state": None if row.state is None else dict(row.state), "extra": dict(row.extra)}
        entry["picture"] = None if row.picture is None else torch.from_numpy(np.ascontiguousarray(row.picture))
        plain.append(entry)
    return plain


def from_plain(rows: Sequence[Mapping[str, Any]]) -> list[Transition]:
    """Transitions from what `to_plain` returned."""
    return [
        Transition(**{**row, "picture": None if row["picture"] is None else row["picture"].numpy()}) for row in rows
    ]
