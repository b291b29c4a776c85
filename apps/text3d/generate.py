"""`generate`: one prompt to one scene, and what people open it with."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.config import SceneConfig, Text3dConfig
from common import ui
from common.config import load
from common.errors import UsageError
from common.files import read_json, write_json, write_text

if TYPE_CHECKING:
    import torch

    from apps.text3d.export.splats import Splats
    from apps.text3d.judging.geometry import Verdict
    from apps.text3d.optimise import SceneLearner, SceneModule
    from apps.text3d.prompts.prompt import Prompt
    from common.training.run import Run

logger = logging.getLogger(__name__)

STAGE = "scene"
#: Stands on everything that the critic has shaped.
ANALYTIC = "shaped by the analytic critic, which knows the wanted scene: an upper bound, no text-to-3D result"
MEASURES = ("object", "colour", "count", "relation")


@dataclass(frozen=True)
class Result:
    """One finished prompt.

    Attributes:
        run: its folder.
        prompt: as it was read.
        scene: what came out.
        verdict: the judge's, who sees the field's geometry alone.
        steps: that it took.
    """

    run: Run
    prompt: Prompt
    scene: SceneModule
    verdict: Verdict
    steps: int


def run_generate(
    config: Text3dConfig,
    prompt: str | None = None,
    resume: str | None = None,
    name: str | None = None,
    json_output: bool = False,
) -> int:
    """Shape a scene after a prompt; a GLB, a PLY, a turntable and a contact sheet lie in the run's folder.

    Args:
        config: the settings.
        prompt: what to show.
        resume: folder of an interrupted run, in place of a prompt; its settings are taken.
        name: of the run folder; prompt, date and time where not given.
        json_output: print JSON instead of a table.

    Raises:
        UsageError: no prompt, or one of which nothing was understood.
        SceneFailure: the optimisation went wrong; the last checkpoint is whole.
    """
    from common.training.run import Run, set_threads

    if (prompt is None) == (resume is None):
        raise UsageError('give a prompt, such as "a red cube left of a blue sphere", or --resume RUN')
    if resume is not None:
        run = Run.resume(resume)
        config, prompt = load(Text3dConfig, run.folder / "config.yaml"), (run.folder / "prompt.txt").read_text("utf-8")
    else:
        assert prompt is not None
        read(prompt)
        run = begin(config, prompt, name)
    set_threads(config.threads)
    show(shape(config, prompt, run), note(config), json_output)
    return 0


def begin(config: Text3dConfig, prompt: str, name: str | None = None) -> Run:
    """The folder of a new run."""
    from apps.text3d.export.names import slug
    from common.training.run import Run

    name = name or f"{datetime.now():%Y%m%d-%H%M%S}-{slug(prompt)}"
    command = f"python -m apps.text3d generate --resume {Path(config.runs) / name}"
    run = Run.create(config.runs, name, config, config.seed, command)
    write_text(run.folder / "prompt.txt", prompt)
    return run


def read(prompt: str) -> Prompt:
    """The prompt's things and relations; what was not understood is said, never dropped in silence.

    Raises:
        UsageError: nothing was understood.
    """
    from apps.text3d.prompts.parser import parse
    from apps.text3d.prompts.vocabulary import COLOURS, KINDS

    found = parse(prompt)
    if not found.objects:
        raise UsageError(
            f"nothing in {prompt!r} is known here; kinds are {', '.join(KINDS)}, colours {', '.join(COLOURS)}"
        )
    for part in found.unknown:
        logger.warning("not understood, and not shown: %r", part)
    return found


def maker(config: SceneConfig) -> Callable[[torch.Generator], SceneModule]:
    """Makes a new scene of the configured kind."""
    from apps.text3d.scenes.gaussians import GaussianScene
    from apps.text3d.scenes.hashgrid import HashGridScene
    from apps.text3d.scenes.voxel import VoxelScene

    makers: dict[str, Callable[[torch.Generator], SceneModule]] = {
        "voxel": lambda generator: VoxelScene(config.voxel, generator),
        "hashgrid": lambda generator: HashGridScene(config.hashgrid, generator),
        "gaussians": lambda generator: GaussianScene(config.gaussians, generator),
    }
    return makers[config.kind]


def note(config: Text3dConfig) -> str:
    """What must stand on every output."""
    return ANALYTIC if config.guidance.analytic else ""


def learner_of(config: Text3dConfig, wanted: Prompt) -> SceneLearner:
    """A new scene with its guidances and regularisers, as configured; nothing is taken up of an earlier one.

    Raises:
        UsageError: no guidance has a weight, or one that has names no model.
    """
    from apps.text3d.guidance.build import build
    from apps.text3d.optimise import SceneLearner
    from apps.text3d.tidying import regularisers

    tidy = regularisers(config.optimise.regularisers)
    guidance = build(config.guidance, wanted, config.seed)
    return SceneLearner(maker(config.scene), guidance, config.optimise, config.seed, tidy)


def shape(config: Text3dConfig, prompt: str, run: Run) -> Result:
    """Optimise, judge and export; an interrupted run is gone on with."""
    from apps.text3d.clock import Clock
    from apps.text3d.judging.geometry import judge
    from common.training.stage import run_stage

    wanted = read(prompt)
    learner = learner_of(config, wanted)

    def preview(step: int, figures: dict[str, float]) -> dict[str, float]:
        if config.preview_every and step % config.preview_every == 0:
            sheet(learner.scene, prompt, run.samples / f"step-{step:05}.png", config)
        return {}

    clock = Clock(60 * config.optimise.minutes)
    run_stage(
        run,
        STAGE,
        learner,
        config.optimise.steps,
        config.save_every,
        preview,
        extra=lambda: {"seconds": clock.used()},
        restore_extra=lambda kept: clock.restore(kept.get("seconds", 0.0)),
        enough=clock.over,
    )
    if learner.steps < config.optimise.steps:
        logger.warning(
            "optimise.minutes %g are over at step %d of %d; this is the scene as it is",
            *(config.optimise.minutes, learner.steps, config.optimise.steps),
        )
    verdict = judge(learner.scene, wanted)
    result = Result(run, wanted, learner.scene, verdict, learner.steps)
    export(result, config, prompt)
    return result


def sheet(scene: SceneModule, prompt: str, path: Path, config: Text3dConfig) -> Path:
    """The contact sheet: the prompt beside views all around, the prompt's own viewpoint first."""
    import torch

    from apps.text3d.export.turntable import to_bytes, write_contact_sheet
    from apps.text3d.viewpoints import around

    with torch.no_grad():
        views = scene.render(around(config.export.views, config.export.size))
    turns = [f"{360 * at // config.export.views}°" for at in range(config.export.views)]
    return write_contact_sheet([(prompt, to_bytes(views.rgb))], path, turns, note(config))


def export(result: Result, config: Text3dConfig, prompt: str) -> None:
    """Write scene.glb, scene.ply, turntable.mp4, sheet.png, result.json and, of Gaussians, splats.ply."""
    from apps.text3d.export.mesh import extract_mesh, write_mesh
    from apps.text3d.export.splats import write_splats
    from apps.text3d.export.turntable import turn, write_video
    from common.training.run import plain

    folder = result.run.folder
    mesh, report = extract_mesh(result.scene, config.export.resolution)
    for ending in ("glb", "ply"):
        write_mesh(mesh, folder / f"scene.{ending}", prompt, note(config))
    if config.scene.kind == "gaussians":
        write_splats(_splats(result.scene), folder / "splats.ply", note(config))
    write_video(turn(result.scene, config.export.frames, config.export.size), folder / "turntable.mp4")
    sheet(result.scene, prompt, folder / "sheet.png", config)
    write_json(
        folder / "result.json",
        {
            "prompt": prompt,
            "guidance": plain(asdict(config.guidance)),
            "note": note(config),
            "steps": result.steps,
            "mesh": plain(asdict(report)),
            "geometry": figures(result.verdict),
            "reasons": list(result.verdict.reasons),
        },
    )


def _splats(scene: Any) -> Splats:
    """The parameters of a scene of Gaussians as a 3DGS file holds them."""
    from apps.text3d.export.splats import Splats

    return Splats(scene.means, scene.log_scales, scene.quaternions, scene.opacity_logits, scene.colours)


def figures(verdict: Verdict) -> dict[str, Any]:
    """The judge's shares; None where the prompt asks nothing of the sort."""
    told = {name: getattr(verdict, name) for name in MEASURES}
    return {name: None if math.isnan(value) else value for name, value in told.items()} | {"correct": verdict.correct}


def show(result: Result, remark: str, json_output: bool) -> None:
    """Print what the judge found and where the files lie."""
    folder = result.run.folder
    if json_output:
        ui.print_json(read_json(folder / "result.json") | {"folder": str(folder)})
        return
    told = figures(result.verdict)
    cells = ["–" if told[name] is None else f"{100 * told[name]:.0f}" for name in MEASURES]
    ui.table(
        result.prompt.text,
        [*(f"{name}s right, %" for name in MEASURES)],
        [cells],
        "Judged by the field's geometry, which no guidance sees." + (f" The scene is {remark}." if remark else ""),
    )
    for reason in result.verdict.reasons:
        ui.say(f"- {reason}")
    ui.say(f"scene.glb, scene.ply, turntable.mp4, sheet.png: {folder}")
