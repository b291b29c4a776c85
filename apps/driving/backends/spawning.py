"""Free places for cars and people at the start of an episode."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.lanes import Lanes
from apps.driving.backends.pavements import Pavements
from apps.driving.geometry import overlaps
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.routes import Route
from common.errors import UsageError

Floats = NDArray[np.float64]

#: Places this near to the route, in m, are taken first: in a large town nobody would be met otherwise.
VICINITY = 150.0
#: Air that a car finds before, behind and beside it when it is put on the road, in m.
AIR = (3.0, 0.2)
#: How far a parked car stands from the lane's edge, in m: up to a tenth on the lane.
KERB = (-0.1, 0.3)
#: Half the length, half the width of parked cars, in m.
PARKED = (2.25, 0.9)
#: Free road between a parked car and a junction or a crossing, in m.
CLEAR = 10.0
#: Blocked places that are passed over for each car wanted before it is given up.
TRIES = 50


class Taken:
    """The boxes that stand on the map already.

    Args:
        most: how many there will be.
    """

    def __init__(self, most: int) -> None:
        self._poses = np.zeros((most, 4))
        self._extents = np.zeros((most, 2))
        self._count = 0

    def free(self, pose: NDArray[np.float64], extent: tuple[float, float], air: tuple[float, float] = AIR) -> bool:
        """Whether a box with some air around it overlaps none."""
        box = (extent[0] + air[0], extent[1] + air[1])
        count = self._count
        place = (float(pose[0]), float(pose[1]), float(pose[3]))
        return not overlaps(place, box, self._poses[:count], self._extents[:count]).any()

    def add(self, pose: NDArray[np.float64], extent: tuple[float, float]) -> None:
        """Put a box there."""
        self._poses[self._count] = pose
        self._extents[self._count] = extent
        self._count += 1


def starts(lanes: Lanes, route: Route, extents: Floats, taken: Taken, rng: np.random.Generator) -> list[int]:
    """Points for cars to start at: spawn points in random order, near the route first, then any point of a lane
    outside of junctions. Takes them.

    Raises:
        UsageError: too many of them are blocked.
    """
    roads = lanes.roads
    if not len(extents):
        return []
    anywhere = rng.permutation(np.flatnonzero(roads.junction < 0))[: TRIES * len(extents)]
    order = np.concatenate([_near_first(roads.xyz[:, :2], rng.permutation(roads.spawns), route, VICINITY), anywhere])
    found: list[int] = []
    for node in order[: TRIES * len(extents)].tolist():
        extent = (float(extents[len(found), 0]), float(extents[len(found), 1]))
        if taken.free(lanes.poses[node], extent):
            taken.add(lanes.poses[node], extent)
            found.append(node)
            if len(found) == len(extents):
                return found
    raise UsageError(
        f"traffic.vehicles is {len(extents)}, but {roads.name} has room for {len(found)} at the start; ask for fewer"
    )


def parked(lanes: Lanes, route: Route, count: int, taken: Taken, rng: np.random.Generator) -> Floats:
    """`(count, 4)` poses of parked cars beside the outermost lanes, near the route first. Takes them.

    Raises:
        UsageError: there is no room for so many.
    """
    if not count:
        return np.zeros((0, 4))
    roads = lanes.roads
    kerbs = roads.kept(_kerbs)
    order = _near_first(kerbs[:, :2], rng.permutation(len(kerbs)), route, VICINITY / 3)
    poses = np.zeros((count, 4))
    found = 0
    for row in order[: TRIES * count].tolist():
        pose = kerbs[row].copy()
        aside = float(rng.uniform(*KERB))
        pose[:2] += aside * np.array([-np.sin(pose[3]), np.cos(pose[3])])
        if taken.free(pose, PARKED, (0.5, 0.1)):
            taken.add(pose, PARKED)
            poses[found] = pose
            found += 1
            if found == count:
                return poses
    raise UsageError(f"traffic.parked is {count}, but {roads.name} has room for {found}; ask for fewer")


def people(pavements: Pavements, route: Route, count: int, name: str, rng: np.random.Generator) -> list[int]:
    """Points of pavements for people to start at, near the route first and no point twice.

    Raises:
        UsageError: there is no room for so many.
    """
    if not count:
        return []
    room = len(pavements.xy)
    if count > room:
        raise UsageError(f"traffic.walkers is {count}, but {name} has pavement for {room}; ask for fewer")
    chosen = _near_first(pavements.xy, rng.permutation(room), route, VICINITY / 3)[:count]
    return [int(place) for place in chosen]


def _near_first(points: Floats, order: NDArray[np.integer], route: Route, vicinity: float) -> NDArray[np.integer]:
    """`order` of `(P, 2)` points, those near the route before the others."""
    if not len(order):
        return order
    # Every tenth metre is exact enough, and quick.
    way = np.concatenate([route.xyz[::10, :2], route.xyz[-1:, :2]])
    low, high = way.min(axis=0) - vicinity, way.max(axis=0) + vicinity
    places = points[order]
    close = ((places >= low) & (places <= high)).all(axis=1)
    rows = np.flatnonzero(close)
    dx = places[rows, :1] - way[:, 0]
    dy = places[rows, 1:] - way[:, 1]
    close[rows] = (dx * dx + dy * dy).min(axis=1) <= vicinity * vicinity
    return np.concatenate([order[close], order[~close]])


def _kerbs(roads: RoadNetwork) -> Floats:
    """`(K, 4)` poses at which a parked car touches the lane's edge from outside and stands in nobody's way."""
    from scipy.spatial import cKDTree

    lanes = Lanes.of(roads)
    outer = np.flatnonzero((roads.junction < 0) & (roads.right < 0))
    poses = lanes.poses[outer].copy()
    aside = roads.width[outer] / 2 + PARKED[1]
    poses[:, 0] -= aside * np.sin(poses[:, 3])
    poses[:, 1] += aside * np.cos(poses[:, 3])
    # Nothing but its own lane within a car's length of where it stands.
    tree = roads.tree
    nearest, _ = tree.query(poses[:, :2])
    good = nearest > aside - 0.3
    inside = np.flatnonzero(roads.junction >= 0)
    if len(inside):
        good &= cKDTree(roads.xyz[inside, :2]).query(poses[:, :2])[0] > CLEAR
    if len(roads.crossings):
        good &= cKDTree(roads.crossings[:, :, :2].reshape(-1, 2)).query(poses[:, :2])[0] > CLEAR
    # Not in bends, where its ends would stand on the lane.
    good &= lanes.pace[outer] >= roads.speed_limit[outer] - 1e-3
    return np.asarray(poses[good])
