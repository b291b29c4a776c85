"""`evaluate` as people use it: folders of runs, with and without second models and judges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.text3d.config import Text3dConfig
from apps.text3d.evaluate import run_evaluate
from apps.text3d.generate import run_generate
from common.config import load
from common.errors import DataError, UsageError
from common.files import read_json
from tests.apps.text3d.measures.made import BLUE, GREEN, RED, WRONG, pictures, redness, scene
from tests.apps.text3d.test_generate import POCKET, settings
from tests.common.models.tiny_clip import tiny_clip_folder
from tests.common.rewards.judge_server import chat, judge_server

REDS = ("a red cube", "a red cone", "a red torus", "a red sphere")


def config(*more: str) -> Text3dConfig:
    return load(Text3dConfig, POCKET, list(more))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for prompt in REDS:
        scene(folder / "ours" / prompt, prompt, note="an upper bound")
        scene(folder / "theirs" / prompt, prompt, shows=GREEN, geometry=WRONG, reasons=["wrong colour"])
    scene(folder / "ours" / "more", BLUE)
    return folder


def test_what_generate_wrote_is_measured_and_what_is_not_is_said(tmp_path, capsys):
    more = ("--optimise.steps=3", "--preview_every=0", "--evaluate.views=4")
    assert run_generate(settings(tmp_path / "runs", *more), RED, name="one") == 0
    seen = sorted(path.name for path in (tmp_path / "runs" / "one" / "views").iterdir())
    assert len(seen) == 4 * 3 + 1
    capsys.readouterr()
    assert run_evaluate(config(), str(tmp_path / "runs"), json_output=True) == 0
    found = json.loads(capsys.readouterr().out)
    kept = read_json(tmp_path / "runs" / "one" / "result.json")["geometry"]
    assert found["figures"]["geometry.correct"]["each"] == [float(kept["correct"])]
    assert found["figures"]["views.surface"]["value"]["n"] == 1
    assert any("upper bound" in alarm for alarm in found["alarms"])
    assert run_evaluate(config(), str(tmp_path / "runs")) == 0
    told = capsys.readouterr()
    for reason in ("evaluate.clip.name", "evaluate.vlm.model", "evaluate.judge.url"):
        assert reason in told.out
    assert "upper bound" in told.err


def test_two_methods_with_everything(runs, tmp_path, capsys):
    clip = tiny_clip_folder(tmp_path / "clip", REDS)
    prompts = tmp_path / "set.txt"
    prompts.write_text("\n".join([*REDS, BLUE, "a purple cross"]))

    def judge(body):
        system = body["messages"][0]["content"]
        (picture,) = pictures(body)
        if "compare two" in system:
            half = picture.shape[1] // 2
            return chat(json.dumps({"overall": 1 if redness(picture[:, :half]) > redness(picture[:, half:]) else 2}))
        if "from 1 (worst)" in system:
            return chat('{"quality": 3, "alignment": 4}')
        return chat('{"layout": 5}' if "mark a layout" in system else '{"picture": 8}')

    with judge_server() as server:
        server.answer = judge
        asked = config(
            *(f"--evaluate.clip.name=local-dir:{clip}", f"--evaluate.judge.url={server.url}"),
            *("--evaluate.judge.model=fake-eye", "--evaluate.criteria=[overall]", "--evaluate.rubric=true"),
            "--evaluate.judge.retries=0",
        )
        arguments = (asked, str(runs / "ours"), [str(runs / "theirs")], str(prompts), str(tmp_path / "out"))
        assert run_evaluate(*arguments) == 0
    told = capsys.readouterr()
    assert "1 prompts of the set have no scene, such as 'a purple cross'" in told.err
    assert "Judge fake-eye" in told.out
    found = read_json(tmp_path / "out" / "evaluation.json")
    assert {name.split(".")[0] for name, one in found["figures"].items() if one["value"]} >= {
        *("geometry", "clip", "views", "marks", "got")
    }
    test = found["tests"]["theirs"]["geometry.correct"]
    assert (test["n01"], test["n10"], test["difference"]["mean"], test["p"]) == (4, 0, 1.0, 0.125)
    games = found["comparisons"]["criteria"]["overall"]
    assert (games["games"], games["ratings"]["ours"]["wins"], games["left"]["mean"]) == (4, 4, 0.5)
    assert len((tmp_path / "out" / "comparisons.jsonl").read_text().splitlines()) == 8
    page = (tmp_path / "out" / "report.html").read_text()
    for text in ("Pairwise comparisons", "Against theirs", "a red torus", "an upper bound", "data:image/png", "<svg"):
        assert text in page, text
    # The judge is gone: nothing is asked again of the pairs, the marks are lost, and that is no success.
    assert run_evaluate(*arguments) == 1
    again = read_json(tmp_path / "out" / "evaluation.json")
    assert again["comparisons"]["criteria"]["overall"]["ratings"] == games["ratings"]
    assert again["figures"]["marks.quality"]["value"] is None
    assert again["figures"]["marks.quality"]["lost"] == 5
    assert again["figures"]["geometry.correct"] == found["figures"]["geometry.correct"]


def test_wrong_use(runs, tmp_path):
    with pytest.raises(UsageError, match="different names"):
        run_evaluate(config(), str(runs / "ours"), [str(runs / "ours")])
    with pytest.raises(DataError, match="no such folder"):
        run_evaluate(config(), str(runs / "nothing"))
    scene(tmp_path / "others" / "a", "a green torus")
    with pytest.raises(DataError, match="no prompt in common"):
        run_evaluate(config(), str(runs / "ours"), [str(tmp_path / "others")])
    with pytest.raises(UsageError, match="some of alignment"):
        config("--evaluate.criteria=[beauty]")
