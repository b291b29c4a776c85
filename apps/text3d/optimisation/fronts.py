"""Janus, seen while it happens: a thing that shows its front on more sides than one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from apps.text3d.optimisation.critics import Critic, sides
from apps.text3d.scenes.base import Scene
from common.training.run import Run

logger = logging.getLogger(__name__)

#: Probability from which a view counts as a front, and how many such views are too many.
HIGH, MANY = 0.5, 3
#: Degrees of azimuth within which one front can be seen: 60 to either side.
ARC = 120.0
KIND = "janus"


@dataclass(frozen=True)
class Fronts:
    """How much each side looks like a front.

    Attributes:
        azimuths: in degrees, rising.
        scores: probabilities.
    """

    azimuths: Sequence[float]
    scores: Sequence[float]

    @property
    def behind(self) -> float:
        """The greatest score of a view from the back, farther than 90 degrees from the prompt's own side."""
        return max(score for azimuth, score in self._rows() if 90 < azimuth < 270)

    @property
    def high(self) -> list[float]:
        """Azimuths whose view counts as a front."""
        return [azimuth for azimuth, score in self._rows() if score >= HIGH]

    @property
    def several(self) -> bool:
        """Whether there are more fronts than one: `MANY` high views, which no arc of `ARC` degrees holds.

        Three neighbours at 45 degrees may see one and the same, wherever it looks.
        """
        if len(high := self.high) < MANY:
            return False
        gaps = [after - before for before, after in pairwise([*high, high[0] + 360])]
        return 360 - max(gaps) > ARC

    def told(self) -> dict[str, Any]:
        """For `result.json`."""
        scores = {f"{azimuth:g}": round(score, 4) for azimuth, score in self._rows()}
        return {"scores": scores, "behind": round(self.behind, 4), "several": self.several}

    def _rows(self) -> list[tuple[float, float]]:
        return list(zip(self.azimuths, self.scores, strict=True))


class FrontWatch:
    """Logs the greatest score of a back view, and raises an alarm where a scene has several fronts.

    Args:
        run: whose log and alarms they are.
        stage: in the log.
        critic: see `critics.front_critic`.
    """

    def __init__(self, run: Run, stage: str, critic: Critic) -> None:
        self.run, self.stage, self.critic = run, stage, critic
        self.last: Fronts | None = None

    def __call__(self, step: int, scene: Scene) -> dict[str, float]:
        """Look at a scene; figures to log."""
        before, self.last = self.last, Fronts(sides(), self.critic(scene))
        told = {"front.behind": self.last.behind, "front.high": float(len(self.last.high))}
        # Once, and again only after it had passed.
        if self.last.several and not (before is not None and before.several):
            message = (
                f"step {step}: the scene shows a front at azimuths {', '.join(f'{one:g}' for one in self.last.high)} "
                f"(Janus; the surest back view {self.last.behind:.2f}): raise guidance.sds.perp_neg or "
                "guidance.vlm.consistency, keep guidance.sds.view_dependent on, or begin with another seed"
            )
            self.run.alarm(KIND, self.stage, step, message, told)
            logger.warning("%s", message)
        return told
