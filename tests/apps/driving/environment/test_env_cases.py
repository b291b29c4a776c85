"""Behaviour cases of the driving reference that the environment must get right, by number; see `test_forty_cases`."""

from __future__ import annotations

import gc
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.driving.backends.base import Collision, Kind
from apps.driving.backends.choose import BackendConfig, Simulator
from apps.driving.env_config import RouteConfig
from apps.driving.environment.env import DrivingEnv
from apps.driving.environment.termination import COLLISION_CAUSES
from tests.apps.driving import scripted as helpers
from tests.apps.driving.scripted import drive, scripted

IDLE = [np.zeros(2)] * 2000
GO = {"ahead": 0.6}


def route_length():
    env = scripted([GO])
    return env.route.length


@pytest.mark.parametrize("kind", COLLISION_CAUSES)
def test_1_and_3_a_collision_of_any_kind_ends_the_episode_at_once_under_its_own_name(kind):
    env = scripted([GO, {"ahead": 0.6, "hits": [Collision(2, 5, kind, 6.0)]}])
    env.step(IDLE[0])
    _, reward, terminated, truncated, info = env.step(IDLE[0])
    assert (reward, terminated, truncated) == (env.config.penalty, True, False)
    assert info["cause"] == COLLISION_CAUSES[kind]
    assert info["summary"]["collisions"] == [{"kind": kind.name.lower(), "speed": pytest.approx(21.6), "step": 2}]
    with pytest.raises(RuntimeError, match="reset"):
        env.step(IDLE[0])


def test_2_several_contacts_of_one_tick_end_it_once_and_are_all_told():
    hits = [Collision(1, 5, Kind.VEHICLE, 6.0), Collision(1, -1, Kind.SIDEWALK, 6.0)]
    infos = drive(scripted([{"ahead": 0.6, "hits": hits}]), IDLE)
    assert len(infos) == 1
    assert infos[0]["cause"] == "collision with a vehicle"
    assert [one["kind"] for one in infos[0]["summary"]["collisions"]] == ["vehicle", "sidewalk"]


@pytest.mark.parametrize("degrees", [132, 150, 180, -132, -179])
def test_5_the_wrong_way_gains_nothing(degrees):
    story = [GO] * 20 + [{"ahead": -0.6, "turn": math.radians(degrees), "speed": 6.0}] * 10
    env = scripted(story)
    infos = drive(env, IDLE[:30])
    for info in infos[20:]:
        assert abs(info["state"]["heading"]) >= math.radians(131)
        assert info["state"]["progress_change"] == 0.0


def test_6_reverse_has_a_negative_speed_and_gains_nothing():
    story = [GO] * 20 + [{"ahead": -0.6, "speed": -6.0}] * 10 + [GO] * 10
    infos = drive(scripted(story), IDLE[:40])
    assert all(info["state"]["speed"] < 0 for info in infos[20:30])
    # The same ten steps forwards are not paid twice.
    assert sum(info["state"]["progress_change"] for info in infos[20:]) == pytest.approx(0.0, abs=1e-9)


def test_7_a_standing_car_keeps_its_heading_and_every_number_is_finite():
    for info in drive(scripted([{"ahead": 0.0, "turn": 0.3}]), IDLE[:5]):
        assert info["state"]["heading"] == pytest.approx(0.3, abs=0.05)
        assert all(math.isfinite(value) for value in info["state"].values())


def test_8_hills_do_not_shift_the_offset():
    env = scripted([GO], town="hills", top_speed=0.0)
    heights = []
    for _ in range(300):
        *_, terminated, truncated, info = env.step(IDLE[0])
        heights.append(env.frame.ego.z)
        assert abs(info["state"]["offset"]) < 0.02
        if terminated or truncated:
            break
    assert np.ptp(heights) > 3.0


@given(st.lists(st.tuples(st.floats(-1.0, 1.5), st.floats(-6.0, 6.0), st.floats(-3.2, 3.2)), max_size=60))
@settings(max_examples=40, deadline=None)
def test_9_and_12_gains_add_up_and_no_step_gains_more_than_the_car_moved(moves):
    story = [{"ahead": ahead, "right": right, "turn": turn} for ahead, right, turn in moves]
    env = scripted([*story, GO], end_off_route=False)
    total, place = 0.0, env.frame.ego
    for _ in range(len(story) + 20):
        *_, terminated, truncated, info = env.step(IDLE[0])
        state, now = info["state"], env.frame.ego
        moved = math.hypot(now.x - place.x, now.y - place.y)
        # The slack: the inside of a bend is shorter than its lane's centre.
        assert 0.0 <= state["distance"] <= moved + 1.5 + 1e-6
        assert state["progress_change"] == 0.0 or not state["off_route"]
        total += state["progress_change"]
        assert total == pytest.approx(state["progress"], abs=1e-9)
        assert state["progress"] <= 1.0 + 1e-9
        place = now
        if terminated or truncated:
            break


@pytest.mark.parametrize("points", [1, 2, 4])
def test_10_a_route_that_is_too_short_is_refused_at_reset(points):
    env = scripted([GO])
    cut = {
        name: getattr(env.route, name)[:points]
        for name in ("xyz", "yaw", "width", "commands", "speed_limit", "s", "nodes")
    }
    with pytest.raises(ValueError, match="at least"):
        env.reset(options={"route": replace(env.route, **cut)})


def test_11_a_teleport_is_neither_progress_nor_distance():
    story = [GO] * 10 + [{"ahead": 40.0, "speed": 6.0}] + [GO] * 20
    infos = drive(scripted(story, end_off_route=False, seconds=3.1), IDLE)
    assert infos[-1]["state"]["progress"] == infos[9]["state"]["progress"]
    assert infos[-1]["summary"]["distance"] == pytest.approx(30 * 0.6, abs=0.5)
    assert infos[-1]["summary"]["route_completion"] == infos[9]["state"]["progress"]
    ended = drive(scripted(story), IDLE)
    assert ended[-1]["cause"] == "off the route"
    assert len(ended) == 11


class TestStuck:
    """Case 13."""

    STAND = {"ahead": 0.0}
    WAIT = {"ahead": 0.0, "car": 8.0}

    def test_13_waiting_behind_a_car_is_not_being_stuck(self):
        infos = drive(scripted([self.WAIT], stuck_seconds=1.0, seconds=3.0), IDLE)
        assert infos[-1]["cause"] == "time limit"

    def test_13_unless_the_config_says_so(self):
        infos = drive(scripted([self.WAIT], stuck_seconds=1.0, stuck_behind_hazard=True), IDLE)
        assert infos[-1]["cause"] == "stuck"
        assert len(infos) == 10

    def test_13_a_car_far_ahead_is_no_excuse(self):
        infos = drive(scripted([{"ahead": 0.0, "car": 25.0}], stuck_seconds=1.0), IDLE)
        assert len(infos) == 10

    def test_13_a_reset_starts_the_count_again(self):
        env = scripted([self.STAND], stuck_seconds=1.0)
        for _ in range(9):
            assert not env.step(IDLE[0])[2]
        env.reset(seed=0)
        assert len(drive(env, IDLE)) == 10


class TestSuccess:
    """Case 16: near the end, and with the whole route driven."""

    def test_16_near_the_end_without_the_way_there_is_no_success(self):
        length = route_length()
        # Left out: 30 m in the middle, driven off the route.
        steps = int(length / 0.6)
        gone = range(steps // 2, steps // 2 + 50)
        story = [{"ahead": 0.6, "right": 5.0 if step in gone else 0.0} for step in range(steps)]
        infos = drive(scripted([*story, {"ahead": 0.0}], end_off_route=False, seconds=0.0, stuck_seconds=3.0), IDLE)
        assert infos[-1]["cause"] == "stuck"
        assert not infos[-1]["is_success"]
        assert 0.5 < infos[-1]["state"]["progress"] < 0.95

    def test_16_the_whole_way_but_not_near_is_no_success(self):
        steps = int(route_length() / 0.6) + 2
        story = [{"ahead": 0.6, "right": 2.0}] * steps
        far = drive(scripted([*story, {"ahead": 0.0, "right": 2.0}], goal=1.0, seconds=0.0, stuck_seconds=3.0), IDLE)
        assert far[-1]["state"]["progress"] >= 0.999
        assert far[-1]["cause"] == "stuck"
        near = drive(scripted([*story, {"ahead": 0.0, "right": 2.0}], seconds=0.0), IDLE)
        assert near[-1]["is_success"]


def test_27_resets_leave_nothing_behind():
    env = DrivingEnv(helpers.settings(vehicles=4, bev="masks"))

    def objects(resets):
        for number in range(resets):
            env.reset(seed=number % 20)
            env.step(IDLE[0])
        gc.collect()
        return len(gc.get_objects())

    before = objects(20)
    assert objects(60) - before < 200


def observed(env):
    """A short drive of several environments as bytes."""
    found = [{name: part.tobytes() for name, part in env.reset().items()}]
    for step in range(25):
        observation, rewards, dones, _ = env.step(np.full((env.num_envs, 2), (0.02 * (step % 5), 0.5), np.float32))
        # One of them collects rewards in float32, the other in float64.
        paid = rewards.astype(np.float32).tobytes()
        found.append({name: part.tobytes() for name, part in observation.items()} | {"reward": paid})
        assert not dones.all()
    env.close()
    return found


def test_30_processes_of_their_own_give_equal_bytes_and_ranks_differ():
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    makers = [partial(DrivingEnv, helpers.settings(vehicles=4), rank=rank) for rank in range(2)]

    def seeded(made):
        made.seed(3)
        return made

    here = observed(seeded(DummyVecEnv(makers)))
    there = observed(seeded(SubprocVecEnv(makers, start_method="spawn")))
    assert here == there
    first = here[0]["neighbours"]
    assert first[: len(first) // 2] != first[len(first) // 2 :]


@pytest.mark.parametrize(
    "moment",
    [
        {"ahead": 0.0, "speed": 0.0},
        {"ahead": 0.5, "speed": 1e3},
        {"ahead": 0.5, "speed": -1e3},
        {"ahead": 0.5, "right": 1e6},
        {"ahead": 1e5, "speed": 1.0},
    ],
)
def test_31_numbers_and_the_environments_own_reward_stay_finite(moment):
    env = scripted([moment], end_off_route=False, top_speed=0.0)
    for _ in range(3):
        _, reward, *_, info = env.step(IDLE[0])
        assert math.isfinite(reward)
        assert all(math.isfinite(value) for value in info["state"].values())


def test_36_the_same_moment_gives_the_same_picture_and_the_same_numbers():
    env = DrivingEnv(helpers.settings(picture="rgb"), backend=lambda roads: helpers.Scripted([{"ahead": 0.0}]))
    env.reset(seed=0)
    infos = [env.step(IDLE[0])[-1] for _ in range(3)]
    assert (infos[1]["image"] == infos[2]["image"]).all()
    moving = ("time", "step")
    told = [{name: value for name, value in info["state"].items() if name not in moving} for info in infos]
    assert told[1] == told[2]


@pytest.mark.filterwarnings("ignore:.*[Bb]ox observation space m.*", "ignore:.*not within the observation.*")
def test_40_the_checkers_accept_the_environment_on_the_fake_of_carlas_client():
    from stable_baselines3.common.env_checker import check_env as check_for_stable_baselines

    config = helpers.settings()
    config.routes = RouteConfig(pool=2)
    env = DrivingEnv(config, backend=Simulator(BackendConfig(kind="fake")))
    check_for_stable_baselines(env)
    first, _ = env.reset(seed=0)
    later, *_ = env.step(IDLE[0])
    again, _ = env.reset(seed=0)
    for name, part in first.items():
        assert (part.dtype, part.shape) == (later[name].dtype, later[name].shape) == (again[name].dtype, part.shape)
    assert env.observation_space.contains(first)
    assert env.backend.name == "fake"
    env.close()
