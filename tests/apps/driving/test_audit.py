"""The `audit` verb: acts and edits are what they say, known rewards get the verdict that they deserve."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from apps.driving.audit import audit_rewards
from apps.driving.auditing import assay
from apps.driving.auditing.acts import GOOD, WRONG
from apps.driving.auditing.drives import DRIVERS, drive
from apps.driving.auditing.edits import EDITS, is_good
from apps.driving.auditing.play import LENGTH, Played, play
from apps.driving.auditing.result import DrivingAudit
from apps.driving.config import DrivingConfig
from apps.driving.env_config import EndConfig, EnvConfig, RouteConfig, TrafficConfig, ViewConfig
from apps.driving.measures.episodes import Case
from apps.driving.parts.signals import StateReward
from common.errors import UsageError
from tests.apps.driving import states
from tests.common.models.tiny_clip import tiny_clip_folder

SCENES = 4
GOALS = ["the road is clear", "two cars have collided", "the car keeps its lane and the road is clear", "a car"]


def environment(seconds: float = 120.0) -> EnvConfig:
    routes = RouteConfig(maps=["town", "hills"], pool=6)
    return EnvConfig(routes=routes, traffic=TrafficConfig([0, 4]), end=EndConfig(seconds=seconds))


@pytest.fixture(scope="module")
def played() -> Played:
    return play(environment(), SCENES, seed=1)


def rows(played: Played, act: str) -> list[list[Mapping[str, float]]]:
    """States of each of an act's episodes."""
    wanted = [number for number, name in enumerate(played.acts) if name == act]
    return [
        [state for state, owner in zip(played.steps.states, played.steps.episodes, strict=True) if owner == number]
        for number in wanted
    ]


class TestActs:
    def test_every_act_is_played_in_every_scene(self, played: Played) -> None:
        assert len(played.acts) == SCENES * (1 + len(WRONG))
        assert {act: played.acts.count(act) for act in (GOOD, *WRONG)} == dict.fromkeys((GOOD, *WRONG), SCENES)

    def test_good_driving_is_good(self, played: Played) -> None:
        for states_of in rows(played, GOOD):
            assert len(states_of) == LENGTH
            for state in states_of:
                assert abs(state["offset"]) < 0.1
                assert state["offset_std"] < 0.05
                assert state["progress_change"] > 0
                assert not state["terminated"]

    def test_acts_are_what_they_say(self, played: Played) -> None:
        last = {act: [episode[-1] for episode in rows(played, act)] for act in WRONG}
        assert all(abs(one["heading"]) >= math.radians(120) for one in last["wrong way, 132–180°"])
        assert all(one["speed"] < -5 for one in last["reverse at speed"])
        assert all(one["speed"] == 0 and one["hazard"] > 100 for one in last["standing on a free road"])
        assert all(one["lane_width"] / 2 < abs(one["offset"]) < 3 for one in last["off the lane"])
        assert all(one["off_route"] == one["terminated"] == 1 for one in last["off the route"])
        assert all(one["collision"] == one["terminated"] == 1 for one in last["into a standing car"])
        assert all(one["speed"] > 35 / 3.6 for one in last["over the speed limit"])
        assert all(one["offset_std"] > 0.35 for one in last["shaking"])

    @pytest.mark.parametrize("act", ["circling on the spot", "back and forth", "teleport ahead"])
    def test_farming_gains_little_over_its_time(self, played: Played, act: str) -> None:
        for good, farming in zip(rows(played, GOOD), rows(played, act), strict=True):
            gained = sum(state["progress_change"] for state in farming)
            assert gained < 0.5 * sum(state["progress_change"] for state in good)

    def test_equal_seeds_play_alike(self) -> None:
        one, two = play(environment(), 2, seed=3), play(environment(), 2, seed=3)
        assert one.steps.states == two.steps.states

    def test_pictures_come_with_their_stride(self) -> None:
        env = replace(environment(), picture=ViewConfig("rgb", size=32))
        steps = play(env, 1, stride=4).steps
        first = [steps.episodes.index(number) for number in range(len(WRONG) + 1)]
        for place, (picture, owner) in enumerate(zip(steps.pictures, steps.episodes, strict=True)):
            assert (picture is not None) == ((place - first[owner]) % 4 == 0)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_no_longer_good_and_says_what_the_environment_would(name: str) -> None:
    rng = np.random.default_rng(0)
    assert is_good(states.GOOD)
    for _ in range(50):
        edited = EDITS[name](states.GOOD, EndConfig(), rng)
        assert set(edited) == set(states.GOOD)
        assert all(math.isfinite(value) for value in edited.values())
        assert not (edited["off_route"] and edited["progress_change"])
        wrong = not is_good(edited) or abs(edited["speed"]) > edited["speed_limit"]
        assert wrong


def test_drivers_are_of_mixed_quality_and_share_their_routes() -> None:
    found = drive(environment(), 2, seed=2)
    assert list(found.drivers) == list(DRIVERS) * 2
    assert list(found.routes) == [0] * len(DRIVERS) + [1] * len(DRIVERS)
    by_driver = {name: np.mean([s for s, d in zip(found.scores, found.drivers, strict=True) if d == name])
                 for name in DRIVERS}  # fmt: skip
    assert by_driver["rule-based"] > 0.8 > 0.4 > by_driver["random"]
    assert len(set(found.steps.episodes)) == len(found.drivers)


def test_drives_are_in_all_the_traffic_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cases: list[Case] = []
    monkeypatch.setattr("apps.driving.auditing.drives.DRIVERS", {"random": DRIVERS["random"]})
    monkeypatch.setattr(
        "apps.driving.auditing.drives.driving_score", lambda episode: cases.append(episode.case) or 0.0
    )
    config = replace(environment(seconds=0.2), traffic=TrafficConfig([2, 2], [3, 3], [1, 1]))
    drive(config, 1)
    assert [(case.vehicles, case.walkers, case.parked) for case in cases] == [(2, 3, 1)]


def test_good_driving_that_would_end_the_episode_is_refused_before_anything_is_played() -> None:
    with pytest.raises(UsageError, match=r"env\.target_speed 11 m/s: .* env\.end\.top_speed 9\.72"):
        play(replace(environment(), target_speed=11.0), 1)


class Told(StateReward):
    """Worth what a function of the state says."""

    reads = tuple(states.GOOD)

    def __init__(self, tell: Any) -> None:
        super().__init__("told", (-100.0, 100.0))
        self.tell = tell

    def worth(self, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return self.tell(state), {}


class TestFigures:
    def cells(self, played: Played, tell: Any) -> Any:
        values, _ = assay.score(Told(tell), assay.columns_of(played.steps))
        returns = assay.sums(values, played.steps.episodes)
        return assay.act_cells(returns, played, assay.worth(returns, played)), returns

    def test_a_reward_of_gained_way_kills_what_gains_nothing_and_spares_the_lane(self, played: Played) -> None:
        cells, returns = self.cells(played, lambda state: state["distance"])
        assert cells["standing on a free road"].killed.mean == 1.0
        assert cells["standing on a free road"].drop.mean == pytest.approx(1.0)
        assert cells["off the lane"].killed.mean == 0.0
        assert assay.ordering(returns, played).mean < 1.0

    def test_a_reward_of_speed_alone_likes_the_wrong_way_and_reverse(self, played: Played) -> None:
        cells, _ = self.cells(played, lambda state: state["speed"].abs())
        for act in ("wrong way, 132–180°", "reverse at speed", "circling on the spot"):
            assert cells[act].killed.mean == 0.0
        assert cells["standing on a free road"].killed.mean == 1.0

    def test_a_reward_that_hates_living_pays_for_an_early_end(self, played: Played) -> None:
        cells, _ = self.cells(played, lambda state: -1.0 + 0.01 * state["speed"])
        assert cells["off the route"].drop.mean < 0
        assert cells["off the route"].lower.mean == 0.0

    def test_a_constant_kills_nothing_and_is_flat(self, played: Played) -> None:
        cells, returns = self.cells(played, lambda state: torch.zeros_like(state["speed"]))
        assert all(cell.killed.mean == cell.lower.mean == 0.0 for cell in cells.values())
        assert assay.collapse(returns, played).mean == 1.0
        assert assay.flatness(np.zeros(50)) == 1.0

    @pytest.mark.parametrize("scale", [1e-3, 50.0])
    def test_kills_do_not_depend_on_scale_or_offset(self, played: Played, scale: float) -> None:
        def plain(state: Mapping[str, Tensor]) -> Tensor:
            return state["speed"] - state["offset"].abs() - 5 * state["collision"]

        one, _ = self.cells(played, plain)
        two, _ = self.cells(played, lambda state: scale * plain(state))
        assert {name: cell.killed for name, cell in one.items()} == {name: cell.killed for name, cell in two.items()}

    def test_what_cannot_be_scored_is_counted(self) -> None:
        found = assay.cell([1.0, math.nan, 0.1, -1.0], unit=1.0, scale=2.0)
        assert (found.killed.mean, found.killed.n, found.failed) == (pytest.approx(1 / 3), 3, 1)
        assert found.lower.mean == pytest.approx(2 / 3)

    def test_flatness_is_the_share_of_the_most_frequent_value(self) -> None:
        assert assay.flatness(np.array([1.0, 1.0, 1.0, 0.0])) == pytest.approx(0.75)

    def test_the_last_row_of_an_act_is_cut_off_where_it_did_not_end(self, played: Played) -> None:
        columns = assay.columns_of(played.steps)
        ends = columns.state["terminated"] + columns.state["truncated"]
        assert ends.sum() == len(played.acts)
        assert ends[-1] == 1


@pytest.fixture(scope="module")
def found() -> DrivingAudit:
    config = DrivingConfig(env=environment())
    config.reward.recipe = "carl"
    return audit_rewards(config, ["carl", "vlm_rl_no_clip", "tirl", "progress"], SCENES, 2, quiet=True)


class TestVerdicts:
    def test_the_synthesis_kills_all_and_a_collision_penalty_alone_hardly_anything(self, found: DrivingAudit) -> None:
        assert found.rewards["vlm_rl_no_clip"].killed_acts.mean == 1.0
        assert found.rewards["vlm_rl_no_clip"].ordering.mean == 1.0
        tirl = found.rewards["tirl"]
        assert {name for name, cell in tirl.acts.items() if cell.killed.mean > 0} == {"into a standing car"}
        assert tirl.unit <= 0
        assert any("nothing makes the car move" in flag for flag in tirl.flags)
        assert any("same value" in flag for flag in tirl.flags)

    def test_progress_spares_the_lane(self, found: DrivingAudit) -> None:
        assert found.rewards["progress"].acts["off the lane"].killed.mean == 0.0
        assert found.rewards["carl"].acts["off the lane"].killed.mean == 1.0

    def test_progress_ranks_drives_as_the_driving_score_does(self, found: DrivingAudit) -> None:
        assert found.rewards["progress"].ranking.spearman.mean > 0.9
        assert found.rewards["progress"].ranking.spearman.mean > found.rewards["tirl"].ranking.spearman.mean

    def test_it_is_json(self, found: DrivingAudit) -> None:
        plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert plain["configured"] == "carl"
        assert set(plain["rewards"]["carl"]["acts"]) == set(WRONG)
        assert len(plain["drives"]["driving_score"]) == 2 * len(DRIVERS)


def test_the_verb_writes_a_report_with_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from apps.driving.__main__ import APP

    options = ["--rows", "2", "--drives", "2", "--env.routes.maps", "[town]", "--env.end.seconds", "10"]
    assert (
        APP.main(
            [
                "audit",
                "--recipes",
                "chatscene",
                *options,
                "--reward.recipe",
                "progress",
                "--json",
                "--out",
                str(tmp_path),
            ]
        )
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert list(told["rewards"]) == ["progress", "chatscene"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "off the lane" in page
    assert (tmp_path / "kills.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "audit.json").read_text()) == told


def test_without_a_clip_the_configured_reward_is_left_out_with_a_note() -> None:
    config = DrivingConfig(env=environment(10.0))
    config.reward.clip.name = "local-dir:nowhere/clip"
    found = audit_rewards(config, ["vlm_rl", "progress"], 2, 2, quiet=True)
    assert list(found.rewards) == ["progress"]
    assert any("vlm_rl (configured)" in note and "pretrain" in note for note in found.notes)


def test_with_a_clip_rewards_that_look_are_assayed(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    config = DrivingConfig(env=replace(environment(10.0), picture=ViewConfig("rgb", size=32)))
    config.reward.clip.name = f"local-dir:{tiny_clip_folder(tmp_path / 'clip', GOALS)}"
    config.reward.thresholds.low, config.reward.thresholds.high = -1.0, 1.0
    config.learn.stride = 8
    found = audit_rewards(config, ["vlm_rl", "lord", "roboclip", "progress"], 2, 2, strict=True, quiet=True)
    assert set(found.rewards) == {"vlm_rl", "lord", "roboclip", "progress"}
    assert all(one.failed == 0.0 for one in found.rewards.values())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--recipes", "progres"], "progress"),
        (["--rows", "1"], "at least two"),
        (["--recipes", "vlm_sr", "--reward.clip.name", "local-dir:nowhere"], "no CLIP"),
    ],
)
def test_wrong_wishes_are_told(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    from apps.driving.__main__ import APP

    assert APP.main(["audit", *options]) == 2
    assert told in capsys.readouterr().err.replace("\n", " ")
