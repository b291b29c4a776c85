"""`audit`: would this reward teach the right thing? Controls, mutants and languages, before a run is paid for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UsageError

if TYPE_CHECKING:
    from apps.text2sql.assay import LanguageSpread, OperatorStrength, TriedMutant
    from apps.text2sql.config import Text2SqlConfig
    from apps.text2sql.data import Example
    from common.rewards.audit import AuditReport
    from common.rewards.base import Reward
    from common.stats import Interval

#: A reward that scores one query this differently by language (share of its range) teaches languages, not queries.
LARGEST_SPREAD = 0.1


@dataclass(frozen=True)
class Assay:
    """Everything the audit found.

    Attributes:
        general: controls, mutation kill rate, length, latency of the reward as a whole.
        strengths: kill rates by operator, of execution and of each part on its own.
        spreads: cross-language spread of the reward and of the contrastive part.
        flags: what to look into before training.
    """

    general: AuditReport
    strengths: Sequence[OperatorStrength]
    spreads: Mapping[str, LanguageSpread]
    flags: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file."""
        return {
            "general": self.general.to_json(),
            "operators": [_operator_json(one) for one in self.strengths],
            "language_spread": {name: _spread_json(one) for name, one in self.spreads.items()},
            "flags": list(self.flags),
        }


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
    from apps.text2sql.data import limited, load_examples
    from common.files import write_json
    from common.ui import print_json, progress, say

    everything = load_examples(config.heldout)
    examples = limited(everything, rows, config.seed + 1)
    with progress("audit", quiet=json_output):
        assay = audit_reward(config, examples, everything)
    folder = Path(out) if out else Path(config.runs) / f"audit-{config.reward.recipe}"
    write_json(folder / "audit.json", assay.to_json())
    _report(assay, config, examples).save(folder / "report.html")
    if json_output:
        print_json(assay.to_json())
    else:
        _print(assay, config)
        say(f"report: {folder / 'report.html'}")
    return 0


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
    from apps.text2sql import assay
    from apps.text2sql.parts.grading import Grader

    columns = assay.columns_of(examples, config.reward.style)
    first = {(example.database, example.sql): row for row, example in reversed(list(enumerate(examples)))}
    with Grader(config.reward.workers, config.reward.preset) as grader:
        mutants = assay.try_mutants(grader, columns, sorted(first.values()), config.seed)
    return Material(examples, columns, mutants, config.reward.style, config.seed)


def audit_general(reward: Reward, material: Material) -> AuditReport:
    """Controls, mutants, length, cost, and agreement with execution, of any reward that reads these columns."""
    from apps.text2sql import assay
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


def audit_reward(config: Text2SqlConfig, examples: Sequence[Example], everything: Sequence[Example]) -> Assay:
    """Assay a reward.

    Args:
        config: settings of the reward.
        examples: reference questions with their golds.
        everything: questions whose golds form the pool of contrastive neighbours.
    """
    from apps.text2sql import assay
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
    return Assay(general, assay.strengths(mutants, material.columns, parts, style), spreads, flags)


def _operator_json(one: OperatorStrength) -> dict[str, Any]:
    return {
        "operator": one.operator,
        "tried": one.tried,
        "equivalent": one.equivalent,
        "unjudged": one.unjudged,
        "execution": one.execution.to_dict(),
        "parts": {name: value.to_dict() for name, value in one.parts.items()},
    }


def _spread_json(one: LanguageSpread) -> dict[str, Any]:
    return {
        "mean": one.mean.to_dict(),
        "largest": one.largest,
        "queries": one.queries,
        "by_language": {language: value.to_dict() for language, value in one.by_language.items()},
    }


def _operator_rows(assay: Assay, digits: Callable[[Interval], str]) -> tuple[list[str], list[list[Any]]]:
    parts = [name for name in assay.strengths[-1].parts if name != "execution"]
    headers = ["operator", "tried", "same", "open", "execution", *parts]
    rows = [
        [one.operator, one.tried, one.equivalent, one.unjudged, digits(one.execution)]
        + [digits(one.parts[name]) for name in parts]
        for one in assay.strengths
    ]
    return headers, rows


def _percent(value: Interval) -> str:
    return "–" if math.isnan(value.mean) else f"{value.mean:.0%}".rstrip("%")


def _percent_interval(value: Interval) -> str:
    return value.text(100, 0)


def _control_rows(assay: Assay) -> list[list[Any]]:
    reference = assay.general.reference
    return [
        ["gold", reference.text(1, 3), "–", "–"],
        *([one.name, one.mean.text(1, 3), one.beaten.text(100, 0), one.failed] for one in assay.general.controls),
    ]


def _spread_rows(assay: Assay) -> list[list[Any]]:
    return [[name, one.queries, one.mean.text(1, 4), round(one.largest, 4)] for name, one in assay.spreads.items()]


_MUTANTS = (
    "same: same result as the gold on this data; open: not to be judged; execution: % of the rest that it kills; "
    "parts: % of the killed that each scores below the gold on its own"
)
_CONTROLS = ("completion", "mean score", "gold scores higher %", "not scored")
_SPREADS = ("reward", "queries", "mean spread", "largest spread")


def _print(assay: Assay, config: Text2SqlConfig) -> None:
    from common.ui import table, warn

    table(f"Controls, {config.reward.recipe}", _CONTROLS, _control_rows(assay))
    headers, rows = _operator_rows(assay, _percent)
    table("Mutants of the gold that are told from it", headers, rows, _MUTANTS)
    if assay.spreads:
        table("The same query asked in several languages", _SPREADS, _spread_rows(assay))
    for flag in assay.flags:
        warn(flag)


def _report(assay: Assay, config: Text2SqlConfig, examples: Sequence[Example]) -> Any:
    from common.report import Report, bars

    recipe, general = config.reward.recipe, assay.general
    report = Report(
        f"Audit of the reward {recipe!r}", f"{general.rows} questions, {general.latency.mean * 1000:.2f} ms a row"
    )
    for flag in assay.flags:
        report.alarm(flag)
    if not assay.flags:
        report.text("Nothing was found that speaks against training with this reward.")
    report.section("Controls").text(
        "Completions that a lazy, a broken or a hostile policy would write. Each must score below the gold."
    )
    names = ["gold", *(one.name.replace("_", "\n") for one in general.controls)]
    means = [general.reference, *(one.mean for one in general.controls)]
    report.figure(bars(names, {"mean score": means}, "score")).table(_CONTROLS, _control_rows(assay))
    headers, rows = _operator_rows(assay, _percent_interval)
    operators = assay.strengths
    killed = {"execution": [one.execution for one in operators]}
    killed |= {name: [one.parts[name] for one in operators] for name in operators[-1].parts if name != "execution"}
    report.section("Mutants").text("The gold with one change. One with the same result may mean the same.")
    report.figure(bars([one.operator for one in operators], killed, "killed, %", 100)).table(headers, rows, _MUTANTS)
    if assay.spreads:
        report.section("Languages").text("One query, asked in several languages, must score alike.")
        languages = sorted({language for one in assay.spreads.values() for language in one.by_language})
        shown = {name: [one.by_language[language] for language in languages] for name, one in assay.spreads.items()}
        report.figure(bars(languages, shown, "mean score")).table(_SPREADS, _spread_rows(assay))
    report.section("Length and cost")
    report.facts(
        {
            "rank correlation of score and length": general.length.slope.text(1, 2),
            "references that gain by padding": general.length.gaining.text(100, 0) + " %",
            "greatest change when scored again": general.repeatability,
            "references that could not be scored": f"{general.failed:.0%}",
            "questions": len(examples),
            "encoder": config.reward.encoder,
            "comparison": config.reward.preset,
        }
    )
    return report
