"""Several processes that train one model: each takes its slice of every step, and all keep the same weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from common.errors import TouchstoneError, UsageError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
RowsT = TypeVar("RowsT", bound=Any)

# The others wait while the main process measures or reads a large data set; torch would give up after minutes.
WAIT = timedelta(days=1)


class MainFailed(TouchstoneError):
    """The main process failed while this one waited for it; the main process tells why."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("the main process failed; its message tells why")
        self.exit_code = exit_code


@dataclass(frozen=True)
class Workers:
    """The processes of a run, seen from one of them; where there is one, nothing is sent and nothing is waited for.

    Every process must come to the same calls in the same order: each waits for all.

    Attributes:
        rank: of this process. Number 0 is the main process, which alone measures and writes.
        number: of processes.
    """

    rank: int = 0
    number: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the main process."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.number == 1

    @property
    def launcher(self) -> str:
        """How a user starts as many processes, up to the module's name."""
        if self.alone:
            return "python -m"
        import torch

        # On a machine without GPUs `accelerate launch` starts one process only.
        start = "accelerate launch --num_processes" if torch.cuda.is_available() else "torchrun --nproc_per_node"
        return f"{start} {self.number} -m"

    def check_divides(self, setting: str, value: int) -> None:
        """Refuse a step of which the processes cannot take equal slices.

        Raises:
            UsageError: names the setting.
        """
        if value % self.number:
            raise UsageError(
                f"{setting}: {value} does not divide by {self.number} processes, of which each takes an equal part"
            )

    def slice(self, rows: RowsT) -> RowsT:
        """This process' part of a step's rows, a list or a tensor."""
        size = len(rows) // self.number
        return rows[self.rank * size : (self.rank + 1) * size]

    def seed(self, seed: int) -> int:
        """A seed of this process' own, for what must differ between processes; the main process' is `seed` itself."""
        return seed + 1_000_003 * self.rank

    def part_ways(self, seed: int) -> None:
        """Seed torch's generator by process, so that dropout differs; it is left alone where there is one process."""
        if not self.alone:
            import torch

            torch.manual_seed(self.seed(seed))

    def gather(self, value: T) -> list[T]:
        """Every process' value, by rank; small ones, and tensors on the CPU."""
        if self.alone:
            return [value]
        import torch.distributed as dist

        found: list[Any] = [None] * self.number
        dist.all_gather_object(found, value)
        return found

    def total(self, value: float) -> float:
        """The sum over processes."""
        first, *others = self.gather(value)
        return sum(others, start=first)

    def add_gradients(self, parameters: Iterable[torch.Tensor]) -> None:
        """Replace every gradient by its sum over processes; the same weights have one in all of them."""
        if self.alone:
            return
        import torch.distributed as dist

        for parameter in parameters:
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)

    def share(self, module: torch.nn.Module) -> None:
        """Give every process the main process' weights."""
        if self.alone:
            return
        import torch.distributed as dist

        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.detach(), 0)

    def main_only(self, work: Callable[[], T]) -> T | None:
        """Let the main process work while the others wait; there the result is None.

        Raises:
            MainFailed: in the others, where the main process raised anything.
        """
        return self._led(work, tell=False)

    def agreed(self, work: Callable[[], T]) -> T:
        """As `main_only`; every process gets a copy of the result."""
        result: Any = self._led(work, tell=True)
        return result

    def _led(self, work: Callable[[], T], tell: bool) -> T | None:
        if self.alone:
            return work()
        if not self.main:
            result, code = self._told(None)
            if code is not None:
                raise MainFailed(code)
            return result
        try:
            result = work()
        except BaseException as error:
            # Whatever it was: the others must not wait for ever.
            self._told((None, 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)))
            raise
        self._told((result if tell else None, None))
        return result

    @staticmethod
    def _told(message: Any) -> Any:
        import torch.distributed as dist

        box = [message]
        dist.broadcast_object_list(box, 0)
        return box[0]

    def leave(self) -> None:
        """Close the connections, at the end of a command that went well."""
        if not self.alone:
            from accelerate import PartialState

            PartialState().destroy_process_group()


ALONE = Workers()


def launched() -> Workers:
    """The processes that `accelerate launch` or `torchrun` started, of which this is one; not connected yet."""
    # The launchers' own variables; without one there is one process.
    number = int(os.environ.get("WORLD_SIZE", "1"))
    return Workers(int(os.environ.get("RANK", "0")), number) if number > 1 else ALONE


def join(cpu: bool = False) -> Workers:
    """Connect this process with the others that were launched; give it the GPU of its own where there are some.

    Args:
        cpu: train on the CPU even where there are GPUs.
    """
    workers = launched()
    if workers.alone:
        return ALONE
    import torch
    from accelerate import PartialState

    cpu = cpu or not torch.cuda.is_available()
    # Gradients go from GPU to GPU, everything else by way of the CPU, where waiting costs nothing.
    backend = {} if cpu else {"backend": "cuda:nccl,cpu:gloo"}
    PartialState(cpu=cpu, timeout=WAIT, **backend)
    return workers
