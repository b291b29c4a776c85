"""`audit` of the suite: wrong rewards of others are found out, and one broken application loses no other."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest

from apps import audit
from apps.__main__ import main
from apps.audit import Wanted, assay_app
from apps.foreign import borrow
from apps.suite import APPS
from common.assays import NONE, TESTS, Assay, Overview, pooled, worst
from common.errors import RewardError, UsageError
from common.stats import Interval, wilson

WRONG = "tests.apps.wrong_rewards"


def assayed(name: str, killed: int = 9) -> Assay:
    facts = {"swapped side": wilson(killed, 10), "negation": wilson(1, 2)}
    controls = {"empty": wilson(10, 10)}
    share, all_facts, all_controls = wilson(1, 10), wilson(killed, 10), wilson(10, 10)
    return Assay(name, 10, facts, all_facts, controls, all_controls, share, NONE, share, NONE, 0.5, ["look"])


class Rooms:
    """Rooms of made-up applications that count how often they are asked."""

    def __init__(self, broken: str = "") -> None:
        self.asked: list[tuple[str, tuple[str, ...], int]] = []
        self.broken = broken

    def __call__(self, app: str):
        def assays(request):
            self.asked.append((app, tuple(request.names), request.rows))
            if app == self.broken:
                raise ZeroDivisionError("by zero")
            return Overview([assayed(name) for name in request.names], ["left out: nothing"])

        return SimpleNamespace(NAMES=(f"{app}_a", f"{app}_b"), ROWS=7, COLUMNS={}, KEY="completion", assays=assays)


@pytest.fixture
def rooms(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = Rooms()
    monkeypatch.setattr(audit, "_room", found)
    return found


def run(capsys, *arguments: str):
    code = main(["audit", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_every_app_is_assayed_and_the_finished_ones_are_kept(rooms, capsys, tmp_path):
    code, parts = run(capsys)
    assert code == 0
    assert [part["app"] for part in parts] == list(APPS)
    assert [one["name"] for one in parts[0]["assays"]] == ["text2sql_a", "text2sql_b"]
    assert len(rooms.asked) == 5
    assert (tmp_path / "runs/audit/audit.png").stat().st_size > 0
    page = (tmp_path / "runs/audit/report.html").read_text()
    assert all(name in page for name in (*APPS, "swapped side", "driving_b"))
    # An interrupted audit: what was finished is not assayed anew, unless it is asked for otherwise.
    (tmp_path / "runs/audit/medvqa.json").unlink()
    _, again = run(capsys, "--apps", "driving,medvqa")
    assert [part["assays"] for part in again] == [parts[3]["assays"], parts[2]["assays"]]
    assert [app for app, *_ in rooms.asked[5:]] == ["medvqa"]
    run(capsys, "--rows", "3", "--apps", "driving")
    run(capsys, "--fresh", "--apps", "driving", "--rows", "3")
    assert rooms.asked[6:] == [("driving", ("driving_a", "driving_b"), 3)] * 2


def test_a_reward_of_ones_own_is_assayed_anew_for_it_may_have_changed(rooms, capsys):
    for _ in range(2):
        run(capsys, "--reward", f"{WRONG}:honest", "--app", "medvqa")
    assert len(rooms.asked) == 2


def test_one_that_breaks_is_told_and_loses_no_other(rooms, capsys, tmp_path):
    rooms.broken = "captioning"
    code, parts = run(capsys, "--apps", "captioning,medvqa")
    assert code == 1
    assert {part["app"]: part["failed"] for part in parts} == {
        "captioning": "ZeroDivisionError: by zero",
        "medvqa": "",
    }
    assert [len(part["assays"]) for part in parts] == [0, 2]
    assert "captioning failed" in (tmp_path / "runs/audit/report.html").read_text()
    rooms.broken = ""
    assert run(capsys, "--apps", "captioning,medvqa")[0] == 0
    assert [app for app, *_ in rooms.asked[2:]] == ["captioning"]


def test_rewards_choose_their_apps(rooms, capsys):
    _, parts = run(capsys, "--rewards", "medvqa_b,driving_a")
    assert [(part["app"], [one["name"] for one in part["assays"]]) for part in parts] == [
        ("medvqa", ["medvqa_b"]),
        ("driving", ["driving_a"]),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--apps", "medvq"], "did you mean 'medvqa'"),
        (["--rewards", "medvqa_c"], "no reward 'medvqa_c'"),
        (["--reward", "a:b"], "go together"),
        (["--app", "medvqa"], "go together"),
        (["--rows", "1"], "two reference rows"),
        (["--reward", "a:b", "--app", "medvqa", "--bounds", "1", "0"], "least value comes first"),
        (["--reward", "a:b", "--app", "medvqa", "--columns", "answer"], "name=column"),
    ],
)
def test_wrong_usage_is_said(rooms, capsys, arguments, said):
    assert main(["audit", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_an_assay_survives_its_file_and_the_worst_is_told():
    one = assayed("a", 4)
    again = Assay.from_dict(json.loads(json.dumps(one.to_dict())))
    assert again.to_dict() == one.to_dict()
    assert set(one.tests) == set(TESTS)
    # Tried twice, an operator is not called the worst.
    assert one.tests["worst fact"].mean == pytest.approx(0.4)
    assert one.tests["tells apart"].mean == pytest.approx(0.9)
    assert math.isnan(one.tests["truth"].mean)
    assert worst({}) == NONE
    together = pooled([wilson(1, 2), wilson(5, 6)])
    assert (together.mean, together.n) == (6 / 8, 8)
    # Several mutants of one row are no independent tries: as wide as six, not as eight.
    assert together.high - together.low > wilson(6, 8).high - wilson(6, 8).low
    assert together.low <= wilson(4, 6).low


def test_a_length_that_pays_either_way_fails_the_test_of_length():
    from dataclasses import replace

    for mean, low, high in ((0.8, 0.7, 0.9), (-0.8, -0.9, -0.7)):
        value = replace(assayed("a"), length=Interval(mean, low, high, 9)).tests["no length"]
        assert (value.mean, value.low, value.high) == pytest.approx((0.2, 0.1, 0.3))


@pytest.fixture(scope="module")
def wrong() -> dict[str, Assay]:
    """The faulty rewards on questions about phantoms."""
    specs = tuple(f"{WRONG}:{name}" for name in ("copied", "keywords", "lengths", "generous", "honest", "unsure"))
    wanted = Wanted(["medvqa"], rows=24, own=specs)
    part = assay_app(wanted, "medvqa", wanted.settings("medvqa"), quiet=True)
    return {one.name: one for one in part.assays}


def test_a_reward_that_pays_for_the_copied_question_is_found_out(wrong):
    assert wrong["copied"].controls["copied question"].mean == 0.0
    assert any("copied question" in flag for flag in wrong["copied"].flags)


def test_a_keyword_match_that_passes_over_negation_is_found_out(wrong):
    found = wrong["keywords"]
    assert pooled(found.facts[name] for name in ("finding denied", "denial dropped")).mean == 0.0
    assert found.controls["right and wrong"].mean == 0.0
    assert found.agreement.mean < 0.9
    assert wrong["honest"].agreement.mean > found.agreement.mean


def test_pay_by_the_letter_is_found_out_whatever_its_range(wrong):
    found = wrong["lengths"]
    assert found.length.mean > 0.9
    assert found.padding.mean == 1.0
    assert any("longer score higher" in flag for flag in found.flags)


def test_full_marks_for_nothing_are_found_out(wrong):
    assert wrong["generous"].controls["empty"].mean == 0.0
    assert wrong["honest"].controls["empty"].mean == 1.0


def test_an_honest_reward_passes_what_the_others_fail(wrong):
    found = wrong["honest"]
    assert (found.killed.mean, found.beaten.mean, found.collapse.mean) == (1.0, 1.0, 0.0)


def test_rows_that_were_left_open_are_no_score(wrong):
    found = wrong["unsure"]
    assert found.killed.n == found.beaten.n == found.agreement.n == 0
    assert any("could not be scored" in flag for flag in found.flags)


def test_pay_for_light_is_found_out_on_pictures_of_scenes(tmp_path):
    clip = "{name: clip_score, clip: 'local-dir:assets/text3d/clip', prefix: '', scale: 1.0}"
    (tmp_path / "clip.yaml").write_text(f"reward: {clip}\n")
    wanted = Wanted(["text3d"], rows=1, own=(f"{WRONG}:bright", str(tmp_path / "clip.yaml")))
    part = assay_app(wanted, "text3d", wanted.settings("text3d"), quiet=True)
    bright, clip = part.assays
    assert (bright.controls["blank"].mean, clip.controls["blank"].mean) == (0.0, 1.0)
    assert any("mutation blank: 100%" in flag for flag in bright.flags)
    assert any("other background" in flag for flag in bright.flags)
    assert clip.killed.mean > 0.6 > bright.killed.mean
    assert clip.agreement.n > 0


def test_a_function_that_raises_or_asks_for_what_is_not_there_is_named():
    rows = {"completion": ["a", "b"], "question": ["q", "r"], "right": ["a", "b"]}
    with pytest.raises(RewardError, match="broken raised KeyError: 'ground_truth'"):
        borrow(f"{WRONG}:broken", "medvqa", {})(**rows)
    with pytest.raises(
        UsageError,
        match=r"needs the column 'answer', and rows of medvqa have .*question, right;.*answer=COLUMN",
    ):
        borrow(f"{WRONG}:keywords", "medvqa", {})(**rows)
    with pytest.raises(UsageError, match=r"needs the column 'completion', and rows of driving have state;"):
        borrow(f"{WRONG}:lengths", "driving", {}, key="state")(state={"speed": [1.0]})
    from apps.text3d.overview import COLUMNS, KEY

    with pytest.raises(UsageError, match=r"needs the column 'answer', and rows of text3d have .*images, prompt"):
        borrow(f"{WRONG}:keywords", "text3d", COLUMNS, key=KEY)(prompt=["a ball"], images=[None])
    with pytest.raises(UsageError, match=r"--columns answer=rihgt: rows of medvqa have no 'rihgt'"):
        borrow(f"{WRONG}:keywords", "medvqa", {"answer": "rihgt"})(**rows)
    with pytest.raises(UsageError, match="did you mean"):
        borrow("token_f2", "medvqa", {})


def test_columns_bounds_and_chats_are_handed_over():
    rows = {"completion": ["left", "the right"], "question": ["q", "r"], "right": ["left", "left"]}
    assert borrow(f"{WRONG}:keywords", "medvqa", {"answer": "right"})(**rows).values.tolist() == [1.0, 0.0]
    chats = borrow(f"{WRONG}:chatty", "medvqa", {}, conversational=True)
    assert chats(**rows).values.tolist() == [1.0, 1.0]
    with pytest.raises(RewardError, match=r"outside \(0.0, 2.0\)"):
        borrow(f"{WRONG}:lengths", "medvqa", {}, bounds=(0.0, 2.0))(**rows)


def test_a_catalogue_name_and_a_config_are_rewards_too(tmp_path):
    (tmp_path / "mine.yaml").write_text("reward: {name: token_f1, reference: right}\n")
    rows = {"completion": ["left lung", "right"], "right": ["left lung", "left"]}
    assert borrow(str(tmp_path / "mine.yaml"), "medvqa", {})(**rows).values.tolist() == [1.0, 0.0]
    found = borrow("exact_match", "medvqa", {"reference": "right"})
    assert found(**rows).values.tolist() == [1.0, 0.0]


def test_an_address_is_asked_by_the_client_of_reward_servers(monkeypatch):
    import sys

    from common.rewards.text import ExactMatch

    def client(url):
        assert url == "http://127.0.0.1:8000"
        return ExactMatch()

    monkeypatch.setitem(sys.modules, "common.rewards.remote", SimpleNamespace(RemoteReward=client))
    found = borrow("http://127.0.0.1:8000", "medvqa", {"reference": "right"})
    assert found(completion=["left", "right"], right=["left", "left"]).values.tolist() == [1.0, 0.0]


def test_a_range_that_never_ends_is_asked_for(monkeypatch, capsys):
    def assays(request):
        reward = request.own["growing"]
        for _ in range(3):
            reward(completion=["a"])
        return Overview()

    room = SimpleNamespace(NAMES=(), ROWS=7, COLUMNS={}, KEY="completion", assays=assays)
    monkeypatch.setattr(audit, "_room", lambda app: room)
    assert main(["audit", "--reward", f"{WRONG}:growing", "--app", "medvqa"]) == 1
    assert "--bounds LOW HIGH" in capsys.readouterr().err
