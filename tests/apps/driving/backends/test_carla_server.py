"""What only a CARLA server can show. Nothing here has run in this repository's own checks, for there is no server.

Start one and run this file; it takes a few minutes:

    CarlaUE4.sh -RenderOffScreen -nosound -carla-rpc-port=2000
    python -m pytest -n 0 -s -m slow tests/apps/driving/backends/test_carla_server.py

It loads Town02 and, last, a map of this repository's own.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.driving.backends.base import Control, Scenario, Traffic
from apps.driving.backends.carla_backend import CarlaBackend
from apps.driving.backends.carla_config import CameraConfig, CarlaConfig
from apps.driving.backends.carla_probe import look
from apps.driving.roads.library import load_roads, opendrive_of
from tests.apps.driving.small_roads import route_from

carla = pytest.importorskip("carla")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(look("127.0.0.1", 2000, 1.0).kind != "carla", reason="no CARLA server on 127.0.0.1:2000"),
]
GO, STOP = Control(throttle=0.6), Control(brake=1.0)


@pytest.fixture(scope="module")
def roads():
    """Of the server's own Town02, whatever its version."""
    from apps.driving.roads.opendrive import from_opendrive

    client = carla.Client("127.0.0.1", 2000)
    client.set_timeout(120.0)
    world = client.get_world()
    if not world.get_map().name.endswith("Town02"):
        world = client.load_world("Town02")
    return from_opendrive(world.get_map().to_opendrive(), "Town02")


@pytest.fixture
def drive(roads):
    made = []

    def make(**settings) -> CarlaBackend:
        made.append(CarlaBackend(roads, CarlaConfig(**settings), 0.1, say=print))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


def scenario(roads, seed: int = 0, start: int = 0, **traffic) -> Scenario:
    return Scenario(route_from(roads, int(roads.spawns[start]), 150), Traffic(**traffic), seed)


def everyone() -> int:
    client = carla.Client("127.0.0.1", 2000)
    client.set_timeout(20.0)
    present = client.get_world().get_actors()
    return sum(len(present.filter(kind)) for kind in ("vehicle.*", "walker.*", "sensor.*", "controller.*"))


def test_frames_times_and_axes(drive, roads):
    backend = drive()
    first = backend.reset(scenario(roads))
    route = scenario(roads).route
    assert math.dist((first.ego.x, first.ego.y), route.xyz[0, :2]) < 0.5
    assert abs(first.ego.z - route.xyz[0, 2]) < 0.3
    assert abs(first.ego.speed) < 0.1
    for count in range(1, 30):
        frame = backend.step(GO)
        assert frame.frame == first.frame + 2 * count
        assert frame.time == pytest.approx(0.1 * count)
    assert frame.ego.speed > 1
    assert backend.step(Control(steer=0.5, throttle=0.3)).ego.steer == pytest.approx(0.5, abs=0.01)
    for _ in range(5):
        frame = backend.step(Control(steer=0.5, throttle=0.3))
    assert frame.ego.yaw_rate > 0.05


def test_settings_and_actors_are_as_they_were(drive, roads):
    client = carla.Client("127.0.0.1", 2000)
    client.set_timeout(20.0)
    found, present = client.get_world().get_settings(), everyone()
    backend = drive()
    for seed in range(20):
        backend.reset(scenario(roads, seed, vehicles=20, walkers=10, parked=5))
        backend.step(GO)
    backend.close()
    assert client.get_world().get_settings() == found
    assert everyone() == present


def test_the_camera_is_of_its_frame(drive, roads):
    backend = drive(camera=CameraConfig(width=128, height=96))
    frame = backend.reset(scenario(roads))
    for _ in range(20):
        assert frame.camera.shape == (96, 128, 3)
        frame = backend.step(GO)


def test_driving_into_something_is_told_in_the_step_in_which_the_car_stops(drive, roads):
    backend = drive()
    frame = backend.reset(scenario(roads))
    for _ in range(400):
        before = frame
        frame = backend.step(Control(throttle=1.0, steer=0.15 if before.frame % 7 else 0.4))
        if frame.collisions or frame.ego.speed < before.ego.speed - 3:
            break
    assert frame.collisions, "the speed fell by more than 3 m/s with no collision told"
    assert frame.collisions[0].speed > 0.5


def test_equal_seeds_drive_nearly_alike(drive, roads):
    backend = drive()

    def places() -> np.ndarray:
        backend.reset(scenario(roads, seed=7, vehicles=10))
        for _ in range(50):
            frame = backend.step(STOP)
        return frame.actors.poses[:, :2]

    one, two = places(), places()
    apart = np.hypot(*(one - two).T)
    print(f"equal seeds: others are {np.median(apart):.3f} m apart after 5 s (median), {apart.max():.3f} m at most")
    assert np.median(apart) < 1.0


def test_a_map_of_our_own_is_built_on_the_server():
    town = load_roads("town")
    backend = CarlaBackend(town, CarlaConfig(), 0.1, opendrive=opendrive_of(town), say=print)
    frame = backend.reset(scenario(town, vehicles=5))
    z = frame.ego.z
    for _ in range(30):
        frame = backend.step(GO)
    assert frame.ego.speed > 1
    assert abs(frame.ego.z - z) < 0.5
    backend.close()
