"""The environment on the embedded simulator: what a trainer and a reward can rely on."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from apps.driving.backends.base import BackendLost, Collision, Kind
from apps.driving.drivers.rule_based import RuleBased
from apps.driving.env_config import (
    ActionConfig,
    EndConfig,
    EnvConfig,
    ObservationConfig,
    RouteConfig,
    TrafficConfig,
    ViewConfig,
)
from apps.driving.environment.env import DrivingEnv
from common.errors import UsageError
from common.training.sb3.replayed import Replayed
from tests.apps.driving.scripted import Scripted, drive, scripted, settings

STATE = {
    *("speed", "offset", "heading", "offset_std", "steer", "steer_change", "steer_std", "throttle", "brake"),
    *("acceleration", "progress", "progress_change", "distance", "lane_width", "speed_limit", "off_route"),
    *("collision", "collision_speed", "red_light", "success", "terminated", "truncated", "hazard", "time", "step"),
}


@pytest.mark.filterwarnings("ignore:.*[Bb]ox observation space m.*", "ignore:.*not within the observation.*")
@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_gymnasium_and_stable_baselines_accept_it(kind):
    from stable_baselines3.common.env_checker import check_env as check_for_stable_baselines

    config = settings(vehicles=3, bev="masks")
    config.action.kind = kind
    check_env(DrivingEnv(config), skip_render_check=True)
    check_for_stable_baselines(DrivingEnv(config))


@pytest.mark.parametrize(("bev", "picture"), [("none", "none"), ("masks", "rgb"), ("rgb", "masks")])
def test_observations_lie_in_their_space_and_the_state_has_its_keys(bev, picture):
    env = DrivingEnv(settings(vehicles=6, bev=bev, picture=picture))
    driver = RuleBased(env.config)
    observation, info = env.reset(seed=1)
    for _ in range(60):
        assert env.observation_space.contains(observation)
        assert set(info["state"]) == STATE
        assert all(math.isfinite(value) for value in info["state"].values())
        assert ("image" in info) == (picture != "none")
        observation, _, terminated, truncated, info = env.step(driver.act(observation))
        if terminated or truncated:
            break


@pytest.mark.parametrize("vehicles", [0, 12])
def test_equal_seeds_give_equal_bytes(vehicles):
    told = []
    for _ in range(2):
        env = DrivingEnv(settings(vehicles=vehicles, bev="masks"))
        driver = RuleBased(env.config)
        observation, _ = env.reset(seed=7)
        story = [b"".join(part.tobytes() for part in observation.values())]
        for _ in range(80):
            observation, reward, terminated, truncated, info = env.step(driver.act(observation))
            story.append(
                b"".join(part.tobytes() for part in observation.values()) + repr((reward, info["state"])).encode()
            )
            if terminated or truncated:
                observation, _ = env.reset()
        told.append(story)
    assert told[0] == told[1]


@pytest.mark.parametrize("kind", ["continuous", "discrete"])
@pytest.mark.parametrize("steps", [0, 1, 47])
def test_a_restored_environment_goes_on_bit_for_bit(kind, steps):
    def made():
        config = settings(vehicles=8, bev="masks")
        config.action.kind = kind
        return Replayed(DrivingEnv(config))

    rng = np.random.default_rng(5)
    actions = [int(rng.integers(30)) if kind == "discrete" else rng.uniform(-0.3, 0.6, 2) for _ in range(120)]

    def tell(env, actions):
        story = []
        for action in actions:
            observation, reward, terminated, truncated, info = env.step(action)
            story.append((reward, repr(info["state"]), *(part.tobytes() for part in observation.values())))
            if terminated or truncated:
                story.append(tuple(part.tobytes() for part in env.reset()[0].values()))
        return story

    env = made()
    env.reset(seed=11)
    tell(env, actions[:steps])
    state = env.get_state()
    other = made()
    other.reset(seed=99)
    other.set_state(state)
    assert tell(other, actions[steps:]) == tell(env, actions[steps:])


def test_ranks_are_set_apart():
    routes = set()
    for rank in range(6):
        env = DrivingEnv(settings(), rank=rank)
        env.reset(seed=3)
        routes.add((env.route.name, int(env.np_random.integers(2**31))))
    assert len(routes) == 6


@pytest.mark.parametrize("action", [[math.nan, 0.0], [0.0, math.inf], [0.0], [0.0, 0.0, 0.0], [[0.0, 0.0]], 0.0])
def test_a_bad_action_is_refused_and_the_episode_goes_on(action):
    env = DrivingEnv(settings())
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action|finite"):
        env.step(np.array(action))
    env.step(np.zeros(2))


def test_actions_outside_are_clipped_and_types_do_not_matter():
    results = []
    for action in (np.array([5.0, -9.0]), np.array([1.0, -1.0], np.float32), (1, -1)):
        env = DrivingEnv(settings())
        env.reset(seed=0)
        env.step(action)
        results.append(env.frame)
    assert results[0].ego == results[1].ego == results[2].ego
    assert not (results[0].ego.throttle > 0 and results[0].ego.brake > 0)


def test_discrete_actions_are_pairs_of_throttle_and_steer():
    from apps.driving.environment.actions import TABLE

    for number in (0, 7, len(TABLE) - 1):
        frames = []
        for kind, action in (("discrete", number), ("continuous", np.array(TABLE[number][::-1]))):
            config = settings()
            config.action.kind = kind
            env = DrivingEnv(config)
            env.reset(seed=0)
            env.step(action)
            frames.append(env.frame.ego)
        assert frames[0] == frames[1]
    with pytest.raises(ValueError, match="whole number"):
        DrivingEnv(config).actions.__class__(replace(config.action, kind="discrete")).control(len(TABLE))


def test_step_before_reset_and_after_the_end_is_refused():
    env = DrivingEnv(settings(seconds=0.1))
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.zeros(2))
    env.reset(seed=0)
    assert env.step(np.zeros(2))[3]
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.zeros(2))


def test_a_collision_ends_the_episode_in_its_own_step_with_its_penalty():
    hit = Collision(3, 17, Kind.WALKER, 4.0)
    env = scripted([{"ahead": 0.5}, {"ahead": 0.5}, {"ahead": 0.5, "hits": [hit]}])
    env.step(np.zeros(2))
    env.step(np.zeros(2))
    _, reward, terminated, truncated, info = env.step(np.zeros(2))
    assert (reward, terminated, truncated) == (env.config.penalty, True, False)
    assert info["cause"] == "collision with a walker"
    assert info["state"]["collision"] == 1.0
    assert info["summary"]["collision_speed"] == pytest.approx(4.0 * 3.6)


def test_a_collision_at_the_goal_is_a_collision():
    probe = DrivingEnv(settings())
    probe.reset(seed=0)
    metres = [{"ahead": 0.6}] * int(probe.route.length / 0.6)
    end = {"ahead": 0.6, "hits": [Collision(0, 1, Kind.VEHICLE, 6.0)]}
    infos = drive(scripted([*metres, end], top_speed=0.0), [np.zeros(2)] * 1000)
    assert infos[-1]["cause"] == "collision with a vehicle"
    assert not infos[-1]["is_success"]


def test_the_whole_route_is_a_success_and_its_gains_add_up_to_one():
    infos = drive(scripted([{"ahead": 0.6}], top_speed=0.0), [np.zeros(2)] * 1000)
    assert infos[-1]["cause"] == "goal"
    assert infos[-1]["summary"]["route_completion"] >= 0.999
    assert sum(info["state"]["progress_change"] for info in infos) == pytest.approx(infos[-1]["state"]["progress"])


def test_leaving_the_route_ends_it_or_freezes_progress():
    story = [{"ahead": 0.5}] * 20 + [{"ahead": 0.5, "right": 4.0}] * 20
    infos = drive(scripted(story), [np.zeros(2)] * 40)
    assert infos[-1]["cause"] == "off the route"
    assert len(infos) == 21
    infos = drive(scripted(story, end_off_route=False), [np.zeros(2)] * 40)
    assert len({info["state"]["progress"] for info in infos[20:]}) == 1
    assert infos[-1]["state"]["off_route"] == 1.0


def test_stuck_comes_after_exactly_so_many_steps_and_moving_starts_the_count_again():
    stand, move = {"ahead": 0.0}, {"ahead": 0.5}
    infos = drive(scripted([stand] * 15 + [move] + [stand] * 100, stuck_seconds=2.0), [np.zeros(2)] * 100)
    assert infos[-1]["cause"] == "stuck"
    assert len(infos) == 15 + 1 + 20


def test_the_time_limit_cuts_off_and_does_not_end():
    env = scripted([{"ahead": 0.5}], seconds=3.0)
    for _ in range(29):
        assert env.step(np.zeros(2))[2:4] == (False, False)
    assert env.step(np.zeros(2))[2:4] == (False, True)


def test_a_lost_simulator_is_not_the_drivers_fault():
    env = scripted([{"ahead": 0.5}, BackendLost("the server hangs")])
    env.step(np.zeros(2))
    observation, reward, terminated, truncated, info = env.step(np.zeros(2))
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["backend_lost"] == "the server hangs"
    assert env.observation_space.contains(observation)


def test_a_collision_is_not_told_again_when_the_simulator_is_lost():
    hit = Collision(1, 7, Kind.VEHICLE, 5.0)
    env = scripted([{"ahead": 0.5, "hits": [hit]}, BackendLost("the server hangs")], collisions=False)
    assert env.step(np.zeros(2))[4]["state"]["collision"] == 1.0
    assert env.step(np.zeros(2))[4]["state"]["collision"] == 0.0


def test_a_server_is_left_before_another_town_is_driven_on_it():
    told = []

    class Server(Scripted):
        name = "carla"

        def __init__(self, town):
            super().__init__([{"ahead": 0.5}])
            self.town = town

        def connect(self):
            told.append(("connects", self.town))

        def close(self):
            told.append(("leaves", self.town))

    config = settings()
    config.routes = RouteConfig(maps=["town", "ring"], pool=4)
    env = DrivingEnv(config, backend=lambda roads: Server(roads.name))
    towns = []
    for seed in range(8):
        towns.append(env.reset(seed=seed)[1]["town"])
        env.step(np.zeros(2))
    env.close()
    assert set(towns) == {"town", "ring"}
    held = [town for number, town in enumerate(towns) if number == 0 or towns[number - 1] != town]
    assert told == [(what, town) for town in held for what in ("connects", "leaves")]


def test_the_spread_of_the_steer_is_that_of_the_last_thirty_steps():
    env = DrivingEnv(settings(end_off_route=False, stuck_seconds=0.0))
    env.reset(seed=2)
    steers = [0.0]
    for step in range(50):
        state = env.step(np.array([math.sin(step / 3), 0.0]))[4]["state"]
        steers.append(state["steer"])
        assert state["steer_std"] == pytest.approx(np.std(steers[-30:]), abs=1e-12)
    assert state["steer_std"] > 0.1


def test_the_reward_can_look_at_the_right_half_of_the_simulators_own_camera():
    class WithCamera(Scripted):
        def frame(self, *moment):
            camera = np.zeros((60, 81, 3), np.uint8)
            camera[:, :40] = (200, 0, 0)
            camera[:30, 40:] = (0, 120, 0)
            return super().frame(*moment)._replace(camera=camera)

    config = settings()
    config.picture = ViewConfig("camera", size=16)
    env = DrivingEnv(config, backend=lambda roads: WithCamera([{"ahead": 0.5}]))
    picture = env.reset(seed=0)[1]["image"]
    assert (picture.shape, picture.dtype) == ((3, 16, 16), np.uint8)
    assert not picture[[0, 2]].any()
    assert (picture[1, :7] == 120).all()
    assert not picture[1, 9:].any()

    with pytest.raises(UsageError, match=r"simulator\.carla\.camera"):
        DrivingEnv(config).reset(seed=0)
    with pytest.raises(UsageError, match=r"bev\.kind is camera"):
        EnvConfig(observation=ObservationConfig(bev=ViewConfig("camera")))


def test_standing_still_is_aligned_and_finite():
    infos = drive(scripted([{"ahead": 0.0}]), [np.zeros(2)] * 5)
    assert all(info["state"]["heading"] == pytest.approx(0.0, abs=0.05) for info in infos)


def test_unknown_options_and_towns_are_refused():
    env = DrivingEnv(settings())
    with pytest.raises(UsageError, match="unknown reset options"):
        env.reset(options={"rout": 1})
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"routes\.maps"):
        env.reset(options={"route": replace(env.route, town="Town99")})


@pytest.mark.parametrize("town", ["town", "village"])
def test_the_rule_based_driver_arrives(town):
    config = settings(vehicles=8)
    config.routes = RouteConfig(maps=[town], pool=6)
    env = DrivingEnv(config)
    driver = RuleBased(config)
    causes = []
    for episode in range(3):
        observation, _ = env.reset(seed=episode)
        while True:
            observation, _, terminated, truncated, info = env.step(driver.act(observation))
            if terminated or truncated:
                break
        causes.append(info["cause"])
    assert causes == ["goal"] * 3


def test_render_shows_the_scene():
    env = DrivingEnv(settings(vehicles=4), render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    for _ in range(25):
        env.step(np.array([0.0, 0.6]))
    later = env.render()
    assert first.shape == later.shape == (512, 512, 3)
    assert first.dtype == np.uint8
    assert (first != later).any(2).mean() > 0.01
    env.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrafficConfig(vehicles=[5, 0]), r"traffic\.vehicles is \[5, 0\]; give the fewest and the most"),
        (lambda: TrafficConfig(walkers=[3]), r"traffic\.walkers is \[3\]"),
        (lambda: ObservationConfig(spacing=0.75), r"observation\.spacing 0\.75 a multiple of 0\.5 m"),
        (lambda: ObservationConfig(waypoints=0), r"observation\.waypoints 0 must be 1 or more"),
        (lambda: ViewConfig("masks", history=[6, 0]), r"history \[6, 0\] of a view"),
        (lambda: ViewConfig("masks", metres=0.0), r"metres 0\.0 above 0"),
        (lambda: ObservationConfig(neighbours=-1), r"observation\.neighbours -1 must be at least 0"),
        (lambda: ActionConfig(smoothing=1.5), r"action\.smoothing 1\.5"),
        (lambda: EndConfig(off_route=0.0), r"end\.off_route 0\.0 must be above 0"),
        (lambda: RouteConfig(pool=0), r"routes\.pool 0"),
        (lambda: EnvConfig(target_speed=0.0), r"target_speed 0\.0 must be above 0"),
    ],
)
def test_settings_that_no_episode_could_begin_with_are_refused_by_name(make, message):
    with pytest.raises(UsageError, match=message):
        make()
