"""The CARLA backend on the fake server: an episode that goes well, and everything that goes wrong in one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.driving.backends.base import BackendError, BackendLost, Control, Kind, Light
from apps.driving.backends.fake_carla import DoubleTick, Removed
from common.errors import UsageError
from tests.apps.driving.backends.fakes import DT, GO, make_world, quick
from tests.apps.driving.small_roads import route_from


def test_reset_puts_the_ego_at_rest_at_the_start_of_its_route():
    world = make_world()
    scenario = world.scenario()
    frame = world.backend.reset(scenario)
    ego = frame.ego
    assert (ego.x, ego.y, ego.z) == pytest.approx(tuple(scenario.route.xyz[0]))
    assert ego.yaw == pytest.approx(scenario.route.yaw[0])
    assert (ego.speed, ego.drift, ego.yaw_rate, ego.acceleration) == (0.0, 0.0, 0.0, 0.0)
    assert frame.time == 0.0
    assert frame.collisions == ()
    assert len(frame.actors) == 0
    assert frame.light == Light.NONE


def test_no_motion_of_the_last_episode_is_carried_into_the_next():
    world = make_world()
    world.backend.reset(world.scenario())
    for _ in range(20):
        frame = world.backend.step(GO)
    assert frame.ego.speed > 3
    ego = world.backend.reset(world.scenario()).ego
    assert (ego.speed, ego.acceleration, ego.yaw_rate) == (0.0, 0.0, 0.0)


def test_an_ego_that_does_not_come_to_rest_is_stopped():
    world = make_world(quick(settle_ticks=3))
    world.server.rolling = 20.0
    assert world.backend.reset(world.scenario()).ego.speed == 0.0


@pytest.mark.parametrize("ticks", [1, 2, 5])
def test_a_step_is_exactly_its_ticks(ticks):
    world = make_world(quick(ticks=ticks))
    first = world.backend.reset(world.scenario())
    assert world.server.settings.fixed_delta_seconds == pytest.approx(DT / ticks)
    for count in range(1, 6):
        before = world.server.frame
        frame = world.backend.step(GO)
        assert frame.frame == first.frame + count * ticks == before + ticks == world.server.frame
        assert frame.time == pytest.approx(count * DT)


def test_speed_and_acceleration_are_those_of_the_whole_step():
    world = make_world(quick(ticks=2))
    before = world.backend.reset(world.scenario())
    for _ in range(5):
        frame = world.backend.step(GO)
        assert frame.ego.acceleration == pytest.approx((frame.ego.speed - before.ego.speed) / DT)
        assert frame.ego.throttle == 1.0
        assert frame.ego.acceleration > 0
        before = frame
    back = make_world()
    back.backend.reset(back.scenario())
    for _ in range(5):
        ego = back.backend.step(Control(throttle=1.0, reverse=True)).ego
    assert ego.speed < -0.5


def test_a_positive_steer_turns_right():
    world = make_world()
    world.backend.reset(world.scenario(ego_speed=5.0))
    ego = world.backend.step(Control(steer=0.5)).ego
    assert ego.yaw_rate > 0.1
    assert world.backend.step(Control(steer=-0.5)).ego.yaw_rate < -0.1


def test_the_speed_at_the_start_is_the_scenarios():
    world = make_world()
    assert world.backend.reset(world.scenario(ego_speed=7.0)).ego.speed == pytest.approx(7.0, rel=0.05)


@pytest.mark.parametrize(
    ("control", "what"),
    [
        (Control(steer=math.nan), "steer"),
        (Control(throttle=math.inf), "throttle"),
        (Control(brake=-math.inf), "brake"),
        (Control(steer=np.zeros(2)), "steer"),
        (Control(steer=None), "steer"),
        (Control(throttle=0.5, brake=0.5), "both|at least one"),
    ],
)
def test_a_control_that_makes_no_sense_is_refused_and_nothing_moves(control, what):
    world = make_world()
    world.backend.reset(world.scenario())
    frame = world.server.frame
    with pytest.raises(ValueError, match=what):
        world.backend.step(control)
    assert world.server.frame == frame
    world.backend.step(GO)


def test_numpy_numbers_are_converted_and_ranges_clipped():
    world = make_world()
    world.backend.reset(world.scenario())
    ego = world.backend.step(Control(np.float32(-3.0), np.float32(7.0), np.float32(-1.0))).ego
    assert (ego.steer, ego.throttle, ego.brake) == (-1.0, 1.0, 0.0)


@pytest.mark.parametrize("after", [False, True])
def test_a_second_client_that_ticks_is_found_out(after):
    world = make_world(quick(ticks=1))
    world.backend.reset(world.scenario())
    world.backend.step(GO)
    world.server.soon(DoubleTick(after))
    with pytest.raises(BackendError, match="another client ticks") as caught:
        world.backend.step(GO)
    assert not isinstance(caught.value, BackendLost)
    with pytest.raises(BackendError, match="call reset"):
        world.backend.step(GO)
    assert world.actors() == []
    # Once that client has gone, driving goes on.
    world.backend.reset(world.scenario())
    world.backend.step(GO)


def test_a_second_client_that_ticks_between_steps_is_found_out():
    world = make_world()
    world.backend.reset(world.scenario())
    world.server.tick()
    with pytest.raises(BackendError, match="another client ticks"):
        world.backend.step(GO)


def test_a_second_client_that_loads_a_map_is_found_out():
    world = make_world()
    world.backend.reset(world.scenario())
    world.server.load("Town05")
    with pytest.raises(BackendError, match="loaded a map"):
        world.backend.reset(world.scenario())


def test_an_ego_that_another_client_destroys_is_a_lost_episode():
    world = make_world()
    world.backend.reset(world.scenario())
    world.server.soon(Removed())
    with pytest.raises(BackendLost, match="ego is gone"):
        world.backend.step(GO)
    assert world.backend.reset(world.scenario()).time == 0.0


def test_a_step_without_an_episode_is_refused():
    world = make_world()
    with pytest.raises(BackendError, match="call reset"):
        world.backend.step(GO)
    world.backend.reset(world.scenario())
    world.backend.close()
    with pytest.raises(BackendError, match="call reset"):
        world.backend.step(GO)


def test_a_route_of_another_map_is_refused_before_anything_is_spawned():
    world = make_world()
    from tests.apps.driving.small_roads import street

    other = street()
    from apps.driving.backends.base import Scenario

    with pytest.raises(UsageError, match="street"):
        world.backend.reset(Scenario(route_from(other, 0)))
    assert not any(line.startswith("spawn") for line in world.server.log)


def test_other_participants_stand_where_the_server_says():
    world = make_world()
    frame = world.backend.reset(world.scenario(vehicles=6, walkers=3, parked=2, seed=3))
    assert len(frame.actors) == 11
    assert sorted(frame.actors.kinds.tolist()) == [Kind.VEHICLE] * 8 + [Kind.WALKER] * 3
    for _ in range(10):
        frame = world.backend.step(GO)
    for row, number in enumerate(frame.actors.ids):
        place = world.server.actors[int(number)].pose.location
        assert frame.actors.poses[row, :2] == pytest.approx((place.x, place.y))
    moving = frame.actors.speeds[frame.actors.kinds == Kind.VEHICLE]
    assert (moving > 5).sum() == 6
    assert (moving == 0).sum() == 2
    assert (frame.actors.speeds[frame.actors.kinds == Kind.WALKER] > 0.5).all()
    assert frame.actors.extents[frame.actors.kinds == Kind.VEHICLE] == pytest.approx(np.tile([2.4, 1.0], (8, 1)))


def test_actors_of_others_are_seen_when_they_come_and_gone_when_they_go():
    world = make_world()
    world.backend.reset(world.scenario())
    from apps.driving.backends.fake_carla.blueprints import BlueprintLibrary
    from apps.driving.backends.fake_carla.values import Location, Transform

    guest = world.server.spawn(BlueprintLibrary().find("vehicle.audi.tt"), Transform(Location(0.0, 0.0, 0.0)), None)
    assert world.backend.step(GO).actors.ids.tolist() == [guest.id]
    world.server.destroy(guest.id)
    assert len(world.backend.step(GO).actors) == 0


def test_lights_on_the_route_are_told_with_the_way_to_their_stop_line():
    from apps.driving.backends.fake_carla.values import Location, Rotation, TrafficLightState, Transform

    world = make_world()
    route = world.scenario().route

    def stop_at(point: int, turned: float = 0.0) -> Transform:
        x, y, z = (float(value) for value in route.xyz[point])
        return Transform(Location(x, y, z), Rotation(yaw=math.degrees(float(route.yaw[point])) + turned))

    light = world.server.add_light(stop_at(40))
    world.server.add_light(stop_at(20, turned=180.0))  # for those who come the other way
    frame = world.backend.reset(world.scenario(ego_speed=8.0))
    assert frame.light == Light.GREEN
    assert frame.light_distance == pytest.approx(route.s[40], abs=1.0)
    light.state = TrafficLightState.Red
    nearer = world.backend.step(GO)
    assert nearer.light == Light.RED
    assert nearer.light_distance < frame.light_distance
    light.state = TrafficLightState.Off
    assert world.backend.step(GO).light == Light.NONE
    distances = []
    light.state = TrafficLightState.Red
    ways = {int(n): float(y) for n, y in zip(route.nodes, route.yaw, strict=True)}
    for _ in range(60):
        node = int(world.roads.nearest(frame.ego.x, frame.ego.y))
        turn = math.remainder(ways.get(node, frame.ego.yaw) - frame.ego.yaw, math.tau)
        frame = world.backend.step(Control(steer=max(min(2 * turn + 0.08, 1.0), -1.0), throttle=0.3))
        distances.append(frame.light_distance)
    assert distances[0] < 40
    assert distances[-1] == math.inf
