"""The CARLA backend on the fake server: versions, maps, clocks, and a server that dies."""

from __future__ import annotations

import pytest

from apps.driving.backends.base import BackendLost, BackendUnavailable
from apps.driving.backends.carla_backend import CarlaBackend
from apps.driving.backends.carla_config import CarlaConfig, tick_seconds
from apps.driving.backends.fake_carla import Crash, FakeCarla, TimeOut
from common.errors import UsageError
from tests.apps.driving.backends.fakes import DT, GO, OTHER, QUICK, RING, make_world, quick


def spawned(world) -> bool:
    return any(line.startswith("spawn") for line in world.server.log)


def test_other_versions_are_refused_and_both_are_named():
    world = make_world(version="0.9.15")
    with pytest.raises(BackendUnavailable, match=r"0\.9\.16.*0\.9\.15"):
        world.backend.connect()
    assert not world.server.settings.synchronous_mode
    with pytest.raises(BackendUnavailable, match=r"0\.9\.15"):
        world.backend.reset(world.scenario())
    assert not spawned(world)


def test_a_client_that_is_too_old_is_refused():
    world = make_world(version="0.9.13")
    old = CarlaBackend(world.roads, quick(), DT, carla=FakeCarla(world.server, "0.9.13"), look=world.server.look)
    with pytest.raises(BackendUnavailable, match=r"0\.9\.13.*carla>=0\.9\.15"):
        old.connect()


def test_the_town_of_the_routes_is_loaded():
    world = make_world(loaded="Town05")
    world.backend.reset(world.scenario())
    assert world.server.town == "ring"
    assert list(world.server.log).index("load ring") < [line.startswith("spawn") for line in world.server.log].index(1)


def test_the_right_town_is_not_loaded_again():
    world = make_world()
    world.backend.connect()
    assert list(world.server.log).count("load ring") == 1  # when the server started


def test_a_map_that_the_server_does_not_have_is_built_from_its_text():
    world = make_world(loaded="Town05", maps={"Town05": OTHER}, opendrive=RING)
    world.backend.reset(world.scenario())
    assert world.server.maps[world.server.town] == RING
    world.backend.close()
    # It is there now, and not built again.
    again = [line for line in world.server.log if line.startswith("load")]
    world.backend.connect()
    assert [line for line in world.server.log if line.startswith("load")] == again


def test_a_map_that_nobody_has_is_refused_and_those_there_are_named():
    world = make_world(loaded="Town05", maps={"Town05": OTHER, "Town10HD_Opt": OTHER})
    with pytest.raises(BackendUnavailable, match="no map ring; it has: Town05, Town10HD"):
        world.backend.reset(world.scenario())
    assert not spawned(world)


def test_a_town_of_the_same_name_with_other_roads_is_refused():
    world = make_world(maps={"ring": OTHER})
    with pytest.raises(BackendUnavailable, match="sha256"):
        world.backend.reset(world.scenario())
    assert not spawned(world)
    assert not world.server.settings.synchronous_mode


def test_other_roads_may_be_accepted_by_name_with_a_warning():
    world = make_world(quick(map_check="name"), maps={"ring": OTHER})
    world.backend.reset(world.scenario())
    assert any("sha256" in line and "all the same" in line for line in world.said)


def test_the_clock_is_ours_and_its_steps_are_fixed():
    world = make_world(quick(ticks=2, rendering=False))
    world.server.settings.substepping = False
    world.backend.connect()
    settings = world.server.settings
    assert settings.synchronous_mode
    assert settings.no_rendering_mode
    assert settings.substepping
    assert settings.fixed_delta_seconds == pytest.approx(0.05)
    assert settings.fixed_delta_seconds <= settings.max_substep_delta_time * settings.max_substeps


@pytest.mark.parametrize(("dt", "ticks", "needed"), [(0.2, 1, 2), (0.25, 2, 3), (1.0, 9, 10)])
def test_a_tick_that_physics_cannot_follow_is_refused_with_what_would_do(dt, ticks, needed):
    with pytest.raises(UsageError, match=f"ticks to {needed} or more"):
        tick_seconds(CarlaConfig(ticks=ticks), dt)
    assert tick_seconds(CarlaConfig(ticks=needed), dt)[0] == pytest.approx(dt / needed)


def test_a_coarse_substep_is_warned_of():
    _, warning = tick_seconds(CarlaConfig(max_substep=0.02), 0.1)
    assert "0.01666" in warning
    assert tick_seconds(CarlaConfig(ticks=1), 0.1) == (pytest.approx(0.1), "")


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": 0},
        {"ticks": 0},
        {"port": 65535},
        {"port": 0},
        {"max_substeps": 17},
        {"sensor_timeout": float("nan")},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        CarlaConfig(**settings)


def test_nobody_there_is_said_at_once():
    world = make_world(comes_back=False)
    world.server.up = False
    with pytest.raises(BackendUnavailable, match=r"nothing listens on 127\.0\.0\.1:2000"):
        world.backend.connect()
    assert world.pauses == []


def test_a_crash_in_a_step_is_a_lost_episode_and_the_next_reset_goes_on():
    world = make_world()
    world.backend.reset(world.scenario())
    world.backend.step(GO)
    world.server.soon(Crash())
    with pytest.raises(BackendLost, match="during a step"):
        world.backend.step(GO)
    frame = world.backend.reset(world.scenario(vehicles=2))
    assert frame.time == 0.0
    assert len(frame.actors) == 2
    assert world.pauses == [QUICK.backoff]
    assert world.backend.step(GO).frame > frame.frame


def test_a_crash_between_episodes_costs_no_episode():
    world = make_world()
    world.backend.reset(world.scenario())
    world.backend.step(GO)
    world.server.up = False
    assert world.backend.reset(world.scenario()).time == 0.0
    assert len(world.pauses) == 1


def test_a_crash_in_the_reset_is_tried_again():
    world = make_world()
    world.backend.reset(world.scenario())
    world.server.soon(Crash())
    assert world.backend.reset(world.scenario()).time == 0.0


def test_a_server_that_stays_away_is_given_up_after_the_retries_with_longer_and_longer_waits():
    world = make_world(comes_back=False)
    world.backend.reset(world.scenario())
    world.server.soon(Crash())
    with pytest.raises(BackendLost):
        world.backend.step(GO)
    with pytest.raises(BackendUnavailable, match=r"after 3 attempts.*nothing listens"):
        world.backend.reset(world.scenario())
    assert world.pauses == [0.5, 1.0, 2.0]


def test_a_server_that_dies_in_every_reset_is_given_up():
    world = make_world()
    start = world.server.start

    def die_again() -> None:
        start()
        # The server runs three ticks by itself until it is told not to.
        world.server.soon(Crash(), ticks=4)

    world.server.start = die_again
    world.backend.reset(world.scenario())
    world.server.up = False
    with pytest.raises(BackendUnavailable, match="3 attempts"):
        world.backend.reset(world.scenario())
    assert len(world.pauses) == 3


def test_losses_count_in_a_row_only():
    world = make_world()
    for _ in range(8):
        world.backend.reset(world.scenario())
        world.backend.step(GO)
        world.server.soon(Crash())
        with pytest.raises(BackendLost):
            world.backend.step(GO)
    assert world.pauses == [QUICK.backoff] * 7


def test_what_a_slow_server_was_left_with_is_taken_out_when_it_answers_again():
    world = make_world()
    found = vars(world.server.settings.copy())
    world.backend.reset(world.scenario(vehicles=3))
    world.server.soon(TimeOut())
    with pytest.raises(BackendLost, match="time-out"):
        world.backend.step(GO)
    # The server is not ours and lives on, with the lost episode's actors in it.
    assert len(world.actors()) == 6
    world.backend.reset(world.scenario())
    assert len(world.actors()) == 3
    assert world.server.managers == {}
    world.server.soon(TimeOut())
    with pytest.raises(BackendLost):
        world.backend.step(GO)
    world.backend.close()
    assert world.actors() == []
    assert world.server.complaints == []
    assert vars(world.server.settings) == found


def test_a_failing_connection_may_be_tried_again():
    world = make_world(version="0.9.15")
    with pytest.raises(BackendUnavailable):
        world.backend.connect()
    world.server.version = "0.9.16"
    world.backend.connect()
    log = list(world.server.log)
    world.backend.connect()
    assert list(world.server.log) == log
