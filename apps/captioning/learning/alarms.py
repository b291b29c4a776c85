"""Signs, in a run's figures, that a captioner is bought or breaks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar


class CaptionAlarms:
    """Watches a run's figures for a captioner that is bought or breaks.

    Args:
        window: steps that a pattern must hold.
    """

    LIMITS: ClassVar[dict[str, tuple[str, float, str]]] = {
        "repetition": ("repeated", 0.15, "captions repeat themselves (share of repeated trigrams {:.0%})"),
        "unterminated": ("unterminated", 0.1, "{:.0%} of the captions never come to an end"),
        "drift": ("drift", 0.05, "{:.0%} of the captions are read back as other tokens than were sampled"),
    }

    def __init__(self, window: int = 10) -> None:
        self.window = window
        self.rows: list[Mapping[str, float]] = []

    def update(self, figures: Mapping[str, float]) -> list[tuple[str, str, dict[str, float]]]:
        """Take in a step's figures; return (kind, message, values) of the patterns that hold now."""
        self.rows = [*self.rows[-self.window + 1 :], figures]
        if len(self.rows) < self.window:
            return []
        found = []
        for kind, (name, limit, message) in self.LIMITS.items():
            values = [row[name] for row in self.rows if name in row and math.isfinite(row[name])]
            if len(values) == self.window and min(values) > limit:
                mean = sum(values) / len(values)
                found.append((kind, message.format(mean), {name: mean}))
        lengths = [row["length"] for row in self.rows if "length" in row]
        if len(lengths) == self.window and max(lengths) < 3:
            found.append(("length", f"captions shrank to {lengths[-1]:.1f} tokens", {"length": lengths[-1]}))
        return found
