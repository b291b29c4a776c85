"""The maps that we ship, as drawings: where streets meet and how they run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from apps.driving.roads.curves import Curve, Piece, Pose, arc, fillets
from apps.driving.roads.site import LANE, End, Profile, Site

Point = tuple[float, float]

STREET = Profile()
WITH_CROSSWALKS = Profile(crosswalks=(True, True))
COUNTRY_ROAD = Profile(sidewalks=False, limit=50.0)
RAMP = Profile(left=0, sidewalks=False, limit=50.0)


class Crossing:
    """A place where streets meet; every street ends `reach` metres before its middle.

    Attributes:
        ends: of the streets that were led here.
    """

    def __init__(self, x: float, y: float, reach: float = 10.0, z: float = 0.0) -> None:
        self.x, self.y, self.reach, self.z = x, y, reach, z
        self.ends: list[End] = []

    def arm(self, towards: Point) -> Pose:
        """On its edge, looking out to a point."""
        heading = math.atan2(towards[1] - self.y, towards[0] - self.x)
        return Pose(self.x, self.y, heading).ahead(self.reach)


def lead(
    site: Site,
    a: Crossing,
    b: Crossing,
    via: Sequence[Point] = (),
    radius: float = 18.0,
    profile: Profile = STREET,
    tops: Sequence[Point] = (),
) -> None:
    """A street between two crossings; `tops` are heights on the way, as (share of the length, z)."""
    start = a.arm(via[0] if via else (b.x, b.y))
    end = b.arm(via[-1] if via else (a.x, a.y)).turned()
    heights = ((0.0, a.z), *tops, (1.0, b.z))
    number = site.street(fillets(start, end, via, radius), profile, heights)
    a.ends.append(End(number, True))
    b.ends.append(End(number, False))


def town(site: Site) -> None:
    """Blocks of a small town: two crossroads, six T-junctions, rounded corners, crosswalks at all junctions."""
    xs, ys = (-135.0, -40.0, 45.0, 130.0), (-90.0, 0.0, 80.0)
    corners = {(i, j) for i in (0, 3) for j in (0, 2)}
    at = {(i, j): Crossing(x, y) for i, x in enumerate(xs) for j, y in enumerate(ys) if (i, j) not in corners}
    for (i, j), here in at.items():
        for beside in ((i + 1, j), (i, j + 1)):
            if beside in at:
                lead(site, here, at[beside], profile=WITH_CROSSWALKS)
    for i, j in sorted(corners):
        inward = 1 if i == 0 else -1
        lead(site, at[i + inward, j], at[i, 1], [(xs[i], ys[j])], 25.0, WITH_CROSSWALKS)
    for crossing in at.values():
        site.junction(crossing.ends)


def village(site: Site) -> None:
    """Grown, not planned: four skewed crossroads, four T-junctions, winding streets. Not for training."""
    green, east = Crossing(0.0, 0.0, 13.0), Crossing(96.0, 24.0, 12.0)
    west, church = Crossing(-112.0, -14.0, 12.0), Crossing(-22.0, 108.0, 12.0)
    mill, farm = Crossing(14.0, -112.0, 12.0), Crossing(158.0, 110.0, 12.0)
    pond, ford = Crossing(-128.0, -128.0, 12.0), Crossing(112.0, -60.0, 12.0)
    lead(site, green, east, profile=Profile(crosswalks=(True, False)))
    lead(site, green, west, [(-52.0, 10.0)], 40.0, profile=WITH_CROSSWALKS)
    lead(site, green, church, [(10.0, 38.0), (-8.0, 72.0)], 25.0, profile=WITH_CROSSWALKS)
    lead(site, green, mill, [(-8.0, -36.0), (10.0, -66.0)], 25.0, profile=Profile(crosswalks=(True, False)))
    lead(site, east, church, [(88.0, 76.0), (40.0, 100.0)], 25.0)
    lead(site, east, farm, [(150.0, 40.0)], 30.0, profile=Profile(crosswalks=(True, False)))
    lead(site, farm, church, [(120.0, 172.0), (-10.0, 172.0)], 28.0)
    lead(site, church, west, [(-84.0, 124.0), (-122.0, 62.0)], 30.0)
    lead(site, west, pond, [(-154.0, -66.0)], 30.0)
    lead(site, pond, mill, [(-58.0, -104.0)], 35.0, profile=Profile(crosswalks=(False, True)))
    lead(site, pond, mill, [(-118.0, -182.0), (20.0, -176.0)], 24.0)
    lead(site, ford, mill, [(78.0, -116.0)], 30.0)
    lead(site, east, ford, profile=WITH_CROSSWALKS)
    lead(site, farm, ford, [(205.0, 95.0), (205.0, -68.0)], 22.0)
    for crossing in (green, east, west, church, mill, farm, pond, ford):
        site.junction(crossing.ends)


def ring(site: Site) -> None:
    """A roundabout with four entries within a ring road of two lanes."""
    inner, outer, half, entry, reach = 24.0, 95.0, math.radians(28), 39.0, 11.0
    arms = [math.radians(15 + 90 * k) for k in range(4)]
    gates: list[list[End]] = [[] for _ in arms]
    crossings = [Crossing(outer * math.cos(a), outer * math.sin(a), reach) for a in arms]
    for k, angle in enumerate(arms):
        after = (k + 1) % 4
        start = Pose(0, 0, angle + half).ahead(inner)
        start = Pose(start.x, start.y, start.heading + math.pi / 2)
        curve = arc(start, inner, math.pi / 2 - 2 * half)
        number = site.street(curve, Profile(left=0, sidewalks=False))
        gates[k].append(End(number, True))
        gates[after].append(End(number, False))
        start = Pose(0, 0, angle).ahead(entry)
        spoke = fillets(start, Pose(0, 0, angle).ahead(outer - reach))
        number = site.street(spoke, Profile(limit=40.0, crosswalks=(True, True)))
        gates[k].append(End(number, True))
        crossings[k].ends.append(End(number, False))
        start = Pose(0, 0, angle + reach / outer).ahead(outer)
        curve = arc(Pose(start.x, start.y, start.heading + math.pi / 2), outer, math.pi / 2 - 2 * reach / outer)
        number = site.street(curve, Profile(limit=50.0))
        crossings[k].ends.append(End(number, True))
        crossings[after].ends.append(End(number, False))
    for ends in [*gates, *(crossing.ends for crossing in crossings)]:
        site.junction(ends)


def hills(site: Site) -> None:
    """Country roads over three hills of 11 to 16 m, with curves; four T-junctions."""
    west, east = Crossing(-150.0, 0.0, 11.0, 2.0), Crossing(150.0, 10.0, 11.0, 6.0)
    top, dip = Crossing(-6.0, 96.0, 11.0, 12.0), Crossing(8.0, -14.0, 11.0, 0.0)
    lead(site, west, top, [(-150.0, 70.0), (-84.0, 120.0)], 40.0, COUNTRY_ROAD, [(0.5, 5.0)])
    lead(site, top, east, [(66.0, 74.0), (122.0, 122.0), (158.0, 76.0)], 25.0, COUNTRY_ROAD, [(0.55, 16.0)])
    lead(site, west, dip, [(-92.0, -24.0), (-44.0, 22.0)], 30.0, COUNTRY_ROAD, [(0.45, 9.0)])
    lead(site, dip, east, [(76.0, -44.0)], 45.0, COUNTRY_ROAD, [(0.5, 8.0)])
    lead(site, top, dip, [(0.0, 62.0), (22.0, 26.0)], 30.0, COUNTRY_ROAD)
    south = [(-164.0, -92.0), (-60.0, -120.0), (20.0, -84.0), (140.0, -112.0), (170.0, -40.0)]
    lead(site, west, east, south, 32.0, COUNTRY_ROAD, [(0.3, 11.0), (0.6, 1.0)])
    for crossing in (west, east, top, dip):
        site.junction(crossing.ends)


def highway(site: Site) -> None:
    """A closed highway, two lanes each way and three between the ramps and on the far side; each has an off-ramp
    to a service road and an on-ramp back, and the two do not meet.
    """
    side, radius, median = 440.0, 140.0, 5.0
    _carriageway(site, Pose(side / 2, radius, math.pi), side, radius, math.pi)
    _carriageway(site, Pose(-side / 2, radius - median, 0.0), side, radius - median, -math.pi)


def _carriageway(site: Site, start: Pose, side: float, radius: float, turn: float) -> None:
    stub, gap, third, between = 20.0, 30.0, 60.0, 160.0

    def straight(pose: Pose, length: float, lanes: int) -> tuple[int, Pose]:
        end = pose.ahead(length)
        return site.street(fillets(pose, end), Profile(0, lanes, False, 80.0)), end.ahead(gap)

    def curve(pose: Pose) -> tuple[int, Pose]:
        first = arc(pose.ahead(stub), radius, turn)
        pieces = (Piece(pose, stub), *first.pieces, Piece(first.end, stub))
        end = first.end.ahead(stub)
        return site.street(Curve(pieces, end), Profile(0, 2, False, 80.0)), end.ahead(gap)

    first, pose = straight(start.ahead(stub + gap), third, 3)
    off = pose.ahead(-gap)
    middle, pose = straight(pose, between, 2)
    last, on = straight(pose, third, 3)
    bend_one, pose = curve(on)
    far, pose = straight(pose, side - 2 * (stub + gap), 3)
    bend_two, _ = curve(pose)
    opens, closes = (2, 3), (3, 2)
    joints = ((bend_two, first, opens), (last, bend_one, closes), (bend_one, far, opens), (far, bend_two, closes))
    for before, after, extra in joints:
        number = site.junction([End(before, False), End(after, True)], ways=False)
        site.connect(number, End(before, False), End(after, True), [(1, 1), (2, 2)])
        site.connect(number, End(before, False), End(after, True), [extra])
    _ramps(site, off.ahead(gap).beside(-2 * LANE), between, (first, middle, last))


def _ramps(site: Site, leave: Pose, between: float, roads: tuple[int, int, int]) -> None:
    """Off the highway where `leave` is, to a service road on its right, and back `between` metres further on."""
    first, middle, last = roads
    arrive = leave.ahead(between)
    a, b = (Crossing(*pose.beside(-40.0)[:2], 12.0) for pose in (leave.ahead(50.0), arrive.ahead(-50.0)))
    corner, back = leave.ahead(25.0)[:2], arrive.ahead(-25.0)[:2]
    off = site.street(fillets(leave, a.arm(corner).turned(), [corner], 40.0), RAMP)
    onto = site.street(fillets(b.arm(back), arrive, [back], 40.0), RAMP)
    a.ends.append(End(off, False))
    b.ends.append(End(onto, True))
    lead(site, a, b, profile=COUNTRY_ROAD)
    far = [pose.beside(-90.0)[:2] for pose in (leave.ahead(40.0), arrive.ahead(-40.0))]
    lead(site, a, b, far, 20.0, COUNTRY_ROAD)
    for crossing in (a, b):
        site.junction(crossing.ends)
    number = site.junction([End(first, False), End(middle, True), End(off, True)], ways=False)
    site.connect(number, End(first, False), End(middle, True), [(1, 1), (2, 2)])
    site.connect(number, End(first, False), End(off, True), [(3, 1)])
    number = site.junction([End(middle, False), End(last, True), End(onto, False)], ways=False)
    site.connect(number, End(middle, False), End(last, True), [(1, 1), (2, 2)])
    site.connect(number, End(onto, False), End(last, True), [(1, 3)])


LAYOUTS: dict[str, Callable[[Site], None]] = {
    "town": town,
    "village": village,
    "ring": ring,
    "highway": highway,
    "hills": hills,
}
