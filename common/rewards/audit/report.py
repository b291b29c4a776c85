"""What an audit found, and what of it should be looked into."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import ui
from common.files import write_json
from common.rewards.audit import measures as measure
from common.stats import Interval

if TYPE_CHECKING:
    from common.report import Report


@dataclass(frozen=True)
class AuditReport:
    """What the audit found; `to_json` for files, `scores` for plots, `flags` for people.

    Attributes:
        reward: its name.
        bounds: its bounds.
        rows: reference rows.
        reference: mean score of the references.
        failed: share of the references that could not be scored.
        controls: by falling mean.
        shuffle_auc: chance that a reference scores above another row's reference.
        band: 5th percentile of other rows' references and 95th of the own ones: the `low` and `high` of `Rescale`.
        mutations: by operator.
        killed: all mutants together; None without mutants.
        spread: of the samples; None without samples.
        length: effect of length and padding.
        copy_rate: share of samples that copy the prompt; None without samples or prompts.
        agreement: with the metric; None without one.
        balance: of a weighted sum's parts; None for another reward.
        repeatability: greatest change when references, and other rows' references, are scored again; three times in
            all where the second time differs.
        reliability: Krippendorff's alpha of these repetitions, 1 where they agree; NaN where all scores are the same.
        latency: seconds a row.
        scores: every completion's score, by what it is: `reference`, `sample`, each control, `mutant:<operator>`.
        flags: what should be looked into before training, in words.
        apart: of each reference and its mutants: a flat group is a row whose right and wrong completions score alike;
            None without mutants.
    """

    reward: str
    bounds: tuple[float, float]
    rows: int
    reference: Interval
    failed: float
    controls: tuple[measure.Control, ...]
    shuffle_auc: float
    band: tuple[float, float]
    mutations: tuple[measure.MutationResult, ...]
    killed: Interval | None
    spread: measure.Spread | None
    length: measure.LengthEffect
    copy_rate: float | None
    agreement: measure.Agreement | None
    balance: measure.Balance | None
    repeatability: float
    reliability: float
    latency: measure.Latency
    scores: Mapping[str, tuple[float, ...]]
    flags: tuple[str, ...] = ()
    apart: measure.Spread | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, NaN as None."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain


def flags(report: AuditReport) -> list[str]:
    """What a report shows that should be looked into before training."""
    return [*_control_flags(report), *_sample_flags(report), *_other_flags(report)]


def _control_flags(report: AuditReport) -> list[str]:
    found = []
    for one in report.controls:
        if one.beaten.n and one.beaten.mean < 0.9:
            found.append(
                f"{one.name}: the reference scores higher in {one.beaten.mean:.0%} of the rows only "
                f"(mean {one.mean.mean:.2f} against {report.reference.mean:.2f}, equal in {one.equal:.0%})"
            )
    if report.shuffle_auc < 0.9:
        found.append(f"shuffle AUC {report.shuffle_auc:.2f} is below 0.9: other rows' references pass for the own one")
    found += [
        f"mutation {one.operator}: {1 - one.killed.mean:.0%} of {one.killed.n} score no lower than their reference"
        for one in report.mutations
        if one.killed.n and one.killed.mean < 0.9
    ]
    return found


def _sample_flags(report: AuditReport) -> list[str]:
    found = []
    if report.spread is not None and report.spread.collapse.mean > 0.5:
        found.append(f"{report.spread.collapse.mean:.0%} of the groups are flat: nothing to learn from in them")
    if "sample" in report.scores:
        sample = _mean(report.scores["sample"])
        above = [one.name for one in report.controls if one.mean.mean > sample]
        if above:
            found.append(f"samples score {sample:.2f} on average, below {', '.join(above)}")
        if sample > report.reference.mean:
            found.append(f"samples score {sample:.2f} on average, above the references ({report.reference.mean:.2f})")
    if report.copy_rate is not None and report.copy_rate > 0.1:
        found.append(f"{report.copy_rate:.0%} of the samples copy their prompt")
    if report.agreement is not None and report.agreement.pairwise.mean < 0.7:
        found.append(f"reward and metric order only {report.agreement.pairwise.mean:.0%} of the pairs alike")
    return found


def _other_flags(report: AuditReport) -> list[str]:
    found = []
    span = report.bounds[1] - report.bounds[0]
    if report.failed > 0:
        found.append(f"{report.failed:.0%} of the references could not be scored")
    if report.length.gaining.n and report.length.gaining.mean > 0.05:
        found.append(f"padding raises the score of {report.length.gaining.mean:.0%} of the references")
    slope = report.length.slope.mean if math.isnan(report.length.partial) else report.length.partial
    if abs(slope) > 0.5:
        found.append(f"score and length correlate by {slope:.2f}: length pays, or brevity does")
    if report.balance is not None:
        found += [
            f"{one} makes {share:.0%} of the variance" for one, share in report.balance.shares.items() if share > 0.9
        ]
        found += [
            f"{one} and {two} are redundant (rank correlation {rho:.2f})"
            for one, two, rho in report.balance.correlations
            if abs(rho) > 0.95
        ]
    if report.repeatability > measure.TIE * span:
        found.append(
            f"the same rows score up to {report.repeatability:.3g} apart when scored again "
            f"(Krippendorff's alpha {report.reliability:.2f})"
        )
    return found


def _mean(scores: Sequence[float]) -> float:
    known = [score for score in scores if not math.isnan(score)]
    return sum(known) / len(known) if known else math.nan


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def hand_over(
    content: Mapping[str, Any],
    report: Report,
    folder: Path,
    show: Callable[[], None],
    json_output: bool,
    note: str = "",
) -> int:
    """What an `audit` verb ends with; the exit code.

    Args:
        content: plain values, for `audit.json`.
        report: saved as `report.html`.
        folder: of both.
        show: prints the tables.
        json_output: print the content as JSON instead.
        note: said behind the report's place.
    """
    write_json(folder / "audit.json", content)
    report.save(folder / "report.html")
    if json_output:
        ui.print_json(content)
    else:
        show()
        ui.say(f"report: {folder / 'report.html'}{note}")
    return 0


def add_flags(report: Report, flags: Sequence[str]) -> None:
    """What to look into before training, at the head of an audit's page."""
    for flag in flags:
        report.alarm(flag)
    if not flags:
        report.text("Nothing was found that speaks against training with this reward.")


def folded(name: str) -> str:
    """A name in several lines, for the axis of a plot."""
    return name.replace("_", "\n").replace(" ", "\n")


def percent(value: Interval) -> str:
    """A share in %, without its interval; a dash where there is none."""
    return "–" if math.isnan(value.mean) else f"{value.mean * 100:.0f}"


def percent_interval(value: Interval) -> str:
    """A share in % with its interval."""
    return value.text(100, 0)
