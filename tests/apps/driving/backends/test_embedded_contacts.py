"""Whom the ego touches on the embedded simulator, and who keeps away from it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.driving.backends.base import Control, Frame, Kind, Traffic
from apps.driving.backends.embedded import EmbeddedBackend
from apps.driving.backends.junctions import Junctions
from tests.apps.driving.backends.episodes import STOP, scenario
from tests.apps.driving.small_roads import WIDTH, Drawing, arriving, crossroads, line, ring, street


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
