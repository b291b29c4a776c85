"""The embedded simulator as the environment sees it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from apps.driving.backends.base import Backend, BackendError, Control, Kind, Light, Scenario, Traffic
from apps.driving.backends.embedded import EmbeddedBackend
from apps.driving.backends.vehicle import Car
from apps.driving.geometry import overlaps
from common.errors import UsageError
from tests.apps.driving.backends.episodes import FULL, GO, STAND, STOP, digest, scenario
from tests.apps.driving.small_roads import WIDTH, crossroads, hill, ring, route_from, street


def test_it_is_a_backend() -> None:
    backend: Backend = EmbeddedBackend(street())
    assert backend.name == "embedded"
    assert backend.dt == 0.1
    backend.connect()
    backend.connect()
    backend.close()
    backend.close()


def test_frames_count_ticks_and_time_starts_at_zero() -> None:
    backend = EmbeddedBackend(street(), dt=0.1, ticks=4)
    frame = backend.reset(scenario(backend, 5, ego_speed=3.0))
    assert (frame.frame, frame.time, frame.collisions, frame.light) == (0, 0.0, (), Light.NONE)
    assert frame.ego[:5] == (5.0, WIDTH / 2, 0.0, 0.0, 3.0)
    frames = [backend.step(GO) for _ in range(10)]
    assert [frame.frame for frame in frames] == list(range(4, 44, 4))
    assert frames[-1].time == pytest.approx(1.0)
    assert backend.reset(scenario(backend, 5)).frame == 0


def test_the_ego_says_what_it_does() -> None:
    backend = EmbeddedBackend(street())
    backend.reset(scenario(backend, ego_speed=5.0))
    ego = backend.step(Control(0.2, 0.5)).ego
    assert (ego.steer, ego.throttle, ego.brake) == (0.2, 0.5, 0.0)
    assert ego.acceleration == pytest.approx((ego.speed - 5.0) / 0.1)
    assert ego.yaw_rate > 0.0
    assert ego.drift > 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_control_must_be_finite(bad: float) -> None:
    backend = EmbeddedBackend(street())
    backend.reset(scenario(backend))
    for control in (Control(bad), Control(0.0, bad), Control(0.0, 0.0, bad)):
        with pytest.raises(ValueError, match="finite"):
            backend.step(control)


def test_a_control_out_of_range_is_clipped_and_numpy_numbers_are_taken() -> None:
    backend = EmbeddedBackend(street())
    backend.reset(scenario(backend))
    wide = backend.step(Control(-5.0, 2.0, -1.0))
    backend.reset(scenario(backend))
    assert digest(backend.step(Control(-1.0, 1.0, 0.0))) == digest(wide)
    backend.reset(scenario(backend))
    assert backend.step(Control(np.float32(0.1), np.float32(0.5), np.float32(0.0))).ego.speed > 0.0  # type: ignore[arg-type]


def test_no_step_before_a_reset_and_none_after_close() -> None:
    backend = EmbeddedBackend(street())
    with pytest.raises(BackendError, match="reset"):
        backend.step(GO)
    backend.reset(scenario(backend))
    backend.close()
    with pytest.raises(BackendError, match="reset"):
        backend.step(GO)


def test_a_route_of_another_town_is_refused_by_both_names() -> None:
    backend = EmbeddedBackend(street())
    with pytest.raises(UsageError, match=r"ring.*street"):
        backend.reset(Scenario(route_from(ring(), 0)))


def test_nonsense_is_refused() -> None:
    roads = street()
    for options in ({"dt": 0.0}, {"dt": math.nan}, {"ticks": 0}, {"dt": 1.0, "ticks": 2}, {"kerb": -1.0}):
        with pytest.raises(UsageError):
            EmbeddedBackend(roads, **options)  # type: ignore[arg-type]
    backend = EmbeddedBackend(roads)
    short = dataclasses.replace(route_from(roads, 0, 2), s=np.zeros(2))
    with pytest.raises(UsageError, match="no length"):
        backend.reset(Scenario(short))
    with pytest.raises(UsageError, match="ego_speed"):
        backend.reset(scenario(backend, ego_speed=math.nan))


def test_more_traffic_than_room_is_refused_with_the_room_there_is() -> None:
    backend = EmbeddedBackend(street(100.0))
    for traffic, name in ((Traffic(200), "vehicles"), (Traffic(0, 0, 100), "parked"), (Traffic(0, 9999), "walkers")):
        with pytest.raises(UsageError, match=rf"traffic\.{name} is .* room|pavement"):
            backend.reset(scenario(backend, traffic=traffic))
    # And nothing is left half made.
    with pytest.raises(BackendError):
        backend.step(GO)
    assert len(backend.reset(scenario(backend, traffic=Traffic(3))).actors) == 3


def test_nobody_overlaps_anybody_at_the_start() -> None:
    backend = EmbeddedBackend(crossroads())
    for seed in range(20):
        frame = backend.reset(scenario(backend, 30, Traffic(15, 0, 5), seed=seed))
        ego = (frame.ego.x, frame.ego.y, frame.ego.yaw)
        poses, extents = frame.actors.poses, frame.actors.extents
        assert not overlaps(ego, backend.car.extent, poses, extents).any()
        for row in range(len(poses)):
            pose = (poses[row, 0], poses[row, 1], poses[row, 3])
            assert overlaps(pose, tuple(extents[row]), poses, extents).sum() == 1


def test_actors_have_ids_of_their_own_and_their_kinds() -> None:
    backend = EmbeddedBackend(crossroads())
    actors = backend.reset(scenario(backend, 0, FULL)).actors
    assert len(set(actors.ids.tolist())) == len(actors) == 17
    assert (actors.kinds == Kind.WALKER).sum() == 6
    assert (actors.kinds == Kind.VEHICLE).sum() == 11


def test_a_frame_does_not_change_when_the_world_goes_on() -> None:
    backend = EmbeddedBackend(crossroads())
    frame = backend.reset(scenario(backend, 0, FULL))
    frames = [frame] + [backend.step(GO) for _ in range(50)]
    kept = [digest(one) for one in frames]
    for _ in range(200):
        backend.step(GO)
    assert [digest(one) for one in frames] == kept


def test_height_and_slope_come_from_the_road() -> None:
    backend = EmbeddedBackend(hill(grade=0.06))
    frame = backend.reset(scenario(backend, 50))
    assert frame.ego.z == pytest.approx(3.0)
    for _ in range(100):
        frame = backend.step(STAND)  # rolls back
    assert frame.ego.speed < -0.5
    assert frame.ego.z == pytest.approx(0.06 * frame.ego.x, abs=1e-6)


def test_a_long_way_off_the_road_is_no_error() -> None:
    backend = EmbeddedBackend(hill())
    backend.reset(scenario(backend, 20, ego_speed=20.0))
    for _ in range(300):
        frame = backend.step(Control(0.02, 1.0))
    assert math.isfinite(frame.ego.z)
    assert abs(frame.ego.y) > 100.0


def test_cars_that_leave_the_map_come_back_as_others() -> None:
    backend = EmbeddedBackend(street(400.0))
    frame = backend.reset(scenario(backend, 0, Traffic(4), seed=1))
    ids, counts = set(frame.actors.ids.tolist()), set()
    for _ in range(1500):
        frame = backend.step(STOP)
        ids |= set(frame.actors.ids.tolist())
        counts.add(len(frame.actors))
        assert np.abs(frame.actors.poses[:, :2]).max(initial=0.0) < 1e4
    assert len(ids) > 8
    assert min(counts) < 4
    assert max(counts) == 4


def test_the_car_can_be_another() -> None:
    backend = EmbeddedBackend(street(), car=Car(top_speed=5.0))
    backend.reset(scenario(backend))
    for _ in range(100):
        frame = backend.step(Control(0.0, 1.0))
    assert frame.ego.speed <= 5.0
