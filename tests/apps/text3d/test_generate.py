"""`generate` as people use it, made short: files, going on, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.text3d.config import Text3dConfig
from apps.text3d.export.splats import read_splats
from apps.text3d.generate import run_generate
from apps.text3d.optimisation.learner import SceneLearner
from common.config import load
from common.errors import UsageError
from common.files import read_json
from common.training.run import Interrupted

POCKET = Path(__file__).resolve().parents[3] / "configs" / "text3d" / "pocket.yaml"
SHORT = [
    *("--optimise.steps=12", "--optimise.size=28", "--optimise.learning_rate=0.3", "--scene.voxel.resolution=20"),
    *("--export.resolution=32", "--export.size=32", "--export.views=3", "--evaluate.views=2"),
]
#: Without a film and previews, which take longer than these scenes.
BARE = ("--export.frames=0", "--preview_every=0")


def settings(folder: Path, *more: str) -> Text3dConfig:
    return load(Text3dConfig, POCKET, [*SHORT, "--runs", str(folder), *more])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    assert (
        run_generate(settings(folder, "--export.frames=2", "--preview_every=6"), "a green sphere", name="whole") == 0
    )
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
    assert told["time"]["seconds_per_step"] > 0
    assert 0 < told["time"]["shares"]["analytic"] < 1
    assert sum(told["time"]["shares"].values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["voxel", "hashgrid", "gaussians"])
def test_a_stopped_run_goes_on_to_the_same_scene(tmp_path, monkeypatch, capsys, kind):
    more = [f"--scene.kind={kind}", "--optimise.steps=6", "--scene.gaussians.count=60", "--save_every=2", *BARE]
    more += [
        "--scene.hashgrid.levels=2",
        "--scene.hashgrid.base=4",
        "--scene.voxel.march.samples=12",
        "--optimise.size=16",
        "--export.resolution=20",
    ]
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
    run_generate(settings(tmp_path, "--optimise.steps=1", *BARE), "a red cube that says Yes")
    assert "not understood" in caplog.text


def test_the_wall_clock_ends_it_and_what_there_is_is_written(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("apps.text3d.optimisation.clock.monotonic", Ticks(20.0))
    config = settings(tmp_path, "--optimise.minutes=2", *BARE)
    assert run_generate(config, "a green sphere", name="short") == 0
    told = read_json(tmp_path / "short" / "result.json")
    # 20 seconds a look at the clock, one look before each step: the sixth is at 120.
    assert told["steps"] == 5
    assert (tmp_path / "short" / "scene.glb").is_file()
    assert "optimise.minutes 2 are over at step 5 of 12" in caplog.text
    # The budget is that of the whole run: going on takes no further step.
    caplog.clear()
    assert run_generate(config, resume=str(tmp_path / "short")) == 0
    assert read_json(tmp_path / "short" / "result.json")["steps"] == 5
    # With more of it, it goes on.
    assert run_generate(config, resume=str(tmp_path / "short"), given=["--optimise.minutes=3"]) == 0
    assert 5 < read_json(tmp_path / "short" / "result.json")["steps"] < 12


def test_a_regulariser_of_the_configuration_reaches_the_scene(tmp_path):
    config = settings(tmp_path, "--optimise.regularisers.sparsity=0.5", "--optimise.steps=2", *BARE)
    assert run_generate(config, "a green sphere", name="tidy") == 0
    rows = [json.loads(line) for line in (tmp_path / "tidy" / "log.jsonl").read_text().splitlines()]
    assert all(row["regularisers.sparsity"] > 0 for row in rows if row.get("stage") == "scene")
    assert rows


class Ticks:
    """A clock that moves on at every look."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds = 0.0, seconds

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now
