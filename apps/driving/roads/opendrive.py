"""From OpenDRIVE text to a road network, through the offline `carla.Map` of CARLA's own client library.

What `carla.Map` says is what a CARLA server says: positions, widths, which lane follows which, where the markings
allow a change. The XML itself is read only for what the client cannot list: lane sections and `<speed>` elements.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from apps.driving.roads.network import SPACING, RoadNetwork
from apps.driving.roads.network_files import load, rounded, save
from apps.driving.roads.spawns import choose_spawns
from apps.driving.roads.speed_limits import DEFAULT_LIMIT, kilometres_per_hour, sign_limits
from common.errors import DataError, MissingDependency, UsageError

THINNEST = 0.05
"""Metres; lanes that open or close have no width at their tip, and a width must be above 0."""
LONGEST_ROAD, LONGEST_MAP = 1e5, 5e6
"""Metres of a road, and of all driving lanes together: CARLA's largest town has about a million."""
STEEPEST = 10
"""Times its length along the reference line that a lane may have: more is a slope or a bend that no road has."""
LONGEST_READING = 900
"""Seconds, after which a map counts as one that never ends."""
REFUSED = 3
"""Exit code of the process that reads a map, where the map is at fault and stdout tells why."""
_EDGE = 1e-3
_SAMPLE = 2.0


@dataclass
class LanePiece:
    """A driving lane within one lane section.

    Attributes:
        key: road, section, lane, as OpenDRIVE numbers them.
        start, end: of the section, in the road's s.
        junction: id, or -1.
        speeds: `(s, km/h)` of the road's `<type>` or the lane's own `<speed>`, ascending.
        first, count: its points in the network.
    """

    key: tuple[int, int, int]
    start: float
    end: float
    junction: int
    speeds: list[tuple[float, float]] = field(default_factory=list)
    first: int = 0
    count: int = 0


def digest_of(text: str) -> str:
    """sha256 of an OpenDRIVE text in hex; line ends and blanks around it do not count, as servers change them."""
    return hashlib.sha256(text.replace("\r\n", "\n").strip().encode("utf-8")).hexdigest()


def read_opendrive(path: Path | str) -> RoadNetwork:
    """The road network of an `.xodr` file, named after the file.

    It is read in a process of its own: CARLA's reader is C++, and a broken map can take down the process it is in.

    Raises:
        DataError: the file is absent or no usable OpenDRIVE, or CARLA's reader crashed on it or did not end.
        MissingDependency: the carla wheel is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("no such file", path=path)
    _carla()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "roads.npz"
        command = [sys.executable, "-m", __name__, str(path.resolve()), str(made)]
        places = os.pathsep.join(place or os.getcwd() for place in sys.path)
        try:
            done = subprocess.run(
                command,
                env={**os.environ, "PYTHONPATH": places},
                capture_output=True,
                text=True,
                timeout=LONGEST_READING,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DataError(f"not read within {LONGEST_READING} s: this is no usable OpenDRIVE", path=path) from error
        if done.returncode == REFUSED:
            raise DataError(done.stdout.strip(), path=path)
        if done.returncode:
            told = f": {done.stderr.strip()[-300:]}" if done.returncode > 0 else ""
            raise DataError(f"CARLA's reader crashed on it (exit code {done.returncode}){told}", path=path)
        return load(made)


def read_here(path: Path, made: Path) -> int:
    """Read a map in this process, and leave it as `made`; what is wrong with it goes to stdout.

    Returns:
        The exit code: 0, or `REFUSED`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        save(from_opendrive(text, path.stem), made)
    except (OSError, UnicodeDecodeError) as error:
        sys.stdout.write(f"cannot be read as text ({error})")
    except DataError as error:
        sys.stdout.write(str(error))
    else:
        return 0
    return REFUSED


def from_opendrive(text: str, name: str) -> RoadNetwork:
    """The road network of an OpenDRIVE text.

    Speed limits come, in this order, from the nearest speed sign upstream (landmark type 274), the lane's or the
    road's `<speed>`, or `DEFAULT_LIMIT` (50 km/h).

    Raises:
        DataError: it is no OpenDRIVE, has no driving lane, drives on the left, or CARLA's reader refuses it.
        MissingDependency: the carla wheel is not installed.
    """
    pieces = _lane_pieces(text)
    if not pieces:
        raise DataError("this OpenDRIVE map has no driving lane")
    carla = _carla()
    try:
        return _network(carla.Map(name, text), pieces, text, name)
    except (RuntimeError, LookupError, OverflowError) as error:
        raise DataError(f"CARLA's reader refuses this OpenDRIVE map: {error}") from error


def _network(world: Any, pieces: list[LanePiece], text: str, name: str) -> RoadNetwork:
    by_key = {piece.key: piece for piece in pieces}
    xyz, yaw, width, stations, changes = _points(world, pieces)
    next_start, next_node = _edges(world, pieces, by_key)
    left, right = _beside(pieces, by_key, changes)
    junction = np.repeat([p.junction for p in pieces], [p.count for p in pieces]).astype(np.int32)
    own = np.concatenate([_own_limits(p, stations[p.first : p.first + p.count]) for p in pieces])
    limit = sign_limits(world, pieces, stations, next_start, next_node)
    limit = np.where(np.isnan(limit), own, limit)
    return RoadNetwork(
        name=name,
        digest=digest_of(text),
        xyz=rounded(xyz, "xyz"),
        yaw=rounded(yaw, "yaw"),
        width=rounded(np.maximum(width, THINNEST), "width").astype(np.float32),
        lane=np.repeat([p.key for p in pieces], [p.count for p in pieces], axis=0).astype(np.int32),
        s=rounded(stations, "s").astype(np.float32),
        junction=junction,
        speed_limit=rounded(limit / 3.6, "speed_limit").astype(np.float32),
        next_start=next_start,
        next_node=next_node,
        left=left,
        right=right,
        spawns=choose_spawns([(p.first, p.count) for p in pieces], junction, width, next_start, next_node),
        crossings=rounded(_crossings(world), "xyz"),
    )


def _carla() -> Any:
    try:
        import carla
    except ImportError as error:
        message = (
            "reading OpenDRIVE needs CARLA's client library, which has wheels only for Linux and Windows and Python "
            "3.10 to 3.12: pip install carla. Without it, use the map's .npz (shipped maps have one); where carla is "
            "installed, `python -m apps.driving.roads.build --export MAP.xodr` makes it"
        )
        missing = MissingDependency("carla", "driving")
        missing.args = (message,)
        raise missing from error
    if not hasattr(carla, "Map"):
        raise UsageError(f"the module carla at {carla.__file__} is not CARLA's client library; pip install carla")
    return carla


def _lane_pieces(text: str) -> list[LanePiece]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError("OpenDRIVE files declare no document type or entities; this one is refused")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"not XML: {error}") from error
    if root.tag != "OpenDRIVE":
        raise DataError(f"not OpenDRIVE: its outermost element is <{root.tag}>")
    try:
        numbers = [int(road.attrib["id"]) for road in root.findall("road")]
        if len(set(numbers)) < len(numbers):
            raise DataError("broken OpenDRIVE: two roads have the same id")
        pieces = [piece for road in root.findall("road") for piece in _pieces_of(road)]
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"broken OpenDRIVE: a road lacks a number where one belongs ({error})") from error
    if (metres := sum(piece.end - piece.start for piece in pieces)) > LONGEST_MAP:
        raise DataError(f"its driving lanes have {metres:,.0f} m; at most {LONGEST_MAP:,.0f} can be read")
    return pieces


def _pieces_of(road: ElementTree.Element) -> Iterator[LanePiece]:
    number, length = int(road.attrib["id"]), float(road.attrib["length"])
    # CARLA's reader takes the whole process down where a geometry is missing, or nothing is at the road's beginning.
    shapes = [float(shape.attrib["s"]) for shape in road.findall("planView/geometry")]
    if not shapes or number < 0 or not -LONGEST_ROAD < length < LONGEST_ROAD:
        raise DataError(f"broken OpenDRIVE: road {number} has no geometry or a length of {length} m")
    if not _goes_on(shapes, length):
        raise DataError(f"broken OpenDRIVE: the geometry of road {number} does not go from its beginning to its end")
    if road.get("rule") == "LHT":
        raise DataError(f"road {number} drives on the left; only right-hand traffic is supported")
    speeds = [(float(t.get("s", 0)), s) for t in road.findall("type") for s in map(kilometres_per_hour, t) if s]
    sections = road.findall("lanes/laneSection")
    starts = [float(section.attrib["s"]) for section in sections]
    if starts and not _goes_on(starts, length):
        raise DataError(
            f"broken OpenDRIVE: the lane sections of road {number} do not go from its beginning to its end"
        )
    for index, (section, start, end) in enumerate(zip(sections, starts, [*starts[1:], length], strict=True)):
        lanes, left, right = (
            [int(lane.attrib["id"]) for lane in section.iterfind(f"{side}/lane")] for side in ("*", "left", "right")
        )
        # CARLA's reader goes on with whatever number an id that is none begins with.
        for link in (*section.iterfind("*/lane/link/predecessor"), *section.iterfind("*/lane/link/successor")):
            int(link.attrib["id"])
        fits = all(lane > 0 for lane in left) and all(lane < 0 for lane in right)
        if lanes.count(0) != 1 or len(set(lanes)) < len(lanes) or not fits:
            raise DataError(f"broken OpenDRIVE: a section of road {number} has not one lane 0, or two lanes of one id")
        if end - start < 2 * _EDGE:
            continue
        for lane in section.iter("lane"):
            if lane.get("type") == "driving" and int(lane.attrib["id"]):
                own = [(start + float(e.get("sOffset", 0)), v) for e in lane if (v := kilometres_per_hour(e))]
                yield LanePiece(
                    key=(number, index, int(lane.attrib["id"])),
                    start=start,
                    end=end,
                    junction=int(road.get("junction", -1)),
                    speeds=sorted(own or speeds),
                )


def _goes_on(starts: list[float], length: float) -> bool:
    """Whether what begins at these places covers a road from its beginning, in order."""
    return abs(starts[0]) <= _EDGE and starts[-1] <= length + _EDGE and starts == sorted(starts)


def _points(world: Any, pieces: list[LanePiece]) -> tuple[NDArray[Any], ...]:
    """Position, yaw, width, s and permitted changes (bit 1: right, bit 2: left) of every point.

    All lanes of one direction in one section get the same number of points, so that point i of one lane lies beside
    point i of the next.
    """
    counts: dict[tuple[int, int, bool], int] = {}
    for piece in pieces:
        group = (*piece.key[:2], piece.key[2] > 0)
        counts[group] = max(counts.get(group, 1), round(_length(world, piece) / SPACING))
    rows: list[tuple[float, ...]] = []
    for piece in pieces:
        road, section, lane = piece.key
        piece.first, piece.count = len(rows), counts[road, section, lane > 0]
        # Half a step from either end: the last point of a lane is a whole step before the first of the next lane,
        # and the first points of lanes that branch do not coincide.
        stations = piece.start + (np.arange(piece.count) + 0.5) / piece.count * (piece.end - piece.start)
        for s in stations if lane < 0 else stations[::-1]:
            point = _waypoint(world, piece, float(s))
            place, yaw = point.transform.location, math.radians(point.transform.rotation.yaw)
            yaw = math.pi - (math.pi - yaw) % (2 * math.pi)
            rows.append((place.x, place.y, place.z, yaw, point.lane_width, float(s), int(point.lane_change)))
    table = np.array(rows)
    return table[:, :3], table[:, 3], table[:, 4], table[:, 5], table[:, 6].astype(np.int32)


def _length(world: Any, piece: LanePiece) -> float:
    steps = max(1, math.ceil((piece.end - piece.start) / _SAMPLE))
    stations = np.linspace(piece.start + _EDGE, piece.end - _EDGE, steps + 1)
    places = [_waypoint(world, piece, float(s)).transform.location for s in stations]
    length = sum(float(a.distance(b)) for a, b in itertools.pairwise(places))
    if not math.isfinite(length):
        raise DataError(f"broken OpenDRIVE: road {piece.key[0]} leads to no finite place")
    if length > STEEPEST * (piece.end - piece.start) + SPACING:
        raise DataError(
            f"broken OpenDRIVE: {piece.end - piece.start:g} m of road {piece.key[0]} are {length:,.0f} m long"
        )
    return length


def _waypoint(world: Any, piece: LanePiece, s: float) -> Any:
    road, _, lane = piece.key
    point = world.get_waypoint_xodr(road, lane, s)
    if point is None:
        raise DataError(f"CARLA's reader finds no lane {lane} on road {road} at s = {s:.3f}")
    return point


def _edges(world: Any, pieces: list[LanePiece], by_key: dict[Any, LanePiece]) -> tuple[NDArray[np.int32], ...]:
    """Each point is followed by the next of its lane; a lane's last point by the first points of the next lanes."""
    after: dict[tuple[int, int, int], list[int]] = {}
    for here, there in world.get_topology():
        start, end = ((w.road_id, w.section_id, w.lane_id) for w in (here, there))
        if end in by_key:
            after.setdefault(start, []).append(by_key[end].first)
    degree: list[int] = []
    follow: list[int] = []
    for piece in pieces:
        follow += range(piece.first + 1, piece.first + piece.count)
        onward = sorted(set(after.get(piece.key, ())))
        follow += onward
        degree += [1] * (piece.count - 1) + [len(onward)]
    return np.cumsum([0, *degree], dtype=np.int32), np.array(follow, np.int32)


def _beside(
    pieces: list[LanePiece], by_key: dict[Any, LanePiece], changes: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    left, right = (np.full(len(changes), -1, np.int32) for _ in range(2))
    for piece in pieces:
        road, section, lane = piece.key
        outward = 1 if lane > 0 else -1
        for column, beside, bit in ((right, lane + outward, 1), (left, lane - outward, 2)):
            other = by_key.get((road, section, beside))
            if other is None:
                continue
            here = slice(piece.first, piece.first + piece.count)
            column[here] = np.where(changes[here] & bit, other.first + np.arange(piece.count), -1)
    return left, right


def _own_limits(piece: LanePiece, stations: NDArray[np.float64]) -> NDArray[np.float64]:
    limits = np.full(len(stations), DEFAULT_LIMIT)
    for start, speed in piece.speeds:
        limits[stations >= start] = speed
    return limits


def _crossings(world: Any) -> NDArray[np.float64]:
    """`carla.Map` gives all corners in one row, the first of each crosswalk repeated at its end."""
    polygons: list[list[tuple[float, float, float]]] = []
    current: list[tuple[float, float, float]] = []
    for corner in ((c.x, c.y, c.z) for c in world.get_crosswalks()):
        if current and corner == current[0]:
            polygons.append(current)
            current = []
        else:
            current.append(corner)
    if not polygons:
        return np.zeros((0, 4, 3))
    corners = max(map(len, polygons))
    return np.array([p + p[-1:] * (corners - len(p)) for p in polygons])


if __name__ == "__main__":
    sys.exit(read_here(Path(sys.argv[1]), Path(sys.argv[2])))
