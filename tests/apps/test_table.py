"""`table`: every application's files are read, told apart, ranked, and compared only where rows match."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from apps import table
from apps.__main__ import main
from apps.captioning.measures import evaluation as trained
from apps.captioning.measures.measurement import Measurement as Measured
from apps.captioning.measures.measurement import mean_of
from apps.driving.measures.tables import groups
from apps.medvqa.measures import evaluation as medvqa
from apps.text2sql.measures import evaluation as text2sql
from apps.text3d.measures.results import Measurement as Scenes
from apps.text3d.measures.results import figure_of
from common.errors import DataError
from common.files import write_json
from common.training.run import plain
from tests.apps.driving.measures.made import episode


def queries(right: str, first: int = 0) -> dict:
    """An evaluation in which the i-th query is right where `right` has a 1."""
    items = [
        text2sql.Item(
            *(f"q{first + at}", "?", "en", "music", "easy", "", "SELECT 1", ["SELECT 1"]),
            verdicts={"strict": ["correct" if one == "1" else "wrong"]},
            soft_f1=[float(one)],
        )
        for at, one in enumerate(right)
    ]
    return text2sql.Evaluation(items).to_dict()


def answers(right: str) -> dict:
    items = [
        medvqa.Item(f"m{at}", "?", ["left"], "open", scores={"right": float(one), "f1": 0.5})
        for at, one in enumerate(right)
    ]
    return medvqa.Evaluation(items).to_dict()


def captions(exact: str) -> dict:
    items = [trained.Item(f"p{at}", "a dog", scores={"exact": float(one)}) for at, one in enumerate(exact)]
    return trained.Evaluation(items).to_dict()


def measured(values: list[float]) -> dict:
    results = {"cider_d": mean_of("cider_d", values), "empty": mean_of("empty", [0.0] * len(values))}
    return Measured(results, [f"p{at}" for at in range(len(values))], ["a dog"] * len(values)).to_dict()


def drives(completion: float, policy: str = "mine", backend: str = "embedded") -> dict:
    driven = [episode(f"r{at}", policy=policy, backend=backend, route_completion=completion) for at in range(4)]
    return {
        "format": 1,
        "drivers": {policy: {"simulator": backend}},
        "groups": [group.to_dict() for group in groups(driven)],
        "episodes": [one.to_dict(track=False) for one in driven],
    }


def scenes(values: list[float], prompts: list[str]) -> dict:
    figures = [figure_of("geometry.correct", values, prompts, share=True)]
    return plain(Scenes("mine", [f"s{at}" for at in range(len(values))], prompts, figures).to_dict())


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {
        "text2sql/worse/evaluation.json": queries("1000000000"),
        "text2sql/better/evaluation.json": queries("1111111110"),
        "text2sql/better/before.json": queries("1100000000"),
        "text2sql/others/evaluation.json": queries("11", first=50),
        "medvqa/one/evaluation.json": answers("1101"),
        "captioning/train/evaluation.json": {"before": captions("0001"), "after": captions("0111")},
        "captioning/evaluate/evaluation.json": measured([0.5, 1.0, 1.5]),
        "driving/one/driven/evaluation.json": drives(0.5),
        "driving/two/evaluation.json": drives(0.9, "other"),
        "driving/carla/evaluation.json": drives(0.9, "third", "carla"),
        "text3d/one/evaluation.json": scenes([1.0, 0.0], ["a red cube", "a blue ball"]),
        "text3d/set/training.json": {
            "right": {},
            "scenes": [{"prompt": "a red cube", "correct": True, "object": 1.0, "colour": 1.0, "count": None}],
        },
    }
    for name, content in files.items():
        write_json(tmp_path / "runs" / name, content)
    return tmp_path / "runs"


def results(capsys, *arguments: str) -> dict:
    assert main(["table", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_applications_files_are_read(runs, capsys):
    found = {(one["app"], one["run"]): one for one in results(capsys)["results"]}
    assert set(found) == {
        *(("text2sql", name) for name in ("worse", "better", "better (before)", "others")),
        ("medvqa", "one"),
        *(("captioning", name) for name in ("train", "train (before)", "evaluate")),
        *(
            ("driving", name)
            for name in ("one/driven (mine, embedded)", "two (other, embedded)", "carla (third, carla)")
        ),
        *(("text3d", name) for name in ("one", "set")),
    }
    assert found["text2sql", "better"]["headline"] == "execution accuracy (strict)"
    assert found["text2sql", "better"]["figures"]["execution accuracy (strict)"]["mean"] == pytest.approx(0.9)
    assert found["captioning", "train"]["headline"] == "whole scene right, %"
    assert found["captioning", "evaluate"]["headline"] == "CIDEr-D"
    assert found["driving", "two (other, embedded)"]["figures"]["collision rate (CR), %"]["better"] == "lower"
    assert found["text3d", "set"]["rows"] == 1


def test_the_best_comes_first_and_the_page_holds_every_run(runs, capsys):
    assert main(["table"]) == 0
    printed = capsys.readouterr().out
    assert printed.index("│ better") < printed.index("│ worse")
    page = (runs / "leaderboard.html").read_text()
    assert page.count("<h2") == 5
    assert all(name in page for name in ("better (before)", "others", "carla (third, carla)"))
    assert "different numbers of rows" in page


def test_less_is_better_where_it_is(runs):
    result = table.one_result(runs / "driving" / "two")
    named = {"collision rate (CR), %": result.figures["collision rate (CR), %"]}
    low = replace(
        result, figures={name: replace(one, value=replace(one.value, mean=0.1)) for name, one in named.items()}
    )
    high = replace(
        result, figures={name: replace(one, value=replace(one.value, mean=0.9)) for name, one in named.items()}
    )
    assert table.by_app([high, low])["driving"] == [low, high]


def test_two_runs_are_compared_row_by_row(runs, capsys):
    tests = results(capsys, "--compare", "runs/text2sql/worse", "runs/text2sql/better")["comparison"]
    test = tests["execution accuracy (strict)"]
    assert (test["difference"]["mean"], test["difference"]["n"]) == (pytest.approx(0.8), 10)
    assert (test["n01"], test["n10"]) == (8, 0)
    assert test["p"] == pytest.approx(2 / 2**8)
    tests = results(capsys, "--compare", "runs/driving/one", "runs/driving/two/evaluation.json")["comparison"]
    assert tests["route completion (RC)"]["difference"]["mean"] == pytest.approx(0.4)


def test_a_comparison_prints_its_table_and_stands_on_the_page(runs, capsys):
    assert main(["table", "--compare", "runs/text2sql/worse", "runs/text2sql/better"]) == 0
    printed = capsys.readouterr().out
    assert "better against worse" in printed
    assert "+" not in printed.split("better against worse")[0]
    assert "80.0 [" in printed
    assert "Paired tests" in (runs / "leaderboard.html").read_text()


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("text2sql/worse", "medvqa/one", "of text2sql and .* of medvqa"),
        ("text2sql/worse", "text2sql/others", "no question in common.*'q0'.*'q50'"),
        ("captioning/train", "captioning/evaluate", "no figure in common"),
        ("driving/one", "driving/carla", "different settings of 'simulator'"),
        ("text3d/one", "text3d/nowhere", "no evaluation there"),
    ],
)
def test_what_does_not_match_is_said(runs, capsys, first, second, said):
    assert main(["table", "--compare", f"runs/{first}", f"runs/{second}"]) == 2
    assert re.search(said, capsys.readouterr().err)


def test_a_file_that_nobody_knows_loses_none_of_the_others(runs, capsys):
    write_json(runs / "medvqa" / "odd" / "evaluation.json", {"items": [1]})
    (runs / "text2sql" / "worse" / "evaluation.json").write_text("{")
    found = results(capsys)
    assert len(found["results"]) == 12
    assert len(found["unreadable"]) == 2
    with pytest.raises(DataError, match="no application knows"):
        table.one_result(runs / "medvqa" / "odd")


def test_nothing_found_says_what_would_write_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert main(["table"]) == 2
    assert "evaluate --out" in capsys.readouterr().err
    assert main(["table", "elsewhere"]) == 2
    assert "elsewhere: no such folder" in capsys.readouterr().err
