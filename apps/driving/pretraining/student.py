"""Teaches a small network to see as the configured CLIP does, and measures what it lost and what it gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from apps.driving.calibration import gaps
from apps.driving.calibration_rule import ramp
from apps.driving.goals import WORDINGS, Goals
from apps.driving.pretrain_config import StudentConfig
from apps.driving.pretraining.figures import DANGEROUS, RESAMPLES, SAFE, features, speed, told
from apps.driving.reward_config import GoalConfig, worded
from common.errors import UsageError
from common.models.clip_student import ClipStudent, StudentNet, StudentShape, save_student
from common.ranks import spearman
from common.stats import bootstrap, bootstrap_columns
from common.training.distillation import StudentLearner

if TYPE_CHECKING:
    from apps.driving.calibration import Calibration
    from apps.driving.pocket.scenes import Scenes
    from common.models.clip import Clip

#: Endings of the files that are taken for pictures.
ENDINGS = (".png", ".jpg", ".jpeg")
#: Every so manyth picture of a folder is kept for measuring.
KEPT_BACK = 10

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Lessons:
    """What a student learns from and is measured on.

    Attributes:
        train: `(N, size, size, 3)` uint8.
        held: of the same shape, never learnt from.
        seen: scenes with known danger for the thresholds; None for a folder of pictures, whose danger nobody knows.
        scenes: those of `held`, with their danger; None likewise.
    """

    train: Pictures
    held: Pictures
    seen: Scenes | None = None
    scenes: Scenes | None = None


def lessons(config: StudentConfig, seed: int) -> Lessons:
    """Pocket scenes of the training maps and of the held-out one, or the pictures of a folder.

    Raises:
        UsageError: the folder holds too few pictures.
        DataError: one of them cannot be decoded.
    """
    if config.pictures:
        found = _folder(Path(config.pictures), config.size)
        held = np.arange(len(found)) % KEPT_BACK == KEPT_BACK - 1
        return Lessons(found[~held], found[held])
    from apps.driving.pocket.scenes import load_scenes

    train = load_scenes("train", config.scenes, seed).pictures()
    seen, scenes = load_scenes("seen", config.calibration, seed), load_scenes("held_out", config.heldout, seed)
    return Lessons(resized(train, config.size), scenes.pictures(), seen, scenes)


def _folder(folder: Path, size: int) -> Pictures:
    from common.pictures import load_picture

    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS)
    if len(files) < 20 * KEPT_BACK:
        raise UsageError(
            f"pretrain.student.pictures: {folder} holds {len(files)} pictures; a student needs {20 * KEPT_BACK}"
        )
    return resized([np.asarray(load_picture(file)) for file in files], size)


def resized(pictures: Sequence[Pictures] | Pictures, size: int) -> Pictures:
    """`(N, size, size, 3)` of pictures of any size."""
    return np.stack([cv2.resize(one, (size, size), interpolation=cv2.INTER_AREA) for one in pictures])


def texts_of(goals: GoalConfig) -> list[str]:
    """What a driving reward compares pictures with: the goals of both wordings and the configured ones."""
    wordings: list[Goals] = [*WORDINGS.values(), worded(goals)]
    return list(
        dict.fromkeys(text for one in wordings for text in (one.positive, one.negative, one.safe, one.baseline))
    )


def student_learner(
    config: StudentConfig, teacher: Clip, pictures: Pictures, texts: Sequence[str], seed: int
) -> StudentLearner:
    """A new student; the teacher sees every picture once, and once in the mirror."""
    torch.manual_seed(seed)
    both = np.concatenate([pictures, pictures[:, :, ::-1]])
    return StudentLearner(
        StudentNet(StudentShape(config.size, config.width, teacher.dim)),
        both,
        features(teacher, both, "the teacher looks at the pictures").cpu(),
        teacher.text(list(texts)).cpu(),
        config.steps,
        config.batch_size,
        config.learning_rate,
        config.weight,
        seed,
    )


def write(learner: StudentLearner, teacher: Clip, goals: GoalConfig, folder: Path) -> ClipStudent:
    """Write the student's folder and open it."""
    save_student(learner.model.eval(), teacher, texts_of(goals), folder)
    return ClipStudent(folder, teacher, teacher.device)


def student_figures(
    teacher: Clip,
    student: ClipStudent,
    goals: GoalConfig,
    held: Lessons,
    known: Mapping[str, tuple[Calibration, Calibration]],
    seed: int = 0,
) -> dict[str, Any]:
    """Agreement with the teacher, ranking of danger and speed, side by side, on pictures that were not learnt from.

    Args:
        teacher: the CLIP.
        student: as it was written.
        goals: whose z is compared where no scenes are known.
        held: what to measure on.
        known: the thresholds of teacher and student by wording.
        seed: of resampling.
    """
    theirs, ours = features(teacher, held.held), features(student, held.held)
    scenes = held.scenes
    episodes = scenes.episodes if scenes is not None else np.arange(len(held.held))
    alike = (theirs * ours).sum(1).double().cpu().numpy()
    found: dict[str, Any] = {
        "pictures": len(held.held),
        "parameters": sum(value.numel() for value in student.net.parameters()),
        "cosine of vectors": bootstrap(alike, n=RESAMPLES, seed=seed, groups=episodes),
        "pictures a second": {"teacher": speed(teacher), "student": speed(student)},
        "goals": {},
    }
    for name, wording in (WORDINGS if known else {"configured": worded(goals)}).items():
        z, own = (gaps(clip, wording, (1.0, 1.0), seen)[0] for clip, seen in ((teacher, theirs), (student, ours)))
        row = found["goals"][name] = {"rank": bootstrap_columns([z, own], spearman, RESAMPLES, seed, groups=episodes)}
        if scenes is None:
            continue
        row |= _told(z, own, scenes, known[name], seed)
    return found


def _told(
    z: NDArray[np.float64],
    own: NDArray[np.float64],
    scenes: Scenes,
    known: tuple[Calibration, Calibration],
    seed: int,
) -> dict[str, Any]:
    danger = scenes.danger("traffic")
    sure = (danger >= DANGEROUS) | (danger <= SAFE)
    said, repeated = (ramp(values, one.low, one.high) for values, one in zip((z, own), known, strict=True))
    return {
        "difference of c": bootstrap(abs(said - repeated), n=RESAMPLES, seed=seed, groups=scenes.episodes),
        "ranking": {
            name: told(values[sure], danger[sure] >= DANGEROUS, scenes.episodes[sure], seed)
            for name, values in (("teacher", z), ("student", own))
        },
        "error of 1 - c": {
            name: bootstrap(abs(values - danger), n=RESAMPLES, seed=seed, groups=scenes.episodes)
            for name, values in (("teacher", said), ("student", repeated))
        },
    }


def card(config: StudentConfig, teacher: Clip, command: str, found: Mapping[str, Any]) -> str:
    """The card that lies beside the weights."""
    speeds = found["pictures a second"]
    source = (
        f"the pictures of `{config.pictures}`" if config.pictures else f"{config.scenes:,} scenes of the pocket world"
    )
    lines = [
        "# A student of a CLIP",
        "",
        f"A network of four convolutions, {found['parameters'] / 1e3:,.0f} thousand parameters, that returns the "
        f"picture vectors of {teacher.name} (`common/models/clip_student.py`); texts are the teacher's. It learnt "
        f"from {source}, each seen in the mirror too. To train a driver with it: `--reward.clip.student FOLDER`, and "
        "`--reward.thresholds.file` one of the files here.",
        "",
        f"- command: `{command}`",
        f"- {config.steps:,} steps of {config.batch_size} pictures",
        f"- pictures a second of one core's time, in batches of 32: {speeds['student']:,.0f}; the teacher's "
        f"{speeds['teacher']:,.0f}",
        "",
        f"Measured on {found['pictures']:,} pictures that it did not learn from. Brackets: 95 % intervals. Cosine "
        f"with the teacher's vector: {found['cosine of vectors'].text()}.",
        "",
    ]
    for name, row in found["goals"].items():
        lines.append(f"Goals `{name}`: rank correlation of z with the teacher's {row['rank'].text()}.")
        if "ranking" in row:
            lines += [
                f"Mean difference of c, each with its own thresholds: {row['difference of c'].text()}.",
                "",
                "| | dangerous above safe, % | mean error of 1 − c |",
                "|---|---|---|",
                *(
                    f"| {who} | {row['ranking'][who].text(100, 1)} | {row['error of 1 - c'][who].text()} |"
                    for who in ("teacher", "student")
                ),
            ]
        lines.append("")
    return "\n".join(lines)
