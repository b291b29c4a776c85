"""The CARLA backend on the fake server: who is put where, and that everyone is taken out again."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from apps.driving.backends.base import BackendError
from apps.driving.backends.carla_config import CameraConfig
from apps.driving.backends.fake_carla import Crash
from common.errors import UsageError
from tests.apps.driving.backends.fakes import GO, make_world, quick


def test_resets_and_close_take_everyone_out_again():
    world = make_world(quick(camera=CameraConfig(width=2, height=2)))
    before = world.actors()
    for seed in range(100):
        world.backend.reset(world.scenario(vehicles=3, walkers=2, parked=1, seed=seed))
        present = world.actors()
        assert len(present) == 1 + 3 + 1 + 2 + 2 + 3
        world.backend.step(GO)
    world.backend.close()
    assert world.actors() == before == []
    assert world.server.complaints == []


def test_sensors_are_stopped_before_they_are_destroyed():
    world = make_world(quick(camera=CameraConfig(width=2, height=2)))
    world.backend.reset(world.scenario(walkers=2))
    sensors = [actor.id for actor in world.server.actors.values() if actor.type_id.startswith(("sensor", "contr"))]
    assert len(sensors) == 5
    world.backend.close()
    log = list(world.server.log)
    last_stop = max(log.index(f"stop {number}") for number in sensors)
    first_destroyed = min(place for place, line in enumerate(log) if line.startswith("destroy"))
    assert last_stop < first_destroyed


def test_a_thousand_resets_leave_no_objects_behind():
    world = make_world()
    scenario = world.scenario(vehicles=2, walkers=1)

    def objects() -> int:
        gc.collect()
        return sum(str(type(thing).__module__).startswith("apps.driving") for thing in gc.get_objects())

    for _ in range(20):
        world.backend.reset(scenario)
    world.server.log.clear()
    before = objects()
    for _ in range(1000):
        world.backend.reset(scenario)
    assert objects() <= before + 5
    assert len(world.server.actors) == 1 + 2 + 1 + 1 + 2


def test_the_start_of_the_route_is_tried_again_a_little_further_on():
    world = make_world()
    world.server.refusals = 3
    scenario = world.scenario()
    ego = world.backend.reset(scenario).ego
    along = np.argmin(np.hypot(scenario.route.xyz[:, 0] - ego.x, scenario.route.xyz[:, 1] - ego.y))
    assert 5 <= scenario.route.s[along] <= 7


def test_a_blocked_start_is_an_error_after_so_many_attempts():
    world = make_world(quick(spawn_attempts=4))
    world.server.refusals = 100
    with pytest.raises(BackendError, match="4 places"):
        world.backend.reset(world.scenario())
    assert world.server.refusals == 96
    assert world.actors() == []
    world.server.refusals = 0
    world.backend.reset(world.scenario())


def test_blocked_cars_are_put_elsewhere():
    world = make_world()
    x, y, _ = world.roads.xyz[world.roads.spawns[10]]
    world.server.obstacles = [(float(x), float(y), 40.0)]
    frame = world.backend.reset(world.scenario(vehicles=8, seed=1))
    assert len(frame.actors) == 8
    assert (np.hypot(frame.actors.poses[:, 0] - x, frame.actors.poses[:, 1] - y) > 35).all()


def test_cars_that_find_no_place_are_an_error_that_leaves_nobody_behind():
    world = make_world(quick(spawn_attempts=5))
    x, y, _ = world.roads.xyz[20]
    world.server.obstacles = [(-float(x), -float(y), 110.0)]  # all but the ego's end of the ring
    with pytest.raises(BackendError, match="blocked for a car"):
        world.backend.reset(world.scenario(vehicles=5))
    assert world.actors() == []


def test_more_cars_than_places_are_refused_with_the_number_of_places():
    world = make_world()
    with pytest.raises(UsageError, match=r"has \d+ places"):
        world.backend.reset(world.scenario(vehicles=500))
    assert world.actors() == []


def test_a_map_without_pavements_has_no_pedestrians_and_says_so():
    world = make_world()
    world.server.pavements = False
    with pytest.raises(BackendError, match=r"traffic\.walkers"):
        world.backend.reset(world.scenario(walkers=1))
    assert world.actors() == []


def test_an_unknown_vehicle_is_named():
    world = make_world(quick(vehicle="vehicle.of.dreams"))
    with pytest.raises(BackendError, match=r"vehicle\.of\.dreams"):
        world.backend.reset(world.scenario())


def test_nobody_is_put_next_to_the_ego():
    world = make_world()
    for seed in range(20):
        # Six metres from two places for cars.
        frame = world.backend.reset(world.scenario(vehicles=10, parked=5, seed=seed, node=24))
        away = np.hypot(frame.actors.poses[:, 0] - frame.ego.x, frame.actors.poses[:, 1] - frame.ego.y)
        assert away.min() > 7


def test_the_traffic_lights_start_anew_in_every_episode():
    world = make_world()
    for count in range(1, 4):
        world.backend.reset(world.scenario())
        assert list(world.server.log).count("lights reset") == count


def test_equal_seeds_give_equal_worlds_and_other_seeds_others():
    def drive(seed: int) -> list:
        world = make_world()
        frame = world.backend.reset(world.scenario(vehicles=5, walkers=3, parked=2, seed=seed))
        frames = [frame] + [world.backend.step(GO) for _ in range(30)]
        return [(f.ego, f.actors.poses.tobytes(), f.actors.speeds.tobytes()) for f in frames]

    assert drive(4) == drive(4)
    assert drive(4) != drive(5)


def test_the_seed_does_not_depend_on_the_episodes_before():
    world, other = make_world(), make_world()
    for seed in (1, 2, 3):
        world.backend.reset(world.scenario(vehicles=4, walkers=2, seed=seed))
    other.backend.reset(other.scenario(vehicles=4, walkers=2, seed=3))
    for _ in range(10):
        one, two = world.backend.step(GO), other.backend.step(GO)
    assert one.actors.poses.tobytes() == two.actors.poses.tobytes()


def test_every_autopilot_is_given_the_port_of_our_traffic_manager():
    world = make_world()
    world.backend.reset(world.scenario(vehicles=4))
    (port,) = world.server.managers
    ports = [
        actor.autopilot_port for actor in world.server.actors.values() if "autopilot" in actor.attributes.values()
    ]
    assert ports == [port] * 4
    assert port != 8000
    assert world.server.managers[port].synchronous


def test_a_traffic_manager_port_that_is_in_use_is_left_for_the_next():
    world = make_world(quick(traffic_manager_port=8000))
    world.server.busy_ports = {8000}
    world.backend.reset(world.scenario(vehicles=2))
    (port,) = world.server.managers
    assert port != 8000
    assert any("8000" in line and "in use" in line for line in world.said)


def test_no_free_port_for_the_traffic_manager_is_an_error():
    world = make_world()

    class All(set):
        def __contains__(self, port: object) -> bool:
            return True

    world.server.busy_ports = All()
    with pytest.raises(BackendError, match="traffic_manager_port"):
        world.backend.reset(world.scenario(vehicles=2))
    assert world.actors() == []


def test_close_lets_the_traffic_manager_go_and_gives_the_clock_back():
    world = make_world()
    found = vars(world.server.settings.copy())
    world.backend.reset(world.scenario(vehicles=2))
    assert world.server.settings.synchronous_mode
    world.backend.close()
    assert world.server.managers == {}
    assert vars(world.server.settings) == found
    log = list(world.server.log)
    world.backend.close()
    assert list(world.server.log) == log


def test_settings_that_were_found_are_given_back_whatever_they_were():
    world = make_world()
    world.server.settings.fixed_delta_seconds = 0.02
    world.server.settings.max_substeps = 3
    world.server.settings.no_rendering_mode = True
    found = vars(world.server.settings.copy())
    world.backend.connect()
    assert world.server.settings.max_substeps == 10
    world.backend.close()
    assert vars(world.server.settings) == found


def test_close_before_connect_and_after_a_crash_is_quiet():
    make_world().backend.close()
    world = make_world()
    world.backend.reset(world.scenario(vehicles=1))
    world.server.soon(Crash())
    with pytest.raises(BackendError):
        world.backend.step(GO)
    world.backend.close()
    world.backend.close()
