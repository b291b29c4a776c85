"""A building site for road maps: streets between poses, junctions where they meet, OpenDRIVE text at the end.

Everything here is in OpenDRIVE's axes (x to the right, y up, headings anticlockwise), not in CARLA's. Elements come
from the scenariogeneration library; geometry is lines and arcs, or a clothoid where two poses ask for one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from xml.etree import ElementTree

from apps.driving.roads.curves import Curve, Pose, bend
from common.errors import MissingDependency

LANE = 3.5
SIDEWALK = 2.0
CROSSWALK_FROM, CROSSWALK_TO = 1.5, 4.5
"""Metres from the end of the street, at the junction."""


Heights = Sequence[tuple[float, float]]


class End(NamedTuple):
    """One end of a street."""

    street: int
    at_start: bool


@dataclass(frozen=True)
class Profile:
    """What a street is like across.

    Attributes:
        left, right: number of driving lanes against and along the reference line.
        sidewalks: whether one lies on either side.
        limit: km/h.
        crosswalks: at its start and end.
    """

    left: int = 1
    right: int = 1
    sidewalks: bool = True
    limit: float = 30.0
    crosswalks: tuple[bool, bool] = (False, False)


@dataclass
class Street:
    """A road outside of junctions.

    Attributes:
        curve: its reference line; lanes of numbers below 0 lie to its right and run along it.
        heights: `(share of the length, z)`, first 0 and last 1; flat at every one of them.
    """

    number: int
    curve: Curve
    profile: Profile
    heights: Heights
    ends: dict[bool, tuple[str, int]] = field(default_factory=dict)
    """By at_start: "road" or "junction" it leads to there, and that one's number."""

    def pose(self, at_start: bool) -> Pose:
        """Where it begins, looking back out of it, or where it ends, looking on."""
        return self.curve.start.turned() if at_start else self.curve.end

    def height(self, at_start: bool) -> float:
        """Of the reference line at that end."""
        return self.heights[0 if at_start else -1][1]


class Site:
    """Collects streets and junctions of one map; `text` is its OpenDRIVE."""

    def __init__(self, name: str) -> None:
        try:
            from scenariogeneration import xodr
        except ImportError as error:
            raise MissingDependency("scenariogeneration", "driving") from error
        self.xodr: Any = xodr
        self.name = name
        self.streets: list[Street] = []
        self.roads: list[Any] = []
        self.junctions: list[Any] = []
        self._connectors = 1000

    # CARLA's reader tells roads from junctions by their numbers alone and takes 0 for none: streets count from 1,
    # junctions from 500, ways through junctions from 1000.

    def street(self, curve: Curve, profile: Profile, heights: Heights = ((0.0, 0.0), (1.0, 0.0))) -> int:
        """A road along a curve.

        Returns:
            Its number.
        """
        self.streets.append(Street(len(self.streets) + 1, curve, profile, heights))
        return len(self.streets)

    def junction(self, ends: Sequence[End], ways: bool = True) -> int:
        """Join ends of streets: from every lane that comes in to the lane of the same place on every other street.

        Args:
            ends: of the streets.
            ways: false leaves the ways through it to `connect`.

        Returns:
            Its number.
        """
        number = 500 + len(self.junctions)
        junction = self.xodr.Junction(f"junction {number}", number)
        self.junctions.append(junction)
        for end in ends:
            self._of(end).ends[end.at_start] = ("junction", number)
        for enter, leave in [(a, b) for a in ends for b in ends if a != b and ways]:
            lanes_in, lanes_out = self._lanes(enter, True), self._lanes(leave, False)
            links = list(zip(lanes_in, lanes_out, strict=False))
            if links:
                outermost = leave == self._rightmost(enter, ends)
                self._connect(number, enter, leave, links, outermost)
        return number

    def connect(self, number: int, enter: End, leave: End, links: Sequence[tuple[int, int]]) -> None:
        """One more way through a junction, between these lanes (counted from 1 outwards)."""
        lanes_in, lanes_out = self._lanes(enter, True), self._lanes(leave, False)
        self._connect(number, enter, leave, [(lanes_in[a - 1], lanes_out[b - 1]) for a, b in links], False)

    def _of(self, end: End) -> Street:
        return self.streets[end.street - 1]

    def _lanes(self, end: End, comes_in: bool) -> list[int]:
        """Lane numbers that drive towards that end (or away from it), from the middle outwards."""
        street = self._of(end)
        along = end.at_start != comes_in
        return (
            [-(i + 1) for i in range(street.profile.right)] if along else [i + 1 for i in range(street.profile.left)]
        )

    def _rightmost(self, enter: End, ends: Sequence[End]) -> End | None:
        """The street next to the right: the way there has a sidewalk on its right."""
        if not all(self._of(end).profile.sidewalks for end in ends):
            return None
        here = self._of(enter).pose(enter.at_start).turned().heading
        others = [end for end in ends if end != enter]
        away = {e: (self._of(e).pose(e.at_start).turned().heading - here) % (2 * math.pi) for e in others}
        return min(others, key=lambda end: away[end])

    def _connect(
        self, junction: int, enter: End, leave: End, links: Sequence[tuple[int, int]], sidewalk: bool
    ) -> None:
        x = self.xodr
        first, last = self._of(enter), self._of(leave)
        shift_in, shift_out = (LANE * (abs(lane) - 1) for lane in links[0])
        start = first.pose(enter.at_start).beside(-shift_in)
        end = last.pose(leave.at_start).turned().beside(-shift_out)
        number, self._connectors = self._connectors, self._connectors + 1
        heights = ((0.0, first.height(enter.at_start)), (1.0, last.height(leave.at_start)))
        section = x.LaneSection(0, x.Lane(lane_type=x.LaneType.none))
        linked: list[tuple[int, int]] = [*links]
        if sidewalk:
            lane_in, lane_out = links[-1]
            linked.append((_outward(lane_in), _outward(lane_out)))
        for lane_in, lane_out in linked:
            is_walk = sidewalk and (lane_in, lane_out) == linked[-1]
            lane = self._lane(is_walk, change=False, marked=is_walk)
            lane.add_link("predecessor", lane_in)
            lane.add_link("successor", lane_out)
            section.add_right_lane(lane)
        limit = min(first.profile.limit, last.profile.limit)
        road = self._road(number, bend(start, end), section, heights, limit, junction)
        for link, street, end_of in ((road.add_predecessor, first, enter), (road.add_successor, last, leave)):
            link(x.ElementType.road, street.number, _contact(x, end_of.at_start))
        connection = x.Connection(first.number, number, x.ContactPoint.start)
        for index, (lane_in, _) in enumerate(linked):
            connection.add_lanelink(lane_in, -(index + 1))
        self.junctions[junction - 500].add_connection(connection)
        self.roads.append(road)

    def _lane(self, walk: bool, change: bool, marked: bool = True) -> Any:
        x = self.xodr
        lane = x.Lane(
            lane_type=x.LaneType.sidewalk if walk else x.LaneType.driving,
            a=SIDEWALK if walk else LANE,
        )
        kind = x.RoadMarkType.broken if change else x.RoadMarkType.solid
        kind = kind if marked and not walk else x.RoadMarkType.none
        lane.add_roadmark(_mark(x, kind, change))
        return lane

    def _road(
        self,
        number: int,
        curve: Curve,
        section: Any,
        heights: Heights,
        limit: float,
        junction: int,
    ) -> Any:
        x = self.xodr
        plan = x.PlanView()
        for piece in curve.pieces:
            plan.add_fixed_geometry(piece.geometry(x), *piece.start)
        lanes = x.Lanes()
        lanes.add_lanesection(section)
        road = x.Road(number, plan, lanes, road_type=junction)
        road.add_type(x.RoadType.town, 0, "DE", speed=limit, speed_unit="km/h")
        for (at, z), (until, beyond) in itertools.pairwise(heights):
            s, length, rise = at * curve.length, (until - at) * curve.length, beyond - z
            road.add_elevation(s, z, 0, 3 * rise / length**2, -2 * rise / length**3)
        return road

    def text(self) -> str:
        """The map as OpenDRIVE 1.4, in as many bytes as it needs: equal sites give equal texts."""
        x = self.xodr
        drive = x.OpenDrive(self.name, "1", "4", geo_reference="+proj=tmerc +lat_0=0 +lon_0=0")
        for street in self.streets:
            drive.add_road(self._street_road(street))
        for road in self.roads:
            drive.add_road(road)
        for junction in self.junctions:
            drive.add_junction(junction)
        root = drive.get_element()
        root.find("header").set("date", "2026-01-01T00:00:00")
        # scenariogeneration counts objects over all maps of the process.
        for number, element in enumerate(root.iter("object")):
            element.set("id", str(number))
            # OpenDRIVE 1.4, which CARLA reads, has the outline in the object itself.
            for outlines in element.findall("outlines"):
                element.remove(outlines)
                element.extend(list(outlines))
        for element in root.iter():
            for key, value in element.attrib.items():
                element.set(key, _short(value))
        for child in root:
            child.tail = "\n"
        root.text = "\n"
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"

    def _street_road(self, street: Street) -> Any:
        x = self.xodr
        middle = x.Lane(lane_type=x.LaneType.none)
        profile = street.profile
        two_way = profile.left == 1 and profile.right == 1
        middle.add_roadmark(_mark(x, x.RoadMarkType.broken if two_way else x.RoadMarkType.solid))
        section = x.LaneSection(0, middle)
        for count, add in ((profile.left, section.add_left_lane), (profile.right, section.add_right_lane)):
            for index in range(count):
                add(self._lane(False, change=index < count - 1))
            if profile.sidewalks:
                add(self._lane(True, change=False))
        road = self._road(street.number, street.curve, section, street.heights, profile.limit, -1)
        for at_start, (kind, number) in sorted(street.ends.items()):
            link = road.add_predecessor if at_start else road.add_successor
            link(x.ElementType[kind], number)
        for at_start, wanted in zip((True, False), profile.crosswalks, strict=True):
            if wanted:
                self._crosswalk(road, street, at_start)
        return road

    def _crosswalk(self, road: Any, street: Street, at_start: bool) -> None:
        x = self.xodr
        reach = (CROSSWALK_FROM + CROSSWALK_TO) / 2
        s = reach if at_start else street.curve.length - reach
        half, width = (CROSSWALK_TO - CROSSWALK_FROM) / 2, LANE * max(street.profile.left, street.profile.right)
        walk = x.Object(s, 0, x.ObjectType.crosswalk, name="crosswalk", width=2 * half, length=2 * width)
        corners = ((-half, -width), (half, -width), (half, width), (-half, width), (-half, -width))
        outline = x.Outline()
        for index, (u, v) in enumerate(corners):
            outline.add_corner(x.CornerLocal(u, v, 0, 0, index))
        walk.add_outline(outline)
        road.add_object(walk)


def _outward(lane: int) -> int:
    return lane + (1 if lane > 0 else -1)


def _contact(x: Any, at_start: bool) -> Any:
    return x.ContactPoint.start if at_start else x.ContactPoint.end


def _mark(x: Any, kind: Any, change: bool = False) -> Any:
    return x.RoadMark(kind, 0.15, laneChange=x.LaneChange.both if change else x.LaneChange.none)


def _short(value: str) -> str:
    """Numbers to eight places: machines differ beyond that, and maps must not."""
    try:
        number = float(value)
    except ValueError:
        return value
    if "." not in value and "e" not in value.lower():
        return value
    return f"{round(number, 8) + 0.0:.8f}".rstrip("0").rstrip(".")
