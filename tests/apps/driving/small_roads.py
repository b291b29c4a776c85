"""Small networks made by hand: a street, a ring, a crossroads, a hill."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from apps.driving.geometry import wrapped
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.routes import Command, Route

WIDTH = 3.5


class Drawing:
    """Lanes, one after the other; `join` says which follows which."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.points: list[np.ndarray] = []
        self.junctions: list[int] = []
        self.joins: list[tuple[int, int]] = []

    def lane(self, xyz: np.ndarray, junction: int = -1) -> int:
        """Add a lane through `(M, 2 or 3)` points; returns its number."""
        xyz = np.asarray(xyz, float)
        if xyz.shape[1] == 2:
            xyz = np.column_stack([xyz, np.zeros(len(xyz))])
        self.points.append(xyz)
        self.junctions.append(junction)
        return len(self.points) - 1

    def join(self, first: int, then: int) -> None:
        self.joins.append((first, then))

    def network(self, limit: float = 10.0, crossings: np.ndarray | None = None, spawn_every: int = 12) -> RoadNetwork:
        sizes = [len(points) for points in self.points]
        begin = np.concatenate([[0], np.cumsum(sizes)])
        following: list[list[int]] = [[node + 1] for node in range(begin[-1])]
        for lane in range(len(sizes)):
            following[begin[lane + 1] - 1] = [int(begin[then]) for first, then in self.joins if first == lane]
        xyz = np.concatenate(self.points)
        yaws, spawns = [], []
        for lane, points in enumerate(self.points):
            step = np.gradient(points[:, :2], axis=0)
            yaws.append(np.arctan2(step[:, 1], step[:, 0]))
            if self.junctions[lane] < 0:
                spawns += range(int(begin[lane]) + 6, int(begin[lane + 1]) - 6, spawn_every)
        count = len(xyz)
        lanes = np.repeat(np.arange(len(sizes)), sizes)
        return RoadNetwork(
            name=self.name,
            digest=hashlib.sha256(self.name.encode() + xyz.tobytes()).hexdigest(),
            xyz=xyz,
            yaw=wrapped(np.concatenate(yaws)),
            width=np.full(count, WIDTH, np.float32),
            lane=np.stack([lanes, np.zeros_like(lanes), np.full_like(lanes, -1)], axis=1).astype(np.int32),
            s=np.concatenate([np.arange(size) for size in sizes]).astype(np.float32),
            junction=np.repeat(self.junctions, sizes).astype(np.int32),
            speed_limit=np.full(count, limit, np.float32),
            next_start=np.concatenate([[0], np.cumsum([len(nodes) for nodes in following])]).astype(np.int32),
            next_node=np.array([node for nodes in following for node in nodes], np.int32),
            left=np.full(count, -1, np.int32),
            right=np.full(count, -1, np.int32),
            spawns=np.array(spawns, np.int32),
            crossings=crossings if crossings is not None else np.zeros((0, 4, 3)),
        )


def line(start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    count = max(round(math.dist(start, end)), 1)
    return np.linspace(start, end, count + 1)


def street(length: float = 300.0, limit: float = 10.0, crossings: np.ndarray | None = None) -> RoadNetwork:
    """Along x: one lane each way, that end."""
    drawing = Drawing("street")
    drawing.lane(line((0.0, WIDTH / 2), (length, WIDTH / 2)))
    drawing.lane(line((length, -WIDTH / 2), (0.0, -WIDTH / 2)))
    return drawing.network(limit, crossings)


def ring(radius: float = 60.0, limit: float = 12.0) -> RoadNetwork:
    """One lane round the origin, to the right, without an end."""
    drawing = Drawing("ring")
    count = round(2 * math.pi * radius)
    angle = np.arange(count) * 2 * math.pi / count
    lane = drawing.lane(radius * np.column_stack([np.cos(angle), np.sin(angle)]))
    drawing.join(lane, lane)
    return drawing.network(limit)


def hill(length: float = 200.0, grade: float = 0.06) -> RoadNetwork:
    """One lane along x that climbs evenly."""
    drawing = Drawing("hill")
    flat = line((0.0, 0.0), (length, 0.0))
    drawing.lane(np.column_stack([flat, grade * flat[:, 0]]))
    return drawing.network()


def crossroads(arm: float = 80.0) -> RoadNetwork:
    """Four arms with one lane each way meet at the origin; at its end every arm turns back."""
    drawing = Drawing("crossroads")
    mouth, half = 10.0, WIDTH / 2
    arrive, leave = [], []
    for quarter in range(4):
        turn = np.array([[math.cos(quarter * math.pi / 2), math.sin(quarter * math.pi / 2)],
                         [-math.sin(quarter * math.pi / 2), math.cos(quarter * math.pi / 2)]])  # fmt: skip
        out = drawing.lane(line((mouth, half), (arm, half)) @ turn)
        # A loop wide enough to turn in.
        angle = np.linspace(math.pi / 2, -math.pi / 2, 25)[1:-1]
        drawn = np.concatenate([_bend((arm, half), (arm + 16.0, 8.0), 0.0, 0.0)[1:],
                                np.column_stack([arm + 16.0 + 8.0 * np.cos(angle), 8.0 * np.sin(angle)]),
                                _bend((arm + 16.0, -8.0), (arm, -half), math.pi, math.pi)[:-1]])  # fmt: skip
        back = drawing.lane(drawn @ turn)
        into = drawing.lane(line((arm, -half), (mouth, -half)) @ turn)
        drawing.join(out, back)
        drawing.join(back, into)
        arrive.append(into)
        leave.append(out)
    for one in range(4):
        for other in range(4):
            if one == other:
                continue
            start, end = drawing.points[arrive[one]][-1, :2], drawing.points[leave[other]][0, :2]
            bend = _bend(tuple(start), tuple(end), (one * math.pi / 2) + math.pi, other * math.pi / 2)
            way = drawing.lane(bend[1:-1], junction=7)
            drawing.join(arrive[one], way)
            drawing.join(way, leave[other])
    return drawing.network(limit=10.0)


def arriving(roads: RoadNetwork) -> int:
    """A point of the `crossroads` 40 m before the junction, on the arm along x."""
    return roads.nearest(50.0, -WIDTH / 2)


def _bend(start: tuple, end: tuple, yaw: float, yaw_end: float) -> np.ndarray:
    """A cubic from a point to another, about a metre between points."""
    reach = math.dist(start, end) * 0.5
    p = np.array([start, np.add(start, (reach * math.cos(yaw), reach * math.sin(yaw))),
                  np.subtract(end, (reach * math.cos(yaw_end), reach * math.sin(yaw_end))), end])  # fmt: skip
    t = np.linspace(0.0, 1.0, 400)[:, None]
    fine = (1 - t) ** 3 * p[0] + 3 * (1 - t) ** 2 * t * p[1] + 3 * (1 - t) * t**2 * p[2] + t**3 * p[3]
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(fine, axis=0).T))])
    places = np.linspace(0.0, arc[-1], max(round(arc[-1]), 2) + 1)
    return np.column_stack([np.interp(places, arc, fine[:, 0]), np.interp(places, arc, fine[:, 1])])


def route_from(roads: RoadNetwork, node: int, points: int = 100, choice: int = 0, name: str = "") -> Route:
    """A route of so many points from a node on, or up to the road's end; `choice` is taken where lanes part."""
    nodes = [node]
    while len(nodes) < points and len(roads.following(nodes[-1])):
        onward = roads.following(nodes[-1])
        nodes.append(int(onward[choice % len(onward)]))
    index = np.array(nodes, np.int32)
    xyz = roads.xyz[index]
    steps = np.maximum(np.linalg.norm(np.diff(xyz, axis=0), axis=1), 1e-3)
    return Route(
        town=roads.name,
        digest=roads.digest,
        xyz=xyz,
        yaw=roads.yaw[index],
        width=roads.width[index].astype(float),
        commands=np.full(len(index), Command.LANE_FOLLOW, np.int8),
        speed_limit=roads.speed_limit[index].astype(float),
        s=np.concatenate([[0.0], np.cumsum(steps)]),
        nodes=index,
        name=name,
    )
