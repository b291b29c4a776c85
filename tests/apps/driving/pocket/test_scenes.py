"""The pocket data set: drawn as the environment draws, the same for the same seed, and split by map and episode."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.driving.backends.base import Kind
from apps.driving.drivers.rule_based import RuleBased
from apps.driving.env_config import EnvConfig, RouteConfig, TrafficConfig
from apps.driving.environment.env import DrivingEnv
from apps.driving.observation.bev import COLOURS, VEHICLE, WALKER
from apps.driving.pocket.facts import LABELS
from apps.driving.pocket.moments import PAST, Drawn, Moment, moved, pocket_view, with_other
from apps.driving.pocket.scenes import ASPECTS, SPLITS, load_scenes
from apps.driving.roads.library import HELD_OUT, SHIPPED
from common.errors import UsageError


def shows(pictures: np.ndarray, value: int) -> np.ndarray:
    """`(N,)` whether pictures hold a colour."""
    return (pictures == np.array(COLOURS[value])).all(3).any((1, 2))


def test_equal_seeds_give_equal_scenes_and_others_give_others(village):
    again = load_scenes("held_out", 60, seed=77, blanked=True, quiet=True)
    for name, column in vars(village).items():
        assert np.array_equal(column[:60], getattr(again, name), equal_nan=column.dtype.kind == "f"), name
    other = load_scenes("held_out", 10, seed=1, quiet=True)
    assert not np.array_equal(other.indices, village.indices[:10])


def test_the_village_is_in_no_training_split():
    assert [split for split, (towns, _) in SPLITS.items() if HELD_OUT in towns] == ["held_out"]
    firsts = [first for _, first in SPLITS.values()]
    assert len(set(firsts)) == len(firsts)


def test_scenes_come_from_the_splits_maps(village):
    assert {SHIPPED[town] for town in village.towns} == {HELD_OUT}


def test_dangers_lie_within_their_bounds_and_the_greatest_is_all(village):
    assert (village.dangers >= 0).all()
    assert (village.dangers <= 1).all()
    assert np.array_equal(village.danger("all"), village.dangers[:, :3].max(1))


def test_clear_scenes_are_safe_and_collisions_are_not(village):
    assert (village.danger("all")[village.labelled("clear")] < 0.2).all()
    assert village.labelled("collision").any()
    assert (village.danger("traffic")[village.labelled("collision")] == 1.0).all()


def test_without_the_others_nobody_is_drawn_and_the_road_stays(village):
    assert shows(village.pictures(), VEHICLE).mean() > 0.5
    empty = village.emptied()
    assert not shows(empty, VEHICLE).any()
    assert not shows(empty, WALKER).any()
    nobody = ~shows(village.pictures(), VEHICLE) & ~shows(village.pictures(), WALKER)
    same = (village.pictures() == empty).all((1, 2, 3))
    assert same[nobody].mean() > 0.8  # the rest shows where somebody was


def test_a_scene_tells_its_truth_in_words(village):
    row = int(np.flatnonzero(village.labelled("collision"))[0])
    scene = village.scene(row)
    assert scene.label == "collision"
    assert scene.label in LABELS
    assert set(scene.danger) == set(ASPECTS)
    assert len(scene.captions) == 4
    assert scene.picture.shape == (64, 64, 3)


def test_an_unknown_split_is_named():
    with pytest.raises(UsageError, match="tets"):
        load_scenes("tets", 1)


@pytest.fixture(scope="module")
def driven():
    """An environment with the pocket view, some steps into an episode, and the moments there."""
    config = EnvConfig(routes=RouteConfig(["village"], pool=4), traffic=TrafficConfig([12, 12], [6, 6], [4, 4]))
    config.picture = pocket_view()
    env = DrivingEnv(config)
    observation, info = env.reset(seed=3)
    driver = RuleBased(config)
    past = [env.frame.actors]
    pairs = []
    for _ in range(60):
        observation, *_, info = env.step(driver.act(observation))
        past.append(env.frame.actors)
        pairs.append((Moment(env.frame.ego, tuple(past[-PAST:]), env.tracker.place), info["image"]))
    return Drawn(env.roads, env.route), pairs


def test_scenes_look_exactly_as_the_reward_will_see_them(driven):
    drawn, pairs = driven
    for moment, picture in pairs[::7]:
        assert np.array_equal(drawn.draw(moment), picture)


def test_the_ego_is_put_where_it_was_asked(driven):
    drawn, pairs = driven
    there = moved(pairs[-1][0], drawn.route, 20.0, 1.5, math.pi)
    assert there.place.offset == 1.5
    assert abs(there.place.heading) == pytest.approx(math.pi)
    centre = np.array([np.interp(20.0, drawn.route.s, drawn.route.xyz[:, axis]) for axis in (0, 1)])
    assert math.dist(centre, (there.ego.x, there.ego.y)) == pytest.approx(1.5, abs=0.1)
    assert there.placed


def test_someone_who_is_put_there_came_straight(driven):
    moment = driven[1][-1][0]
    there = with_other(moment, Kind.VEHICLE, (5.0, 6.0, 0.0), 4.0, (2.3, 1.0))
    assert there.actors.poses[-1].tolist()[:2] == [5.0, 6.0]
    assert there.past[0].poses[-1, 0] == pytest.approx(5.0 - 4.0 * 0.1 * (len(moment.past) - 1))
    assert len({*there.actors.ids.tolist()}) == len(there.actors)
