"""Episodes made by hand."""

from __future__ import annotations

from apps.driving.measures.episodes import Case, Episode, Hit


def episode(
    route="r0", town="town", vehicles=0, seed=0, policy="driver", backend="embedded", hits=(), steps=100, **more
):
    """An episode that drove half of 200 m in 100 steps of 0.1 s, unless told otherwise."""
    values = {
        "route_length": 200.0,
        "cause": "stuck",
        "success": False,
        "truncated": False,
        "steps": steps,
        "seconds": steps * 0.1,
        "distance": 100.0,
        "route_completion": 0.5,
        "average_speed": 20.0,
        "off_route": 0.0,
        "offset": 0.1,
    } | more
    collisions = tuple(Hit(*hit) for hit in hits)
    return Episode(Case(town, route, vehicles, 0, 0, seed), policy, backend, collisions=collisions, **values)
