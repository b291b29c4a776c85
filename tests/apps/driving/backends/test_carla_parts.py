"""The parts of the CARLA backend by themselves: queues of sensors, conversions, and the fake's bicycle."""

from __future__ import annotations

import itertools
import math
import threading
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apps.driving.backends.base import Control
from apps.driving.backends.carla_convert import Box, box, ego, motion, town_of
from apps.driving.backends.carla_sensors import WAITING, CollisionLog, FrameQueue, SensorTimeout
from apps.driving.backends.fake_carla.values import BoundingBox, Location, Rotation, Transform, Vector3D
from tests.apps.driving.backends.fakes import make_world

FLAT = Box(0.0, 0.0, 0.0, 2.0, 1.0)
angles = st.floats(-720, 720)
speeds = st.floats(-40, 40)


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(0, 30))
def test_a_queue_gives_out_the_frame_that_was_asked_for_or_nothing(frames, wanted):
    queue = FrameQueue("sensor")
    for frame in frames:
        queue.put(frame, frame * 10)
    assert len(queue) <= WAITING
    if wanted in frames[-WAITING:]:
        assert queue.take(wanted, 0.0) == wanted * 10
        queue.put(wanted, "twice")
        with pytest.raises(SensorTimeout):
            queue.take(wanted, 0.0)
    else:
        with pytest.raises(SensorTimeout, match=f"frame {wanted}"):
            queue.take(wanted, 0.0)


def test_a_queue_wakes_up_for_the_frame_and_not_for_those_before():
    queue = FrameQueue("sensor")
    queue.put(4, "old")

    def sense() -> None:
        queue.put(5, "older")
        queue.put(6, "new")

    thread = threading.Timer(0.01, sense)
    thread.start()
    assert queue.take(6, 60.0) == "new"
    thread.join()


def test_a_closed_queue_takes_nothing_more():
    queue = FrameQueue("sensor")
    queue.put(1, "a")
    queue.close()
    queue.put(2, "b")
    assert len(queue) == 0


def contact(frame: int, type_id: str = "vehicle.a", other: int = 1) -> SimpleNamespace:
    actor = SimpleNamespace(id=other, type_id=type_id, semantic_tags=[])
    return SimpleNamespace(frame=frame, other_actor=actor, normal_impulse=Vector3D(3.0, 4.0, 0.0))


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_contacts_with_one_participant_are_five_seconds_apart(frames):
    log = CollisionLog(0.1)
    log.begin(0)
    for frame in frames:
        log.hear(contact(frame))
    told = [hit.frame for hit in log.take()]
    assert told[0] == min(frames)
    assert all(later - earlier > 50 for earlier, later in itertools.pairwise(told))
    assert log.take() == ()


def test_a_flood_of_contacts_does_not_grow():
    log = CollisionLog(0.1)
    log.begin(0)
    for number in range(10_000):
        log.hear(contact(1, other=number))
    assert len(log.take()) < 1000


def test_kerb_and_wall_are_two_contacts_and_two_kerbs_one():
    log = CollisionLog(0.1)
    log.begin(0)
    for frame, type_id in ((1, "static.sidewalk"), (2, "static.building"), (3, "static.sidewalk")):
        log.hear(contact(frame, type_id, other=0))
    assert [(hit.frame, hit.other, hit.impulse) for hit in log.take()] == [(1, -1, 5.0), (2, -1, 5.0)]


def part(x, y, z, yaw, velocity, pitch=0.0) -> SimpleNamespace:
    pose = Transform(Location(x, y, z), Rotation(pitch=pitch, yaw=yaw))
    return SimpleNamespace(get_transform=lambda: pose, get_velocity=lambda: Vector3D(*velocity))


@given(angles, speeds, speeds)
def test_speed_is_along_the_nose_and_drift_to_the_right(yaw, ahead, aside):
    cos, sin = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    now = motion(part(1.0, 2.0, 3.0, yaw, (ahead * cos - aside * sin, ahead * sin + aside * cos, 0.0)), FLAT)
    assert now.speed == pytest.approx(ahead, abs=1e-9)
    assert now.drift == pytest.approx(aside, abs=1e-9)
    assert -math.pi <= now.yaw <= math.pi
    assert math.cos(now.yaw) == pytest.approx(cos, abs=1e-9)


def test_speed_uphill_is_that_of_the_wheels():
    pitch = 30.0
    velocity = (10 * math.cos(math.radians(pitch)), 0.0, 10 * math.sin(math.radians(pitch)))
    assert motion(part(0, 0, 0, 0.0, velocity, pitch), FLAT).speed == pytest.approx(10.0)


def test_the_ego_is_where_its_box_is_on_the_ground():
    actor = SimpleNamespace(bounding_box=BoundingBox(Location(0.5, 0.0, 0.8), Vector3D(2.4, 1.0, 0.75)))
    bounds = box(actor)
    now = motion(part(10.0, 20.0, 1.0, 90.0, (0.0, 0.0, 0.0)), bounds)
    assert (now.x, now.y, now.z) == pytest.approx((10.0, 20.5, 1.05))
    assert (bounds.length, bounds.width) == (2.4, 1.0)


@given(angles, st.floats(-20, 20))
@example(175.0, 10.0)
def test_yaw_rate_goes_the_short_way_round(yaw, turned):
    before, now = (motion(part(0, 0, 0, a, (0, 0, 0)), FLAT) for a in (yaw, yaw + turned))
    car = ego(now, before, 0.1, Control())
    assert car.yaw_rate == pytest.approx(math.radians(turned) / 0.1, abs=1e-6)


@pytest.mark.parametrize("path", ["Town02", "Carla/Maps/Town02", "/Game/Carla/Maps/Town02_Opt", "Town02_Opt"])
def test_a_town_has_one_name(path):
    assert town_of(path) == "Town02"


def test_a_route_can_be_driven_on_the_fake():
    world = make_world()
    scenario = world.scenario()
    route = scenario.route
    frame = world.backend.reset(scenario)
    at, worst = 0, 0.0
    for _ in range(600):
        place = [math.dist((x, y), (frame.ego.x, frame.ego.y)) for x, y in route.xyz[:, :2]]
        at = place.index(min(place))
        worst = max(worst, min(place))
        if at >= len(route.xyz) - 8:
            break
        x, y = route.xyz[at + 7, :2]
        turn = math.remainder(math.atan2(y - frame.ego.y, x - frame.ego.x) - frame.ego.yaw, math.tau)
        throttle = 0.5 if frame.ego.speed < 8 else 0.0
        frame = world.backend.step(Control(steer=max(min(1.5 * turn, 1.0), -1.0), throttle=throttle))
    assert at >= len(route.xyz) - 8
    assert worst < 1.0
