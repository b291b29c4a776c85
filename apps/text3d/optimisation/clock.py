"""A wall-clock budget that an interruption does not begin anew."""

from __future__ import annotations

from time import monotonic


class Clock:
    """The time that an optimisation has taken, over all its sittings, and may take.

    Args:
        seconds: that it may take; 0 is no bound.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.before, self.began = 0.0, monotonic()

    def used(self) -> float:
        """Seconds so far."""
        return self.before + monotonic() - self.began

    def restore(self, before: float) -> None:
        """Begin a further sitting after so many seconds."""
        self.before, self.began = before, monotonic()

    def over(self) -> bool:
        """Whether there is a bound and it is reached."""
        return 0 < self.seconds <= self.used()
