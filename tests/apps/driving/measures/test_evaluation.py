"""Evaluations are the same whatever the order, the number of processes, and however often they were killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apps.driving.backends.backend_config import BackendConfig
from apps.driving.backends.choose import Simulator, chosen
from apps.driving.drivers.load import load_driver
from apps.driving.env_config import EndConfig, EnvConfig
from apps.driving.evaluate_config import EvaluateConfig
from apps.driving.measures.evaluation import Course, Loader, cases, evaluate, fixed_routes
from apps.driving.measures.journal import EPISODES, Journal
from common.errors import DataError, UsageError

SHORT = EndConfig(seconds=4.0)
SMALL = EvaluateConfig(maps=["town"], routes_per_map=2, vehicles=[0, 3], seeds=[0, 1], end=SHORT)
ROOT = Path(__file__).resolve().parents[4]


def course(name="random", config=SMALL, make=None, **more):
    return Course(make or Loader(name), EnvConfig(), config, Simulator(BackendConfig()), **more)


@pytest.fixture(scope="module")
def random_drives():
    return evaluate(course(), cases(SMALL))


def test_each_route_is_driven_in_each_density_with_each_seed(random_drives):
    names = [name for _, name in fixed_routes(SMALL)][:2]

    assert len(random_drives) == len({one.case for one in random_drives}) == 8
    assert {one.case.route for one in random_drives} == set(names)
    assert {one.case.vehicles for one in random_drives} == {0, 3}
    assert {(one.backend, one.policy) for one in random_drives} == {("embedded", "random")}


def test_routes_are_planned_the_same_way_every_time_where_a_map_has_none():
    planned = replace(SMALL, maps=["town", "ring"], routes="planned")
    one, other = fixed_routes(planned), fixed_routes(planned)
    assert Counter(town for town, _ in one) == {"town": 10, "ring": 10}
    assert list(one) == list(other)
    assert all(np.array_equal(one[key].nodes, other[key].nodes) for key in one)
    assert all(150 <= route.length <= 400 for route in one.values())


def test_equal_seeds_give_equal_episodes(random_drives):
    assert evaluate(course(), cases(SMALL)) == random_drives


def test_the_order_of_episodes_changes_nothing(random_drives):
    backwards = evaluate(course(), cases(SMALL)[::-1])

    assert backwards[::-1] == random_drives


def test_several_processes_change_nothing(random_drives):
    assert evaluate(course(config=replace(SMALL, processes=2)), cases(SMALL)) == random_drives


def test_route_completion_is_the_sum_of_what_the_steps_gained():
    gained = []
    track = course("rule-based").open()
    one = track.drive(cases(SMALL)[0], lambda env, info: gained.append(info["state"]["progress_change"]))

    assert one.route_completion == pytest.approx(sum(gained), abs=1e-9)
    assert 0.0 < one.route_completion * one.route_length <= one.distance + 3.0


def test_the_label_is_what_tables_call_the_driver():
    assert course(label="mine").open().drive(cases(SMALL)[0]).policy == "mine"


class Stops(Exception):
    pass


def stopping_after(count):
    """Random drivers of which one stops the evaluation after so many episodes."""

    def make(config):
        driver = load_driver("random", config)
        begun = []
        begin = driver.begin

        def counted(seed):
            begun.append(seed)
            if len(begun) > count:
                raise Stops
            begin(seed)

        driver.begin = counted
        return driver

    return make


def test_a_stopped_evaluation_goes_on_where_it_was(tmp_path, random_drives):
    wanted = cases(SMALL)
    with pytest.raises(Stops):
        evaluate(course(make=stopping_after(3)), wanted, Journal(tmp_path, course().rules()))
    journal = Journal(tmp_path, course().rules())
    assert len(journal.missing(wanted)) == 5

    # Only five more are driven: a sixth would stop it.
    assert evaluate(course(make=stopping_after(5)), wanted, journal) == random_drives


def test_a_line_that_was_not_written_to_its_end_is_driven_again(tmp_path, random_drives):
    wanted = cases(SMALL)
    evaluate(course(), wanted, Journal(tmp_path, course().rules()))
    whole = (tmp_path / EPISODES).read_text()
    (tmp_path / EPISODES).write_text(whole[: len(whole) - 100])
    journal = Journal(tmp_path, course().rules())

    assert len(journal.missing(wanted)) == 1
    assert evaluate(course(), wanted, journal) == random_drives
    assert (tmp_path / EPISODES).read_text() == whole


def test_a_damaged_line_in_the_middle_is_told_by_its_number(tmp_path):
    evaluate(course(), cases(SMALL)[:2], Journal(tmp_path, course().rules()))
    lines = (tmp_path / EPISODES).read_text().splitlines()
    (tmp_path / EPISODES).write_text("\n".join([lines[0][:50], lines[1]]) + "\n")

    with pytest.raises(DataError, match=f"{EPISODES}:1"):
        Journal(tmp_path, course().rules())


def test_a_killed_process_loses_no_finished_episode(tmp_path):
    config = replace(SMALL, vehicles=[0], seeds=list(range(60)))
    program = (
        "from tests.apps.driving.measures.test_evaluation import *\n"
        "config = replace(SMALL, vehicles=[0], seeds=list(range(60)))\n"
        f"evaluate(course(config=config), cases(config), Journal({str(tmp_path)!r}, course(config=config).rules()))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment)
    path = tmp_path / EPISODES
    try:
        while process.poll() is None and not (path.exists() and path.read_text().count("\n") >= 3):
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    journal = Journal(tmp_path, course(config=config).rules())
    kept = dict(journal.done)
    wanted = cases(config)

    assert 3 <= len(kept) < len(wanted)
    some = [case for case in wanted if case in kept][:3] + journal.missing(wanted)[:2]
    assert evaluate(course(config=config), some, journal) == evaluate(course(config=config), some)


def test_more_seeds_and_densities_go_on_from_what_is_there(tmp_path, random_drives):
    evaluate(course(), cases(SMALL), Journal(tmp_path, course().rules()))
    more = replace(SMALL, vehicles=[0, 3, 5])
    journal = Journal(tmp_path, course(config=more).rules())

    assert {case.vehicles for case in journal.missing(cases(more))} == {5}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda: course("rule-based"), "policy was 'random', is 'rule-based'"),
        (lambda: course(config=replace(SMALL, end=EndConfig(seconds=5.0))), "end.seconds was 4.0, is 5.0"),
        (
            lambda: replace(course(), simulator=Simulator(BackendConfig(dt=0.2, ticks=4))),
            "simulator.dt was 0.1, is 0.2",
        ),
    ],
)
def test_episodes_under_other_rules_are_never_taken_for_these(tmp_path, change, told):
    Journal(tmp_path, course().rules())

    with pytest.raises(UsageError, match="delete that folder") as error:
        Journal(tmp_path, change().rules())
    assert told in str(error.value)


def test_what_the_simulator_broke_off_is_driven_again(tmp_path, random_drives):
    journal = Journal(tmp_path, course().rules())
    journal.add(replace(random_drives[0], cause="backend lost"))
    journal = Journal(tmp_path, course().rules())

    assert journal.missing(cases(SMALL))[0] == random_drives[0].case
    assert evaluate(course(), cases(SMALL)[:1], journal) == random_drives[:1]
    assert Journal(tmp_path, course().rules()).done[random_drives[0].case] == random_drives[0]


def test_rules_are_plain_values():
    assert json.loads(json.dumps(course().rules())) == course().rules()


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (replace(SMALL, maps=[]), "evaluate.maps is empty"),
        (replace(SMALL, vehicles=[]), "evaluate.vehicles"),
        (replace(SMALL, seeds=[1, 1]), "evaluate.seeds"),
        (replace(SMALL, seeds=[-1]), "evaluate.seeds"),
        (replace(SMALL, maps=["towm"]), "did you mean 'town'"),
        (replace(SMALL, maps=["town", "ring"], routes="mine.json"), "one map's routes"),
    ],
)
def test_what_cannot_be_driven_is_told(config, told):
    with pytest.raises(UsageError, match=told):
        cases(config)


def test_an_unknown_route_is_told():
    with pytest.raises(UsageError, match="no route 'x' in 'town'; there are town-"):
        course().open().drive(cases(SMALL)[0]._replace(route="x"))


def test_a_driver_trained_under_another_tolerance_is_refused():
    def make(config):
        driver = load_driver("random", config)
        driver.env = EnvConfig(end=EndConfig(off_route=2.0))
        return driver

    with pytest.raises(UsageError, match="set both alike"):
        course(make=make).open()


def test_a_trained_driver_keeps_what_it_observes_and_gets_the_rules_of_all():
    def make(config):
        driver = load_driver("random", config)
        driver.env = EnvConfig(end=EndConfig(seconds=60.0))
        driver.env.observation.neighbours = 2
        return driver

    config = course(make=make).open().env.config

    assert config.observation.neighbours == 2
    assert config.end == SHORT


def test_a_server_drives_one_process():
    simulator = Simulator(BackendConfig(kind="carla"))
    with pytest.raises(UsageError, match=r"evaluate\.processes to 1"):
        evaluate(replace(course(config=replace(SMALL, processes=2)), simulator=simulator), cases(SMALL))


def test_auto_is_decided_once():
    from apps.driving.roads.library import load_roads

    assert chosen(BackendConfig(), load_roads("town"), kind="auto", port=1).config.kind == "embedded"
    with pytest.raises(UsageError, match="no simulator 'beamng'"):
        chosen(BackendConfig(), load_roads("town"), kind="beamng")
