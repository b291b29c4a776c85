"""`evaluate` as people use it: tables, files, going on, paired tests."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from apps.driving.backends.backend_config import BackendConfig
from apps.driving.env_config import EndConfig, EnvConfig
from apps.driving.evaluate import read_evaluation, run_evaluate
from apps.driving.evaluate_config import EvaluateConfig
from apps.driving.measures.episodes import Episode
from apps.driving.measures.films import choose
from apps.driving.measures.scores import driving_score
from common.errors import DataError, UsageError
from tests.apps.driving.measures.made import episode


def settings(**changes):
    evaluate = EvaluateConfig(
        maps=["town", "village"], routes_per_map=1, vehicles=[0, 4], end=EndConfig(seconds=4.0), frame=96, frames=12
    )
    return SimpleNamespace(env=EnvConfig(), simulator=BackendConfig(), evaluate=replace(evaluate, **changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two drivers, evaluated with everything written."""
    out = tmp_path_factory.mktemp("evaluation")
    assert run_evaluate(settings(), "rule-based", compare="random", out=str(out)) == 0
    return out


def test_the_file_has_settings_figures_and_episodes(folder):
    content = json.loads((folder / "evaluation.json").read_text())
    episodes = [Episode.from_dict(row) for row in content["episodes"]]

    assert content["simulator"] == "embedded"
    assert set(content["drivers"]) == {"rule-based", "random"}
    assert len(episodes) == 8
    whole = next(one for one in content["groups"] if (one["policy"], one["town"]) == ("rule-based", "all"))
    ours = [driving_score(one) for one in episodes if one.policy == "rule-based"]
    assert whole["figures"]["driving_score"]["mean"] == pytest.approx(sum(ours) / len(ours))
    assert content["comparison"]["tests"]["route_completion"]["difference"]["mean"] > 0


def test_the_page_stands_alone_and_has_tables_plots_and_moving_pictures(folder):
    page = (folder / "report.html").read_text()

    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "<script" not in page
    assert "not CARLA figures" in page
    assert page.count("<details>") == page.count("data:image/gif;base64,") >= 4
    for title in ("Figures", "By town and traffic", "Paired test", "Trajectories", "Drives", "As VLM-RL counts"):
        assert re.search(rf"<h2[^>]*>{title}</h2>", page)
    # Every caption of figures says where they are from.
    captions = re.findall(r"<caption>(.*?)</caption>", page)
    assert len([one for one in captions if "Simulator: embedded" in one]) >= 6
    for policy in ("rule-based", "random"):
        for town in ("town", "village"):
            assert f"{policy} in {town}. Simulator: embedded" in page


def test_a_second_call_drives_nothing_and_finds_the_same(folder, monkeypatch):
    from apps.driving.measures.evaluation import Track

    before = (folder / "evaluation.json").read_text()

    def refuse(*arguments):
        raise AssertionError("driven again")

    monkeypatch.setattr(Track, "drive", refuse)
    assert run_evaluate(settings(show=[]), "rule-based", compare="random", out=str(folder)) == 0
    assert (folder / "evaluation.json").read_text() == before


def test_a_policy_is_compared_with_an_evaluation_made_before(folder, tmp_path, capsys):
    path = folder / "evaluation.json"
    assert run_evaluate(settings(), "random", compare=str(path), json_output=True) == 0
    told = json.loads(capsys.readouterr().out)
    known = json.loads(path.read_text())["comparison"]

    assert (told["comparison"]["first"], told["comparison"]["second"]) == ("rule-based", "random")
    for name, test in told["comparison"]["tests"].items():
        if test["difference"]["mean"] is not None:
            assert test["difference"]["mean"] == pytest.approx(-known["tests"][name]["difference"]["mean"]), name


def test_evaluations_under_other_rules_are_not_compared(folder):
    with pytest.raises(UsageError, match="different settings of 'end'"):
        run_evaluate(settings(end=EndConfig(seconds=3.0)), "random", compare=str(folder / "evaluation.json"))


def test_tables_are_printed_with_where_they_are_from(capsys):
    run_evaluate(settings(maps=["village"], end=EndConfig(seconds=1.0)), "rule-based,random")
    text = " ".join(capsys.readouterr().out.split())

    assert "route completion (RC)" in text
    assert "Simulator: embedded. Towns: village. Vehicles: 0, 4. Seeds: 0." in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"policy": "nobody"}, "no policy 'nobody'"),
        ({"policy": ""}, "--policy is empty"),
        ({"policy": "random,random"}, "named twice"),
        ({"backend": "beamng"}, "no simulator"),
    ],
)
def test_wrong_wishes_are_told(arguments, told):
    with pytest.raises(UsageError, match=told):
        run_evaluate(settings(), **arguments)


def test_another_file_is_no_evaluation(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match="no evaluation of drivers"):
        read_evaluation(tmp_path / "a.json")


def test_first_best_and_worst_are_shown_and_none_twice():
    drives = [episode(f"r{i}", route_completion=share) for i, share in enumerate((0.5, 0.1, 0.9))]
    shown = {tuple(one.why): one.episode.case.route for one in choose(drives, ["first", "best", "worst"])}

    assert shown == {("first",): "r0", ("best",): "r2", ("worst",): "r1"}
    assert [one.why for one in choose(drives[:1], ["first", "best", "worst"])] == [["first", "best", "worst"]]
    assert choose([episode(cause="backend lost")], ["first"]) == []
    with pytest.raises(UsageError, match="there are first, best, worst"):
        choose(drives, ["last"])


def test_a_drive_that_is_not_repeated_is_said_to_be_another(monkeypatch):
    from apps.driving.evaluate import courses_of
    from apps.driving.measures.evaluation import cases, evaluate
    from apps.driving.measures.evaluation_report import _told
    from apps.driving.measures.films import show

    config = settings(maps=["town"], routes_per_map=1, vehicles=[0])
    course = courses_of(config, ["rule-based"])[0]
    drives = evaluate(course, cases(config.evaluate))
    same, other = choose(drives, ["first"]), choose([replace(drives[0], steps=7)], ["first"])
    show(course, [*same, *other])

    assert (same[0].same, other[0].same) == (True, False)
    assert "does not repeat a drive" in _told(other[0])
    assert same[0].gif[:6] == b"GIF89a"
    assert same[0].frames[0].size == (96, 96)
