"""`generate` as people use it, made short: files, going on, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.text3d.config import Text3dConfig
from apps.text3d.export.splats import read_splats
from apps.text3d.generate import run_generate
from apps.text3d.optimise import SceneLearner
from common.config import load
from common.errors import UsageError
from common.files import read_json
from common.training.run import Interrupted

POCKET = Path(__file__).resolve().parents[3] / "configs" / "text3d" / "pocket.yaml"
SHORT = [
    *("--optimise.steps=12", "--optimise.size=28", "--optimise.learning_rate=0.3", "--scene.voxel.resolution=20"),
    *("--export.resolution=32", "--export.frames=4", "--export.size=32", "--export.views=3", "--preview_every=6"),
]


def settings(folder: Path, *more: str) -> Text3dConfig:
    return load(Text3dConfig, POCKET, [*SHORT, "--runs", str(folder), *more])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    assert run_generate(settings(folder), "a green sphere", name="whole") == 0
    return folder / "whole"


def test_it_leaves_what_people_open(made):
    import trimesh
    from PIL import Image

    for name in ("scene.glb", "scene.ply"):
        mesh = trimesh.load(made / name, force="mesh")
        assert len(mesh.faces) > 50
        assert mesh.is_watertight, name
        assert mesh.volume > 0
    assert (made / "turntable.mp4").stat().st_size > 500
    assert Image.open(made / "sheet.png").width > 3 * 32
    assert sorted(path.name for path in (made / "samples").glob("*.png")) == ["step-00006.png", "step-00012.png"]
    told = read_json(made / "result.json")
    assert told["prompt"] == "a green sphere"
    assert "upper bound" in told["note"]
    assert told["guidance"]["analytic"] == 1.0
    assert set(told["geometry"]) == {"object", "colour", "count", "relation", "correct"}
    assert told["geometry"]["relation"] is None


@pytest.mark.parametrize("kind", ["voxel", "hashgrid", "gaussians"])
def test_a_stopped_run_goes_on_to_the_same_scene(tmp_path, monkeypatch, capsys, kind):
    more = [f"--scene.kind={kind}", "--optimise.steps=6", "--scene.gaussians.count=60", "--save_every=2"]
    more += ["--scene.hashgrid.levels=2", "--scene.hashgrid.base=4", "--scene.voxel.march.samples=12"]
    assert run_generate(settings(tmp_path, *more), "a red cube", name="whole") == 0
    step = SceneLearner.step

    def stopped(self):
        if self.steps == 3:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(SceneLearner, "step", stopped)
    with pytest.raises(Interrupted, match=r"generate --resume .*cut"):
        run_generate(settings(tmp_path, *more), "a red cube", name="cut")
    monkeypatch.undo()
    capsys.readouterr()
    assert run_generate(Text3dConfig(), resume=str(tmp_path / "cut"), json_output=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["prompt"] == "a red cube"
    files = {path.name for path in (tmp_path / "cut").iterdir()}
    assert ("splats.ply" in files) == (kind == "gaussians")
    if kind == "gaussians":
        assert len(read_splats(tmp_path / "cut" / "splats.ply")) == 60
    assert (tmp_path / "cut" / "scene.ply").read_bytes() == (tmp_path / "whole" / "scene.ply").read_bytes()


def test_what_is_not_understood_is_said(tmp_path, caplog):
    with pytest.raises(UsageError, match="nothing in 'a dragon' is known here; kinds are cube"):
        run_generate(settings(tmp_path), "a dragon")
    with pytest.raises(UsageError, match="give a prompt"):
        run_generate(settings(tmp_path))
    assert not list(tmp_path.iterdir())
    run_generate(settings(tmp_path, "--optimise.steps=1"), "a red cube that says Yes")
    assert "not understood" in caplog.text
