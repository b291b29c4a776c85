"""What `python -m apps audit` asks of this application: its rewards, and others', in the embedded simulator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from apps.driving.auditing.result import RewardAssay
from apps.driving.config import DrivingConfig
from apps.driving.reward_config import RECIPE_NAMES
from common.assays import NONE, Assay, Overview, Request, pooled
from common.config import load

NAMES = RECIPE_NAMES
#: Scenes that acts are played in, and good transitions that are edited.
ROWS = 16
#: Rows for each route that every driver drives.
PER_DRIVE = 6
#: What a reward of somebody else finds: `state`, a dictionary of `(B,)` tensors, see `apps.driving.rewards`.
COLUMNS: dict[str, str] = {}
CONFIG = Path(__file__).resolve().parents[2] / "configs" / "driving" / "pocket.yaml"


def assays(request: Request) -> Overview:
    """Assay rewards on acts, edited transitions and whole drives, which are driven once and judged by all.

    There is no text here, so that length and padding say nothing.
    """
    from apps.driving.audit import audit_rewards
    from common.training.run import set_threads

    config = replace(load(DrivingConfig, CONFIG), seed=request.seed)
    set_threads(config.threads)
    found = audit_rewards(
        config, request.names, request.rows, max(2, request.rows // PER_DRIVE), False, request.quiet, request.own
    )
    return Overview([_told(name, found.scenes, one) for name, one in found.rewards.items()], list(found.notes))


def _told(name: str, rows: int, one: RewardAssay) -> Assay:
    edits = {f"{act} (edited)": cell.killed for act, cell in one.edits.items()}
    acts = {act: cell.killed for act, cell in one.acts.items()}
    return Assay(
        name,
        rows,
        edits,
        pooled(edits.values()),
        acts,
        pooled(acts.values()),
        one.collapse,
        one.ranking.pairwise,
        NONE,
        NONE,
        one.milliseconds,
        one.flags,
    )
