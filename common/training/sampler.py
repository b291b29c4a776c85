"""An endless, seeded, resumable order of a data set's rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from common.errors import UsageError

if TYPE_CHECKING:
    import numpy

_FIXED = ("size", "batch_size", "seed")


class CyclicSampler:
    """Batches of row numbers without end: every epoch shows each row once, in an order of its own.

    A batch that reaches the end of an epoch is filled from the next one, so every batch is full; one that is larger
    than the data set holds rows several times. So two data sets of unequal size, such as pictures and sentences, are
    drawn from side by side, each with a sampler of its own.
    """

    def __init__(self, size: int, batch_size: int, seed: int = 0) -> None:
        """Start at the first batch of the first epoch.

        Args:
            size: rows of the data set.
            batch_size: rows a batch.
            seed: of the orders, not negative.

        Raises:
            UsageError: there are no rows, or the batch is empty, or the seed is negative.
        """
        if size < 1 or batch_size < 1 or seed < 0:
            raise UsageError(
                f"cannot draw batches of {batch_size} from {size} rows with the seed {seed}: "
                "rows and batch must be 1 or more, the seed 0 or more"
            )
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self._position = 0
        self._order = self._shuffled()

    def next(self) -> list[int]:
        """The next batch: `batch_size` row numbers from 0."""
        batch: list[int] = []
        while len(batch) < self.batch_size:
            # Before the slice, not after: the epoch counts up only when the next one is really begun.
            if self._position == self.size:
                self.epoch += 1
                self._position = 0
                self._order = self._shuffled()
            part = self._order[self._position : self._position + self.batch_size - len(batch)]
            batch.extend(part.tolist())
            self._position += len(part)
        return batch

    def __iter__(self) -> Iterator[list[int]]:
        while True:
            yield self.next()

    def state_dict(self) -> dict[str, int]:
        """Where it stands, as five whole numbers; the next batch after `load_state_dict` is the one after this."""
        return {
            "size": self.size,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "epoch": self.epoch,
            "position": self._position,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken.

        Raises:
            UsageError: the state is of another data set size, batch size or seed, or is no state.
        """
        names = (*_FIXED, "epoch", "position")
        if any(not isinstance(state.get(name), int) for name in names):
            raise UsageError(f"this is no sampler's state: it needs whole numbers {', '.join(names)}")
        changed = [
            f"{name} {state[name]} -> {getattr(self, name)}" for name in _FIXED if state[name] != getattr(self, name)
        ]
        if changed:
            raise UsageError(
                f"the sampler cannot go on: {', '.join(changed)}; resume with the data and settings of the first run"
            )
        if state["epoch"] < 0 or not 0 <= state["position"] <= self.size:
            raise UsageError(f"this is no sampler's state: epoch {state['epoch']}, position {state['position']}")
        self.epoch = state["epoch"]
        self._position = state["position"]
        self._order = self._shuffled()

    def _shuffled(self) -> numpy.ndarray:
        import numpy

        # By seed and epoch alone, so that the state is two numbers however large the data set is.
        return numpy.random.default_rng([self.seed, self.epoch]).permutation(self.size)
