"""What `python -m apps audit` asks of this application: its rewards, and others', on the pocket questions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

from apps.medvqa.auditing.result import RewardAssay
from apps.medvqa.config import MedVqaConfig
from apps.medvqa.reward_config import RECIPE_NAMES, RewardConfig
from common.assays import Assay, Overview, Request, in_turn
from common.config import load, nearest
from common.errors import UsageError

if TYPE_CHECKING:
    from common.rewards.base import Reward

NAMES = RECIPE_NAMES
#: Questions, drawn so that every operator gets its share.
ROWS = 60
#: What a reward of somebody else finds under usual names; `reference` holds all right answers of a row.
COLUMNS = {"prompt": "question", "answer": "right", "solution": "right", "ground_truth": "right"}
CONFIG = Path(__file__).resolve().parents[2] / "configs" / "medvqa" / "pocket.yaml"
STYLES = get_args(get_type_hints(RewardConfig)["style"])
#: Recipes that are asked for the form of pocket completions; a reward of somebody else sees the bare answer.
PLAIN = "plain"


def assays(request: Request) -> Overview:
    """Assay rewards on phantoms' questions: wrong facts, hacks and rewordings are made once and judged by all.

    Raises:
        UsageError: no such style.
    """
    from apps.medvqa.audit import build_rewards, drawn, load_pool
    from common.training.run import set_threads

    config = replace(load(MedVqaConfig, CONFIG), seed=request.seed)
    set_threads(config.threads)
    if request.style and request.style not in STYLES:
        raise UsageError(f"--style {request.style!r}{nearest(request.style, STYLES)}")
    pool = load_pool(config, request.rows)
    examples = drawn(pool, request.rows, request.seed)
    notes: list[str] = []
    found: list[Assay] = []
    for style, names, own in (
        (request.style or config.reward.style, request.names, {}),
        (request.style or PLAIN, (), request.own),
    ):
        settings = replace(config, reward=replace(config.reward, style=cast("Any", style)))
        rewards: dict[str, Reward] = {**build_rewards(settings, names, False, notes), **own}
        if rewards:
            found += _assayed(settings, examples, pool, rewards, request.quiet)
    return Overview(found, notes)


def _assayed(config: MedVqaConfig, examples: Any, pool: Any, rewards: dict[str, Reward], quiet: bool) -> list[Assay]:
    from apps.medvqa.audit import assay_reward
    from apps.medvqa.auditing.subjects import subjects, trials
    from common.ui import progress

    those = subjects(examples, config.reward.style, config.seed, pool)
    those.columns["right"] = [one.answer for one in those.examples]
    found = []
    with progress("medvqa", len(rewards), quiet) as bar:
        made = trials(those, config.seed, [])
        for name, reward in in_turn(rewards, bar):
            found.append(_told(name, len(those), assay_reward(reward, those, made, config.seed)))
    return found


def _told(name: str, rows: int, one: RewardAssay) -> Assay:
    from common.assays import NONE

    return Assay(
        name,
        rows,
        {operator: cell.passed for operator, cell in one.facts.items()},
        one.killed,
        {hack: cell.passed for hack, cell in one.hacks.items()},
        one.beaten,
        one.spread.collapse,
        one.agreement.pairwise if one.agreement is not None else NONE,
        one.slope,
        one.general.length.gaining,
        1e3 * one.cost.mean,
        one.flags,
    )
