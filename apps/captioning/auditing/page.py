"""What an audit of caption rewards looks like: tables in the terminal, and a report with figures and pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from common.rewards.audit.report import add_flags, folded, percent, percent_interval
from common.stats import Interval

if TYPE_CHECKING:
    from apps.captioning.auditing.result import CaptionAudit
    from apps.captioning.config import CaptioningConfig
    from common.report import Report

_OVERVIEW = (
    "reward",
    "mutants killed %",
    "hacks beaten %",
    "shuffle AUC",
    "right order %",
    "length",
    "batch",
    "ms/caption",
)
_OVERVIEW_NOTE = (
    "right order: of right and wrong captions of one pocket scene; length: rank correlation of score and words among "
    "true captions of one picture; batch: greatest change of a score with the rows beside it"
)
_KILLS_NOTE = "% of the true captions that score higher than what was made of them, with 95 % Wilson intervals"
SURVIVORS = 8

Digits = Callable[[Interval], str]


def print_audit(found: CaptionAudit) -> None:
    """Tables for the terminal, then what to look into."""
    from common.ui import say, table, warn

    title = f"Rewards on {len(found.subjects)} pictures; configured: {found.configured}"
    table(title, _OVERVIEW, _overview(found, percent), _OVERVIEW_NOTE)
    headers, rows = _kills(found, percent)
    table("True caption scores higher than …", headers, rows, _KILLS_NOTE)
    for note in found.notes:
        say(note)
    for flag in found.rewards[found.configured].flags:
        warn(flag)


def write_report(found: CaptionAudit, config: CaptioningConfig) -> Report:
    """The page: overview, mutants, controls, length, pictures of what was not told apart, cost."""
    from common.report import Report, bars

    assay = found.rewards[found.configured]
    report = Report(
        f"Audit of the caption reward {found.configured!r}",
        f"{len(found.subjects)} pictures of {config.heldout.format}, CLIP {config.clip.name}",
    )
    add_flags(report, assay.flags)
    report.section("Overview").table(_OVERVIEW, _overview(found, percent_interval), _OVERVIEW_NOTE)
    report.text("\n".join(f"- {note}" for note in found.notes[:20]))
    report.section("Mutants and hacks").text(
        "The true caption with something changed, and captions that a policy falls into where a grader is weak. Each "
        "must score lower than the true caption, by more than a ten-thousandth of the reward's range."
    )
    headers, rows = _kills(found, percent_interval)
    for names in _split(found):
        series = {
            reward: [one.kills[name].killed if name in one.kills else _NONE for name in names]
            for reward, one in found.rewards.items()
        }
        report.figure(bars([folded(name) for name in names], series, "true caption higher, %", 100))
    report.table(headers, rows, _KILLS_NOTE)
    _controls(report, found)
    _length(report, found)
    _survivors(report, found)
    report.section("Batches and cost").table(
        ("reward", "greatest change", "scored again", "not scored", "ms a caption", "ms, 95th percentile"),
        [
            [name, one.batch, one.general.repeatability, one.general.failed, one.cost.mean * 1e3, one.cost.p95 * 1e3]
            for name, one in found.rewards.items()
        ],
        "greatest change of a score in another order, in batches of 7, and alone; cost without the picture's feature",
    )
    report.facts(
        {
            "pictures": len(found.subjects),
            "corpus": f"{config.corpus.format} {config.corpus.path or config.corpus.split}".strip(),
            "attention's temperature": config.reward.temperature,
            "discriminator": config.discriminator.path,
            "seed": config.seed,
        }
    )
    return report


def _overview(found: CaptionAudit, digits: Digits) -> list[list[Any]]:
    return [
        [
            name,
            digits(one.facts),
            digits(one.hacks),
            round(one.general.shuffle_auc, 3),
            "–" if one.agreement is None else digits(one.agreement.pairwise),
            one.slope.text(1, 2),
            f"{one.batch:.1e}",
            round(one.cost.mean * 1e3, 3),
        ]
        for name, one in found.rewards.items()
    ]


def _names(found: CaptionAudit) -> list[str]:
    return list(dict.fromkeys(name for one in found.rewards.values() for name in one.kills))


def _split(found: CaptionAudit) -> list[list[str]]:
    """Mutations, and hacks: a figure each."""
    facts = {one.operator for reward in found.rewards.values() for one in reward.general.mutations}
    names = _names(found)
    groups = [[name for name in names if name in facts], [name for name in names if name not in facts]]
    return [group for group in groups if group]


def _kills(found: CaptionAudit, digits: Digits) -> tuple[list[str], list[list[Any]]]:
    rows = []
    for name in _names(found):
        results = [one.kills.get(name) for one in found.rewards.values()]
        tried = max(one.killed.n + one.failed for one in results if one is not None)
        rows.append([name, tried, *("–" if one is None else digits(one.killed) for one in results)])
    return ["", "tried", *found.rewards], rows


def _controls(report: Report, found: CaptionAudit) -> None:
    """Where each control stands between another picture's caption (0) and the true one (1)."""
    from common.report import bars

    report.section("Order of the controls").text(
        "Mean scores, as a share of the way from another picture's caption (0) to the true caption (1). What stands "
        "above 1 pays more than the truth; what stands above 0 pays more than a guess. An empty caption gets the "
        "lower bound, which is off this scale."
    )
    names = [name for name in _split(found)[-1] if name != "other_reference"]
    series: dict[str, list[Interval | float]] = {}
    table: list[list[Any]] = [["true caption"], *([name] for name in [*names, "other_reference"])]
    for reward, one in found.rewards.items():
        means = {control.name: control.mean for control in one.general.controls}
        low = means["other_reference"].mean if "other_reference" in means else math.nan
        way = one.general.reference.mean - low
        series[reward] = [_scaled(means[name], low, way) for name in names if name != "empty"]
        for row, value in zip(
            table,
            [one.general.reference, *(means.get(name, _NONE) for name in [*names, "other_reference"])],
            strict=True,
        ):
            row.append(value)
    shown = [folded(name) for name in names if name != "empty"]
    report.figure(bars(shown, series, "0: another's caption, 1: the true one"))
    report.table(["mean score", *found.rewards], table)


def _length(report: Report, found: CaptionAudit) -> None:
    from common.plots import lines

    report.section("Length").text(
        "Words that say nothing, put after the true caption until it is far longer than CLIP reads: mean change of "
        "the score, as a share of the way from another picture's caption to the true one."
    )
    curves = {}
    for name, one in found.rewards.items():
        means = {control.name: control.mean.mean for control in one.general.controls}
        way = one.general.reference.mean - means.get("other_reference", math.nan)
        if way > 0:
            points = [(0.0, 0.0), *((float(words), change.mean / way) for words, change in one.padding.items())]
            curves[name] = [points]
    if curves:
        report.figure(lines(curves, "words of filler", "change of the score"))
    words = list(next(iter(found.rewards.values())).padding)
    report.table(
        ["reward", "length", "gain said twice %", *(f"+{number} words" for number in words)],
        [
            [name, one.slope, one.general.length.gaining.text(100, 0), *(one.padding[number] for number in words)]
            for name, one in found.rewards.items()
        ],
        "length: rank correlation of score and words among true captions of one picture; +: mean change of the score",
    )


def _survivors(report: Report, found: CaptionAudit) -> None:
    """Pictures with mutants that the configured reward did not tell from the true caption."""
    assay, those = found.rewards[found.configured], found.subjects
    cards = [
        {
            "picture": those.examples[row].picture(),
            "true caption": those.told[row].caption,
            "not told from it": text,
            "mutation": name,
        }
        for name, one in assay.kills.items()
        for row, text in one.survivors[:1]
        if name in {result.operator for result in assay.general.mutations}
    ][:SURVIVORS]
    if cards:
        report.section("Not told apart").text("One mutant of each kind that scores no lower than the true caption.")
        report.samples(cards)


_NONE = Interval(math.nan, math.nan, math.nan, 0)


def _scaled(value: Interval, low: float, way: float) -> Interval:
    # A reward that prefers other pictures' captions has no such scale.
    if not way > 0:
        return _NONE
    return Interval((value.mean - low) / way, (value.low - low) / way, (value.high - low) / way, value.n)
