"""What `python -m apps audit` asks of this application: its rewards, and others', on pictures of the pocket world."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from apps.captioning.auditing.result import RewardAssay
from apps.captioning.config import CaptioningConfig
from common.assays import NONE, Assay, Overview, Request
from common.config import load

#: `mixture` is what the pocket config pays for.
NAMES = (
    *("clip_cos", "clip_agg", "clip_score", "cider_d", "naturalness", "mixture"),
    *("grammar", "repetition", "bleu", "similarity"),
)
#: Pictures.
ROWS = 20
#: What a reward of somebody else finds under usual names: `images` are Pillow pictures, `reference` all captions.
COLUMNS = {"answer": "caption", "solution": "caption", "ground_truth": "caption"}
KEY = "completion"
CONFIG = Path(__file__).resolve().parents[2] / "configs" / "captioning" / "pocket.yaml"


def assays(request: Request) -> Overview:
    """Assay rewards on pictures and their captions, in which facts are changed exactly."""
    from apps.captioning.audit import audit_rewards
    from apps.captioning.data import load_examples
    from common.training.run import set_threads

    config = replace(load(CaptioningConfig, CONFIG), seed=request.seed)
    set_threads(config.threads)
    examples = load_examples(config.heldout)
    found = audit_rewards(config, examples, request.rows, request.quiet, request.names, request.own)
    told = [_told(name, len(found.subjects), one) for name, one in found.rewards.items()]
    return Overview(told, list(found.notes))


def _told(name: str, rows: int, one: RewardAssay) -> Assay:
    facts = {result.operator for result in one.general.mutations}
    return Assay(
        name,
        rows,
        {operator: kill.killed for operator, kill in one.kills.items() if operator in facts},
        one.facts,
        {hack: kill.killed for hack, kill in one.kills.items() if hack not in facts},
        one.hacks,
        one.general.apart.collapse if one.general.apart is not None else NONE,
        one.agreement.pairwise if one.agreement is not None else NONE,
        one.slope,
        one.general.length.gaining,
        1e3 * one.cost.mean,
        one.flags,
    )
