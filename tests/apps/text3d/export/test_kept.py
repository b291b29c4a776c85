"""A finished scene's parameters in a file of their own: opened again, and exported at another resolution."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from apps.text3d.__main__ import APP
from apps.text3d.config import Text3dConfig
from apps.text3d.export.fingerprint import fingerprint
from apps.text3d.export.kept import SCENE, read_scene
from apps.text3d.export.mesh import extract_mesh, write_mesh
from apps.text3d.generate import run_generate
from common.config import load
from common.errors import DataError
from common.files import read_json

POCKET = Path(__file__).resolve().parents[4] / "configs" / "text3d" / "pocket.yaml"
SHORT = [
    *("--optimise.steps=2", "--optimise.size=16", "--optimise.viewpoints.views=2", "--export.resolution=20"),
    *("--export.frames=0", "--export.size=24", "--export.views=2", "--evaluate.views=2", "--preview_every=0"),
    *("--scene.voxel.resolution=10", "--scene.voxel.march.samples=12", "--scene.gaussians.count=40"),
    *("--scene.hashgrid.levels=2", "--scene.hashgrid.base=4", "--scene.hashgrid.march.samples=12"),
]


def made(folder: Path, kind: str, *more: str) -> Path:
    config = load(Text3dConfig, POCKET, [*SHORT, f"--scene.kind={kind}", f"--runs={folder}", *more])
    assert run_generate(config, 'a "red" cube', name=kind) == 0
    return folder / kind


@pytest.mark.parametrize("kind", ["voxel", "hashgrid", "gaussians"])
def test_a_scene_is_exported_again_finer_without_its_checkpoints(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made(tmp_path, kind, "--optimise.densify.every=1" if kind == "gaussians" else "--seed=3",
               *(("--optimise.densify.begin=1",) if kind == "gaussians" else ()))  # fmt: skip
    shutil.rmtree(run / "checkpoints")
    kept = read_scene(run)
    assert (kept.prompt, kept.config.kind) == ('a "red" cube', kind)
    assert "upper bound" in kept.note
    assert fingerprint(kept.scene) == read_json(run / "result.json")["fingerprint"]["sha256"]
    capsys.readouterr()
    out, options = tmp_path / "again", [*SHORT[5:10], "--export.resolution=20", "--json"]
    assert APP.main(["export", str(run), "--out", str(out), *options]) == 0
    assert json.loads(capsys.readouterr().out)["mesh"] == read_json(run / "result.json")["mesh"]
    for name in ("scene.glb", "scene.ply", "views/00.png", *(["splats.ply"] if kind == "gaussians" else [])):
        assert (out / name).read_bytes() == (run / name).read_bytes(), name
    if kind != "voxel":
        return
    finer = ["--export.resolution=30", *SHORT[5:10]]
    assert APP.main(["export", str(run / SCENE), "--out", str(out), *finer]) == 0
    mesh, _ = extract_mesh(kept.scene, 30)
    write_mesh(mesh, tmp_path / "wanted.glb", kept.prompt, kept.note)
    assert (out / "scene.glb").read_bytes() == (tmp_path / "wanted.glb").read_bytes()


def test_the_file_holds_the_scene_and_neither_background_nor_optimiser(tmp_path: Path) -> None:
    """Case 19."""
    from safetensors import safe_open

    run = made(tmp_path, "voxel", "--optimise.background=learned")
    with safe_open(run / SCENE, "pt") as file:
        assert set(file.keys()) == {"grid_density", "grid_colour"}


def test_files_that_are_no_scene_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing.*no scene can be read.*which `generate` writes"):
        read_scene(tmp_path / "nothing")
    (tmp_path / SCENE).write_bytes(os.urandom(200))
    with pytest.raises(DataError, match=r"scene\.safetensors.*no scene can be read"):
        read_scene(tmp_path)
    save_file({"weight": torch.zeros(2)}, tmp_path / SCENE)
    with pytest.raises(DataError, match="no scene of `generate`"):
        read_scene(tmp_path)
    texts = {"format": "apps.text3d scene 1", "prompt": "a cube", "note": ""}
    for scene, message in (
        ('{"kind": "voxel", "voxel": {"resolution": 6}}', "damaged"),
        ('{"kind": "teapot"}', "damaged"),
        ('{"kind": "voxel", "voxel": {"resolutoin": 6}}', "resolutoin"),
        ('{"kind": "voxel", "voxel": {"resolution": 100000}}', "the weights beside it"),
        ('{"kind": "hashgrid", "hashgrid": {"hidden": 1000000000}}', "the weights beside it"),
        ('{"kind": "hashgrid", "hashgrid": {"levels": 1000000000}}', "at most 64"),
        ('{"kind": "gaussians", "gaussians": {"count": 1000000000000}}', "damaged"),
        ("[]", "damaged"),
        ("{", "damaged"),
    ):
        save_file({"grid_density": torch.zeros(5, 5, 5)}, tmp_path / SCENE, {**texts, "scene": scene})
        with pytest.raises(DataError, match=message):
            read_scene(tmp_path)
