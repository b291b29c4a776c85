"""The learning rate of a step."""

from __future__ import annotations

import math


def cosine(step: int, steps: int, highest: float, warmup: int, lowest: float = 0.0) -> float:
    """Up along a line, then down along a cosine.

    Args:
        step: from 0.
        steps: at which it has come down.
        highest: the rate after the warmup.
        warmup: steps of the rise.
        lowest: share of the highest that it comes down to.
    """
    rising = min(1.0, (step + 1) / max(1, warmup))
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))
    return highest * rising * (lowest + (1 - lowest) * falling)
