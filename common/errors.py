"""Every error Touchstone raises on purpose, and the exit code it ends a command with.

Catch `TouchstoneError` to handle them all. A message names the file, the row and the next step.
"""

from __future__ import annotations

from pathlib import Path


class TouchstoneError(Exception):
    """A run failed. Exit code 1."""

    exit_code = 1


class UsageError(TouchstoneError):
    """The caller gave wrong options, a wrong config or wrong input. Exit code 2."""

    exit_code = 2


class DataError(UsageError):
    """A data file, or one row of it, cannot be used."""

    def __init__(self, message: str, *, path: Path | str | None = None, line: int | None = None) -> None:
        where = f"{path}" if path is not None else ""
        if line is not None:
            where = f"{where}:{line}" if where else f"line {line}"
        super().__init__(f"{where}: {message}" if where else message)
        self.path = path
        self.line = line


class MissingDependency(UsageError):
    """An optional package is needed and not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs the package {package!r}; install it with: pip install 'touchstone-rl[{extra}]'")


class RewardError(TouchstoneError):
    """A reward was called or built wrongly: the caller's fault, so it raises at once."""


class MissingColumn(RewardError):
    """A column that a reward `needs` was not passed."""

    def __init__(self, reward: str, column: str, given: object) -> None:
        super().__init__(f"reward {reward!r} needs the column {column!r}; it was given: {given}")
        self.column = column


class GraderFailure(TouchstoneError):
    """Too many rows could not be scored: the grader, not the policy, is at fault and the run stops."""
