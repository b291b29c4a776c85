"""The embedded simulator as the environment sees it."""

from __future__ import annotations

import dataclasses
import gc
import math
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from apps.driving.backends.base import Backend, BackendError, Control, Frame, Kind, Light, Scenario, Traffic
from apps.driving.backends.embedded import EmbeddedBackend
from apps.driving.backends.junctions import Junctions
from apps.driving.backends.vehicle import Car
from apps.driving.geometry import overlaps
from common.errors import UsageError
from tests.apps.driving.small_roads import WIDTH, Drawing, arriving, crossroads, hill, line, ring, route_from, street
from tests.conftest import ROOT

FULL = Traffic(vehicles=8, walkers=6, parked=3)
GO, STAND, STOP = Control(0.0, 0.4), Control(), Control(brake=1.0)


def scenario(backend: EmbeddedBackend, node: int = 0, traffic: Traffic | None = None, **more: float) -> Scenario:
    return Scenario(route_from(backend.roads, node, 200), traffic or Traffic(), **more)  # type: ignore[arg-type]


def digest(frame: Frame) -> bytes:
    """Every byte of a frame."""
    columns = b"".join(column.tobytes() for column in frame.actors)
    return repr((frame.frame, frame.time, frame.ego, frame.collisions, frame.light)).encode() + columns


def wander(backend: EmbeddedBackend, steps: int, seed: int = 0) -> list[bytes]:
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(steps):
        steer, pedals = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 1.0)
        frames.append(digest(backend.step(Control(float(steer), max(float(pedals), 0.0), max(-float(pedals), 0.0)))))
    return frames


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


def test_equal_scenarios_give_equal_bytes_and_other_seeds_others() -> None:
    backend, again = EmbeddedBackend(crossroads()), EmbeddedBackend(crossroads())
    runs = []
    for one, seed in ((backend, 5), (backend, 5), (again, 5), (again, 6)):
        first = digest(one.reset(scenario(one, 30, FULL, seed=seed)))
        runs.append([first, *wander(one, 300)])
    assert runs[0] == runs[1] == runs[2]
    assert runs[0] != runs[3]


def test_the_global_generators_are_neither_read_nor_moved() -> None:
    backend = EmbeddedBackend(crossroads())
    np.random.seed(1)
    before = pickle.dumps(np.random.get_state())
    backend.reset(scenario(backend, 30, FULL))
    one = wander(backend, 100)
    assert pickle.dumps(np.random.get_state()) == before
    np.random.seed(2)
    backend.reset(scenario(backend, 30, FULL))
    assert wander(backend, 100) == one


SCRIPT = """
import hashlib, sys
from tests.apps.driving.backends.test_embedded import *
backend = EmbeddedBackend(crossroads())
backend.reset(scenario(backend, 30, FULL, seed=5))
print(hashlib.sha256(b"".join(wander(backend, 300))).hexdigest())
"""


def test_equal_bytes_across_processes() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert len(said.pop().strip()) == 64


@pytest.mark.parametrize("traffic", [Traffic(), FULL])
def test_a_restored_episode_goes_on_bit_for_bit(traffic: Traffic) -> None:
    backend = EmbeddedBackend(crossroads())
    backend.reset(scenario(backend, 30, traffic, seed=2))
    wander(backend, 150)
    state = backend.state()
    on = wander(backend, 300, seed=9)
    other = EmbeddedBackend(crossroads())
    other.restore(state)
    assert wander(other, 300, seed=9) == on
    backend.restore(state)
    assert wander(backend, 300, seed=9) == on


def test_a_pickled_backend_goes_on_bit_for_bit() -> None:
    backend = EmbeddedBackend(crossroads())
    copied = pickle.loads(pickle.dumps(backend))
    backend.reset(scenario(backend, 30, FULL, seed=2))
    with pytest.raises(BackendError):
        copied.step(GO)
    wander(backend, 50)
    copied = pickle.loads(pickle.dumps(backend))
    assert wander(copied, 100) == wander(backend, 100)


def test_a_state_is_small_and_fits_its_own_town_only() -> None:
    backend = EmbeddedBackend(crossroads())
    backend.reset(scenario(backend, 30, FULL))
    state = backend.state()
    assert len(state) < 200_000  # the roads are not in it
    with pytest.raises(UsageError, match="map"):
        EmbeddedBackend(ring()).restore(state)
    with pytest.raises(UsageError, match="dt"):
        EmbeddedBackend(backend.roads, dt=0.05).restore(state)


def test_a_state_without_an_episode_restores_to_none() -> None:
    backend = EmbeddedBackend(street())
    state = backend.state()
    backend.reset(scenario(backend))
    backend.restore(state)
    with pytest.raises(BackendError):
        backend.step(GO)


def test_a_thousand_resets_leave_nothing_behind() -> None:
    backend = EmbeddedBackend(crossroads())
    start = scenario(backend, 30, Traffic(4, 2, 1))
    for _ in range(20):
        backend.reset(start)
        backend.step(GO)
    gc.collect()
    objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
    for seed in range(1000):
        backend.reset(dataclasses.replace(start, seed=seed))
        backend.step(GO)
    backend.reset(start)
    backend.step(GO)
    gc.collect()
    assert len(gc.get_objects()) - objects < 50
    assert sys.getallocatedblocks() - blocks < 2000


def test_height_and_slope_come_from_the_road() -> None:
    backend = EmbeddedBackend(hill(grade=0.06))
    frame = backend.reset(scenario(backend, 50))
    assert frame.ego.z == pytest.approx(3.0)
    for _ in range(100):
        frame = backend.step(STAND)  # rolls back
    assert frame.ego.speed < -0.5
    assert frame.ego.z == pytest.approx(0.06 * frame.ego.x, abs=1e-6)


def parked_ahead() -> tuple[EmbeddedBackend, Frame]:
    """A street on which traffic waits behind nothing: the car ahead stands at the ring's only other place."""
    backend = EmbeddedBackend(street())
    for seed in range(50):
        frame = backend.reset(scenario(backend, 0, Traffic(1), seed=seed, ego_speed=14.0))
        if abs(frame.actors.poses[0, 1] - WIDTH / 2) < 0.1 and frame.actors.poses[0, 0] > 40.0:
            return backend, frame
    raise AssertionError("no car was put ahead")


def test_a_crash_into_a_car_is_told_once_stops_both_and_is_typed() -> None:
    backend, frame = parked_ahead()
    told = []
    for _ in range(300):
        frame = backend.step(Control(0.0, 1.0))
        told += frame.collisions
        if told:
            break
    crash = told[0]
    assert (crash.other, crash.kind, crash.frame) == (1, Kind.VEHICLE, frame.frame)
    assert crash.speed > 5.0
    assert crash.impulse > 0.0
    assert frame.ego.speed == 0.0
    other = frame.actors.poses[0]
    assert abs(other[0] - frame.ego.x) < frame.actors.extents[0, 0] + backend.car.length / 2 + 0.01
    # Pushing on neither moves through it nor counts again while they touch.
    x = frame.ego.x
    for _ in range(20):
        frame = backend.step(Control(0.0, 1.0))
        assert not frame.collisions
        assert frame.ego.x < x + 0.5
    # And backwards it comes free.
    for _ in range(40):
        frame = backend.step(Control(0.0, 1.0, 0.0, True))
    assert frame.ego.x < x - 3.0


def test_traffic_stops_behind_an_ego_that_blocks_the_road() -> None:
    backend = EmbeddedBackend(ring(40.0))
    frame = backend.reset(scenario(backend, 100, Traffic(8), seed=1))
    for _ in range(900):
        frame = backend.step(STOP)
        assert not frame.collisions
    assert frame.actors.speeds.max() < 0.1


def test_an_ego_on_its_way_through_a_junction_keeps_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = EmbeddedBackend(crossroads(), kerb=None)
    taken: list[tuple[int, ...]] = []
    update = Junctions.update

    def spy(self: Junctions, *args: object) -> None:
        taken.append(args[-1])  # type: ignore[arg-type]
        update(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Junctions, "update", spy)
    frame = backend.reset(scenario(backend, arriving(backend.roads), Traffic(4), ego_speed=8.0))
    held = []
    for _ in range(100):
        held.append((frame.ego.x, backend.step(Control(0.0, 0.05)).ego.x, bool(taken[-1]) if taken else False))
        frame = backend.step(Control(0.0, 0.05))
    assert any(claims for _, x, claims in held if x < 20.0)
    assert not any(claims for x, _, claims in held if x > 35.0)


def test_an_ego_that_brakes_hard_is_not_run_into() -> None:
    backend = EmbeddedBackend(ring(60.0))
    for seed in range(5):
        frame = backend.reset(scenario(backend, 0, Traffic(6), seed=seed))
        told = []
        for _ in range(100):
            # Follows the ring, behind somebody who also follows it.
            gap = _gap_ahead(frame)
            steer = 2.88 / 60.0 / 0.55 - 0.4 * (60.0 - math.hypot(frame.ego.x, frame.ego.y))
            frame = backend.step(Control(min(max(steer, -1), 1), 0.3 if gap > 15 and frame.ego.speed < 7 else 0.0,
                                         1.0 if gap < 8 else 0.0))  # fmt: skip
        for _ in range(80):
            frame = backend.step(STOP)
            told += frame.collisions
        assert [event for event in told if event.kind is Kind.VEHICLE] == []


def _gap_ahead(frame: Frame) -> float:
    angle = math.atan2(frame.ego.y, frame.ego.x)
    others = np.arctan2(frame.actors.poses[:, 1], frame.actors.poses[:, 0])
    return float((np.mod(others - angle, 2 * math.pi) * 60.0).min())


def test_leaving_the_road_touches_the_pavement_once() -> None:
    backend = EmbeddedBackend(street(), kerb=1.0)
    backend.reset(scenario(backend, 20, ego_speed=5.0))
    told, where = [], []
    for _ in range(60):
        frame = backend.step(Control(0.15, 0.1))
        told += frame.collisions
        where += [frame.ego.y] * len(frame.collisions)
    assert [(event.kind, event.other) for event in told] == [(Kind.SIDEWALK, -1)]
    assert WIDTH + 1.0 - 2.6 < where[0] < WIDTH + 1.0
    assert told[0].speed == pytest.approx(5.0, abs=1.0)


def test_without_a_kerb_nothing_is_told() -> None:
    backend = EmbeddedBackend(street(), kerb=None)
    backend.reset(scenario(backend, 20, ego_speed=5.0))
    assert not [event for _ in range(60) for event in backend.step(Control(0.15, 0.1)).collisions]


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


def test_under_a_bridge_nobody_is_hit() -> None:
    drawing = Drawing("bridge")
    drawing.lane(line((-100.0, 0.0), (100.0, 0.0)))
    over = line((0.0, -400.0), (0.0, 400.0))
    drawing.lane(np.column_stack([over, np.full(len(over), 6.0)]))
    backend = EmbeddedBackend(drawing.network(), kerb=None)
    frame = backend.reset(scenario(backend, 98, Traffic(12), seed=0))
    passed = 0
    for _ in range(600):
        frame = backend.step(STOP)
        assert not [event for event in frame.collisions if abs(frame.ego.z) < 1.0 and event.speed > 0.0]
        near = np.hypot(frame.actors.poses[:, 0] - frame.ego.x, frame.actors.poses[:, 1] - frame.ego.y) < 3.0
        passed += int((near & (frame.actors.poses[:, 2] > 5.0)).sum())
    assert passed > 0
