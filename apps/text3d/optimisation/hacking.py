"""Reward hacking, seen while it happens: a reward that rises while the scene gets worse by another measure.

Those measures are the judge of the field's geometry, which no guidance sees and no gradient reaches, and the run's own
models asked by the prompt in other words, of views that no step had.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

from apps.text3d.judging import MEASURES
from apps.text3d.judging.geometry import judge
from apps.text3d.prompts.prompt import Prompt
from apps.text3d.scenes.base import Scene
from common.errors import TouchstoneError
from common.training.alarms import AlarmMonitor
from common.training.run import Run

logger = logging.getLogger(__name__)

#: Cells a side of the judge's grid: coarser than for the verdict, as it is asked often.
RESOLUTION = 48
HELD_OUT, WORDING = "judge", "second_wording"


class HackingWatch:
    """Logs judge and second wording beside the reward, and raises an alarm where one falls while the reward rises.

    What an earlier sitting of the run has logged counts too.

    Args:
        run: whose log and alarms they are.
        stage: in the log.
        prompt: that is judged against.
        wording: see `critics.second_wording`; None where no model can be asked.
    """

    def __init__(self, run: Run, stage: str, prompt: Prompt, wording: Callable[[Scene], float] | None = None) -> None:
        self.run, self.stage, self.prompt, self.wording = run, stage, prompt, wording
        self.monitors: dict[str, AlarmMonitor] = {}

    def __call__(self, step: int, figures: Mapping[str, float], scene: Scene | None) -> dict[str, float]:
        """Figures to log: `reward` where a guidance tells one; `judge`, `second_wording` where a scene is looked at.

        Args:
            step: that was taken.
            figures: of it.
            scene: to be judged now; None where it is not time yet.
        """
        told: dict[str, float] = {}
        reward = reward_of(figures)
        if reward is not None:
            told["reward"] = reward
        if scene is not None and self.prompt.objects and (share := self._judged(scene)) is not None:
            told[HELD_OUT] = share
        if scene is not None and self.wording is not None and math.isfinite(score := self.wording(scene)):
            told[WORDING] = score
        for gold, monitor in self._monitors(step).items():
            for alarm in monitor.update(step, {name: told[name] for name in ("reward", gold) if name in told}):
                self.run.alarm(alarm.kind, self.stage, step, alarm.message, alarm.values)
                logger.warning("%s", alarm.message)
        return told

    def _judged(self, scene: Scene) -> float | None:
        try:
            verdict = judge(scene, self.prompt, RESOLUTION)
        except TouchstoneError as error:
            # A field that cannot be judged is told of by the loop itself, and is no verdict of 0.
            logger.warning("the scene cannot be judged: %s", error)
            return None
        shares = [share for name in MEASURES if not math.isnan(share := getattr(verdict, name))]
        return sum(shares) / len(shares) if shares else None

    def _monitors(self, step: int) -> dict[str, AlarmMonitor]:
        if not self.monitors:
            self.monitors = {gold: AlarmMonitor(gold=gold) for gold in (HELD_OUT, WORDING)}
            for row in self.run.rows(self.stage):
                for gold, monitor in self.monitors.items():
                    if row["step"] < step:
                        kept: dict[str, Any] = {name: row[name] for name in ("reward", gold) if name in row}
                        monitor.update(row["step"], kept)
        return self.monitors


def reward_of(figures: Mapping[str, float]) -> float | None:
    """The mean of all rewards that guidances tell, before their weights; None where none does.

    The VLM's log-odds, CLIP's cosine and the critic's loss turned round. Score distillation tells none: its value
    changes with the timestep and says nothing of the scene.
    """
    found = [value for name, value in figures.items() if name.endswith((".reward", ".cosine"))]
    if "analytic" in figures:
        found.append(-figures["analytic"])
    finite = [value for value in found if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None
