"""What an audit of answer rewards looks like: tables in the terminal, and a report with the pictures of kill rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from apps.medvqa.auditing.assay import MARGIN
from apps.medvqa.auditing.mutations import FACTS
from common.heat_map import Line, heat_map
from common.rewards.audit.report import add_flags, percent, percent_interval
from common.stats import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from apps.medvqa.auditing.assay import Cell
    from apps.medvqa.auditing.result import AnswerAudit, RewardAssay
    from apps.medvqa.config import MedVqaConfig
    from common.report import Report

_OVERVIEW = (
    *("reward", "facts killed %", "hacks beaten %", "reworded kept %", "right > wrong"),
    *("alike %", "truth %", "ms/row"),
)
_OVERVIEW_NOTE = (
    f"Killed, beaten: scores {MARGIN:.0%} of the range or more below the right answer; kept: right answers said "
    "otherwise that stay within that; right > wrong: chance that a right answer of any question scores above a wrong "
    "one of any; alike: questions whose right answer and mutants all score within 5 % of the range; truth: pairs of a "
    "right and a wrong answer to one phantom question that are ordered rightly."
)
_HOW = (
    f"A mutant is *killed* where it scores at least {MARGIN:.0%} of the reward's range below the right answer to its "
    "own question. Figures are percent of the questions to which an operator applies, with 95 % Wilson intervals; n "
    "is their number. *All together* counts every mutant and resamples whole questions."
)
#: Cards of what the configured reward did not tell apart.
SURVIVORS = 12
_NONE = Interval(math.nan, math.nan, math.nan, 0)

Digits = Callable[[Interval], str]
Cells = Callable[["RewardAssay"], Mapping[str, "Cell"]]


def print_audit(found: AnswerAudit) -> None:
    """Tables for the terminal, then what to look into."""
    from common.ui import say, table, warn

    title = f"Rewards on {len(found.subjects)} questions; configured: {found.configured}"
    table(title, _OVERVIEW, _overview(found, percent), _OVERVIEW_NOTE)
    for name, cells, whole in _blocks():
        rows = _rows(found, cells, whole, lambda cell: percent(cell.passed))
        table(f"{name.capitalize()}, %", ["", "n", *found.rewards], rows)
    for note in found.notes:
        say(note)
    for flag in found.rewards[found.configured].flags:
        warn(flag)


def write_report(found: AnswerAudit, config: MedVqaConfig) -> Report:
    """The page: overview, the three pictures, what was not told apart, truth, cost and settings."""
    from common.report import Report

    report = Report(f"Audit of the answer reward {found.configured!r}", _subtitle(found, config))
    own = found.rewards[found.configured]
    add_flags(report, own.flags)
    report.section("Overview").table(_OVERVIEW, _overview(found, percent_interval)).text(_OVERVIEW_NOTE)
    report.text("\n".join(f"- {note}" for note in found.notes))
    report.section("Wrong facts").text(f"The right answer with one fact changed. {_HOW}")
    report.figure(kill_map(found), "Mutants killed, %")
    _drops(report, found, lambda one: one.facts)
    report.section("Hacks").text(
        "What a lazy or a hostile policy writes. Each must score far below the right answer, by the same margin."
    )
    report.figure(heat_map(_lines(found, 1), list(found.rewards), found.configured), "Hacks beaten, %")
    _drops(report, found, lambda one: one.hacks)
    report.section("Right answers said otherwise").text(
        "The same meaning in other words or another form, and a right answer with an instruction to the grader. Here "
        "blue is good too: the share of right answers whose score stays within the margin. Synonyms and abbreviations "
        "come in part from the scorer's own tables; of the scorer they are no independent test."
    )
    report.figure(heat_map(_lines(found, 2), list(found.rewards), found.configured), "Scores kept, %")
    _survivors(report, found)
    _truth(report, found)
    _cost(report, found)
    report.section("Settings").facts(
        {
            "questions": f"{len(found.subjects)} of {config.train.format} {config.train.path}".strip(),
            "split": config.train.split or "(default)",
            "drawn": "so that every operator gets its share",
            "margin": MARGIN,
            "form": config.reward.style,
            "encoder": config.reward.semantic.encoder,
            "re-scaler": config.reward.semantic.rescaler,
            "seed": config.seed,
        }
    )
    return report


def kill_map(found: AnswerAudit, title: str = "") -> Figure:
    """Kill rates, rewards across and mutations down, and below them what a kill rate alone does not tell.

    A reward that calls everything wrong kills every mutant: it shows in the right answers that lose their score.
    """
    whole = [
        Line("all together", name, [pooled(one) for one in found.rewards.values()]) for name, _, pooled in _blocks()
    ]
    return heat_map([*_lines(found, 0)[:-1], *whole], list(found.rewards), found.configured, title)


def kill_title(found: AnswerAudit, config: MedVqaConfig) -> str:
    """What the picture shows, for a picture that stands alone."""
    return (
        f"Wrong answers that score {MARGIN:.0%} of the range or more below the right one, % (95 % interval); "
        f"{_subtitle(found, config)}"
    )


def _subtitle(found: AnswerAudit, config: MedVqaConfig) -> str:
    text = f"{len(found.subjects)} questions of {config.train.format}, compared with {len(found.rewards) - 1} rewards"
    if config.train.format != "pocket":
        return text
    from apps.medvqa.pocket import LABEL

    return f"{text}; {LABEL}"


def _blocks() -> tuple[tuple[str, Cells, Callable[[RewardAssay], Interval]], ...]:
    return (
        ("wrong facts killed", lambda one: one.facts, lambda one: one.killed),
        ("hacks beaten", lambda one: one.hacks, lambda one: one.beaten),
        ("reworded: score kept", lambda one: one.rewordings, lambda one: one.kept),
    )


def _lines(found: AnswerAudit, block: int) -> list[Line]:
    _, cells, whole = _blocks()[block]
    several = [cells(one) for one in found.rewards.values()]
    lines = [
        Line(
            FACTS[name].breaks if name in FACTS else "",
            name,
            [one[name].passed if name in one else _NONE for one in several],
        )
        for name in several[0]
    ]
    return [*lines, Line(" ", "all together", [whole(one) for one in found.rewards.values()])]


def _overview(found: AnswerAudit, digits: Digits) -> list[list[Any]]:
    return [
        [
            name,
            digits(one.killed),
            digits(one.beaten),
            digits(one.kept),
            round(one.separation.mean, 3),
            digits(one.spread.collapse),
            "–" if one.agreement is None else digits(one.agreement.pairwise),
            round(one.cost.mean * 1e3, 3),
        ]
        for name, one in found.rewards.items()
    ]


def _rows(
    found: AnswerAudit, cells: Cells, whole: Callable[[RewardAssay], Interval] | None, show: Callable[[Cell], str]
) -> list[list[Any]]:
    several = [cells(one) for one in found.rewards.values()]
    rows: list[list[Any]] = [
        [name, len_of(several[0][name]), *(show(one[name]) if name in one else "–" for one in several)]
        for name in several[0]
    ]
    if whole is not None:
        total = sum(len_of(one) for one in several[0].values())
        rows.append(["all together", total, *(percent(whole(one)) for one in found.rewards.values())])
    return rows


def len_of(cell: Cell) -> int:
    """Rows to which an operator applies, whether they could be scored or not."""
    return cell.passed.n + cell.failed


def _drops(report: Report, found: AnswerAudit, cells: Cells) -> None:
    """By how much, and whether at all: what the margin hides."""

    def show(cell: Cell) -> str:
        return "–" if math.isnan(cell.drop.mean) else f"{cell.drop.mean:.2f} ({cell.lower.mean * 100:.0f})"

    report.table(
        ["", "n", *found.rewards],
        _rows(found, cells, None, show),
        "mean loss of score, as a share of the range, and in brackets the percentage that score lower at all",
    )


def _survivors(report: Report, found: AnswerAudit) -> None:
    """Wrong answers that the configured reward did not tell from the right one, and right ones that it did."""
    own, those = found.rewards[found.configured], found.subjects
    cards = []
    for name, cell in {**own.facts, **own.hacks, **own.rewordings}.items():
        for row, text, drop in cell.missed[:2]:
            right = name in own.rewordings
            cards.append(
                {
                    "question": those.examples[row].question,
                    "right answer": those.told[row].answer,
                    "right too" if right else "wrong": text,
                    "by": name,
                    "loss of score": f"{drop:+.2f} of the range",
                }
            )
    report.section("Not told apart")
    if not cards:
        report.text("Every wrong answer scores far below the right one, and every right one near it.")
        return
    report.text(
        f"What the configured reward {found.configured!r} gets wrong: wrong answers that score near the right one, "
        "and right answers that do not. At most two of each kind."
    )
    report.samples(_spread(cards, SURVIVORS))


def _spread(cards: Sequence[dict[str, str]], most: int) -> list[dict[str, str]]:
    """The first card of every kind before the second of any."""
    seen: dict[str, int] = {}
    order = []
    for place, card in enumerate(cards):
        seen[card["by"]] = seen.get(card["by"], 0) + 1
        order.append((seen[card["by"]], place))
    return [cards[place] for _, place in sorted(order)[:most]]


def _truth(report: Report, found: AnswerAudit) -> None:
    if all(one.agreement is None for one in found.rewards.values()):
        return
    rows = [
        [name, one.agreement.pairwise, one.agreement.auc, one.agreement.right, one.agreement.auc.n]
        for name, one in found.rewards.items()
        if one.agreement is not None
    ]
    report.section("Against the exact truth").text(
        "Phantoms are drawn from known facts, so it is known of every answer whether it is right. Reworded answers "
        "whose words the truth does not know are left out."
    )
    report.table(
        ("reward", "pairs of one question ordered rightly", "right above wrong, all questions", "right", "answers"),
        rows,
    )


def _cost(report: Report, found: AnswerAudit) -> None:
    report.section("Length and cost").table(
        ("reward", "length", "gain by padding %", "right > other row's", "right answer", "ms a row", "ms, p95"),
        [
            [
                name,
                one.slope,
                one.general.length.gaining.text(100, 0),
                round(one.shuffle, 3),
                one.general.reference,
                one.cost.mean * 1e3,
                one.cost.p95 * 1e3,
            ]
            for name, one in found.rewards.items()
        ],
    )
    report.text(
        "Length: rank correlation of score and words among right wordings of one answer. Right > other row's: chance "
        "that a right answer scores above what is right for another picture. Right answer: its mean score. Cost: of "
        "everything above, remembered texts included."
    )
