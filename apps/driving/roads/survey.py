"""What a road network is like, and what of an OpenDRIVE map is not in it: told before anybody drives there."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np

from apps.driving.roads.network import RoadNetwork
from common.errors import MissingDependency

#: Below this share of points that all reach each other a map is called broken into parts.
WHOLE = 0.9


@dataclass(frozen=True)
class Survey:
    """A network in numbers.

    Attributes:
        points: of all lanes.
        kilometres: of lanes.
        lanes: driving lanes, each section counted.
        junctions: with lanes in them.
        crossings: crosswalks.
        spawns: points where a car may be put.
        connected: share of the points in the largest part in which every point reaches every other, 0 to 1; lane
            changes count.
        parts: such parts of 50 points or more.
        dead_ends: lanes that lead nowhere.
        no_way_in: lanes that nothing leads to.
        widths: narrowest and widest lane, in m.
        limits: lowest and highest speed limit, in km/h.
        heights: difference of heights, in m.
    """

    points: int
    kilometres: float
    lanes: int
    junctions: int
    crossings: int
    spawns: int
    connected: float
    parts: int
    dead_ends: int
    no_way_in: int
    widths: tuple[float, float]
    limits: tuple[float, float]
    heights: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @property
    def remarks(self) -> list[str]:
        """What somebody who wants to drive there should know."""
        found = []
        if self.connected < WHOLE:
            found.append(f"only {self.connected:.0%} of the points reach each other: {self.parts} parts")
        if self.dead_ends:
            found.append(f"{self.dead_ends} lanes lead nowhere: no route goes on there, and traffic leaves the map")
        if self.no_way_in:
            found.append(f"{self.no_way_in} lanes can only be started on: nothing leads to them")
        if not self.spawns:
            found.append(
                "there is no place to put a car, so no route can start: the lanes are too short or too narrow"
            )
        return found


def survey(roads: RoadNetwork) -> Survey:
    """Look at a network.

    Raises:
        MissingDependency: scipy is not installed.
    """
    sizes = _parts(roads)
    leads = np.diff(roads.next_start)
    led = np.bincount(roads.next_node, minlength=len(roads))
    junctions = np.unique(roads.junction[roads.junction >= 0])
    limits = roads.speed_limit * 3.6
    steps = np.linalg.norm(roads.xyz[roads.next_node] - roads.xyz[roads.edge_from], axis=1)
    within = (roads.lane[roads.next_node] == roads.lane[roads.edge_from]).all(1)
    return Survey(
        points=len(roads),
        kilometres=round(float(steps[within].sum()) / 1000, 3),
        lanes=len(np.unique(roads.lane, axis=0)),
        junctions=len(junctions),
        crossings=len(roads.crossings),
        spawns=len(roads.spawns),
        connected=round(float(sizes.max()) / len(roads), 4),
        parts=int((sizes >= min(50, sizes.max())).sum()),
        dead_ends=int((leads == 0).sum()),
        no_way_in=int((led == 0).sum()),
        widths=(round(float(roads.width.min()), 2), round(float(roads.width.max()), 2)),
        limits=(round(float(limits.min()), 1), round(float(limits.max()), 1)),
        heights=round(float(np.ptp(roads.xyz[:, 2])), 2),
    )


def left_out(text: str, roads: RoadNetwork) -> dict[str, int]:
    """What of an OpenDRIVE text did not come into its network, by kind.

    Args:
        text: that the network was made from.
        roads: the network.
    """
    root = ElementTree.fromstring(text)
    lanes = Counter(
        str(lane.get("type"))
        for lane in root.iterfind("road/lanes/laneSection//lane")
        # The centre lane is a line.
        if lane.get("id") != "0"
    )
    driving = lanes.pop("driving", 0)
    short = driving - len(np.unique(roads.lane, axis=0))
    found = {f"lanes of type {kind}": count for kind, count in lanes.most_common()}
    if short > 0:
        found["driving lanes in sections of a few centimetres"] = short
    signals = Counter(str(signal.get("type")) for signal in root.iterfind("road/signals/signal"))
    if lights := signals.pop("1000001", 0):
        found["traffic lights (the embedded simulator has none)"] = lights
    if stops := signals.pop("206", 0):
        found["stop signs (the embedded simulator has none)"] = stops
    # Type 274 is a speed limit and is read.
    signals.pop("274", None)
    if others := signals.total():
        found["other signs"] = others
    return found


def _parts(roads: RoadNetwork) -> Any:
    """Sizes of the parts in which every point reaches every other."""
    try:
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components
    except ImportError as error:
        raise MissingDependency("scipy", "driving") from error
    index = np.arange(len(roads), dtype=np.int32)
    start, end = [roads.edge_from], [roads.next_node]
    for beside in (roads.left, roads.right):
        start.append(index[beside >= 0])
        end.append(beside[beside >= 0])
    rows, columns = np.concatenate(start), np.concatenate(end)
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(roads), len(roads)))
    return np.bincount(connected_components(graph.tocsr(), directed=True, connection="strong")[1])
