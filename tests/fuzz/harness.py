"""What a parser of untrusted input must keep to, and how it is tried: a result or its own error, in bounded time and memory."""

from __future__ import annotations

import contextlib
import hashlib
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from common.errors import UsageError


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        inputs: what it is given.
        parse: reads one; what it raises must be `allowed`.
        allowed: its documented errors.
        named: what every error's message must hold, such as the file's name.
        examples: in the default run.
        seconds: of CPU for one input.
        megabytes: by which one input may raise the most memory that the process ever held.
    """

    inputs: SearchStrategy[Any]
    parse: Callable[[Any], object]
    allowed: tuple[type[Exception], ...] = (UsageError,)
    named: str = ""
    examples: int = 25
    seconds: float = 5.0
    megabytes: int = 400


class Overrun(BaseException):
    """The time is up. No parser's `except Exception` may swallow it."""


@dataclass
class Record:
    """What was tried and what was found.

    Attributes:
        tried: inputs.
        refused: those of them that gave an allowed error.
        slowest: seconds of CPU for one input, at most.
        finds: the smallest input for each place where something else happened.
    """

    tried: int = 0
    refused: int = 0
    slowest: float = 0.0
    finds: dict[str, tuple[Any, str]] = field(default_factory=dict)

    def add(self, value: Any, error: BaseException) -> None:
        """Keep an input, where it is the smallest that ended so."""
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "/apps/" in frame.filename or "/common/" in frame.filename]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else str(error).strip()[-80:]
        what = f"{type(error).__name__} at {place}"
        if what not in self.finds or len(written(value)) < len(written(self.finds[what][0])):
            self.finds[what] = value, "".join(traceback.format_exception(error))


def try_one(target: Target, value: Any, record: Record) -> None:
    """Parse one input within its limits.

    Raises:
        AssertionError: another error than the documented ones, too slow, too much memory, or an error without a name.
    """
    record.tried += 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    try:
        with cpu_limit(target.seconds):
            target.parse(value)
    except target.allowed as error:
        record.refused += 1
        assert target.named in str(error), f"the message names no {target.named}: {error}"
    except Overrun as error:
        raise AssertionError(f"more than {target.seconds} s of CPU") from error
    finally:
        record.slowest = max(record.slowest, time.process_time() - start)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown <= target.megabytes, f"it took {grown:.0f} MB more"


def fuzz(
    target: Target, examples: int, number: int | None = None, record: Record | None = None, last: Path | None = None
) -> Record:
    """Try a number of inputs; the first kind of failure is shrunk and raised.

    Args:
        target: the parser.
        examples: how many inputs.
        number: seed; None: the same inputs every time.
        record: to be continued.
        last: file that holds the input at hand, for one that takes the whole process down.
    """
    record = Record() if record is None else record

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=number is None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(value=target.inputs)
    def test(value: Any) -> None:
        if last is not None:
            last.write_bytes(written(value))
        try:
            try_one(target, value, record)
        except Exception as error:
            record.add(value, error)
            raise

    (test if number is None else seed(number)(test))()
    return record


@contextlib.contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise `Overrun` once the block has used so much CPU; the clock on the wall would blame a busy machine."""

    def stop(*_: object) -> None:
        raise Overrun

    former = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)


def written(value: Any) -> bytes:
    """An input as it is saved."""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else repr(value)).encode("utf-8", "surrogatepass")


def save(record: Record, folder: Path, name: str) -> list[Path]:
    """Write each find's input and, beside it, what happened."""
    paths = []
    for value, told in record.finds.values():
        path = folder / f"{name}-{hashlib.sha256(written(value)).hexdigest()[:10]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written(value))
        path.with_suffix(".txt").write_text(told, encoding="utf-8", errors="backslashreplace")
        paths.append(path)
    return paths
