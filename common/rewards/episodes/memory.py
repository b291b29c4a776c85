"""What a reward must remember of episodes that are longer than one batch.

A trainer hands over pieces of many episodes at a time, in any order, and may hand over a piece twice. Rows are kept by
episode and place in it, so that none of this changes anything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from common.errors import MissingColumn, RewardError


class Episodes:
    """Vectors of the episodes that are under way, by episode and place.

    An ended episode is kept until rows come without it, so that its last piece can be scored again.

    Args:
        limit: episodes kept; the one that was longest without a row is dropped first.
    """

    def __init__(self, limit: int = 1024) -> None:
        if limit < 1:
            raise RewardError(f"a memory of {limit} episodes is none")
        self.limit = limit
        self._rows: OrderedDict[int, dict[int, Tensor]] = OrderedDict()
        self._ended: set[int] = set()

    def take_in(self, groups: Tensor, places: Tensor, rows: Tensor, ends: Tensor) -> list[int]:
        """Note the rows of a batch; return the episodes of which a row is the last.

        Args:
            groups: `(B,)` number of each row's episode, never used for another one.
            places: `(B,)` place of each row in its episode.
            rows: `(B, D)`.
            ends: `(B,)` whether a row is its episode's last.
        """
        present = set(groups.tolist())
        for group in self._ended - present:
            self._rows.pop(group, None)
        self._ended &= present
        for row, (group, place) in enumerate(zip(groups.tolist(), places.tolist(), strict=True)):
            self._rows.setdefault(group, {})[place] = rows[row].detach().cpu().clone()
            self._rows.move_to_end(group)
        while len(self._rows) > max(self.limit, len(present)):
            self._rows.popitem(last=False)
        over = [group for group, end in zip(groups.tolist(), ends.tolist(), strict=True) if end]
        self._ended.update(over)
        return over

    def rows(self, group: int) -> Tensor:
        """`(T, D)` what is known of an episode, in order."""
        known = self._rows[group]
        return torch.stack([known[place] for place in sorted(known)])

    def places(self, group: int) -> list[int]:
        """The places of `rows`."""
        return sorted(self._rows[group])

    def __contains__(self, group: object) -> bool:
        return group in self._rows

    def state_dict(self) -> dict[str, Any]:
        """Everything known, for a checkpoint."""
        rows = {group: (self.places(group), self.rows(group)) for group in self._rows}
        return {"rows": rows, "ended": sorted(self._ended)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._rows = OrderedDict(
            (int(group), dict(zip(places, rows.clone(), strict=True)))
            for group, (places, rows) in state["rows"].items()
        )
        self._ended = set(state["ended"])


def look_up(reward: str, columns: Mapping[str, Any], path: str) -> Any:
    """A column, or an entry of one: `step` or `state.step`.

    Raises:
        MissingColumn: there is none.
    """
    found: Any = columns
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            raise MissingColumn(reward, path, sorted(found) if isinstance(found, Mapping) else type(found).__name__)
        found = found[name]
    return found


def whole(reward: str, values: Any, path: str) -> Tensor:
    """`(B,)` whole numbers of a column.

    Raises:
        RewardError: they are no finite numbers, or no whole ones.
    """
    numbers = torch.as_tensor(values).detach().double().cpu()
    if not numbers.isfinite().all() or (numbers != numbers.round()).any():
        raise RewardError(f"reward {reward!r}: {path} must hold whole numbers")
    return numbers.long()


def any_of(reward: str, columns: Mapping[str, Any], paths: Iterable[str]) -> Tensor:
    """`(B,)` whether one of several columns is above 0."""
    flags = [torch.as_tensor(look_up(reward, columns, path)).detach().cpu() > 0 for path in paths]
    return torch.stack(flags).any(0)
