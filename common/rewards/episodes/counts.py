"""How often something came up in an episode, and a reward that pays less each time."""

from __future__ import annotations

import bisect
import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput
from common.rewards.compose import refuse_negative
from common.rewards.episodes.memory import look_up, whole
from common.rewards.transforms import functional as transform_functional
from common.rewards.transforms.basic import Transform, explained


class Counts:
    """How often a text came up in an episode; a row that comes twice counts once.

    Args:
        limit: episodes kept, the one that was longest without a row dropped first.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._places: OrderedDict[int, dict[str, list[int]]] = OrderedDict()

    def take_in(self, groups: Sequence[int], places: Sequence[int], texts: Sequence[str]) -> None:
        """Note rows."""
        for group, place, text in zip(groups, places, texts, strict=True):
            known = self._places.setdefault(group, {}).setdefault(text, [])
            self._places.move_to_end(group)
            at = bisect.bisect_left(known, place)
            if at == len(known) or known[at] != place:
                known.insert(at, place)
        while len(self._places) > max(self.limit, len(set(groups))):
            self._places.popitem(last=False)

    def number(self, group: int, place: int, text: str) -> int:
        """Rows of the episode with this text up to a place, that one included."""
        return bisect.bisect_right(self._places[group][text], place)

    def state_dict(self) -> dict[str, Any]:
        """Everything known, for a checkpoint."""
        return {"places": {group: {text: list(at) for text, at in one.items()} for group, one in self._places.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._places = OrderedDict(
            (int(group), {text: list(at) for text, at in one.items()}) for group, one in state["places"].items()
        )


def number(reward: str, counts: Counts, columns: Mapping[str, Any], place: str, texts: Sequence[str]) -> Tensor:
    """`(B,)` float64: how often each row's text came up in its episode until its `place`; the rows are noted."""
    groups = whole(reward, columns["group"], "group").tolist()
    places = whole(reward, look_up(reward, columns, place), place).tolist()
    counts.take_in(groups, places, texts)
    return torch.tensor([counts.number(*row) for row in zip(groups, places, texts, strict=True)], dtype=torch.float64)


class CountDecay(Transform):
    r""":math:`r\,N(o)^{-\beta}`: what comes up again in an episode pays less each time.

    Range [0, the inner upper bound], higher is better; the inner reward must start at 0 or above, or what is bad would
    hurt less each time it is repeated. NaN stays NaN, and a row whose observation is no number is NaN too. After ONI
    (arXiv 2410.23022), whose intrinsic reward decays so; `Intrinsic` has it built in.

    N counts the rows of the same episode (`group`) with the same observation up to this row's `place`, this one
    included: it depends on neither the rows' order nor how the episode was cut into batches. Rows are remembered where
    a `step` column says which training step it is; without one only the batch itself counts.

    Part: `count` (N).

    Args:
        inner: the reward.
        key: column of what is counted: a text, or numbers (a vector a row) that are rounded first.
        beta: β.
        decimals: digits of the numbers after the point that tell two observations apart.
        place: column of a row's place in its episode.
        remembered: episodes whose counts are kept.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: a setting that cannot be, or an inner reward that goes below 0.
    """

    def __init__(
        self,
        inner: Reward,
        key: str = "event",
        beta: float = 1.0,
        decimals: int = 2,
        place: str = "state.step",
        remembered: int = 1024,
        name: str | None = None,
    ) -> None:
        super().__init__(inner, name)
        if not (0 < beta < math.inf and remembered >= 1):
            raise RewardError(
                f"reward {self.name!r}: beta {beta} must be above 0 and remembered {remembered} 1 or more"
            )
        refuse_negative(self.name, inner.name, inner)
        self.differentiable = False
        self.key, self.beta, self.decimals, self.place = key, beta, decimals, place
        self.needs = tuple(dict.fromkeys((*inner.needs, key, "group", place.split(".")[0])))
        self.bounds = (0.0, inner.bounds[1])
        self.part_names = ("count", *inner.part_names)
        self.counts = Counts(remembered)

    def score(self, **columns: Any) -> RewardOutput:
        """Score, then divide by the count; see `Reward.score`."""
        output = self.inner(**columns)
        texts = [self._text(one, row) for row, one in enumerate(columns[self.key])]
        counts = self.counts if columns.get("step") is not None else Counts(len(texts) + 1)
        seen = number(self.name, counts, columns, self.place, texts)
        values = transform_functional.count_decay(output.values.detach().cpu().double(), seen, self.beta)
        told = ["" if text else "the observation is no number" for text in texts]
        values = torch.where(torch.tensor([bool(text) for text in texts]), values, math.nan)
        return RewardOutput(values.float(), {**output.parts, "count": seen.float()}, explained(output, told))

    def _text(self, entry: Any, row: int) -> str:
        """What the entry is counted by; empty where it is no number."""
        if isinstance(entry, str):
            return f"t{entry}"
        try:
            numbers = torch.as_tensor(entry, dtype=torch.float64).flatten()
        except (TypeError, ValueError) as error:
            raise RewardError(
                f"reward {self.name!r}: {self.key!r} of row {row} is a {type(entry).__name__}; only texts and "
                "numbers can be counted"
            ) from error
        if not numbers.isfinite().all():
            return ""
        # Adding 0 makes -0 the same as 0.
        rounded = numbers.mul(10.0**self.decimals).round() + 0.0
        return f"n{hashlib.blake2b(rounded.numpy().tobytes(), digest_size=16).hexdigest()}"

    def state_dict(self) -> dict[str, Any]:
        """The counts, for a checkpoint."""
        return self.counts.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.counts.load_state_dict(state)
