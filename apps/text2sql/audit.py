"""`audit`: would this reward teach the right thing? Controls, mutants and languages, before a run is paid for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text2sql.auditing.result import SqlAudit
from common.errors import UsageError

if TYPE_CHECKING:
    from apps.text2sql.auditing.assay import TriedMutant
    from apps.text2sql.config import Text2SqlConfig
    from apps.text2sql.data import Example
    from common.rewards.audit import AuditReport
    from common.rewards.base import Reward

#: A reward that scores one query this differently by language (share of its range) teaches languages, not queries.
LARGEST_SPREAD = 0.1


def run_audit(config: Text2SqlConfig, rows: int = 140, out: str | None = None, json_output: bool = False) -> int:
    """Assay the configured reward on held-out questions; writes `audit.json` and `report.html`.

    Args:
        config: whose `reward` is assayed on `heldout`.
        rows: questions, whole groups of translations.
        out: folder of the report; `audit-<recipe>` in the runs folder where not given.
        json_output: print the figures as JSON.
    """
    if config.reward.own:
        raise UsageError("reward.own: assay it by python -m apps audit --app text2sql --reward FILE")
    from apps.text2sql.auditing.page import print_audit, write_report
    from apps.text2sql.data import limited, load_examples
    from common.rewards.audit.report import hand_over
    from common.ui import progress

    everything = load_examples(config.heldout)
    examples = limited(everything, rows, config.seed + 1)
    with progress("audit", quiet=json_output):
        found = audit_reward(config, examples, everything)
    folder = Path(out) if out else Path(config.runs) / f"audit-{config.reward.recipe}"
    report = write_report(found, config, examples)
    return hand_over(found.to_json(), report, folder, lambda: print_audit(found, config), json_output)


@dataclass(frozen=True)
class Material:
    """What every reward is assayed with.

    Attributes:
        examples: reference questions with their golds.
        columns: of the rewards, with the gold as the completion.
        mutants: of the golds, executed.
        style: of completions.
        seed: of what is drawn.
    """

    examples: Sequence[Example]
    columns: dict[str, Any]
    mutants: Sequence[TriedMutant]
    style: str
    seed: int


def make_material(config: Text2SqlConfig, examples: Sequence[Example]) -> Material:
    """Mutate the golds and execute the mutants; one row stands for all translations of its query."""
    from apps.text2sql.auditing import assay
    from apps.text2sql.parts.grading import Grader

    columns = assay.columns_of(examples, config.reward.style)
    first = {(example.database, example.sql): row for row, example in reversed(list(enumerate(examples)))}
    with Grader(config.reward.workers, config.reward.preset) as grader:
        mutants = assay.try_mutants(grader, columns, sorted(first.values()), config.seed)
    return Material(examples, columns, mutants, config.reward.style, config.seed)


def audit_general(reward: Reward, material: Material) -> AuditReport:
    """Controls, mutants, length, cost, and agreement with execution, of any reward that reads these columns."""
    from apps.text2sql.auditing import assay
    from apps.text2sql.parts.grading import NO_VERDICT
    from apps.text2sql.verdicts.verdict import Verdict
    from common.rewards.audit import Mutant, audit

    style = material.style
    wrong = [one for one in material.mutants if one.verdict is not Verdict.CORRECT]
    unknown = {(one.row, assay.spoken(one.sql, style)) for one in wrong if one.verdict in NO_VERDICT}
    golds = zip(material.columns["database"], material.columns["gold"], material.columns["completion"], strict=True)
    right = set(golds)
    open_to = {(material.columns["gold"][row], text) for row, text in unknown}

    def truth(columns: Mapping[str, Any]) -> list[float]:
        rows = zip(columns["database"], columns["gold"], columns["completion"], strict=True)
        return [math.nan if row[1:] in open_to else float(row in right) for row in rows]

    return audit(
        reward,
        material.columns,
        assay.controls(style),
        [Mutant(one.row, one.operator, assay.spoken(one.sql, style)) for one in wrong],
        truth,
        pad=assay.padded if style == "pocket" else None,
        prompt="question",
        within="database",
        groups=[example.parallel or example.id for example in material.examples],
        seed=material.seed,
    )


def audit_reward(config: Text2SqlConfig, examples: Sequence[Example], everything: Sequence[Example]) -> SqlAudit:
    """Assay a reward.

    Args:
        config: settings of the reward.
        examples: reference questions with their golds.
        everything: questions whose golds form the pool of contrastive neighbours.
    """
    from apps.text2sql.auditing import assay
    from apps.text2sql.parts.contrastive import gold_pool
    from apps.text2sql.rewards import build_reward

    style, pool = config.reward.style, gold_pool(everything)
    reward, parts = build_reward(config.reward, pool), assay.part_rewards(config.reward, pool)
    material = make_material(config, examples)
    general, mutants = audit_general(reward, material), material.mutants
    spreads = {
        name: found
        for name, one in ((config.reward.recipe, reward), ("contrastive part", parts["contrastive"]))
        if (found := assay.language_spread(one, examples, mutants, style)) is not None
    }
    flags = [*general.flags]
    spread, span = spreads.get(config.reward.recipe), reward.bounds[1] - reward.bounds[0]
    if spread is not None and spread.mean.mean > LARGEST_SPREAD * span:
        flags.append(f"the same query scores {spread.mean.mean:.2f} apart from language to language")
    return SqlAudit(general, assay.strengths(mutants, material.columns, parts, style), spreads, flags)
