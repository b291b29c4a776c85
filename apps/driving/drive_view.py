"""What `drive` shows in the terminal, and how it hears Ctrl-C."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from apps.driving.env_config import CLEAR, KMH
from common import ui

if TYPE_CHECKING:
    from apps.driving.measures.episodes import Episode


def status(state: Mapping[str, float], scores: Mapping[str, float]) -> str:
    """What the car does, in a line: time, speed, progress, offset, what lies ahead, reward and its parts."""
    ahead = state["hazard"]
    parts = [
        f"{state['time']:5.1f} s",
        f"{state['speed'] / KMH:5.1f} km/h",
        f"route {100 * state['progress']:3.0f} %",
        f"offset {state['offset']:+.2f} m",
        "clear" if ahead >= CLEAR else f"hazard {ahead:.0f} m",
    ]
    if state["off_route"]:
        parts.append("off the route")
    value = scores.get("reward", math.nan)
    inner = " ".join(f"{name.rsplit('.', 1)[-1]} {part:.2f}" for name, part in scores.items() if name != "reward")
    parts.append(f"reward {value:+.2f}" + (f" ({inner})" if inner else ""))
    return "  ".join(parts)


def end_line(one: Episode, film: str | None = None) -> str:
    """A finished drive in a line or two."""
    from apps.driving.measures.scores import driving_score

    hits = ", ".join(f"{hit.kind} at {hit.speed:.0f} km/h" for hit in one.collisions)
    text = (
        f"{one.policy} on {one.case.text} ({one.backend}): {one.cause}. {100 * one.route_completion:.0f} % of "
        f"{one.route_length:.0f} m in {one.seconds:.0f} s, {one.average_speed:.1f} km/h, "
        f"{'hit ' + hits if hits else 'no collision'}, driving score {driving_score(one):.2f}"
    )
    return text if film is None else f"{text}\nfilm: {film}"


@contextmanager
def hears_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Hands out whether Ctrl-C was pressed; a second one interrupts at once.

    An interrupt in the middle of a frame would have the film's encoder killed, and the film with it.
    """
    pressed = False

    def hear(number: int, frame: Any) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    try:
        before = signal.signal(signal.SIGINT, hear)
    except ValueError:  # not the main thread, which alone hears signals
        yield lambda: False
        return
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def status_line(quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Hands out a function that shows one line in place of the one before; nothing where nobody watches."""
    if quiet or not ui.messages.is_terminal:
        yield lambda line: None
        return
    from rich.live import Live
    from rich.text import Text

    with Live(console=ui.messages, transient=True, refresh_per_second=8) as live:
        # One line, whatever the terminal's width: the reward's parts are cut off last.
        yield lambda line: live.update(Text(line, no_wrap=True, overflow="ellipsis"))
