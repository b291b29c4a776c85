"""What the demo does, without a browser: shape a scene while somebody watches, judge it, and write its files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

from apps.text3d.config import Text3dConfig
from apps.text3d.demo_wishes import Wish, granted
from apps.text3d.generate import Result, begin, export, learner_of, note
from common.errors import TouchstoneError

if TYPE_CHECKING:
    from apps.text3d.demo_answers import SceneAnswer
    from apps.text3d.export.turntable import Frames
    from apps.text3d.judging.geometry import Verdict
    from apps.text3d.optimisation.learner import SceneLearner, SceneModule
    from apps.text3d.prompts.prompt import Prompt
    from common.training.run import Run

#: Seconds of the clock between two looks at a scene that is being shaped.
EVERY = 1.5
#: Views of a look, and their side in pixels.
LOOKS, LOOK_SIZE = 4, 112
SHAPING, JUDGING, ASKING, WRITING = "shaping", "judging the geometry", "asking the VLM", "writing the files"


@dataclass(frozen=True)
class Moment:
    """A look at a scene on its way.

    Attributes:
        step: steps so far, of `steps`.
        doing: what is done now: `SHAPING`, `JUDGING`, ...
        views: `(LOOKS, LOOK_SIZE, LOOK_SIZE, 3)` of 8 bits, from all around, the prompt's own side first.
        losses: step and loss; steps that were skipped are missing.
        unknown: parts of the prompt that were not understood.
    """

    step: int
    steps: int
    doing: str
    views: Frames
    losses: tuple[tuple[int, float], ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """A finished scene. Its files are removed when the next one is asked of the iterator.

    Attributes:
        last: the last look.
        verdict: the judge's, who sees the field's geometry alone.
        answers: the VLM's; empty where there is none.
        silent: why there are none.
        files: what was written, by name.
        failed: why nothing was written, such as a scene without a surface.
        note: what must stand on every output.
    """

    last: Moment
    verdict: Verdict
    answers: tuple[SceneAnswer, ...]
    silent: str
    files: Mapping[str, Path]
    failed: str
    note: str


class Workbench:
    """Shapes scenes in a temporary folder, which is removed with the workbench or at the end of the program.

    Args:
        config: the settings; what a visitor may change starts with their values.
    """

    def __init__(self, config: Text3dConfig) -> None:
        self.config = config
        self._temporary = tempfile.TemporaryDirectory(prefix="touchstone-text3d-")
        from apps.text3d.guidance.build import Models

        self._models = Models()

    @property
    def folder(self) -> Path:
        """Where the runs lie while they last."""
        return Path(self._temporary.name)

    def close(self) -> None:
        """Remove what is left."""
        self._temporary.cleanup()

    def shape(self, wish: Wish, stop: Event | None = None, every: float = EVERY) -> Iterator[Moment | Made]:
        """Shape, judge and write: looks while it lasts, the finished scene at the end.

        Nothing is done between two `next`s: who asks no more leaves no work behind.

        Args:
            wish: what a visitor wants.
            stop: once set, the scene is taken as it is after the step that is being done.
            every: seconds of the clock between two looks.

        Raises:
            UsageError: see `granted`, and `generate.learner_of`.
            SceneFailure: the optimisation went wrong.
        """
        config, wanted = granted(self.config, wish, str(self.folder))
        run = begin(config, wanted.text, Path(tempfile.mkdtemp(dir=self.folder)).name)
        try:
            yield from self._shape(config, wanted, run, stop or Event(), every)
        finally:
            shutil.rmtree(run.folder, ignore_errors=True)

    def _shape(
        self, config: Text3dConfig, wanted: Prompt, run: Run, stop: Event, every: float
    ) -> Iterator[Moment | Made]:
        from apps.text3d.judging.geometry import judge
        from apps.text3d.optimisation.clock import Clock

        learner = learner_of(config, wanted, self._models)
        losses: list[tuple[int, float]] = []

        def look(doing: str) -> Moment:
            views = _look(learner.scene)
            return Moment(learner.steps, config.optimise.steps, doing, views, tuple(losses), wanted.unknown)

        yield look(SHAPING)
        clock, looked = Clock(60 * config.optimise.minutes), monotonic()
        while learner.steps < config.optimise.steps and not clock.over() and not stop.is_set():
            figures = learner.step()
            if "loss" in figures:
                losses.append((learner.steps, figures["loss"]))
            if monotonic() - looked >= every:
                yield look(SHAPING)
                looked = monotonic()
        last = look(JUDGING)
        yield last
        verdict = judge(learner.scene, wanted)
        if config.guidance.vlm.model:
            yield replace(last, doing=ASKING)
        told, silent = self._ask(learner, wanted, config)
        yield replace(last, doing=WRITING)
        failed = ""
        try:
            export(Result(run, wanted, learner.scene, verdict, learner.steps), config, wanted.text)
        except TouchstoneError as error:
            failed = str(error)
        files = {path.name: path for path in sorted(run.folder.iterdir()) if path.is_file()}
        yield Made(last, verdict, told, silent, files, failed, note(config))

    def _ask(self, learner: SceneLearner, wanted: Prompt, config: Text3dConfig) -> tuple[tuple[SceneAnswer, ...], str]:
        """The VLM's answers, or why there are none."""
        from apps.text3d.demo_answers import answers, every_reward

        try:
            rewards = every_reward(config, wanted, self._models)
            return tuple(answers(learner.scene, rewards, config)), ""
        except TouchstoneError as error:
            return (), str(error)


def _look(scene: SceneModule) -> Frames:
    import torch

    from apps.text3d.cameras import around
    from apps.text3d.export.turntable import to_bytes

    with torch.no_grad():
        return to_bytes(scene.render(around(LOOKS, LOOK_SIZE)).rgb)
