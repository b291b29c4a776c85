"""Drives chosen episodes of an evaluation again, with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.driving.measures.episodes import Episode, driven
from apps.driving.measures.scores import driving_score
from apps.driving.recording import Gif, Mp4
from common import ui
from common.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from apps.driving.environment.env import DrivingEnv
    from apps.driving.measures.evaluation import Course

CHOICES = ("first", "best", "worst")


@dataclass
class Shown:
    """An episode with its pictures.

    Attributes:
        episode: of the evaluation.
        why: `first`, `best`, `worst`, or several of them.
        frames: of the drive, the last one included.
        gif: the moving picture.
        stride: steps from one of its frames to the next.
        same: whether driving it again led to the same drive, step by step; a CARLA server does not promise that.
        mp4: the file, where one was asked for.
    """

    episode: Episode
    why: list[str]
    frames: list[Image] = field(default_factory=list)
    gif: bytes = b""
    stride: int = 1
    same: bool = True
    mp4: Path | None = None


def choose(episodes: Sequence[Episode], wanted: Sequence[str]) -> list[Shown]:
    """The episodes of one driver that are shown; by driving score, then by speed. One is never shown twice.

    Raises:
        UsageError: a wish is none of `CHOICES`.
    """
    if unknown := sorted(set(wanted) - set(CHOICES)):
        raise UsageError(f"evaluate.show has {unknown[0]!r}; there are {', '.join(CHOICES)}")
    kept = driven(episodes)
    if not kept:
        return []
    ranked = sorted(kept, key=lambda one: (driving_score(one), one.average_speed))
    places = {"first": kept[0], "best": ranked[-1], "worst": ranked[0]}
    found: dict[int, Shown] = {}
    for why in wanted:
        found.setdefault(id(places[why]), Shown(places[why], [])).why.append(why)
    return list(found.values())


def show(course: Course, shown: Sequence[Shown], folder: Path | None = None, quiet: bool = False) -> None:
    """Drive the chosen episodes again and keep their frames.

    Args:
        course: that they were driven on.
        shown: gets the pictures.
        folder: for MP4 files; None makes none.
        quiet: show no progress.
    """
    if not shown:
        return
    track = course.open(rendered=True)
    rate = 1.0 / course.simulator.config.dt
    try:
        with ui.progress("filming", len(shown), quiet) as bar:
            for one in shown:
                gif = Gif(None, rate, course.evaluate.frames, course.evaluate.frame)
                film = Mp4(folder / f"{_file_name(one.episode)}.mp4", rate) if folder is not None else None

                def watch(env: DrivingEnv, info: dict[str, Any], gif: Gif = gif, film: Mp4 | None = film) -> None:
                    frame = env.render()
                    if frame is not None:
                        gif.add(frame)
                        if film is not None:
                            film.add(frame)

                again = track.drive(one.episode.case, watch)
                one.frames, one.gif, one.stride = gif.pictures(), gif.encoded(), gif.stride
                one.same = again == one.episode
                one.mp4 = film.close() if film is not None else None
                bar.advance()
    finally:
        track.env.close()


def _file_name(episode: Episode) -> str:
    case = episode.case
    return f"{episode.policy}-{case.route}-{case.vehicles}-{case.seed}".replace("/", "-").replace(" ", "-")
