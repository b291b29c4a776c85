"""`generate`: one prompt to one scene, and what people open it with."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.config import Text3dConfig
from apps.text3d.going_on import resumed, taken
from apps.text3d.judging import MEASURES
from apps.text3d.marks import untrained, used
from apps.text3d.timing import time_shares
from common.errors import UsageError
from common.files import write_json, write_text

if TYPE_CHECKING:
    from apps.text3d.export.splats import Splats
    from apps.text3d.guidance.build import Models
    from apps.text3d.judging.geometry import Verdict
    from apps.text3d.optimise import SceneLearner, SceneModule
    from apps.text3d.prompts.prompt import Prompt
    from common.training.run import Run

logger = logging.getLogger(__name__)

STAGE = "scene"
#: Stands on everything that the critic has shaped.
ANALYTIC = "shaped by the analytic critic, which knows the wanted scene: an upper bound, no text-to-3D result"
#: Frames and side of the turntables beside the previews.
SMALL_TURN = (16, 112)


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
    given: Sequence[str] = (),
    dry_run: bool = False,
) -> int:
    """Shape a scene after a prompt; a GLB, a PLY, a turntable and a contact sheet lie in the run's folder.

    Args:
        config: the settings.
        prompt: what to show.
        resume: folder of a run, in place of a prompt; its settings are taken.
        name: of the run folder; prompt, date and time where not given.
        json_output: print JSON instead of a table.
        dry_run: only look at configuration, prompt, models and memory, and take a step with tiny stand-ins.
        given: settings as they were typed; of a run that is gone on with, they may change its steps and minutes.

    Raises:
        UsageError: no prompt, one of which nothing was understood, or a run is to go on with other settings.
        SceneFailure: the optimisation went wrong; the last checkpoint is whole.
    """
    from apps.text3d.shown import show
    from common.training.run import Run, set_threads

    if dry_run:
        from apps.text3d.dry_run import check
        from apps.text3d.dry_run import show as show_checks

        return show_checks(check(config, prompt), json_output)
    if (prompt is None) == (resume is None):
        raise UsageError('give a prompt, such as "a red cube left of a blue sphere", or --resume RUN')
    if resume is not None:
        run = Run.resume(resume)
        config, prompt = resumed(run, given, taken(run, STAGE)), (run.folder / "prompt.txt").read_bytes().decode()
    else:
        assert prompt is not None
        read(prompt, anything(config))
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


def anything(config: Text3dConfig) -> bool:
    """Whether a prompt may be about anything: the critic alone must know every thing that it draws."""
    return not used(config.guidance.analytic, "guidance.analytic")


def read(prompt: str, anything: bool = False) -> Prompt:
    """The prompt's things and relations; what was not understood is said, never dropped in silence.

    Args:
        prompt: as it was typed.
        anything: take one of which nothing was understood too; neural guidances read the text itself.

    Raises:
        UsageError: nothing was understood, or it is no text.
    """
    from apps.text3d.prompts.parser import parse
    from apps.text3d.prompts.vocabulary import COLOURS, KINDS

    if prompt.encode("utf-8", "replace").decode() != prompt:
        raise UsageError(f"the prompt {prompt!r} holds signs that are no text; type it in UTF-8")
    found = parse(prompt)
    if not found.objects and anything:
        logger.warning("%r is of things that the judge of geometry does not know: nothing will be judged", prompt)
        return found
    if not found.objects:
        raise UsageError(
            f"nothing in {prompt!r} is known here; kinds are {', '.join(KINDS)}, colours {', '.join(COLOURS)}"
        )
    for part in found.unknown:
        logger.warning("not understood, and not shown: %r", part)
    return found


def note(config: Text3dConfig) -> str:
    """What must stand on every output: that the critic, or an untrained model, has had a part in it."""
    critic = ANALYTIC if used(config.guidance.analytic, "guidance.analytic") else ""
    return "; ".join(filter(None, (critic, untrained(config.guidance))))


def learner_of(config: Text3dConfig, wanted: Prompt, models: Models | None = None) -> SceneLearner:
    """A new scene with its guidances and regularisers, as configured; nothing is taken up of an earlier one.

    Raises:
        UsageError: no guidance has a weight, or one that has names no model.
    """
    from apps.text3d.guidance.build import build
    from apps.text3d.optimise import SceneLearner
    from apps.text3d.scenes.build import maker
    from apps.text3d.tidying import regularisers

    tidy = regularisers(config.optimise.regularisers)
    guidance = build(config.guidance, wanted, config.seed, models)
    return SceneLearner(maker(config.scene), guidance, config.optimise, config.seed, tidy)


def shape(config: Text3dConfig, prompt: str, run: Run, models: Models | None = None) -> Result:
    """Optimise, judge and export; an interrupted run is gone on with.

    Args:
        config: the settings.
        prompt: what to show.
        run: the scene's folder.
        models: of the guidances, that are open already; more are added.
    """
    from apps.text3d.clock import Clock
    from apps.text3d.export.turntable import turn, write_video
    from apps.text3d.hacking import HackingWatch
    from apps.text3d.judging.geometry import judge, unjudged
    from common.training.stage import run_stage

    wanted = read(prompt, anything(config))
    learner, held_out = learner_of(config, wanted, models), HackingWatch(run, STAGE, wanted)

    def preview(step: int, figures: dict[str, float]) -> dict[str, float]:
        due = bool(config.preview_every) and step % config.preview_every == 0
        if due:
            sheet(learner.scene, prompt, run.samples / f"step-{step:05}.png", config)
        if config.turntable_every and step % config.turntable_every == 0:
            small = turn(learner.scene, *SMALL_TURN)
            write_video(small, run.samples / f"turn-{step:05}.gif", SMALL_TURN[0] / 2, note(config))
        return held_out(step, figures, learner.scene if due else None)

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
        keep_end=True,
    )
    if learner.steps < config.optimise.steps:
        logger.warning(
            "optimise.minutes %g are over at step %d of %d; this is the scene as it is",
            *(config.optimise.minutes, learner.steps, config.optimise.steps),
        )
    verdict = judge(learner.scene, wanted) if wanted.objects else unjudged()
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
    """Write scene.glb, scene.ply, turntable.mp4, sheet.png, views/, result.json and, of Gaussians, splats.ply.

    The mesh and the turntable are left away where the settings ask for none.
    """
    import torch

    from apps.text3d.export.fingerprint import fingerprint
    from apps.text3d.export.mesh import extract_mesh, write_mesh
    from apps.text3d.export.splats import write_splats
    from apps.text3d.export.turntable import turn, write_video
    from apps.text3d.export.views import write_views
    from common.training.run import plain

    folder = result.run.folder
    report = None
    if config.export.resolution:
        mesh, report = extract_mesh(result.scene, config.export.resolution)
        for ending in ("glb", "ply"):
            write_mesh(mesh, folder / f"scene.{ending}", prompt, note(config))
    if config.scene.kind == "gaussians":
        write_splats(_splats(result.scene), folder / "splats.ply", note(config))
    if config.export.frames:
        shown = turn(result.scene, config.export.frames, config.export.size)
        write_video(shown, folder / "turntable.mp4", note=note(config))
    sheet(result.scene, prompt, folder / "sheet.png", config)
    write_views(result.scene, folder / "views", config.evaluate.views, config.export.size, note(config))
    write_json(
        folder / "result.json",
        {
            "prompt": prompt,
            "guidance": plain(asdict(config.guidance)),
            "note": note(config),
            "steps": result.steps,
            "time": time_shares(result.run.rows(STAGE)),
            "fingerprint": {"sha256": fingerprint(result.scene), "threads": torch.get_num_threads()},
            "mesh": None if report is None else plain(asdict(report)),
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
