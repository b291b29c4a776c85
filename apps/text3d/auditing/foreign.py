"""The audit of a reward that is not this application's: it knows no questions, and sees one picture a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from apps.text3d.audit import flags_of
from apps.text3d.auditing import assay
from apps.text3d.auditing.truth import exact
from apps.text3d.export.turntable import to_bytes
from apps.text3d.reward_answers import Judged
from common.ui import progress

if TYPE_CHECKING:
    from apps.text3d.auditing.assay import Line, Steadiness
    from apps.text3d.auditing.cases import Subjects
    from apps.text3d.reward_rows import Row
    from apps.text3d.rewards import Text3dReward
    from common.rewards.base import Reward


class EachView:
    """A reward as the audit asks one: of each picture of a row alone, and their mean is the row's.

    It finds `prompt`, `images` (a Pillow picture a row) and `azimuth` (degrees of its camera). A picture without a
    score is left out of the mean; a row without any is NaN.

    Args:
        reward: any one that reads these columns.
    """

    def __init__(self, reward: Reward) -> None:
        self.reward = reward

    def judge(self, rows: Sequence[Row]) -> list[Judged]:
        """Score rows; see `Text3dReward.judge`."""
        from PIL import Image

        views = [
            (row, picture, azimuth)
            for row in rows
            for picture, azimuth in zip(row.pictures, row.azimuths, strict=True)
        ]
        output = self.reward(
            prompt=[row.prompt.text for row, _, _ in views],
            images=[Image.fromarray(to_bytes(picture[None])[0]) for _, picture, _ in views],
            azimuth=[azimuth for _, _, azimuth in views],
        )
        values = iter(output.values.tolist())
        return [_judged([next(values) for _ in row.pictures]) for row in rows]


def _judged(values: Sequence[float]) -> Judged:
    known = [value for value in values if not math.isnan(value)]
    value = sum(known) / len(known) if known else math.nan
    return Judged(value, {}, failed="" if known else "it gave none of the pictures a score")


def audit_foreign(
    name: str, reward: Reward, those: Subjects, usual: Text3dReward, batch: int, quiet: bool = False
) -> tuple[Line, Steadiness, list[str]]:
    """Assay it on the cases that this application's own reward is assayed on.

    Args:
        name: of the reward.
        reward: see `EachView`.
        those: what it is shown.
        usual: whose questions the truth answers; no model of it is opened.
        batch: rows that are judged together.
        quiet: no progress bar.

    Returns:
        What was found, whether a row's score is its own, and what to look into.
    """
    judge, cases = EachView(reward), those.cases()
    with progress(name, len(cases), quiet) as bar:
        said = assay.look(judge, cases, batch, bar)
    true = {id(case): exact(usual, case).value for case in cases}
    line = assay.assay(name, lambda case: said[id(case)].value, reward.bounds, those, lambda case: true[id(case)])
    assert line is not None, "there are two scenes or more, and it is asked about all"
    steady = assay.steadiness(judge, those.references)
    return line, steady, flags_of(line, {}, steady, sum(bool(one.failed) for one in said.values()))
