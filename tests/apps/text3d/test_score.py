"""The `score` verb of text-to-3D on files as people have them: good rows, bad rows, outages and interruptions."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from apps.text3d import rewards
from apps.text3d.config import Text3dConfig
from apps.text3d.rewards import Text3dReward
from apps.text3d.score import run_score
from common.errors import DataError, UsageError
from common.models.small_vlm import make_small_vlm, save_small_vlm
from tests.apps.text3d.judges import WORDS, Scripted

PROMPT = "a red cube left of a blue sphere"


def brightness(shown: Any, text: str) -> float:
    """Says yes to bright pictures, whatever is asked."""
    return 10 * float(torch.stack([one.mean() for one in shown]).mean()) - 5


@pytest.fixture
def config() -> Text3dConfig:
    return Text3dConfig()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "views").mkdir()
    for number in range(4):
        Image.new("RGB", (56, 56), (60 * number,) * 3).save(tmp_path / "views" / f"{number}.png")
    return tmp_path


@pytest.fixture
def vlm(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Takes the place of the configured model."""
    made = Scripted(brightness)
    monkeypatch.setattr(rewards, "_vlm", lambda config: made)
    return made


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"prompt": PROMPT, "image": f"views/{number}.png", **more}


def score(config: Text3dConfig, folder: Path, rows: list[Any], **flags: Any) -> list[dict[str, Any]]:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows) + "\n", "utf-8")
    assert run_score(config, str(path), str(folder / "out.jsonl"), **flags) == 0
    return [json.loads(line) for line in (folder / "out.jsonl").read_text("utf-8").splitlines()]


def test_rows_come_back_in_order_with_fields_parts_and_questions(
    config: Text3dConfig, folder: Path, vlm: Scripted
) -> None:
    config.reward.batch_size = 2
    rows = [
        row(0, id="a", note={"deep": [1, None]}),
        row(3, azimuths=[180]),
        {"prompt": "two green cones", "images": ["views/1.png", str(folder / "views" / "2.png")], "ä": "ö\ud800"},
    ]
    got = score(config, folder, rows)
    for before, after in zip(rows, got, strict=True):
        assert {name: value for name, value in after.items() if name in before} == before
    assert set(got[0]["parts"]) == {f"vlm.{kind}{more}" for kind in ("semantic", "spatial") for more in ("", ".right")}
    assert set(got[2]["parts"]) == {"vlm.semantic", "vlm.semantic.right"}, "no relation, nothing spatial to ask"
    for one in got:
        for kind in ("semantic", "spatial"):
            said = [answer for answer in one["questions"] if answer["kind"] == kind]
            if said and len({len(answer["views"]) for answer in said}) == 1 and "image" in one:
                mean = sum(0.5 + 0.5 * math.tanh(answer["log_odds"] / 8) for answer in said) / len(said)
                assert one["parts"][f"vlm.{kind}"] == pytest.approx(mean, abs=1e-5)
    left = [next(one for one in got[at]["questions"] if "cube to the left" in one["text"]) for at in (0, 1)]
    assert [one["expected"] for one in left] == ["Yes", "No"]
    # A dark picture is no to everything: right where No is right.
    assert left[0]["log_odds"] == pytest.approx(-5)
    assert "wrong: picture 1: In this picture, is the red cube to the left" in got[0]["reason"]
    assert not (folder / "out.jsonl.part").exists()


def test_bad_rows_and_pictures_have_no_reward_and_a_reason(
    config: Text3dConfig, folder: Path, vlm: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "views" / "text.png").write_text("not a picture")
    bad = [
        (row(99), "99.png: the picture cannot be read: no such file"),
        ({"prompt": PROMPT, "image": "views/text.png"}, "no picture in a format"),
        ({"image": "views/0.png"}, "no field 'prompt'"),
        ({"prompt": PROMPT}, "has neither"),
        (row(0, images=["views/0.png"]), "image and images"),
        ({"prompt": PROMPT, "images": []}, "a list of paths"),
        ({"prompt": PROMPT, "images": ["views/0.png", 3]}, "a list of paths"),
        ({"prompt": PROMPT, "image": " "}, "a path"),
        (row(0) | {"prompt": "\n"}, "'prompt' is empty"),
        (row(0) | {"prompt": 5}, "must be text, not int"),
        (row(0, azimuths=[1, 2]), "'azimuths' must hold a number in degrees for each of 1 pictures"),
        (row(0, azimuths=["front"]), "azimuths"),
        (row(0, azimuths=[True]), "azimuths"),
    ]
    got = score(config, folder, [row(1), *(one for one, _ in bad), row(2)])
    for one, (_, reason) in zip(got[1:-1], bad, strict=True):
        assert (one["reward"], one["parts"], one["questions"]) == (None, {}, [])
        assert reason in one["reason"]
    assert got[0]["reward"] is not None
    assert got[-1]["reward"] is not None
    said = capsys.readouterr().err
    assert "rows.jsonl:2:" in said.replace("\n", "")
    assert "and 3 further rows" in said
    score(config, folder, [row(1), bad[0][0]], json_output=True)
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["scored"], summary["grader_failed"]) == (2, 1, 0)
    assert summary["unscored"][0]["line"] == 2
    assert set(summary["parts"]) == set(got[0]["parts"])


def test_a_stopped_run_goes_on_and_equals_one_that_was_not(
    config: Text3dConfig, folder: Path, vlm: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.reward.batch_size = 1
    rows = [row(number) for number in range(4)]
    whole = score(config, folder, rows)
    asked = len(vlm.asked)
    os.remove(folder / "out.jsonl")
    judge, calls = Text3dReward.judge, []

    def stopped(self: Text3dReward, several: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return judge(self, several)

    monkeypatch.setattr(Text3dReward, "judge", stopped)
    with pytest.raises(KeyboardInterrupt):
        score(config, folder, rows)
    assert not (folder / "out.jsonl").exists()
    part = folder / "out.jsonl.part"
    part.write_text(part.read_text("utf-8") + '{"line": 3, "sco', "utf-8")  # killed while it wrote
    vlm.asked.clear()
    assert score(config, folder, rows) == whole
    assert len(vlm.asked) == asked // 2
    assert not part.exists()


def test_other_settings_do_not_go_on(
    config: Text3dConfig, folder: Path, vlm: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm.answer = lambda shown, text: (_ for _ in ()).throw(RuntimeError("lost device"))
    score(config, folder, [row(0), row(99)])
    config.reward.vlm.saturation = 4.0
    with pytest.raises(UsageError, match=r"out\.jsonl\.part holds rows .* other settings; delete it"):
        score(config, folder, [row(0), row(99)])
    config.reward.vlm.saturation, config.reward.batch_size, config.reward.vlm.device = 8.0, 3, "cuda"
    score(config, folder, [row(0), row(99)])


def test_a_grader_that_failed_is_asked_again(
    config: Text3dConfig, folder: Path, vlm: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    def outage(shown: Any, text: str) -> float:
        if float(shown[0].mean()) == 0:
            raise RuntimeError("out of memory")
        return brightness(shown, text)

    vlm.answer = outage
    got = score(config, folder, [row(0), row(1)])
    assert [one["reward"] is None for one in got] == [True, False]
    assert got[0]["reason"] == "the VLM failed: out of memory"
    assert got[0]["questions"][0]["log_odds"] is None
    assert "the grader failed on 1 rows" in capsys.readouterr().err.replace("\n", " ")
    vlm.answer = brightness
    vlm.asked.clear()
    again = score(config, folder, [row(0), row(1)])
    assert again[1] == got[1]
    assert again[0]["reward"] is not None
    assert len(vlm.asked) == len(again[0]["questions"]), "the row that was scored is not asked again"


def test_files_that_cannot_be_read_or_written(config: Text3dConfig, folder: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl:2: not JSON"):
        score(config, folder, [row(0), "{no"])
    with pytest.raises(DataError, match="no such file"):
        run_score(config, str(folder / "none.jsonl"), str(folder / "out.jsonl"))
    with pytest.raises(UsageError, match="is a folder"):
        run_score(config, str(folder / "rows.jsonl"), str(folder))
    assert sorted(os.listdir(folder)) == ["rows.jsonl", "views"], "no output, and nothing half written"
    config.reward.vlm.model = str(folder / "none")
    with pytest.raises(UsageError, match="there is no model in"):
        score(config, folder, [row(0)])
    assert score(config, folder, []) == [], "without rows no model is needed"


def test_a_model_in_a_folder(config: Text3dConfig, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_small_vlm(*make_small_vlm([WORDS] * 30), folder / "vlm")
    config.reward.vlm.model, config.reward.vlm.consistency = str(folder / "vlm"), 0.5
    (got,) = score(config, folder, [{"prompt": PROMPT, "images": ["views/1.png", "views/2.png"], "azimuths": [0, 90]}])
    assert 0 <= got["reward"] <= 2.5
    assert {one["kind"] for one in got["questions"]} == {"semantic", "spatial", "consistency"}
    assert all(one["log_odds"] is not None for one in got["questions"])
    assert "vlm.consistency" in capsys.readouterr().out
