"""Rewards for the length of a completion and against saying the same again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from common.errors import RewardError
from common.rewards import functional
from common.rewards.base import Reward, RewardOutput
from common.rewards.transforms import functional as transform_functional

#: A text's units: words of any script, or a tokenizer's tokens.
Units = Callable[[str], Sequence[Any]]


class LengthWindow(Reward):
    r"""Generalised length penalty: 0 for n within [low, high], :math:`e^{-(d/s)^2} - 1` for d units outside.

    Range [-1, 0], higher is better; never NaN, an empty completion has n = 0. Inspired by the generalised length
    penalty of Beyond Monolithic Rewards (arXiv 2510.05283), whose formula was not at hand; here the penalty begins
    with slope 0 at either end and never exceeds 1, so that no length outweighs the answer.

    Padding never pays while `low` is 0: no text scores above a shorter one. With a `low`, only *different* units fill
    a text up, so that repeated words, white space and punctuation do not; different filler words would.

    Args:
        high: greatest number of units without penalty.
        low: least number of different units without penalty.
        softness: s above `high`, in units: a third of the penalty is due at 0.64 s.
        low_softness: s below `low`.
        units: cuts a text into what is counted; words of any script where not given. A transformers tokenizer's
            `tokenize` counts its tokens.
        name: the part's name.

    Raises:
        RewardError: limits out of order or a softness of 0.
    """

    bounds = (-1.0, 0.0)

    def __init__(
        self,
        high: int,
        low: int = 0,
        softness: float = 32.0,
        low_softness: float = 4.0,
        units: Units = functional.tokens,
        name: str = "length",
    ) -> None:
        if not 0 <= low <= high:
            raise RewardError(f"reward {name!r}: no text is between {low} and {high} units long")
        if not (softness > 0 and low_softness > 0):
            raise RewardError(f"reward {name!r}: softness {softness} and {low_softness} must be above 0")
        self.high = high
        self.low = low
        self.softness = softness
        self.low_softness = low_softness
        self.units = units
        self.name = name

    def score(self, **columns: Any) -> RewardOutput:
        """Count each text's units; see `Reward.score`."""
        rows = [self._row(self.units(text)) for text in columns["completion"]]
        values = torch.tensor([value for value, _ in rows], dtype=torch.float32)
        return RewardOutput(values, info={"reason": [reason for _, reason in rows]})

    def _row(self, units: Sequence[Any]) -> tuple[float, str]:
        over, different = len(units) - self.high, len(set(units))
        if over > 0:
            return _penalty(over / self.softness), f"{len(units)} units, at most {self.high} asked for"
        if different < self.low:
            return (
                _penalty((self.low - different) / self.low_softness),
                f"{different} different units, at least {self.low} asked for",
            )
        return 0.0, ""


class Repetition(Reward):
    r"""Minus the share of n-grams that stood in the text before: :math:`|\{g\}| / |g| - 1`.

    Range [-1, 0], higher is better; never NaN. A text of fewer than n words repeats nothing. Adding words can raise
    it, by diluting what is repeated, and never above 0.

    Args:
        n: words in an n-gram.
        name: the part's name.

    Raises:
        RewardError: n is less than 1.
    """

    bounds = (-1.0, 0.0)

    def __init__(self, n: int = 3, name: str = "repetition") -> None:
        if n < 1:
            raise RewardError(f"reward {name!r}: an n-gram has 1 word or more, not {n}")
        self.n = n
        self.name = name

    def score(self, **columns: Any) -> RewardOutput:
        """Count each text's n-grams; see `Reward.score`."""
        shares = [functional.repeated_share(functional.tokens(text), self.n) for text in columns["completion"]]
        reasons = [f"{share:.0%} of {self.n}-grams are repeated" if share else "" for share in shares]
        return RewardOutput(torch.tensor([-share for share in shares], dtype=torch.float32), info={"reason": reasons})


class LengthIncentive(Reward):
    r""":math:`\min(n / u, cap)` with n the completion's units: a factor that pays for saying more, up to a point.

    Range [0, cap], higher is better; never NaN, an empty completion is 0. R3 (arXiv 2402.03469) has n words / 100
    without a cap; there the longest row of a batch decides how much all others are worth, so it is capped here.

    It is meant as a factor beside relevance and `RepetitionPenalty`: alone it teaches to talk on. The units count,
    different or not; repeating is the other factor's business.

    Args:
        unit: u, units that pay 1.
        cap: where more pays no more.
        units: cuts a text into what is counted; words of any script where not given.
        name: the part's name.

    Raises:
        RewardError: unit or cap is not above 0.
    """

    def __init__(
        self, unit: float = 100.0, cap: float = 1.0, units: Units = functional.tokens, name: str = "length_incentive"
    ) -> None:
        if not (0 < unit < math.inf and 0 < cap < math.inf):
            raise RewardError(f"reward {name!r}: unit {unit} and cap {cap} must be above 0")
        self.unit, self.cap, self.units, self.name = unit, cap, units, name
        self.bounds = (0.0, cap)

    def score(self, **columns: Any) -> RewardOutput:
        """Count each text's units; see `Reward.score`."""
        found = [
            transform_functional.length_incentive(len(self.units(text)), self.unit, self.cap)
            for text in columns["completion"]
        ]
        return RewardOutput(torch.tensor(found, dtype=torch.float32))


class RepetitionPenalty(Reward):
    r"""Share of n-grams of token ids that are different, :math:`|\{g\}| / |g|`: a factor against saying the same
    again.

    Range [0, 1], higher is better; never NaN. Fewer than n ids repeat nothing and are 1; no ids at all are the
    policy's fault and 0. On the trainer's token ids, in any language alike, where R3 (arXiv 2402.03469) counts
    trigrams of words; `Repetition` counts words, as a penalty beside other parts of a sum.

    Args:
        n: ids in an n-gram.
        column: of the token ids, a list or tensor a row; trl passes `completion_ids`, without padding.
        name: the part's name.

    Raises:
        RewardError: n is less than 1.
    """

    def __init__(self, n: int = 3, column: str = "completion_ids", name: str = "repetition_penalty") -> None:
        if n < 1:
            raise RewardError(f"reward {name!r}: an n-gram has 1 id or more, not {n}")
        self.n, self.column, self.name = n, column, name
        self.needs = (column,)

    def score(self, **columns: Any) -> RewardOutput:
        """Count each row's n-grams; see `Reward.score`."""
        rows = [torch.as_tensor(ids, dtype=torch.long).tolist() for ids in columns[self.column]]
        found = [1 - functional.repeated_share(ids, self.n) if ids else 0.0 for ids in rows]
        reasons = ["" if value == 1 else f"{1 - value:.0%} of {self.n}-grams are repeated" for value in found]
        reasons = [reason if ids else "no token ids" for reason, ids in zip(reasons, rows, strict=True)]
        return RewardOutput(torch.tensor(found, dtype=torch.float32), info={"reason": reasons})


def _penalty(distance: float) -> float:
    return math.exp(-(distance**2)) - 1.0
