"""The `score` verb: rows in, rows out, and errors that name the line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.driving.__main__ import APP
from apps.driving.goals import WORDINGS
from tests.apps.driving.states import GOOD
from tests.common.models.tiny_clip import tiny_clip_folder

TEXTS = [text for goals in WORDINGS.values() for text in vars(goals).values()]


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def scored(path: Path, rows: list[Any], *options: str, code: int = 0) -> list[Any]:
    source, out = written(path / "in.jsonl", rows), path / "out.jsonl"
    assert APP.main(["score", "--pairs", str(source), "--out", str(out), *options]) == code
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []


def test_rows_come_back_in_order_with_reward_parts_and_reason(tmp_path: Path) -> None:
    rows = [
        {"id": "ä", "state": GOOD},
        {"id": 2, "state": {**GOOD, "collision": 1, "terminated": 1}},
        {"id": 3, "state": {**GOOD, "speed": None}},
    ]
    good, crash, unknown = scored(tmp_path, rows, "--recipe", "vlm_rl_no_clip")
    assert [row["id"] for row in (good, crash, unknown)] == ["ä", 2, 3]
    assert good["state"] == GOOD
    assert good["reward"] == pytest.approx(1.0)
    assert good["parts"]["heading"] == pytest.approx(1.0)
    assert crash["reward"] == -10.0
    assert unknown["reward"] is None
    assert unknown["reason"] == "state.speed is not a number"


def test_a_batch_is_as_good_as_many(tmp_path: Path) -> None:
    rows = [{"state": {**GOOD, "offset": 0.005 * number}} for number in range(300)]
    found = scored(tmp_path, rows, "--recipe", "roach")
    assert [row["reward"] for row in found] == sorted((row["reward"] for row in found), reverse=True)
    for number in (0, 256, 299):
        (alone,) = scored(tmp_path, [rows[number]], "--recipe", "roach")
        assert alone["reward"] == pytest.approx(found[number]["reward"], abs=1e-6)


def test_only_what_the_reward_reads_must_be_there(tmp_path: Path) -> None:
    (row,) = scored(tmp_path, [{"state": {"collision": 1}}], "--recipe", "tirl")
    assert row["reward"] == -1.0


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"state": {name: value for name, value in GOOD.items() if name != "heading"}}, "state.heading"),
        ({"speed": 3.0}, "no field 'state'"),
        ({"state": {}}, "no field 'state'"),
        ({"state": {**GOOD, "speed": "fast"}}, "state.speed must be a number"),
        ([1, 2], "object"),
    ],
)
def test_a_row_that_lacks_something_is_named_with_its_line(
    tmp_path: Path, row: Any, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scored(tmp_path, [{"state": GOOD}, row], "--recipe", "vlm_rl_no_clip", code=2) == []
    said = capsys.readouterr().err.replace("\n", " ")
    assert f"{tmp_path / 'in.jsonl'}:2" in said
    assert told in said


def test_wrong_wishes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored(tmp_path, [{"state": GOOD}], "--recipe", "progres", code=2)
    assert "progress" in capsys.readouterr().err
    assert APP.main(["score", "--pairs", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "out")]) == 2
    assert APP.main(["score", "--pairs", str(tmp_path / "in.jsonl"), "--out", str(tmp_path)]) == 2


class TestPictures:
    @pytest.fixture
    def options(self, tmp_path: Path) -> list[str]:
        pytest.importorskip("open_clip")
        folder = tiny_clip_folder(tmp_path / "clip", TEXTS)
        clip = ["--reward.clip.name", f"local-dir:{folder}", "--reward.thresholds.low", "-1"]
        return [*clip, "--reward.thresholds.high", "1", "--reward.thresholds.success", "0"]

    def picture(self, path: Path) -> str:
        from PIL import Image

        Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(path)
        return path.name

    def test_a_picture_is_looked_at_and_a_missing_one_has_a_reason(self, tmp_path: Path, options: list[str]) -> None:
        name = self.picture(tmp_path / "scene.png")
        rows = [{"state": GOOD, "image": name}, {"state": GOOD, "image": "nowhere.png"}]
        seen, missing = scored(tmp_path, rows, "--recipe", "vlm_rl", *options)
        assert 0.0 <= seen["parts"]["goal"] <= 1.0
        assert missing["reward"] is None
        assert "picture" in missing["reason"]

    def test_a_row_without_one_is_named(
        self, tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        scored(tmp_path, [{"state": GOOD}], "--recipe", "vlm_rl", *options, code=2)
        assert "in.jsonl:1" in capsys.readouterr().err.replace("\n", "")

    def test_episodes_are_told_apart_by_their_number(self, tmp_path: Path, options: list[str]) -> None:
        name = self.picture(tmp_path / "scene.png")
        rows = [
            {"state": {**GOOD, "step": step, "terminated": float(step == 2)}, "image": name, "group": group}
            for group in (1, 2)
            for step in (1, 2)
        ]
        found = scored(tmp_path, rows, "--recipe", "roboclip", *options)
        assert [row["reward"] == 0.0 for row in found] == [True, False, True, False]


def test_torch_is_not_needed_to_say_that_nothing_is_there(tmp_path: Path) -> None:
    written(tmp_path / "in.jsonl", [])
    command = (
        "import sys; from apps.driving.__main__ import APP; "
        f"code = APP.main(['score', '--pairs', {str(tmp_path / 'in.jsonl')!r}, '--out', {str(tmp_path / 'o')!r}]); "
        "sys.exit(code or 10 * ('torch' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
