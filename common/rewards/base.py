"""The reward contract: keyword columns in, one typed batch out.

Failure policy (shared/design.md, section 3). A value is NaN only where the *grader* failed. The policy's fault
scores the lower bound, with a reason; the caller's fault raises.

Importing this waits for nothing: torch comes with the first batch, so that a reward may stand beside a command line.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from common.errors import MissingColumn, RewardError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RewardOutput:
    """Scores of one batch.

    Attributes:
        values: `(B,)` float32 within the reward's bounds; NaN where a row could not be scored.
        parts: `(B,)` tensors under flat dotted names, the same names for every batch.
        info: per-row text under flat names: extracted answer, reason, error.
    """

    values: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    info: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Reward(ABC):
    """Scores a batch of rows given as keyword columns.

    A plain picklable object, never an `nn.Module` (trl takes those for sequence classifiers). Models are built lazily.
    `0.7 * a + 0.3 * b` makes a `WeightedSum`, `a * b` a `Product`.

    Attributes:
        name: what logs and parts call it; no dots.
        needs: columns it reads.
        bounds: least and greatest value.
        differentiable: whether gradient flows from `values` to a tensor column.
        part_names: names of its parts, where a lazy composite must know them before it was ever called.
        fingerprint: differs where the reward is another one than before; empty where it stays while the program runs.
    """

    name: str
    needs: tuple[str, ...] = ("completion",)
    bounds: tuple[float, float] = (0.0, 1.0)
    differentiable: bool = False
    part_names: tuple[str, ...] = ()
    fingerprint: str = ""

    def __call__(self, **columns: Any) -> RewardOutput:
        """Check the columns, score them, check the result's shape.

        Raises:
            MissingColumn: a column in `needs` is absent.
            RewardError: two columns differ in length, or `score` returned something of another shape.
        """
        import torch

        size = self.batch_size(columns)
        output = self.score(**columns)
        if output.values.shape != (size,):
            raise RewardError(
                f"reward {self.name!r} returned shape {tuple(output.values.shape)} for a batch of {size}"
            )
        for name, part in output.parts.items():
            if part.shape != (size,):
                raise RewardError(f"reward {self.name!r}: part {name!r} has shape {tuple(part.shape)}, not ({size},)")
        for name, texts in output.info.items():
            if len(texts) != size:
                raise RewardError(f"reward {self.name!r}: info {name!r} has {len(texts)} texts for {size} rows")
        if output.values.dtype != torch.float32:
            return RewardOutput(output.values.float(), output.parts, output.info)
        return output

    def batch_size(self, columns: Mapping[str, Any]) -> int:
        """Rows in the batch; raises where a needed column is missing or lengths differ.

        A number (`step`) is a constant for the whole batch. Columns that are not needed are not looked at.
        """
        lengths: dict[str, int] = {}
        for column in self.needs:
            if column not in columns:
                raise MissingColumn(self.name, column, sorted(columns))
            value = columns[column]
            rows = row_count(value)
            if rows is not None:
                lengths[column] = rows
            elif not isinstance(value, (int, float)):
                kind = type(value).__name__
                raise RewardError(f"reward {self.name!r}: column {column!r} must hold one entry a row; it is a {kind}")
        if len(set(lengths.values())) > 1:
            raise RewardError(f"reward {self.name!r}: columns differ in length: {lengths}")
        return next(iter(lengths.values()), 0)

    @abstractmethod
    def score(self, **columns: Any) -> RewardOutput:
        """Score rows whose columns were checked; `columns` may hold more than `needs`."""

    @property
    def worst(self) -> float:
        """The value of a row that is the policy's fault."""
        return self.bounds[0]

    def __add__(self, other: Reward) -> Reward:
        from common.rewards.compose import add

        return add(self, other) if isinstance(other, Reward) else NotImplemented

    def __radd__(self, other: object) -> Reward:
        # sum() starts from 0.
        return self if other == 0 else NotImplemented

    def __mul__(self, other: Reward | float) -> Reward:
        from common.rewards.compose import multiply, scale

        if isinstance(other, Reward):
            return multiply(self, other)
        return scale(self, other) if isinstance(other, (int, float)) else NotImplemented

    def __rmul__(self, other: float) -> Reward:
        return self * other


def nan_like(size: int) -> Tensor:
    """`(size,)` of NaN: rows not scored yet."""
    import torch

    return torch.full((size,), math.nan)


def row_count(column: object) -> int | None:
    """Entries of a column: of each of its tensors for a dictionary (`state`); None for a constant or a lone text."""
    if isinstance(column, Mapping):
        counts = {row_count(value) for value in column.values()}
        return counts.pop() if len(counts) == 1 else None
    if isinstance(column, (str, bytes)):
        return None
    try:
        return len(column)  # type: ignore[arg-type]
    except TypeError:  # a number, or a tensor of one
        return None


def take_rows(columns: Mapping[str, Any], rows: Sequence[int], size: int) -> dict[str, Any]:
    """The given rows of every column that has `size` entries; constants as they are."""
    return {name: _take(column, rows) if row_count(column) == size else column for name, column in columns.items()}


def _take(column: Any, rows: Sequence[int]) -> Any:
    if isinstance(column, Mapping):
        return {name: _take(value, rows) for name, value in column.items()}
    if isinstance(column, (list, tuple)):
        return [column[row] for row in rows]
    return column[list(rows)]


def scatter_rows(values: Tensor, rows: Sequence[int], size: int, fill: float = math.nan) -> Tensor:
    """`values` `(len(rows),)` at `rows` of a `(size,)` tensor that holds `fill` elsewhere."""
    import torch

    result = torch.full((size,), fill, dtype=torch.float32, device=values.device)
    return result.index_copy(0, torch.tensor(rows, dtype=torch.long, device=values.device), values.float())
