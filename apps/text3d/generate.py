"""`generate`: one prompt to one scene, and what people open it with."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.config import Text3dConfig
from apps.text3d.guidance.provenance import untrained, used
from apps.text3d.judging import MEASURES
from apps.text3d.optimisation.timing import time_shares
from apps.text3d.resume import resumed, taken
from common import ui
from common.errors import UsageError
from common.files import read_json, write_json, write_text

if TYPE_CHECKING:
    from apps.text3d.guidance.build import Models
    from apps.text3d.judging.geometry import Verdict
    from apps.text3d.optimisation.fronts import Fronts, FrontWatch
    from apps.text3d.optimisation.learner import SceneLearner, SceneModule
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
        fronts: how much each side looks like a front; None where that was not asked.
    """

    run: Run
    prompt: Prompt
    scene: SceneModule
    verdict: Verdict
    steps: int
    fronts: Fronts | None = None


def run_generate(
    config: Text3dConfig,
    prompt: str | None = None,
    resume: str | None = None,
    name: str | None = None,
    json_output: bool = False,
    given: Sequence[str] = (),
    dry_run: bool = False,
    best_of: int = 1,
) -> int:
    """Shape a scene after a prompt; a GLB, a PLY, a turntable and a contact sheet lie in the run's folder.

    Args:
        config: the settings.
        prompt: what to show.
        resume: folder of a run, in place of a prompt; its settings are taken.
        name: of the run folder; prompt, date and time where not given.
        json_output: print JSON instead of a table.
        best_of: scenes of as many seeds, of which the best is taken; see `run_best`.
        dry_run: only look at configuration, prompt, models and memory, and take a step with tiny stand-ins.
        given: settings as they were typed; of a run that is gone on with, they may change its steps and minutes.

    Raises:
        UsageError: no prompt, one of which nothing was understood, or a run is to go on with other settings.
        SceneFailure: the optimisation went wrong; the last checkpoint is whole.
    """
    from apps.text3d.best_of import count_in, run_best
    from common.training.run import Run, set_threads

    if dry_run:
        from apps.text3d.dry_run import check
        from apps.text3d.dry_run import show as show_checks

        return show_checks(check(config, prompt), json_output)
    if (prompt is None) == (resume is None):
        raise UsageError('give a prompt, such as "a red cube left of a blue sphere", or --resume RUN')
    if best_of < 1:
        raise UsageError(f"--best_of {best_of}: give the number of seeds, 1 or more")
    if best_of > 1 or (resume is not None and count_in(Path(resume))):
        return run_best(config, prompt, best_of, resume, name, json_output, given)
    if resume is not None:
        run = Run.resume(resume)
        config, prompt = resumed(run, given, taken(run, STAGE)), (run.folder / "prompt.txt").read_bytes().decode()
    else:
        assert prompt is not None
        read(prompt, anything(config))
        run = begin(config, prompt, name)
    set_threads(config.threads)
    shape(config, prompt, run)
    show(run.folder, note(config), json_output)
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
    from apps.text3d.optimisation.learner import SceneLearner
    from apps.text3d.optimisation.regularisers import regularisers
    from apps.text3d.scenes.build import maker

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
    from apps.text3d.export.outputs import sheet
    from apps.text3d.export.turntable import turn, write_video
    from apps.text3d.judging.geometry import judge, unjudged
    from apps.text3d.optimisation.clock import Clock
    from apps.text3d.optimisation.critics import second_wording
    from apps.text3d.optimisation.hacking import HackingWatch
    from common.training.stage import run_stage

    wanted = read(prompt, anything(config))
    learner = learner_of(config, wanted, models)
    side = config.optimise.last_side
    held_out = HackingWatch(run, STAGE, wanted, second_wording(wanted, learner.guidance, side))
    fronts = _front_watch(config, wanted, learner, run, side)

    def preview(step: int, figures: dict[str, float]) -> dict[str, float]:
        due = bool(config.preview_every) and step % config.preview_every == 0
        if due:
            sheet(learner.scene, prompt, run.samples / f"step-{step:05}.png", config, note(config))
        if config.turntable_every and step % config.turntable_every == 0:
            small = turn(learner.scene, *SMALL_TURN)
            write_video(small, run.samples / f"turn-{step:05}.gif", SMALL_TURN[0] / 2, note(config))
        told = held_out(step, figures, learner.scene if due else None)
        return told | fronts(step, learner.scene) if due and fronts is not None else told

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
    if fronts is not None:
        fronts(learner.steps, learner.scene)
    result = Result(run, wanted, learner.scene, verdict, learner.steps, None if fronts is None else fronts.last)
    export(result, config, prompt)
    return result


def shape_once(config: Text3dConfig, prompt: str, place: Path, command: str, models: Models) -> None:
    """One of several scenes in a folder of its own, from where it was left; one that was emptied is kept as that.

    Args:
        config: the settings.
        prompt: what to show.
        place: the scene's folder; one with a `result.json` is done.
        command: what a user types to go on.
        models: of the guidances, that are open already; more are added.
    """
    from apps.text3d.optimisation.learner import Collapsed
    from common.training.run import Run

    if (place / "result.json").is_file():
        return
    begun = (place / "run.json").is_file()
    run = Run.resume(place) if begun else Run.create(place.parent, place.name, config, config.seed, command)
    write_text(place / "prompt.txt", prompt)
    try:
        shape(config, prompt, run, models)
    except Collapsed as error:
        ui.say(f"nothing came out: {error}")
        write_json(place / "result.json", _nothing(config, prompt, str(error)))


def _front_watch(
    config: Text3dConfig, wanted: Prompt, learner: SceneLearner, run: Run, side: int
) -> FrontWatch | None:
    """A watch for fronts on several sides; None of things without one, and where no real model can be asked."""
    from apps.text3d.guidance.front import may_have_front, real
    from apps.text3d.guidance.provenance import models
    from apps.text3d.optimisation.critics import front_critic
    from apps.text3d.optimisation.fronts import FrontWatch

    if not may_have_front(wanted) or not all(real(name) for _, name in models(config.guidance)):
        return None
    critic = front_critic(wanted, learner.guidance, side)
    if critic is None and used(config.guidance.sds.weight, "guidance.sds.weight"):
        logger.warning("no VLM and no CLIP guides, so nobody looks whether %r has several fronts", wanted.text)
    return None if critic is None else FrontWatch(run, STAGE, critic)


def _nothing(config: Text3dConfig, prompt: str, reason: str) -> dict[str, Any]:
    """What stands in `result.json` where the guidances have emptied the scene: all that was asked for is missing."""
    from apps.text3d.export.outputs import figures
    from apps.text3d.judging.geometry import unjudged
    from apps.text3d.prompts.parser import parse

    wanted = parse(prompt)
    things = wanted.objects  # none of a prompt that the judge does not know
    asked = {"object": things, "colour": [one.colour for one in things if one.colour], "count": things}
    missing = {name: 0.0 for name, parts in (asked | {"relation": wanted.relations}).items() if parts}
    told = {"geometry": figures(unjudged()) | missing, "reasons": [reason], "steps": 0, "note": note(config)}
    return {"prompt": prompt, **told}


def export(result: Result, config: Text3dConfig, prompt: str) -> None:
    """Write the scene's files, see `outputs.write_files`, its parameters and result.json."""
    import torch

    from apps.text3d.export.fingerprint import fingerprint
    from apps.text3d.export.kept import SCENE, write_scene
    from apps.text3d.export.outputs import figures, write_files
    from apps.text3d.guidance.front import settled
    from common.training.run import plain

    folder, remark = result.run.folder, note(config)
    report = write_files(result.scene, prompt, folder, config, remark)
    write_scene(result.scene, config.scene, folder / SCENE, prompt, remark)
    write_json(
        folder / "result.json",
        {
            "prompt": prompt,
            "guidance": plain(asdict(settled(config.guidance, result.prompt))),
            "note": remark,
            "steps": result.steps,
            "time": time_shares(result.run.rows(STAGE)),
            "fingerprint": {"sha256": fingerprint(result.scene), "threads": torch.get_num_threads()},
            "mesh": None if report is None else plain(asdict(report)),
            "geometry": figures(result.verdict),
            "reasons": list(result.verdict.reasons),
            "fronts": None if result.fronts is None else result.fronts.told(),
        },
    )


def show(folder: Path, remark: str, json_output: bool) -> None:
    """Print what the judge found and where the files lie, of a run's folder with `result.json`."""
    told = read_json(folder / "result.json")
    if json_output:
        ui.print_json(told | {"folder": str(folder)})
        return
    shares = [told["geometry"][name] for name in MEASURES]
    ui.table(
        told["prompt"],
        [*(f"{name}s right, %" for name in MEASURES)],
        [["–" if share is None else f"{100 * share:.0f}" for share in shares]],
        "Judged by the field's geometry, which no guidance sees." + (f" The scene is {remark}." if remark else ""),
    )
    for reason in told["reasons"]:
        ui.say(f"- {reason}")
    if chosen := told.get("best_of"):
        scores = ", ".join(f"{name} {'–' if one is None else f'{one:.3f}'}" for name, one in chosen["scores"].items())
        ui.say(f"{chosen['picked']} of {len(chosen['scores'])}, by {chosen['by']}: {scores}")
    ui.say(f"scene.glb, scene.ply, scene.safetensors, turntable.mp4, sheet.png: {folder}")
