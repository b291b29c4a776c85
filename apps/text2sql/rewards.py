"""The text-to-SQL rewards: named recipes, and the composition in which no wrong query outscores a right one.

A row holds `completion`, `question`, `language`, `database` (path), `gold` and, if it is not SQLite, `dialect`. In
every recipe a row whose gold fails, whose answer is ambiguous or whose two results are both empty gets no reward
(NaN).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import torch

from apps.text2sql.execution.statement import parse_query
from apps.text2sql.parts.components import (
    ContrastiveSemantic,
    Execution,
    Format,
    Length,
    Ngram,
    PartialResult,
    SchemaLinking,
    Syntax,
    VerdictReward,
    describe,
)
from apps.text2sql.parts.contrastive import Pool, gold_pool
from apps.text2sql.parts.grading import NO_VERDICT, Graded, Grader, Key, dialects
from apps.text2sql.parts.llm_judge import LlmJudge
from apps.text2sql.reward_config import RECIPE_NAMES, RewardConfig
from apps.text2sql.verdicts.verdict import Verdict
from common.config import nearest
from common.errors import RewardError, UsageError
from common.rewards.base import Reward, RewardOutput, nan_like, scatter_rows, take_rows
from common.rewards.build import build
from common.rewards.compose import WeightedSum
from common.rewards.state import with_state

__all__ = [
    "RECIPES",
    "ContrastiveSemantic",
    "Execution",
    "ExecutionFirst",
    "Format",
    "Grader",
    "Length",
    "LlmJudge",
    "Ngram",
    "PartialResult",
    "SchemaLinking",
    "Syntax",
    "VerdictReward",
    "build_reward",
    "gold_pool",
]

#: The least distance kept between the best wrong query and a right one.
MARGIN = 0.1


class ExecutionFirst(Reward):
    """1 for a right query, `cap · Σ wᵢrᵢ / Σ wᵢ` for a wrong one, 0 for one that does not run or is refused.

    Since `cap ≤ 1 − MARGIN` and every part lies in [0, 1], no weights and no part, however generous, can lift a wrong
    query to a right one, and none falls below a query that does not run. (Reasoning-SQL claims the first for its
    weights; a near copy with a full judge mark gets 5.90 there against 5.64 for a right rewrite.) Parts are asked
    about wrong rows only; a part that cannot score a row is left out of its mean. A constant that happens to be the
    answer (`SELECT 5` for a count) is wrong: it reads no table where the gold does.

    Args:
        grader: shared with the parts.
        parts: reward and weight by name; bounds within [0, 1], weights from 0.
        cap: the most a wrong query can earn.

    Raises:
        RewardError: a part, weight or cap outside these limits.
    """

    name = "execution_first"

    def __init__(self, grader: Grader, parts: Mapping[str, tuple[Reward, float]], cap: float = 0.3) -> None:
        if not 0 <= cap <= 1 - MARGIN:
            raise RewardError(
                f"cap must lie in [0, {1 - MARGIN}], so that no wrong query can reach a right one; got {cap}"
            )
        for name, (part, weight) in parts.items():
            if not math.isfinite(weight) or weight < 0:
                raise RewardError(f"the weight of {name!r} must be 0 or more, not {weight}")
            if part.bounds[0] < 0 or part.bounds[1] > 1:
                raise RewardError(f"part {name!r} has bounds {part.bounds}; a partial reward must stay within [0, 1]")
        self.grader = grader
        largest = max((weight for _, weight in parts.values()), default=0.0)
        # Only ratios count; with 1 as the largest weight neither sums overflow nor small ones vanish.
        self.parts = {name: (part, weight / largest) for name, (part, weight) in parts.items() if weight > 0}
        self.cap = cap
        needs = ("completion", "database", "gold", *(c for part, _ in self.parts.values() for c in part.needs))
        self.needs = tuple(dict.fromkeys(needs))
        self.part_names = ("execution", *self.parts)

    def score(self, **columns: Any) -> RewardOutput:
        """Execute all rows, ask the parts about the wrong ones; see `Reward.score`."""
        graded = self._graded(columns)
        size = len(graded)
        lucky = [_is_lucky(*row) for row in zip(graded, columns["gold"], dialects(columns), strict=True)]
        execution = torch.tensor([_is_right(*row) for row in zip(graded, lucky, strict=True)], dtype=torch.float32)
        wrong = [row for row, one in enumerate(graded) if one.verdict is Verdict.WRONG or lucky[row]]
        taken = take_rows(columns, wrong, size)
        values = execution.clone()
        parts = {"execution": execution}
        total, weights = torch.zeros(2, len(wrong), dtype=torch.float64)
        for name, (part, weight) in self.parts.items():
            if not wrong:
                parts[name] = nan_like(size)
                continue
            scores = part(**taken).values
            parts[name] = scatter_rows(scores, wrong, size)
            known = ~scores.isnan()
            total += torch.where(known, weight * scores.double().clamp(0.0, 1.0), 0.0)
            weights += known * weight
        if wrong and self.parts:
            # 0 / 0, where no part could score the row, is NaN as it should be.
            values[wrong] = (self.cap * (total / weights).clamp(max=1.0)).float()
        return RewardOutput(values, parts, describe(graded))

    def _graded(self, columns: Mapping[str, Any]) -> list[Graded]:
        """Grade the rows, and put those that are known to be wrong into words while the workers run the others."""
        readers = [part for part, _ in self.parts.values() if isinstance(part, ContrastiveSemantic)]
        known: SimpleQueue[tuple[Key, Graded] | None] = SimpleQueue()
        with ThreadPoolExecutor(max_workers=1) as pool:
            running = pool.submit(self.grader, columns, lambda *outcome: known.put(outcome))
            running.add_done_callback(lambda _: known.put(None))
            while (outcome := known.get()) is not None:
                for reader in readers:
                    reader.read(*outcome)
            return running.result()


def _is_lucky(graded: Graded, gold: str, dialect: str) -> bool:
    """Whether a query that reads no table gave the result of a gold that reads one."""
    if graded.verdict is not Verdict.CORRECT or "no_table" not in graded.judgement.flags:
        return False
    return "no_table" not in parse_query(gold, dialect).flags


def _is_right(graded: Graded, lucky: bool) -> float:
    if graded.verdict in NO_VERDICT:
        return math.nan
    return float(graded.verdict is Verdict.CORRECT and not lucky)


def execution(config: RewardConfig, pool: Pool | None = None) -> Reward:
    """1 for the right result, 0 for anything else: the plain reward of Databricks' RLVR (arXiv 2509.21459) and others.

    Differs: `strict` comparison (bags, order where the gold asks for it) instead of BIRD's sets.
    """
    return Execution(_grader(config))


def arctic(config: RewardConfig, pool: Pool | None = None) -> Reward:
    """Arctic-Text2SQL-R1 (arXiv 2505.20315): 1 for the right result, 0.1 for a query that runs, else 0.

    Differs: `strict` comparison by default (the source compares sets; use preset `bird` for that), refused statements
    get 0 (the source runs them), and golds with an empty result give no reward row by row instead of being removed
    beforehand.
    """
    return VerdictReward(_grader(config), "arctic", {Verdict.CORRECT: 1.0, Verdict.WRONG: 0.1})


def sql_r1(config: RewardConfig, pool: Pool | None = None) -> Reward:
    """SQL-R1 (arXiv 2504.08600): format ±1, execution ±2, result ±3, length up to 1.5 for right answers.

    Totals as in the source: right 6–7.5, wrong result 0, not executable −1 + 0, bad format −1. Differs: a failing
    gold and two empty results give no reward (the source pays the full 6–7.5 for both); comments survive (the source
    flattens newlines, so that a leading comment swallows the query). Style `pocket` asks for the bare query in place
    of the tags. Its length term pays verbosity: the same query may score differently, unlike in `contrastive`.
    """
    grader, style = _grader(config), config.style
    ran = {Verdict.CORRECT: 2.0, Verdict.WRONG: 2.0}
    matched = {Verdict.CORRECT: 3.0, Verdict.WRONG: -3.0}
    return _weighted(
        config,
        {
            "format": (Format(style, 1.0, -1.0, grader), 1.0),
            "execution": (VerdictReward(grader, "execution", ran, -2.0, style, 0.0), 1.0),
            "result": (VerdictReward(grader, "result", matched, 0.0, style, 0.0), 1.0),
            "length": (Length(grader, style), 1.0),
        },
    )


def skyrl(config: RewardConfig, pool: Pool | None = None) -> Reward:
    """SkyRL-SQL (NovaSky-AI/SkyRL): −1 for bad format, 1 for the right result, else 0.

    Differs: one turn (the source lets the model query the database up to six times); `strict` comparison by default
    (the source compares sets). Style `reasoning` asks for the source's `<think>` and one `<solution>`; `pocket` for
    the bare query.
    """
    form = "skyrl" if config.style == "reasoning" else config.style
    grader = Grader(config.workers, config.preset, tag="solution" if form == "skyrl" else "")
    return VerdictReward(grader, "skyrl", {Verdict.CORRECT: 1.0}, style=form, unformed=-1.0)


def reasoning_sql(config: RewardConfig, pool: Pool | None = None) -> Reward:
    """Reasoning-SQL (arXiv 2503.23157): execution 3, LLM judge 2, syntax, schema linking, n-gram and format 1 each.

    The judge is asked only where execution is 0 and left out where no endpoint is configured. Differs: a judge's
    outage is NaN, not 0.2; its full mark counts 2, not 4; names come from sqlglot's scopes, so literals do not count;
    a cell that holds the word "error" is no error. The paper's claim that no wrong query outscores a right one does
    not hold for these weights (see `ExecutionFirst`).
    """
    grader = _grader(config)
    parts: dict[str, tuple[Reward, float]] = {
        "execution": (Execution(grader), 3.0),
        "syntax": (Syntax(grader), 1.0),
        "linking": (SchemaLinking(grader), 1.0),
        "ngram": (Ngram(grader), 1.0),
        "format": (Format(config.style, grader=grader), 1.0),
    }
    if config.judge.url:
        parts["judge"] = (LlmJudge(grader, config.judge), 2.0)
    return _weighted(config, parts)


def qatch(config: RewardConfig, pool: Pool | None = None) -> Reward:
    """Think2SQL (arXiv 2504.15077), its newest configuration: 0.95 overlap of results (QATCH) + 0.05 format.

    `weights: {execution: 0.85, partial: 0, format: 0.15}` gives its default. Differs: the overlap does not depend on
    the order of rows the gold leaves open, a right query gets the full overlap, and two empty results give no reward
    (QATCH: 1).
    """
    grader = _grader(config)
    return _weighted(
        config,
        {
            "execution": (Execution(grader), 0.0),
            "partial": (PartialResult(grader), 0.95),
            "format": (Format(config.style, grader=grader), 0.05),
        },
    )


def contrastive(config: RewardConfig, pool: Pool | None = None) -> Reward:
    """The default: execution first; wrong queries share `cap` by meaning, schema linking and overlap of results.

    After the idea of Kattamuri et al. (arXiv 2510.13827), which publishes neither formula, weights nor code: the
    formula (`apps.text2sql.parts.contrastive`), the weights 2 : 1 : 1, the cap and the gate on execution are ours.
    Theirs adds the two signals; here the semantic one can only order the wrong queries.
    """
    grader = _grader(config)
    parts: dict[str, tuple[Reward, float]] = {
        "contrastive": (ContrastiveSemantic(grader, config.encoder, pool, device=config.device), 2.0),
        "linking": (SchemaLinking(grader), 1.0),
        "partial": (PartialResult(grader), 1.0),
    }
    return ExecutionFirst(grader, _reweighted(config, parts), config.cap)


#: Every recipe by name.
RECIPES: dict[str, Callable[[RewardConfig, Pool | None], Reward]] = {
    "execution": execution,
    "arctic": arctic,
    "sql_r1": sql_r1,
    "skyrl": skyrl,
    "reasoning_sql": reasoning_sql,
    "qatch": qatch,
    "contrastive": contrastive,
}


def build_reward(config: RewardConfig, pool: Pool | None = None) -> Reward:
    """Compose the configured recipe; nothing is opened or started before the first batch.

    Args:
        config: recipe and settings.
        pool: other golds of each database (`gold_pool(examples)`), for the contrastive negatives.

    Raises:
        UsageError: unknown recipe, a weight for a part that the recipe does not have, or what `build` says of `own`.
    """
    if config.own:
        return with_state(build(config.own))
    if config.recipe not in RECIPES:
        raise UsageError(f"unknown reward recipe {config.recipe!r}{nearest(config.recipe, RECIPE_NAMES)}")
    if config.weights and config.recipe in ("execution", "arctic", "skyrl"):
        raise UsageError(f"the recipe {config.recipe!r} has a single part, so there are no weights to set")
    return RECIPES[config.recipe](config, pool)


def _grader(config: RewardConfig) -> Grader:
    return Grader(config.workers, config.preset)


def _reweighted(config: RewardConfig, parts: Mapping[str, tuple[Reward, float]]) -> dict[str, tuple[Reward, float]]:
    for name in config.weights:
        if name not in parts:
            raise UsageError(f"the recipe {config.recipe!r} has no part {name!r}{nearest(name, list(parts))}")
    return {name: (part, config.weights.get(name, weight)) for name, (part, weight) in parts.items()}


def _weighted(config: RewardConfig, parts: Mapping[str, tuple[Reward, float]]) -> Reward:
    kept = {name: pair for name, pair in _reweighted(config, parts).items() if pair[1] != 0}
    if not kept:
        raise UsageError(f"every part of the recipe {config.recipe!r} has weight 0")
    return WeightedSum(kept)
