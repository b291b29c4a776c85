"""What is written of a scene: meshes, splats, turntable, contact sheet, views; `export` writes them again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.config import Text3dConfig
from apps.text3d.judging import MEASURES
from common import ui

if TYPE_CHECKING:
    from apps.text3d.export.mesh import MeshReport
    from apps.text3d.export.splats import Splats
    from apps.text3d.export.turntable import Frames
    from apps.text3d.judging.geometry import Verdict
    from apps.text3d.optimisation.learner import SceneModule


def run_export(config: Text3dConfig, run: str, out: str, json_output: bool = False) -> int:
    """Export a finished scene again, from `scene.safetensors` alone.

    Args:
        config: `export` and `evaluate.views` say what is written; what the scene is stands in its file.
        run: its folder, or the file in it.
        out: folder to write into.
        json_output: print JSON instead of a sentence.

    Raises:
        DataError: there is no scene in it.
        UsageError: the scene is empty, or has no surface at `export.level`.
    """
    from dataclasses import asdict, replace

    from apps.text3d.export.kept import read_scene
    from common.training.run import plain, set_threads

    kept = read_scene(run)
    set_threads(config.threads)
    own = replace(config, scene=kept.config)
    report = write_files(kept.scene, kept.prompt, Path(out), own, kept.note)
    told = {"prompt": kept.prompt, "folder": out, "note": kept.note}
    if json_output:
        ui.print_json(told | {"mesh": None if report is None else plain(asdict(report))})
    else:
        mesh = "" if report is None else f", a mesh of {report.faces:,} triangles"
        ui.say(f"{kept.prompt}{mesh}: {out}" + (f"\n{kept.note}" if kept.note else ""))
    return 0


def write_files(
    scene: SceneModule, prompt: str, folder: Path, config: Text3dConfig, remark: str = ""
) -> MeshReport | None:
    """Write scene.glb, scene.ply, turntable.mp4, sheet.png, views/ and, of Gaussians, splats.ply.

    The mesh and the turntable are left away where the settings ask for none.

    Args:
        scene: finished.
        prompt: that it was made for.
        folder: to write into.
        config: the settings.
        remark: what must stand on every file.

    Returns:
        What is told of the mesh; None where none is asked for.
    """
    from apps.text3d.export.mesh import extract_mesh, write_mesh
    from apps.text3d.export.splats import write_splats
    from apps.text3d.export.turntable import turn, write_video
    from apps.text3d.export.views import write_views

    report = None
    if config.export.resolution:
        wanted = config.export
        mesh, report = extract_mesh(scene, wanted.resolution, wanted.level, smallest=wanted.smallest)
        for ending in ("glb", "ply"):
            write_mesh(mesh, folder / f"scene.{ending}", prompt, remark)
    if config.scene.kind == "gaussians":
        write_splats(_splats(scene), folder / "splats.ply", remark)
    if config.export.frames:
        shown = turn(scene, config.export.frames, config.export.size)
        write_video(shown, folder / "turntable.mp4", note=remark)
    sheet(scene, prompt, folder / "sheet.png", config, remark)
    write_views(scene, folder / "views", config.evaluate.views, config.export.size, remark)
    return report


def sheet(scene: SceneModule, prompt: str, path: Path, config: Text3dConfig, remark: str = "") -> Path:
    """The contact sheet: the prompt beside views all around, the prompt's own viewpoint first."""
    from apps.text3d.export.turntable import write_contact_sheet

    return write_contact_sheet([(prompt, looks(scene, config))], path, turns(config), remark)


def looks(scene: SceneModule, config: Text3dConfig) -> Frames:
    """A contact sheet's views of a scene."""
    import torch

    from apps.text3d.cameras import around
    from apps.text3d.export.turntable import to_bytes

    with torch.no_grad():
        return to_bytes(scene.render(around(config.export.views, config.export.size)).rgb)


def turns(config: Text3dConfig) -> list[str]:
    """The captions above them."""
    return [f"{360 * at // config.export.views}°" for at in range(config.export.views)]


def _splats(scene: Any) -> Splats:
    """The parameters of a scene of Gaussians as a 3DGS file holds them."""
    from apps.text3d.export.splats import Splats

    return Splats(scene.means, scene.log_scales, scene.quaternions, scene.opacity_logits, scene.colours)


def figures(verdict: Verdict) -> dict[str, Any]:
    """The judge's shares; None where the prompt asks nothing of the sort."""
    told = {name: getattr(verdict, name) for name in MEASURES}
    return {name: None if math.isnan(value) else value for name, value in told.items()} | {"correct": verdict.correct}
