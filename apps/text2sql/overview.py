"""What `python -m apps audit` asks of this application: its rewards, and others', on the pocket questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.reward_config import RECIPE_NAMES, RewardConfig
from common.assays import Assay, Overview, Request, in_turn, of_report
from common.config import load, nearest
from common.errors import UsageError

if TYPE_CHECKING:
    from apps.text2sql.data import Example
    from common.rewards.base import Reward

NAMES = RECIPE_NAMES
#: Questions, each in one language.
ROWS = 42
NOTE = (
    "a mutant counts as wrong where its result differs from the gold's, and that is the exact truth too: rewards that "
    "execute see it by construction; what the parts see by themselves is told by `python -m apps.text2sql audit`"
)
#: What a reward of somebody else finds under usual names.
COLUMNS = {"prompt": "question", "answer": "gold", "solution": "gold", "ground_truth": "gold", "query": "gold"}
CONFIG = Path(__file__).resolve().parents[2] / "configs" / "text2sql" / "pocket.yaml"
STYLES = get_args(get_type_hints(RewardConfig)["style"])


def assays(request: Request) -> Overview:
    """Assay rewards on held-out questions: every mutant is executed once and judged by all.

    Raises:
        UsageError: no such style.
    """
    from apps.text2sql.audit import audit_general, make_material
    from apps.text2sql.data import load_examples
    from apps.text2sql.parts.contrastive import gold_pool
    from apps.text2sql.rewards import build_reward
    from common.training.run import set_threads
    from common.ui import progress

    config = load(Text2SqlConfig, CONFIG)
    set_threads(config.threads)
    if request.style and request.style not in STYLES:
        raise UsageError(f"--style {request.style!r}{nearest(request.style, STYLES)}")
    reward = replace(config.reward, style=cast("Any", request.style or config.reward.style))
    config = replace(config, reward=reward, seed=request.seed)
    everything = load_examples(config.heldout)
    pool = gold_pool(everything)
    material = make_material(config, _spread(everything, request.rows, request.seed + 1))
    rewards: dict[str, Reward] = {
        name: build_reward(replace(reward, recipe=cast("Any", name)), pool) for name in request.names
    }
    found: list[Assay] = []
    with progress("text2sql", len(rewards) + len(request.own), request.quiet) as bar:
        for name, one in in_turn({**rewards, **request.own}, bar):
            found.append(of_report(name, audit_general(one, material)))
    return Overview(found, [NOTE] if request.names else [])


def _spread(everything: Sequence[Example], rows: int, seed: int) -> list[Example]:
    """Different questions, in all languages in turn: a translation has its query's mutants."""
    from apps.text2sql.data import limited

    groups: dict[str, list[Example]] = {}
    for example in limited(everything, rows * len({one.language for one in everything}), seed):
        groups.setdefault(example.parallel or example.id, []).append(example)
    return [several[at % len(several)] for at, several in enumerate(groups.values())][:rows]
