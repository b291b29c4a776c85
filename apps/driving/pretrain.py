"""`pretrain`: the pocket CLIP that understands bird's-eye views, and a small student of it; thresholds and cards."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.driving.config import DrivingConfig
from apps.driving.pretrain_config import THRESHOLDS, PretrainConfig, StudentConfig
from apps.driving.reward_config import GoalConfig, RewardClipConfig
from common.errors import UsageError
from common.files import write_json, write_text

if TYPE_CHECKING:
    from apps.driving.calibration import Calibration
    from apps.driving.pocket.scenes import Scenes
    from common.models.clip import Clip
    from common.stats import Interval

logger = logging.getLogger(__name__)

PARTS = ("clip", "student")


@dataclass(frozen=True)
class Lesson:
    """What decides how a student comes out: an interrupted training goes on only where none of it has changed."""

    student: StudentConfig
    teacher: RewardClipConfig
    goals: GoalConfig


def run_pretrain(config: DrivingConfig, only: str | None = None) -> int:
    """Make what `config.pretrain` says; an interrupted training goes on when the same command is given again.

    Args:
        config: the settings.
        only: one of `PARTS`; both where not given.

    Raises:
        Interrupted: the user stopped it; the message holds the command that goes on.
        UsageError: there is no such part, or an interrupted training with other settings is in the way.
    """
    import cv2

    from common.training.run import set_threads

    if only is not None and only not in PARTS:
        raise UsageError(f"--only: there is no {only!r}; choose from {', '.join(PARTS)}")
    set_threads(config.pretrain.threads)
    cv2.setNumThreads(config.pretrain.threads)
    command = f"python -m apps.driving {shlex.join(sys.argv[1:])}"
    if only in (None, "clip"):
        make_clip(config.pretrain, command)
    if only in (None, "student"):
        make_student(config, command)
    return 0


def make_clip(config: PretrainConfig, command: str) -> None:
    """Make `OUT/clip`: weights, tokenizer, thresholds for both wordings, figures and a card."""
    from apps.driving.pocket.scenes import load_scenes
    from apps.driving.pretraining.clip import ClipLearner, clip_tokenizer, write_clip
    from common.training.stage import drop_checkpoints, open_run, run_stage

    folder = Path(config.out) / "clip"
    training = open_run(
        Path(config.runs) / f"pretrain-clip-seed{config.seed}-steps{config.steps}", config, config.seed, command
    )
    scenes = load_scenes("train", config.scenes, config.seed)
    learner = ClipLearner(config, clip_tokenizer(config, scenes), scenes)
    run_stage(training, "clip", learner, config.steps, config.save_every)
    write_clip(learner, folder)
    del learner, scenes
    measure(config, folder, command)
    drop_checkpoints(training, "clip")


def make_student(config: DrivingConfig, command: str) -> None:
    """Make `OUT/student` from the configured CLIP: weights, thresholds where danger is known, figures and a card."""
    from apps.driving.pretraining import student as student_of
    from apps.driving.pretraining.figures import plain
    from apps.driving.rewards import configured_clip
    from common.training.stage import drop_checkpoints, open_run, run_stage

    settings, seed = config.pretrain.student, config.pretrain.seed
    lesson = Lesson(settings, replace(config.reward.clip, student=""), config.reward.goals)
    teacher = configured_clip(replace(config.reward, clip=lesson.teacher))
    folder = Path(config.pretrain.out) / "student"
    name = f"pretrain-student-seed{seed}-steps{settings.steps}"
    held = student_of.lessons(settings, seed)
    training = open_run(Path(config.pretrain.runs) / name, lesson, seed, command)
    learner = student_of.student_learner(settings, teacher, held.train, student_of.texts_of(config.reward.goals), seed)
    run_stage(training, "student", learner, settings.steps, config.pretrain.save_every)
    student = student_of.write(learner, teacher, config.reward.goals, folder)
    known = {}
    if held.seen is not None:
        theirs, own = thresholds(teacher, held.seen), thresholds(student, held.seen, folder)
        known = {wording: (theirs[wording], own[wording]) for wording in own}
    figures = student_of.student_figures(teacher, student, config.reward.goals, held, known, seed)
    write_json(folder / "figures.json", plain(figures))
    write_text(folder / "README.md", student_of.card(settings, teacher, command, figures))
    drop_checkpoints(training, "student")


def measure(config: PretrainConfig, folder: Path, command: str) -> dict[str, Any]:
    """Fit the thresholds of a written CLIP, measure it, and write both and the card beside it.

    Returns:
        What stands in `figures.json`.
    """
    from apps.driving.pocket.scenes import load_scenes
    from apps.driving.pretraining.figures import clip_figures, plain
    from common.models.clip import Clip

    clip = Clip(folder, batch_size=250)
    known = thresholds(clip, load_scenes("seen", config.calibration, config.seed), folder)
    figures = clip_figures(clip, load_scenes("held_out", config.heldout, config.seed, blanked=True), known)
    figures["parameters"] = sum(weight.numel() for weight in clip.model.parameters())
    write_json(folder / "figures.json", plain(figures))
    write_text(folder / "README.md", card(config, command, figures))
    return figures


def thresholds(clip: Clip, scenes: Scenes, folder: Path | None = None) -> dict[str, Calibration]:
    """Fit the thresholds of both wordings on scenes of the training maps; a folder keeps them.

    The goals tell of traffic alone: a car beside its lane on an empty road is nowhere near an accident.
    """
    from apps.driving.calibration import calibrate
    from apps.driving.pretraining.figures import features

    seen = features(clip, scenes.pictures())
    known = {}
    for wording, file in THRESHOLDS.items():
        goals = GoalConfig(wording=wording)  # type: ignore[arg-type]
        known[wording] = calibrate(clip, goals, seen, scenes.danger("traffic"), scenes.episodes.tolist())
        if folder is not None:
            known[wording].write(folder / file)
    return known


def card(config: PretrainConfig, command: str, figures: Mapping[str, Any]) -> str:
    """The card that lies beside the weights."""
    labels, retrieval = figures["labels"], figures["retrieval"]
    lines = [
        "# Pocket CLIP of bird's-eye views",
        "",
        f"OpenCLIP's ModifiedResNet and text transformer, {figures['parameters'] / 1e6:.2f} M parameters in float16, "
        f"trained from nothing on {config.scenes:,} captioned scenes of the embedded simulator "
        "(`apps/driving/pocket`): pictures of 64 by 64 pixels and 32 m (`apps.driving.pocket.moments.pocket_view`), "
        "from drives of good, faulty and clueless drivers on the maps town, ring, highway and hills, about two thirds "
        "of them with a car, a person or the ego put elsewhere. Danger is exact: see "
        "`apps/driving/pocket/dangers.py`.",
        "",
        "To train with it: the environment's `picture` as there, `reward.thresholds.file` one of the files below. Its "
        "language is small: goals in other words than the captions' may say nothing (see *never trained on*).",
        "",
        f"- command: `{command}`, seed {config.seed}",
        f"- {config.steps:,} steps of {config.batch_size} scenes",
        f"- {figures['pictures a second']:,.0f} pictures a second of one core's time, in batches of 32",
        "",
        f"Measured on {figures['scenes']:,} scenes ({figures['driven']:,} as they were driven) of "
        f"{figures['episodes']} episodes on the village, a map that nothing was trained on. Brackets: 95 % intervals, "
        "episodes resampled. No figure here is of CARLA.",
        "",
        "## Ranking",
        "",
        "The chance that z = cos(negative) − cos(positive) of a dangerous scene (danger ≥ 0.5) is above that of a "
        "safe one (≤ 0.1), in %; and Spearman's correlation of z with danger. *Driven*: scenes in which nothing was "
        "staged.",
        "",
        "| positive / negative | danger | all | driven | dangerous, driven | correlation |",
        "|---|---|---|---|---|---|",
        *_ranking(figures["ranking"]),
        *_ranking(figures["ranking of unheard wordings"], " (never trained on)"),
        "",
        "Scenes of one label against clear ones, in %:",
        "",
        "| pair | label | scenes | right |",
        "|---|---|---|---|",
        *(
            f"| {pair} | {label} | {labels[label]} | {found.text(100, 1)} |"
            for pair, by_label in figures["labels against clear"].items()
            for label, found in by_label.items()
        ),
        "",
        "## Retrieval",
        "",
        f"The best of 100 captions is true of the picture: {retrieval['picture to caption'].text(100, 1)} %; the best "
        f"of 100 pictures fits the caption: {retrieval['caption to picture'].text(100, 1)} %; by chance: "
        f"{retrieval['chance'].text(100, 1)} %.",
    ]
    for wording, found in figures["calibration"].items():
        lines += _calibration(wording, found)
    return "\n".join([*lines, "", "Figures on the pocket world are no benchmark results.", ""])


def _ranking(rows: Mapping[str, Mapping[str, Any]], remark: str = "") -> list[str]:
    return [
        f"| {one['positive']} / {one['negative']}{remark} | {one['danger']} | {one['right'].text(100, 1)} "
        f"| {one['driven'].text(100, 1) if one['driven'] else '–'} | {one['dangerous, driven']} "
        f"| {one['rank'].text()} |"
        for one in rows.values()
    ]


def _calibration(wording: str, found: Mapping[str, Any]) -> list[str]:
    def percent(name: str) -> str:
        interval: Interval = found[name]
        return interval.text(100, 1)

    return [
        "",
        f"## Thresholds, wording `{wording}`",
        "",
        f"`{THRESHOLDS[wording]}`: z ≤ {found['low']:.4f} is safe, z ≥ {found['high']:.4f} dangerous; fitted to "
        f"scenes of the training maps. On the village: mean error of 1 − c {found['error'].text()}, balanced "
        f"Brier score {found['brier']:.3f}.",
        "",
        "| z | 1 − c | true danger |",
        "|---|---|---|",
        *(f"| {one['z']:+.3f} | {one['said']:.3f} | {one['danger'].text()} |" for one in found["curve"]),
        "",
        f"Of dangerous scenes {percent('called dangerous')} % are called so (1 − c ≥ 0.5), and "
        f"{percent('called dangerous, others gone')} % of the same pictures without the other cars and people; of "
        f"safe ones (danger ≤ 0.1) {percent('safe called dangerous')} %, of safe ones that were driven "
        f"{percent('safe called dangerous, driven')} %.",
    ]
