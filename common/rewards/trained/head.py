"""The trained part of a learned reward: a small head on a backbone's features, and what brings its number to scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.errors import DataError, RewardError
from common.files import write_bytes
from common.models.sizes import check_network, held_in

Form = Literal["standard", "probability"]


class RewardHead(nn.Module):
    """Two layers with SiLU between them: the best of one to five in BaseReward (arXiv 2509.16127).

    Features come in standardised; that is ours, so that one learning rate fits every backbone.

    Args:
        width: numbers in a feature.
        hidden: units of the middle layer; 0 takes `width`.

    Attributes:
        centre: `(width,)` mean of the features.
        scale: `(width,)` their standard deviation.
    """

    def __init__(self, width: int, hidden: int = 0) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden or width)
        self.outer = nn.Linear(hidden or width, 1)
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    @property
    def sizes(self) -> dict[str, int]:
        """The constructor's arguments."""
        return {"width": self.inner.in_features, "hidden": self.inner.out_features}

    def standardise(self, features: Tensor) -> None:
        """Take on mean and deviation of `(N, width)` features; what never varies is left alone."""
        self.centre.copy_(features.mean(0))
        spread = features.std(0)
        self.scale.copy_(torch.where(spread > 1e-6, spread, 1.0))

    def forward(self, features: Tensor) -> Tensor:
        """`(B,)` rewards of `(B, width)` features, on no scale."""
        inner = functional.silu(self.inner((features - self.centre) / self.scale))
        reward: Tensor = self.outer(inner).squeeze(-1)
        return reward

    def save(self, file: Path) -> Path:
        """Write the weights as safetensors."""
        from safetensors.torch import save

        return write_bytes(file, save({name: value.cpu().contiguous() for name, value in self.state_dict().items()}))

    @classmethod
    def load(cls, file: Path, sizes: Mapping[str, Any]) -> RewardHead:
        """Read what `save` wrote.

        Raises:
            DataError: the file is damaged, or the sizes are not its own.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            check_network(lambda: cls(**sizes), held_in([file]), file)
            head = cls(**sizes)
            head.load_state_dict(load(file.read_bytes()))
        except (OSError, RuntimeError, TypeError, ValueError, SafetensorError) as error:
            raise DataError(f"the head cannot be read: {error}", path=file) from error
        return head.eval().requires_grad_(False)


def bradley_terry(chosen: Tensor, rejected: Tensor) -> Tensor:
    r"""Mean of :math:`-\log \sigma(r_w - r_l)` over pairs (Bradley & Terry 1952); log 2 where nothing is told apart.

    As in BaseReward without a term that centres rewards on 0 and without a share for length, both of which hurt there.

    Args:
        chosen: `(B,)` rewards of the better completions.
        rejected: `(B,)` rewards of the others.
    """
    return functional.softplus(rejected - chosen).mean()


@dataclass(frozen=True)
class Calibration:
    r"""From a head's number, whose zero and unit mean nothing, to a reward with bounds.

    "standard" is :math:`(r - \mu) / \sigma`, cut at `limit`; "probability" is :math:`\sigma(r - \mu)`: how likely the
    completion is to beat an average one, as Bradley and Terry's model has it.

    Args:
        mean: of the numbers on held-out completions.
        deviation: their standard deviation.
        form: which of the two.
        limit: greatest value of "standard".

    Raises:
        RewardError: another form, a deviation or a limit that is not above 0, or a number that is not finite.
    """

    mean: float
    deviation: float
    form: Form = "standard"
    limit: float = 4.0

    def __post_init__(self) -> None:
        if self.form not in ("standard", "probability"):
            raise RewardError(f"calibration: form is standard or probability, not {self.form!r}")
        numbers = (self.mean, self.deviation, self.limit)
        if not all(isinstance(number, (int, float)) and abs(number) <= 1e30 for number in numbers):
            raise RewardError(f"calibration: mean, deviation and limit {numbers} must be numbers")
        if self.deviation <= 0 or self.limit <= 0:
            raise RewardError(
                f"calibration: deviation {self.deviation} and limit {self.limit} must be above 0; a head that gives "
                "every completion the same number has learnt nothing"
            )

    @classmethod
    def of(cls, numbers: Tensor, form: Form = "standard", limit: float = 4.0) -> Calibration:
        """From `(N,)` numbers of completions that were not trained on."""
        return cls(float(numbers.mean()), float(numbers.std()), form, limit)

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and greatest reward."""
        return (-self.limit, self.limit) if self.form == "standard" else (0.0, 1.0)

    def apply(self, numbers: Tensor) -> Tensor:
        """`(B,)` rewards; NaN where the number is not finite."""
        known = torch.where(numbers.isfinite(), numbers, math.nan) - self.mean
        if self.form == "probability":
            return known.sigmoid()
        return (known / self.deviation).clamp(-self.limit, self.limit)

    def to_dict(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return asdict(self)
