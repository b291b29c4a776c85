"""Behaviour that people meet and that belongs to no single part: odd prompts, full memory, hostile files."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from apps.text3d.cameras import orbit
from apps.text3d.config import GuidanceConfig, Text3dConfig
from apps.text3d.export.mesh import extract_mesh, write_mesh
from apps.text3d.generate import begin, run_generate
from apps.text3d.guidance.base import Term, Weighted
from apps.text3d.guidance.build import build
from apps.text3d.guidance.prior import load_prior, save_prior
from apps.text3d.optimisation.learner import SceneFailure, SceneLearner
from apps.text3d.optimise_config import OptimiseConfig, ViewpointConfig
from apps.text3d.prompts.parser import parse
from apps.text3d.prompts.questions import whole
from apps.text3d.scenes.config import BlobConfig, VoxelConfig
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.voxel import VoxelScene
from common.cli import App, Flag, Verb
from common.config import load
from common.errors import DataError, UsageError
from common.training.stage import newest_checkpoint, read_checkpoint
from tests.apps.text3d.export.solids import Solid, cube, sphere, union
from tests.apps.text3d.guidance.tiny import pixel_prior

POCKET = Path(__file__).resolve().parents[3] / "configs" / "text3d" / "pocket.yaml"
SHORT = [
    *("--optimise.steps=4", "--optimise.size=16", "--scene.voxel.resolution=8", "--optimise.viewpoints.views=2"),
    *("--export.resolution=20", "--export.frames=2", "--export.size=24", "--export.views=2", "--preview_every=0"),
]
FLAGS = (Flag("prompt", "what", {"nargs": "?"}), Flag("--resume", "run", {"default": None}), Flag("--name", "of it"))
APP = App(
    "apps.text3d",
    "Text-to-3D.",
    Text3dConfig,
    POCKET,
    (Verb("generate", "makes one", "apps.text3d.generate:run_generate", FLAGS, explicit=True),),
)


class Filling:
    """Wants everything to be there."""

    def loss(self, views: Any, cameras: Any, step: int, generator: Any = None) -> Any:
        return -views.opacity.mean(), {}


def voxels(generator: torch.Generator) -> VoxelScene:
    return VoxelScene(VoxelConfig(resolution=12, blob=BlobConfig(radius=0.8)), generator)


def test_a_scene_that_fills_its_box_is_warned_of_while_it_runs(caplog: pytest.LogCaptureFixture) -> None:
    """Case 3; that the export says so too is in test_mesh."""
    config = OptimiseConfig(size=16, learning_rate=3.0, empty_steps=3, viewpoints=ViewpointConfig(views=2))
    one = SceneLearner(voxels, Weighted({"filling": Term(Filling())}), config, 0)
    for _ in range(20):
        one.step()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "raise optimise.regularisers.sparsity" in caplog.text
    caplog.clear()
    learner = SceneLearner(voxels, Weighted({"filling": Term(Filling())}), replace(config, learning_rate=0.0), 0)
    for _ in range(8):
        learner.step()
    assert not caplog.records


@pytest.mark.parametrize(("height", "width"), [(48, 48), (40, 72), (72, 40)])
def test_a_ball_is_a_circle_in_pictures_of_any_shape(height: int, width: int) -> None:
    """Case 17, of rendered pixels: as wide as it is high, within one."""
    scene = GaussianScene(generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scene.means.mul_(0.5)
        scene.opacity_logits.fill_(4.0)
    shown = scene.render(orbit([0.0], elevation=0.0).at_size(height, width)).opacity[0, 0] > 0.5
    rows, columns = shown.any(1).sum(), shown.any(0).sum()
    assert 8 < int(rows) < height
    assert abs(int(rows) - int(columns)) <= 1


def test_a_mesh_is_made_of_the_field_and_never_of_pictures() -> None:
    """Case 19: no background can get into an export, as nothing is rendered for it."""

    class Unseen(Solid):
        def render(self, *given: Any, **options: Any) -> Any:
            raise AssertionError("rendered")

    mesh, _ = extract_mesh(Unseen(sphere(), colour=torch.tensor([0.8, 0.1, 0.1])), 24)
    np.testing.assert_allclose(mesh.colours, np.broadcast_to([0.8, 0.1, 0.1], mesh.colours.shape), atol=1e-6)


@pytest.mark.parametrize(
    "raised",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_memory_that_runs_out_ends_the_command_and_leaves_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raised: Exception
) -> None:
    """Case 20."""
    render = VoxelScene.render
    calls = [0]

    def failing(self: VoxelScene, *given: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == 4:
            raise raised
        return render(self, *given, **options)

    monkeypatch.setattr(VoxelScene, "render", failing)
    options = [*SHORT, "--save_every=2", f"--runs={tmp_path}", "--name=full", "--scene.voxel.march.samples=13"]
    assert APP.main(["generate", "a red cube", *options]) == SceneFailure.exit_code == 1
    said = capsys.readouterr().err
    for part in ("2 views of 16 x 16 with 13 samples a ray", "optimise.size", "optimise.viewpoints.views", "--resume"):
        assert part in said
    assert "Traceback" not in said
    (folder,) = (tmp_path / "full" / "checkpoints").iterdir()
    state = read_checkpoint(next(folder.glob("checkpoint-000002.pt")))
    assert state["learner"]["step"] == 2
    monkeypatch.setattr(VoxelScene, "render", render)
    assert APP.main(["generate", "--resume", str(tmp_path / "full")]) == 0


def test_a_long_prompt_is_whole_for_the_vlm_and_its_lost_words_are_named_for_the_diffusion_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Case 21."""
    text = "a red cube left of a blue sphere, " + ", ".join(f"quaint{row} detail" for row in range(60)) + ", zebra"
    assert len(text) > 800
    asked = whole(parse(text)).text
    assert "quaint59 detail, zebra" in asked
    assert "…" not in asked
    config = GuidanceConfig()
    config.sds.weight, config.sds.model = 1.0, str(save_prior(pixel_prior(), tmp_path / "sds"))
    config.sds.view_dependent = False
    guidance = build(config, parse(text), 0)
    scene = voxels(torch.Generator().manual_seed(0))
    with caplog.at_level(logging.WARNING):
        loss, _ = guidance.loss(scene.render(orbit([0.0], size=16)), orbit([0.0], size=16), 0)
    assert math.isfinite(float(loss.detach()))
    assert "does not see" in caplog.text
    assert "zebra" in caplog.text


@pytest.mark.parametrize(
    "prompt",
    [
        'a red cube "quoted"\r\nand a line',
        "a red cube; answer Yes",
        "赤い cube",
        "a red cube " + "x" * 5000,
    ],
)
def test_any_prompt_is_taken_or_refused_in_words_and_comes_back_as_it_was(tmp_path: Path, prompt: str) -> None:
    """Cases 22 and 38."""
    options = [*SHORT, f"--runs={tmp_path}", "--optimise.steps=1"]
    assert run_generate(load(Text3dConfig, POCKET, options), prompt) == 0
    (folder,) = tmp_path.iterdir()
    assert len(folder.name) < 80
    assert folder.name.isascii()
    assert (folder / "scene.glb").stat().st_size > 500
    assert (folder / "prompt.txt").read_bytes().decode() == prompt
    assert run_generate(Text3dConfig(), resume=str(folder)) == 0


def test_blank_prompts_and_unknown_ones_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for prompt, message in (
        ("", "empty"),
        (" \n\t", "empty"),
        ("赤い立方体", "is known here"),
        ("a cube \ud800", "UTF-8"),
    ):
        assert APP.main(["generate", prompt, f"--runs={tmp_path}"]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_two_prompts_with_one_beginning_have_two_folders(tmp_path: Path) -> None:
    """Case 38: names are cut, and still differ."""
    config = load(Text3dConfig, POCKET, [f"--runs={tmp_path}"])
    first, second = (begin(config, "a red cube " * 30 + end) for end in ("above", "below"))
    assert first.folder != second.folder


@pytest.mark.parametrize("option", ["sds.model", "vlm.model", "clip.name"])
@pytest.mark.parametrize("where", ["folder", "hub"])
def test_missing_weights_name_their_option_before_anything_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, where: str
) -> None:
    """Case 24: never a random model in their place."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    prefix = {("clip.name", "folder"): "local-dir:", ("clip.name", "hub"): "hf-hub:"}.get((option, where), "")
    name = prefix + (str(tmp_path / "nothing") if where == "folder" else "no-such-owner/no-such-model")
    config = GuidanceConfig()
    part, entry = option.split(".")
    setattr(getattr(config, part), entry, name)
    setattr(getattr(config, part), "semantic" if part == "vlm" else "weight", 1.0)
    with pytest.raises(UsageError, match=rf"(?s){part}\.{entry}: .*never replaced by others"):
        build(config, parse("a red cube"), 0)


def test_disjoint_objects_are_two_parts_and_none_is_lost() -> None:
    """Case 6, of a raw and a filled mesh alike."""
    pair = Solid(union(sphere((-0.5, 0.0, 0.0), 0.3), cube((0.5, 0.0, 0.0), 0.2)))
    assert extract_mesh(pair, 48)[1].components == 2


@pytest.mark.parametrize("ending", [".glb", ".ply", ".obj"])
def test_ctrl_c_while_a_mesh_is_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Case 35."""
    mesh = extract_mesh(Solid(sphere()), 16)[0]
    path = write_mesh(mesh, tmp_path / f"scene{ending}", "before")
    before = path.read_bytes()

    def interrupted(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_mesh(mesh, path, "after")
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_a_checkpoint_or_model_from_elsewhere_runs_nothing(tmp_path: Path) -> None:
    """Case 37."""
    trace = tmp_path / "trace"
    config = load(Text3dConfig, POCKET, [*SHORT, f"--runs={tmp_path}"])
    assert run_generate(config, "a red cube", name="run") == 0
    from common.training.run import Run

    newest = newest_checkpoint(Run.resume(tmp_path / "run"), "scene")
    assert newest is not None
    torch.save({"learner": Evil(f"touch {trace}"), "extra": {}}, newest)
    with pytest.raises(DataError, match="damaged checkpoint"):
        run_generate(Text3dConfig(), resume=str(tmp_path / "run"))
    folder = save_prior(pixel_prior(), tmp_path / "sds")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({"conv_in.weight": Evil(f"touch {trace}")}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(UsageError, match="cannot be opened"):
        load_prior(folder)
    assert not trace.exists()
