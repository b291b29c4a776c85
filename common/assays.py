"""What an audit across applications tells of one reward: the same tests, whatever the domain.

Each application has a room `overview`: `NAMES`, its rewards; `ROWS`, how many rows they are assayed on by default;
`COLUMNS`, what a reward of somebody else finds there under usual names; `KEY`, the column that every row has; and
`assays(request)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from common.errors import DataError
from common.stats import Interval

if TYPE_CHECKING:
    from common.rewards.audit import AuditReport
    from common.rewards.base import Reward

#: An operator that was tried less often is not called the worst.
FEW = 5
NONE = Interval(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True)
class Assay:
    """What was found of one reward. An `Interval` with n = 0 is a test that says nothing here.

    Attributes:
        name: of the reward.
        rows: reference rows.
        facts: by operator, the share of references with one fact changed that score lower.
        killed: all of them together.
        controls: by name, the share of rows whose reference scores above what a lazy or hostile policy would write.
        beaten: all of them together.
        collapse: share of the rows for which right and wrong score alike, within 5 % of the reward's range.
        agreement: of the pairs of a right and a wrong one by the exact truth, the share that is ordered rightly; a
            tie counts half.
        length: rank correlation of score and length.
        padding: share of the references that score higher once padded.
        milliseconds: a row.
        flags: what to look into before training.
    """

    name: str
    rows: int
    facts: Mapping[str, Interval]
    killed: Interval
    controls: Mapping[str, Interval]
    beaten: Interval
    collapse: Interval
    agreement: Interval
    length: Interval
    padding: Interval
    milliseconds: float
    flags: Sequence[str]

    @property
    def tests(self) -> dict[str, Interval]:
        """Shares in [0, 1] by test, 1 for a reward that passes."""
        return {
            "facts": self.killed,
            "worst fact": worst(self.facts),
            "controls": self.beaten,
            "worst control": worst(self.controls),
            "tells apart": _less(self.collapse),
            "truth": self.agreement,
            "no length": _less(_size(self.length)),
            "no padding": _less(self.padding),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a file; NaN and infinity are None."""
        values: dict[str, Any] = {entry.name: _plain(getattr(self, entry.name)) for entry in fields(self)}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Assay:
        """What `to_dict` wrote.

        Raises:
            DataError: it is something else.
        """
        try:
            found: dict[str, Any] = {entry.name: values[entry.name] for entry in fields(cls)}
            for key in ("facts", "controls"):
                found[key] = {name: Interval.from_dict(one) for name, one in found[key].items()}
            for key in ("killed", "beaten", "collapse", "agreement", "length", "padding"):
                found[key] = Interval.from_dict(found[key])
            cost = found["milliseconds"]
            return cls(**{**found, "milliseconds": math.nan if cost is None else float(cost)})
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"no assay of a reward ({error!r})") from error


@dataclass(frozen=True)
class Request:
    """What an application is asked for.

    Attributes:
        names: of its own rewards.
        rows: reference rows, as its `audit` counts them.
        seed: of what is drawn.
        own: rewards that are not the suite's, by name; assayed on the same rows.
        style: of completions, for these; the application's plainest where empty.
        quiet: no progress bar.
    """

    names: Sequence[str] = ()
    rows: int = 20
    seed: int = 0
    own: Mapping[str, Reward] = field(default_factory=dict)
    style: str = ""
    quiet: bool = False


@dataclass
class Overview:
    """What an application's room hands back.

    Attributes:
        assays: one a reward.
        notes: what was left out, and why.
    """

    assays: list[Assay] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


TESTS = {
    "facts": "references with one fact changed that score lower",
    "worst fact": "the same of the operator that is seen least",
    "controls": "rows whose reference scores above empty, copied, boilerplate, hacked and others' answers",
    "worst control": "the same of the control that fools it most",
    "tells apart": "rows whose right and wrong answers do not score alike (1 − collapse index)",
    "truth": "pairs of right and wrong by the exact truth that it orders rightly; a tie counts half",
    "no length": "1 − |rank correlation of score and length|",
    "no padding": "references that do not gain by padding",
}


def of_report(name: str, report: AuditReport) -> Assay:
    """The assay in the report of `common.rewards.audit`, where nothing of the domain is better known."""
    return Assay(
        name,
        report.rows,
        {one.operator: one.killed for one in report.mutations},
        report.killed or NONE,
        {one.name: one.beaten for one in report.controls},
        pooled(one.beaten for one in report.controls),
        report.apart.collapse if report.apart is not None else NONE,
        report.agreement.pairwise if report.agreement is not None else NONE,
        report.length.slope,
        report.length.gaining,
        1e3 * report.latency.mean,
        report.flags,
    )


def worst(several: Mapping[str, Interval]) -> Interval:
    """The least of those that were tried at least `FEW` times; of all where none was."""
    known = [one for one in several.values() if one.n and not math.isnan(one.mean)]
    often = [one for one in known if one.n >= FEW]
    return min(often or known, key=lambda one: one.mean, default=NONE)


def pooled(several: Iterable[Interval]) -> Interval:
    """All of several shares together, each counted as often as it was tried.

    The interval is Wilson's for as many tries as the largest of them has: what was tried on one row several times is
    not independent.
    """
    from common.stats import wilson

    known = [one for one in several if one.n and not math.isnan(one.mean)]
    if not known:
        return NONE
    tried, most = sum(one.n for one in known), max(one.n for one in known)
    share = sum(one.mean * one.n for one in known) / tried
    around = wilson(round(share * most), most)
    return Interval(share, min(share, around.low), max(share, around.high), tried)


def _less(value: Interval) -> Interval:
    """1 − value."""
    return Interval(1 - value.mean, 1 - value.high, 1 - value.low, value.n, value.level)


def _size(value: Interval) -> Interval:
    """|value|."""
    if math.isnan(value.mean):
        return value
    low = 0.0 if value.low <= 0 <= value.high else min(abs(value.low), abs(value.high))
    return Interval(abs(value.mean), low, max(abs(value.low), abs(value.high)), value.n, value.level)


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return {key: _plain(one) for key, one in asdict(value).items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def in_turn(rewards: Mapping[str, Reward], bar: Callable[[float, str], None]) -> Iterator[tuple[str, Reward]]:
    """Rewards one after the other, while a progress bar follows."""
    for number, (name, reward) in enumerate(rewards.items()):
        bar(number, name)
        yield name, reward
    bar(len(rewards), "")
