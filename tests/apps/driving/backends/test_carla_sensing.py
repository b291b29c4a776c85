"""The CARLA backend on the fake server: collisions and pictures belong to their frame and their episode."""

from __future__ import annotations

import numpy as np
import pytest

from apps.driving.backends.base import BackendError, BackendLost, Control, Kind
from apps.driving.backends.carla_config import CameraConfig
from apps.driving.backends.carla_sensors import SensorTimeout
from apps.driving.backends.fake_carla import Collision, Extra, Lag
from tests.apps.driving.backends.fakes import GO, make_world, quick


def test_a_collision_is_told_in_its_own_step_once_and_typed():
    world = make_world()
    world.backend.reset(world.scenario(ego_speed=6.0))
    world.server.soon(Collision("vehicle.audi.tt", other=77, copies=4, impulse=900.0), ticks=2)
    before = world.server.frame
    frame = world.backend.step(GO)
    (hit,) = frame.collisions
    assert (hit.frame, hit.other, hit.kind) == (before + 2, 77, Kind.VEHICLE)
    assert hit.impulse == pytest.approx(900.0)
    assert hit.speed == pytest.approx(6.0, rel=0.1)
    assert world.backend.step(GO).collisions == ()


@pytest.mark.parametrize(
    ("type_id", "tags", "kind"),
    [
        ("vehicle.mini.cooper_s", (), Kind.VEHICLE),
        ("walker.pedestrian.0003", (), Kind.WALKER),
        ("static.sidewalk", (), Kind.SIDEWALK),
        ("static.pole", (), Kind.STATIC),
        ("static.prop.barrel", (), Kind.STATIC),
        ("traffic.traffic_light", (), Kind.STATIC),
        ("static.unknown", (2,), Kind.SIDEWALK),
        ("static.unknown", (), Kind.STATIC),
        ("static.road", (), None),
        ("static.roadline", (), None),
        ("static.unknown", (1,), None),
    ],
)
def test_what_was_hit_is_typed_and_the_road_is_no_collision(type_id, tags, kind):
    world = make_world()
    world.backend.reset(world.scenario())
    world.server.soon(Collision(type_id, tags=tags))
    assert [hit.kind for hit in world.backend.step(GO).collisions] == ([] if kind is None else [kind])


def test_the_same_participant_counts_once_in_five_seconds():
    world = make_world()
    world.backend.reset(world.scenario())
    told = {}
    for step in range(120):
        if step in (0, 30, 60, 115):
            world.server.soon(Collision("vehicle.audi.tt", other=5))
        if step == 31:
            world.server.soon(Collision("vehicle.audi.tt", other=6))
        if hits := world.backend.step(Control(brake=1.0)).collisions:
            told[step] = [hit.other for hit in hits]
    # 3 s after the one before are not five seconds, 5.5 s are.
    assert told == {0: [5], 31: [6], 115: [5]}


def test_a_collision_that_comes_a_tick_late_bears_its_own_frame():
    world = make_world(quick(ticks=1))
    world.backend.reset(world.scenario(ego_speed=6.0))
    world.server.soon(Collision("vehicle.audi.tt", other=5, late=1))
    frame = world.backend.step(Control(brake=1.0))
    assert frame.collisions == ()
    (hit,) = world.backend.step(Control(brake=1.0)).collisions
    assert hit.frame == frame.frame
    assert hit.speed == pytest.approx(6.0, rel=0.05)


def test_a_collision_of_the_last_episode_does_not_end_this_one():
    world = make_world()
    world.backend.reset(world.scenario())
    # On its way when the episode ends: delivered by the old sensor in the next one.
    world.server.soon(Collision("vehicle.audi.tt", other=5, late=4))
    world.backend.step(GO)
    assert world.backend.reset(world.scenario()).collisions == ()
    for _ in range(5):
        assert world.backend.step(GO).collisions == ()


def test_a_collision_of_a_frame_before_the_reset_is_dropped():
    world = make_world()
    world.backend.reset(world.scenario())
    world.server.soon(Collision("vehicle.audi.tt", other=5, frames=-3))
    assert world.backend.step(GO).collisions == ()


def test_the_camera_shows_the_frame_it_is_told_with():
    world = make_world(quick(camera=CameraConfig(width=8, height=6)))
    frame = world.backend.reset(world.scenario())
    for _ in range(4):
        assert frame.camera.shape == (6, 8, 3)
        assert frame.camera.dtype == np.uint8
        # The fake paints the frame's number in blue; 2 is red and 1 green, so RGB and not BGR.
        assert frame.camera[0, 0].tolist() == [2, 1, frame.frame % 256]
        frame = world.backend.step(GO)


def test_a_late_picture_is_waited_for():
    world = make_world(quick(ticks=1, sensor_timeout=20.0, camera=CameraConfig(width=2, height=2)))
    world.backend.reset(world.scenario())
    world.server.soon(Lag("rgb", seconds=0.05))
    frame = world.backend.step(GO)
    assert frame.camera[0, 0, 2] == frame.frame % 256


@pytest.mark.parametrize("sensor", ["rgb", "imu"])
def test_a_picture_that_does_not_come_is_a_timeout_and_never_an_old_one(sensor):
    world = make_world(quick(ticks=1, camera=CameraConfig(width=2, height=2)))
    world.backend.reset(world.scenario())
    world.server.soon(Lag(sensor, ticks=1))
    with pytest.raises(SensorTimeout, match="no data of frame") as caught:
        world.backend.step(GO)
    assert isinstance(caught.value, BackendLost)


@pytest.mark.parametrize("frames", [-2, -1, 1, 3])
def test_data_of_other_frames_are_dropped(frames):
    world = make_world(quick(ticks=1, camera=CameraConfig(width=2, height=2)))
    world.backend.reset(world.scenario())
    for _ in range(4):
        world.server.soon(Extra("rgb", frames))
        frame = world.backend.step(GO)
        assert frame.camera[0, 0, 2] == frame.frame % 256


@pytest.mark.parametrize("missed", [1, 2, 4])
def test_the_first_data_of_a_sensor_may_be_missed(missed):
    world = make_world(quick(camera=CameraConfig(width=2, height=2)))
    world.backend.connect()
    # The server stops running by itself when its clock is taken: the ticks of the reset come next.
    for tick in range(1, missed + 1):
        world.server.soon(Lag("rgb"), ticks=tick)
    frame = world.backend.reset(world.scenario())
    assert frame.camera[0, 0, 2] == frame.frame % 256
    assert world.backend.step(GO).camera is not None


def test_a_sensor_that_never_delivers_ends_the_reset():
    world = make_world(quick(sensor_timeout=0.01))
    world.backend.connect()
    for tick in range(1, 500):
        world.server.soon(Lag("imu"), ticks=tick)
    with pytest.raises(BackendError, match="no data of frame"):
        world.backend.reset(world.scenario())


def test_a_collision_while_the_car_settles_is_not_the_drivers():
    world = make_world()
    world.backend.connect()
    world.server.soon(Collision("vehicle.audi.tt", other=5))
    assert world.backend.reset(world.scenario()).collisions == ()
    assert world.backend.step(GO).collisions == ()
