"""Finished scenes on disk: what `write_views` wrote is read again, and what is missing is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from apps.text3d.cameras import orbit
from apps.text3d.export.views import read_views, write_views
from apps.text3d.measures.assets import Asset, read_assets
from apps.text3d.pocket.sdf_scene import SdfScene
from common.errors import DataError
from tests.apps.text3d.measures.made import GREEN, RED, scene, world


def test_views_come_back_as_they_were_rendered(tmp_path):
    shown = SdfScene(world(RED))
    seen = read_views(write_views(shown, tmp_path / "views", 3, 40))
    cameras = orbit([0.0, 120.0, 240.0], 15.0, size=40)
    truth = shown.render(cameras)
    assert seen.azimuths == (0.0, 120.0, 240.0)
    assert torch.allclose(seen.cameras.c2w, cameras.c2w)
    assert float((seen.rgb - truth.rgb).abs().max()) <= 0.5 / 255 + 1e-6
    solid = truth.opacity[:, 0] > 0.99
    assert float((seen.depth - truth.depth[:, 0])[solid].abs().max()) < 1e-3
    assert float(seen.depth[truth.opacity[:, 0] == 0].abs().max()) == 0
    normals = 2 * seen.normals - 1
    assert float((normals - truth.normals).abs().max()) < 0.01
    assert seen.spread(2) == [0, 1]
    assert seen.spread(9) == [0, 1, 2]


def test_scenes_at_any_depth_and_scenes_made_elsewhere(tmp_path):
    scene(tmp_path / "seed0" / "one", RED, guidance={"vlm": {"model": "big-vlm", "semantic": 1.0}})
    scene(tmp_path / "seed1" / "one", RED, guidance={"vlm": {"model": "big-vlm", "semantic": 0.0}})
    elsewhere = tmp_path / "theirs"
    (elsewhere / "views").mkdir(parents=True)
    (elsewhere / "prompt.txt").write_text("a torn hat\n")
    Image.new("RGB", (20, 30), "white").save(elsewhere / "views" / "00.png")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "prompt.txt").write_text(GREEN)
    found = read_assets(tmp_path)
    assert [asset.id for asset in found.found] == ["seed0/one", "seed1/one", "theirs"]
    assert found.unfinished == ["cut"]
    assert found.prompts == [RED, RED, "a torn hat"]
    assert [len(scenes) for scenes in found.by_prompt().values()] == [2, 1]
    assert [asset.guided_by("vlm", "big-vlm") for asset in found.found] == [True, False, False]
    alone = found.found[2].views()
    assert alone.depth is None
    assert alone.normals is None
    assert (alone.cameras.height, alone.cameras.width) == (30, 20)
    assert [asset.id for asset in read_assets(tmp_path / "theirs").found] == ["theirs"]


@pytest.mark.parametrize(
    "guidance",
    [
        {"clip": {"weight": 1.0, "name": "local-dir:eye"}},
        {
            "own": {
                "weight": 1.0,
                "reward": {"name": "weighted_sum", "parts": {"a": {"name": "clip_score", "clip": "eye"}}},
            }
        },
        {"sds": {"weight": [0, 0, 1, 9], "model": "d", "judge": {"name": "ensemble", "rewards": [{"clip": "./eye"}]}}},
    ],
)
def test_a_model_that_guided_within_a_reward_guided_too(guidance):
    assert Asset("one", Path(), RED, {"guidance": guidance}).guided_by("clip", "eye")
    assert not Asset("one", Path(), RED, {"guidance": guidance}).guided_by("vlm", "eye")
    assert not Asset("one", Path(), RED, {"guidance": guidance}).guided_by("clip", "another")


def test_views_made_elsewhere_are_read_in_the_order_of_their_numbers(tmp_path):
    for number in range(11):
        Image.new("L", (4, 4), 20 * number).convert("RGB").save(tmp_path / f"{number}.png")
    assert (255 * read_views(tmp_path).rgb[:, 0, 0, 0]).round().tolist() == [20 * number for number in range(11)]


def test_fewer_views_take_the_place_of_more(tmp_path):
    shown = SdfScene(world(RED))
    write_views(shown, tmp_path, 4, 8)
    (tmp_path / "mine.png").write_bytes((tmp_path / "03.png").read_bytes())
    write_views(shown, tmp_path, 2, 8)
    assert sorted(path.name for path in tmp_path.glob("*.png") if "-" not in path.name) == [
        "00.png",
        "01.png",
        "mine.png",
    ]
    (tmp_path / "mine.png").unlink()
    assert read_views(tmp_path).azimuths == (0.0, 180.0)


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_assets(tmp_path / "none")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "prompt.txt").write_text(GREEN)
    with pytest.raises(DataError, match=r"no scene in it: .*; 1 runs were not finished"):
        read_assets(tmp_path)
    (tmp_path / "cut" / "result.json").write_text('{"prompt": ""}')
    with pytest.raises(DataError, match=r"result\.json: it names no prompt"):
        read_assets(tmp_path)
    views = write_views(SdfScene(world(RED)), tmp_path / "views", 2, 16)
    cameras = views / "cameras.json"
    cameras.write_text(json.dumps(json.loads(cameras.read_text()) | {"azimuth": [0]}))
    with pytest.raises(DataError, match="1 azimuths for 2 views"):
        read_views(views)
    cameras.write_text('{"azimuth": 3}')
    with pytest.raises(DataError, match=r"cameras\.json: no cameras"):
        read_views(views)
    cameras.write_text('{"azimuth": [0, 180], "elevation": 95, "distance": 3, "fovy": 40}')
    with pytest.raises(DataError, match=r"cameras\.json: an elevation must lie between"):
        read_views(views)
    cameras.unlink()
    Image.new("RGB", (9, 9)).save(views / "01.png")
    with pytest.raises(DataError, match="one size"):
        read_views(views)
    (views / "01.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"01\.png: this is no picture"):
        read_views(views)


def test_a_trainings_scenes_are_called_by_their_run(tmp_path):
    for run in ("sds-seed0", "sds-vlm-seed0"):
        scene(tmp_path / run / "scenes" / "one", RED)
        assert read_assets(tmp_path / run / "scenes").name == run
    assert read_assets(tmp_path / "sds-seed0").name == "sds-seed0"
