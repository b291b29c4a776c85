"""Points where a car may be put: `carla.Map.get_spawn_points()` is empty without a server, so maps get our own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GAP = 10
"""Points between two spawns of one lane: two cars of five metres and room between them."""
CLEAR = 6
"""Points that a spawn keeps from either end of its lane: no car stands with its tail in a junction."""
WIDEST, NARROWEST = 8.0, 2.5
AHEAD = 50
"""Points that the road must go on for after a spawn."""


def choose_spawns(
    lanes: list[tuple[int, int]],
    junction: NDArray[np.int32],
    width: NDArray[np.float64],
    next_start: NDArray[np.int32],
    next_node: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Every `GAP` points on lanes outside of junctions, `CLEAR` points from their ends, with `AHEAD` points to go.

    Args:
        lanes: first point and number of points of each lane.
        junction: `(N,)` id, or -1.
        width: `(N,)` metres.
        next_start, next_node: edges of the network.
    """
    goes_on = has_way_ahead(next_start, next_node, AHEAD)
    fits = (junction < 0) & (width >= NARROWEST) & (width <= WIDEST) & goes_on
    chosen = [n for first, count in lanes for n in range(first + CLEAR, first + count - CLEAR, GAP) if fits[n]]
    return np.array(chosen, np.int32)


def has_way_ahead(next_start: NDArray[np.int32], next_node: NDArray[np.int32], steps: int) -> NDArray[np.bool_]:
    """`(N,)` bool: whether some way of that many steps leads on from each point."""
    edge_from = np.repeat(np.arange(len(next_start) - 1), np.diff(next_start))
    alive = np.ones(len(next_start) - 1, bool)
    for _ in range(steps):
        onward = np.zeros_like(alive)
        onward[edge_from[alive[next_node]]] = True
        alive = onward
    return alive
