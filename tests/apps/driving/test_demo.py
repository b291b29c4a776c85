"""The demo without a browser: menus, drives, films, what rewards pay for them, language goals, and the page's HTML."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
from html import unescape
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from apps.driving import demo_view, workbench
from apps.driving.demo_film import Film, Moment, Reel
from apps.driving.demo_handlers import Handlers
from apps.driving.demo_plots import HEIGHT, WIDTH, Line, Plot, plot_html
from apps.driving.demo_sight import calibrated, open_sight, pocket_words, to_try, words
from apps.driving.env_config import EnvConfig, ObservationConfig
from apps.driving.measures.episodes import Case, Episode, Hit
from apps.driving.rewards import SEEING
from apps.driving.workbench import MOST_SEED, Wish, Workbench
from common.errors import UsageError
from common.files import locate
from tests.apps.driving.demo_parts import SHORT, blind_workbench, seeing_workbench, settings

HOSTILE = "<img src=x onerror=alert(1)>"
STEPS = round(SHORT / 0.1)


def film_of(bench: Workbench, **wish: object) -> Film:
    *moments, film = bench.drive(Wish(**wish))
    assert all(isinstance(one, Moment) for one in moments)
    assert isinstance(film, Film)
    return film


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return blind_workbench(tmp_path_factory.mktemp("blind"))


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return seeing_workbench(tmp_path_factory.mktemp("sees"))


@pytest.fixture(scope="module")
def film(seeing: Workbench) -> Film:
    return film_of(seeing, vehicles=3)


def test_a_drive_shows_moments_and_ends_as_a_film(blind):
    *moments, film = blind.drive(Wish(vehicles=2, walkers=1, seed=3), every=0.0)

    assert len(moments) == STEPS + 1
    assert [one.seconds for one in moments] == pytest.approx([0.1 * step for step in range(STEPS + 1)])
    assert film.steps == STEPS == film.episode.steps
    assert film.shown == tuple(range(STEPS))
    assert film.seen is None
    assert film.episode.case == Case("town", "town-0-000", 2, 1, 0, 3)
    assert Image.open(io.BytesIO(film.pictures[0])).size == (384, 384)
    assert len(set(film.pictures)) > STEPS / 2


def test_equal_wishes_give_equal_films_and_other_seeds_others(blind):
    first, again, other = (film_of(blind, policy="random", vehicles=4, seed=seed) for seed in (1, 1, 2))

    assert first.pictures == again.pictures
    assert first.episode == again.episode
    assert first.pictures != other.pictures


def test_town_and_route_are_those_wished_for_and_the_held_out_town_says_so(blind):
    assert next(iter(blind.towns())) == "town"
    assert "held out" in blind.towns()["village"]
    film = film_of(blind, town="village", route="village-0-002", vehicles=0)
    assert (film.episode.case.town, film.episode.case.route) == ("village", "village-0-002")


def test_a_map_without_fixed_routes_has_planned_ones(tmp_path):
    pytest.importorskip("carla")
    shutil.copy(locate("assets/driving/maps/ring.xodr"), tmp_path / "mine.xodr")
    config = settings(tmp_path, 0.5)
    config.env.routes.folders.append(str(tmp_path))
    bench = Workbench(config)
    routes = bench.routes("mine")
    assert len(routes) == workbench.PLANNED
    assert film_of(bench, town="mine", route=list(routes)[-1], vehicles=0).steps == 5


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"town": "../../etc/passwd"}, "no town .*there are town, "),
        ({"town": None}, "no town"),
        ({"town": ["town"]}, "no town"),
        ({"route": "village-0-000"}, "no route 'village-0-000'; there are town-0-000, "),
        ({"policy": "/etc"}, "no policy '/etc'; there are pocket"),
        ({"policy": None}, "no policy"),
        ({"vehicles": 41}, "number of cars is 41; give a whole number from 0 to 40"),
        ({"vehicles": math.nan}, "number of cars is nan"),
        ({"walkers": 1.5}, "people on foot is 1.5"),
        ({"seed": -1}, "the seed is -1"),
        ({"seed": None}, "the seed is None"),
        ({"seed": "x" * 999}, "the seed is x{60}…;"),
        ({"seed": MOST_SEED + 1}, "from 0 to 1,000,000"),
        ({"seed": math.inf}, "the seed is inf"),
    ],
)
def test_wishes_that_cannot_be_are_told(blind, wish, told):
    with pytest.raises(UsageError, match=told):
        list(blind.drive(Wish(**wish)))


def trained(folder: Path, env: EnvConfig) -> None:
    """A policy that nobody trained, where a run keeps its own."""
    pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.vec_env import DummyVecEnv

    from apps.driving.drivers.trained import save_environment
    from apps.driving.environment.env import DrivingEnv
    from common.training.sb3.config import ControlConfig
    from common.training.sb3.model import build, save_policy

    venv = DummyVecEnv([lambda: DrivingEnv(env)])
    config = ControlConfig(net=[8])
    save_policy(build(config, venv, 0), config, folder)
    save_environment(env, folder)


def test_finished_runs_and_the_shipped_policy_can_drive(tmp_path):
    bench = blind_workbench(tmp_path, 0.5)
    runs = Path(bench.config.runs)
    env = EnvConfig(observation=ObservationConfig(waypoints=5, neighbours=0))
    env.end.off_route = 2.0
    trained(runs / "mine" / "model", env)
    shutil.copytree(runs / "mine" / "model", runs / "both" / "vlm_rl-seed0" / "model")
    (runs / "unfinished" / "checkpoints").mkdir(parents=True)

    told = list(bench.policies().values())
    assert told[:3] == ["pocket (trained, shipped)", "rule-based", "random"]
    assert sorted(told[3:]) == ["trained: both/vlm_rl-seed0", "trained: mine"]
    film = film_of(bench, policy=str(runs / "mine"), vehicles=0)
    assert film.episode.policy == "trained: mine"
    assert film_of(bench, policy="pocket", vehicles=0).episode.route_completion > film.episode.route_completion


def test_a_damaged_policy_is_told_and_drives_nothing(tmp_path):
    bench = blind_workbench(tmp_path)
    folder = Path(bench.config.runs) / "torn" / "model"
    folder.mkdir(parents=True)
    (folder / "environment.json").write_text("{}")
    handlers = Handlers(bench)
    town, route, _, *rest = ("town", "", "", 0, 0, 0, "roach", "", "")
    (shown,) = handlers.drive(town, route, str(folder.parent), *rest)
    assert "That did not work" in shown[1]["value"]
    assert "torn" in shown[1]["value"]


def test_what_is_paid_is_what_training_would_pay(seeing, film):
    from apps.driving.rewards import build

    paid = seeing.score(film, "vlm_rl")
    reward = build(seeing.sight.config, seeing.sight.clip)
    state = {name: torch.from_numpy(values[:5]) for name, values in film.states.items()}
    direct = reward(state=state, images=film.seen[:5], group=torch.zeros(5, dtype=torch.long))
    np.testing.assert_allclose(paid.values[:5], direct.values.numpy(), atol=1e-6)
    assert set(paid.parts) == set(direct.parts)
    assert all(len(part) == film.steps for part in paid.parts.values())


def test_every_reward_that_is_offered_scores_a_film(seeing, film):
    assert set(SEEING) - {"vlm_sr"} < set(seeing.recipes())
    for recipe in seeing.recipes():
        paid = seeing.score(film, recipe)
        assert np.isfinite(paid.values).all()
        assert paid.recipe in demo_view.reward_html(film, paid)


def test_without_a_clip_no_reward_that_looks_is_offered_and_the_page_says_why(blind):
    assert not set(SEEING) & set(blind.recipes())
    assert blind.recipe() == "vlm_rl_no_clip"
    film = film_of(blind, vehicles=0)
    assert np.isfinite(blind.score(film, "vlm_rl_no_clip").values).all()
    with pytest.raises(UsageError, match=r"vlm_rl looks at pictures.*python -m apps\.driving pretrain"):
        blind.score(film, "vlm_rl")
    assert "python -m apps.driving pretrain" in Handlers(blind).blind()


def test_z_is_that_of_the_reward_and_other_goals_change_it(seeing, film):
    own = seeing.sight.compare(film.seen, *seeing.sight.own)
    paid = seeing.score(film, "vlm_rl")
    np.testing.assert_allclose(own.z, paid.parts["goal.z"], atol=1e-5)
    np.testing.assert_allclose(own.safety, paid.parts["goal"], atol=1e-5)

    other = seeing.sight.compare(film.seen, "the car  keeps its lane ", "the banana is near")
    assert other.positive == "the car keeps its lane"
    assert other.unheard == ("banana",)
    assert other.limits is other.safety is None
    assert np.abs(other.z - own.z).max() > 1e-3
    swapped = seeing.sight.compare(film.seen, other.negative, other.positive)
    np.testing.assert_allclose(swapped.z, -other.z, atol=1e-6)


@pytest.mark.parametrize(
    ("positive", "negative", "told"),
    [
        ("", "a crash", "write what the road should look like first"),
        ("a crash", " \n", "write what must not be first"),
        ("A crash", "a  crash", "both goals are the same"),
        ("x" * 201, "a crash", "201 characters are too many"),
        (None, "a crash", "write what the road"),
    ],
)
def test_goals_that_are_none_are_told(seeing, film, positive, negative, told):
    with pytest.raises(UsageError, match=told):
        seeing.sight.compare(film.seen, positive, negative)


def test_goals_to_try_are_in_words_that_the_pocket_clip_knows():
    assert len(to_try()) >= 4
    for pair in to_try():
        assert all(word in pocket_words() for text in pair for word in words(text))


def test_a_clip_that_cannot_be_opened_turns_the_goals_off(tmp_path):
    config = settings(tmp_path)
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "open_clip_config.json").write_text("{}")
    found, why = open_sight(config.reward)
    assert found is None
    assert str(tmp_path / "clip") in why


def test_thresholds_beside_the_clip_are_taken_where_none_are_configured(tmp_path):
    config = settings(tmp_path)
    assert calibrated(config.reward) == config.reward
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "calibration.json").write_text("{}")
    assert calibrated(config.reward).thresholds.file == str(tmp_path / "clip" / "calibration.json")
    config.reward.thresholds.low = 0.0
    assert calibrated(config.reward) == config.reward


@given(st.integers(1, 400), st.integers(2, 20))
def test_a_reel_keeps_few_pictures_evenly_and_the_last(steps, most):
    reel = Reel(most)
    for step in range(steps):
        reel.add(step, lambda step=step: str(step).encode())
    reel.finish(steps - 1, str(steps - 1).encode())
    shown = [step for step, _ in reel.kept]
    assert [int(picture) for _, picture in reel.kept] == shown
    assert shown[0] == 0
    assert shown[-1] == steps - 1
    assert len(shown) <= most + 1
    assert {after - before for before, after in pairwise(shown[:-1])} <= {reel.stride}


def plotted(text: str) -> tuple[list[list[float | None]], list[list[tuple[float, float]]]]:
    """What a plot says of itself: values, and points of its curves."""
    values = json.loads(unescape(re.search(r'data-values="([^"]*)"', text)[1]))
    paths = re.findall(r'class="ink-\w+" d="([^"]*)"', text)
    return values, [[tuple(map(float, one)) for one in re.findall(r"([-\d.]+),([-\d.]+)", path)] for path in paths]


@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=40))
def test_a_plot_holds_its_values_and_its_curve_lies_within(values):
    shown, (curve,) = plotted(plot_html(Plot("a", [Line("", np.array(values))], digits=2)))
    known = [value for value in values if math.isfinite(value)]
    assert [value for value in shown[0] if value is not None] == pytest.approx(known, abs=0.006)
    assert len(curve) == len(known)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in curve)


def test_a_last_penalty_does_not_flatten_the_rest():
    values = np.array([0.0, 0.5, 1.0, -10.0])
    shown, (curve,) = plotted(plot_html(Plot("reward", [Line("", values)], spared=1)))
    assert shown == [[0.0, 0.5, 1.0, -10.0]]
    assert curve[0][1] - curve[2][1] > 0.8 * HEIGHT
    assert curve[3][1] == curve[0][1]


def episode(**changes) -> Episode:
    values = {
        "case": Case("town", "town-0-003", 1, 2, 0, 0),
        "policy": "random",
        "backend": "embedded",
        "route_length": 200.0,
        "cause": "goal",
        "success": True,
        "truncated": False,
        "steps": 100,
        "seconds": 10.0,
        "distance": 90.0,
        "route_completion": 0.5,
        "average_speed": 20.0,
        "off_route": 0.0,
        "offset": 0.25,
    }
    return Episode(**{**values, **changes})


def test_an_ending_is_told_in_words():
    text = demo_view.ending_html(episode())
    assert 'class="ending good"' in text
    assert "Reached its goal" in text
    told = "random drove 50 % of town-0-003 (200 m) in 10.0 s, among 1 other car and 2 people on foot: 20.0 km/h"
    assert told in text
    hit = episode(cause="collision with a walker", success=False, collisions=(Hit("walker", 12.4, 100),))
    text = demo_view.ending_html(hit)
    assert 'class="ending bad"' in text
    assert "Collision with a walker at 12 km/h" in text
    assert "Driving score 0.25" in text
    assert "all alone" in demo_view.ending_html(episode(case=Case("town", "a", 0, 0, 0, 0)))


def test_hostile_texts_are_texts(seeing, film):
    found = seeing.sight.compare(film.seen, HOSTILE, "a crash")
    own = seeing.sight.compare(film.seen, *seeing.sight.own)
    pages = [
        demo_view.goals_html(found, own, film.dt),
        demo_view.ending_html(episode(policy=HOSTILE, cause=HOSTILE)),
        demo_view.notice("bad", HOSTILE, HOSTILE),
        plot_html(Plot(HOSTILE, [Line(HOSTILE, np.zeros(2))], HOSTILE)),
        demo_view.moment_html(Moment(b"", 0.0, 0.0, HOSTILE)),
    ]
    for page in pages:
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page


def test_before_the_first_drive_the_page_asks_for_one(seeing):
    handlers = Handlers(seeing)
    assert "drive first" in handlers.reward(None, "vlm_rl")
    assert "drive first" in handlers.goals(None, "a", "b")[1]["value"]


def test_an_unknown_reward_is_told(seeing, film):
    assert "unknown reward recipe" in Handlers(seeing).reward(film, HOSTILE)
    assert "<img" not in Handlers(seeing).reward(film, HOSTILE)


def test_an_unknown_town_empties_the_routes_and_is_told(blind):
    routes, message = Handlers(blind).town("nowhere")
    assert routes["choices"] == []
    assert "no town" in message["value"]
