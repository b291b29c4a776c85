"""Shows what was measured of scenes: tables in the terminal, a page with plots and pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.measures.assets import Asset, Assets
from apps.text3d.measures.elo import MEAN
from apps.text3d.measures.results import Figure, Measurement, paired_tests
from apps.text3d.measures.tournament import Standing
from common import ui
from common.stats import Interval, PairedTest

if TYPE_CHECKING:
    from PIL.Image import Image

    from common.report import Report

#: Names for people; what is not here is shown as it is.
NAMES = {
    **{f"geometry.{name}": f"{name}s right (geometry)" for name in ("object", "colour", "count", "relation")},
    "geometry.correct": "all right (geometry)",
    **{"clip.mean": "CLIP cosine, mean over views", "clip.max": "CLIP cosine, best view"},
    **{"clip.front": "CLIP cosine, prompt's viewpoint", "clip.back_front": "front seen from behind, p"},
    **{"clip.fronts": "quarters that show a front", "views.surface": "neighbouring views agree on surfaces"},
    **{"views.colour": "neighbouring views agree on colours"},
    **{"questions.prompt": "VLM: shows the prompt", "questions.contrast": "VLM: shows another prompt, to be denied"},
    **{f"questions.{name}": f"VLM: {name} questions right" for name in ("object", "colour", "count", "relation")},
    **{"questions.consistency": "VLM: views agree, one front", "questions.balanced": "VLM: balanced accuracy"},
    **{"marks.quality": "judge: quality, 1–5", "marks.alignment": "judge: alignment, 1–5"},
    **{"marks.t3bench": "judge: 20 × mean of both", "got.picture": "judge: picture (GoT-R1)"},
    **{"got.layout": "judge: layout by boxes (GoT-R1)", "clip": "CLIP", "questions": "VLM questions"},
    **{"views": "agreement of views", "marks": "T3Bench's marks", "got": "GoT-R1's scores"},
}
#: Shares of the bar chart: all lie in [0, 1] and more is better.
_SHARES = ("geometry.", "questions.", "views.", "clip.r@", "got.")
_HEADERS = ("measure", "[95 % interval]", "n", "note")
_TEST_HEADERS = ("measure", "difference [95 % interval]", "p", "higher here", "higher there", "prompts")
_SHOWN, _VIEWS = 24, 4


def tests_of(other: Measurement, own: Measurement) -> dict[str, PairedTest]:
    """`paired_tests`: this method minus the other."""
    return paired_tests(other, own)


def print_tables(own: Measurement, others: Sequence[Measurement], standing: Standing | None) -> None:
    """Print every figure with its interval, why the others are absent, the paired tests and the ratings."""
    ui.table(f"{own.name}: {_counted(own)}", _HEADERS, [_row(figure) for figure in _taken(own)])
    lacking = _lacking(own)
    if lacking:
        ui.table("Not measured", ("measure", "why"), lacking)
    for other in others:
        ui.table(f"{own.name} against {other.name}, on the prompts both have", _TEST_HEADERS, _tests(other, own))
    if standing is not None:
        for title, headers, rows, remark in _standings(standing):
            ui.table(title, headers, rows, remark)
    for alarm in own.alarms:
        ui.warn(alarm)


def write_report(
    path: Path, own: Measurement, others: Sequence[Measurement], standing: Standing | None, assets: Assets
) -> Path:
    """Write the page: figures with plots, what is absent, paired tests, ratings, and pictures beside their prompts.

    Args:
        path: of the HTML file.
        own: what the page is about.
        others: what it is compared with.
        standing: the judge's comparisons.
        assets: the scenes of `own`, for the pictures.
    """
    from common.report import Report, bars

    report = Report("Scenes measured", f"{own.name}, {_counted(own)}")
    for alarm in own.alarms:
        report.alarm(alarm)
    report.section("Figures").table(_HEADERS, [_row(figure) for figure in _taken(own)], "Intervals are over prompts.")
    shares = [figure for figure in _taken(own) if figure.name.startswith(_SHARES)]
    if shares:
        series: dict[str, Any] = {}
        for one in (*others, own):
            found = [one.figure(figure.name) for figure in shares]
            series[one.name] = [math.nan if each is None or each.value is None else each.value for each in found]
        report.figure(bars([figure.name.replace(".", "\n", 1) for figure in shares], series), "Shares, 1 is best.")
    lacking = _lacking(own)
    if lacking:
        report.section("Not measured").table(("measure", "why"), lacking)
    for other in others:
        report.section(f"Against {other.name}").table(
            _TEST_HEADERS, _tests(other, own), f"{own.name} minus {other.name}, on the prompts both have."
        )
    if standing is not None:
        _compared(report, standing)
    _pictures(report, own, assets)
    report.section("Settings").facts(own.settings)
    return report.save(path)


def _compared(report: Report, standing: Standing) -> None:
    from common.report import bars

    report.section("Pairwise comparisons")
    # The method that the page is about stands last, where `bars` gives it the accent.
    series = {
        method: [_above(outcome.ratings[method].elo) for outcome in standing.outcomes.values()]
        for method in reversed(standing.methods)
    }
    report.figure(
        bars(list(standing.outcomes), series, "Elo − 1000"), f"By {standing.judge}; the methods' mean is 1000."
    )
    for title, headers, rows, remark in _standings(standing):
        report.table(headers, rows, f"{title}. {remark}")


def _above(elo: Interval) -> Interval:
    return replace(elo, mean=elo.mean - MEAN, low=elo.low - MEAN, high=elo.high - MEAN)


def _standings(standing: Standing) -> Iterator[tuple[str, Sequence[str], list[list[Any]], str]]:
    """Title, headers, rows and remark of the ratings, then of what came of the questions."""
    rows = [
        [method, name, one.elo.text(digits=0), one.elo.n, one.wins, one.ties, one.losses]
        for method in standing.methods
        for name, outcome in standing.outcomes.items()
        for one in (outcome.ratings[method],)
    ]
    begun, ended = (date[:10] for date in standing.dates)
    when = begun if begun == ended else f"{begun} to {ended}"
    headers = ("method", "criterion", "Elo [95 % interval]", "pairs", "won", "tied", "lost")
    yield f"Judge {standing.judge}, {when or 'no answer yet'}", headers, rows, _remark(standing)
    biases = [
        [name, outcome.games, outcome.left.text(), outcome.left.n, outcome.same.text()]
        for name, outcome in standing.outcomes.items()
    ]
    about = ("criterion", "pairs", "left preferred; 0.5 is no bias", "decided answers", "both orders agree")
    yield "The judge itself", about, biases, ""


def _remark(standing: Standing) -> str:
    counts = standing.counts
    parts = [f"{standing.pairs} pairs, each in both orders", f"{counts.asked} questions now, {standing.known} known"]
    if counts.unreadable:
        parts.append(f"{counts.unreadable} answers unreadable, {counts.given_up} to the last")
    if counts.failed or standing.stopped:
        parts.append(f"{counts.failed} failed: no answer, and nobody's loss")
    if standing.half:
        parts.append(f"{standing.half} pairs with one order only are left out")
    return "; ".join(parts)


def _pictures(report: Report, own: Measurement, assets: Assets) -> None:
    """Scenes beside their prompts, those with the least right first."""
    order = own.figure("geometry.correct") or own.figure("questions.balanced") or own.figure("clip.mean")
    rows = list(range(len(assets.found)))
    if order is not None and order.value is not None:
        values = [math.inf if math.isnan(value) else value for value in order.each]
        rows.sort(key=lambda row: values[row])
    shown = [row for row in rows if assets.found[row].seen][:_SHOWN]
    if not shown:
        return
    report.section("Pictures")
    if len(shown) < len(rows):
        report.text(f"{len(shown)} of {len(rows)} scenes, those with the least right first.")
    report.samples([_card(own, assets.found[row], row) for row in shown])


def _card(own: Measurement, asset: Asset, row: int) -> dict[str, Any]:
    card: dict[str, Any] = {"prompt": asset.prompt, "views": _strip(asset), "run": asset.id}
    for figure in _taken(own):
        if figure.name.startswith(("geometry.correct", "clip.mean", "questions.balanced", "marks.")):
            value = figure.each[row]
            card[_name(figure.name)] = None if math.isnan(value) else f"{value:.3g}"
    reasons = asset.told.get("reasons")
    if isinstance(reasons, list) and reasons:
        card["judged wrong"] = "; ".join(map(str, reasons))
    if asset.note:
        card["note"] = asset.note
    return card


def _strip(asset: Asset) -> Image:
    """A few views in a row, the prompt's own first."""
    import torch
    from PIL import Image

    from apps.text3d.export.turntable import to_bytes

    seen = asset.views()
    views = seen.rgb[seen.spread(_VIEWS)]
    return Image.fromarray(to_bytes(torch.cat(list(views), 2)[None])[0])


def _counted(own: Measurement) -> str:
    scenes, prompts = len(own.ids), len(set(own.prompts))
    return f"{scenes} scenes of {prompts} prompts" if scenes != prompts else f"{scenes} scenes"


def _row(figure: Figure) -> list[Any]:
    assert figure.value is not None
    note = figure.note
    if figure.lost and "lost" not in note:
        note = "; ".join(part for part in (note, f"{figure.lost} lost by the grader") if part)
    return [_name(figure.name), figure.value.text(), figure.value.n, note]


def _taken(own: Measurement) -> list[Figure]:
    return [figure for figure in own.figures if figure.value is not None]


def _lacking(own: Measurement) -> list[list[str]]:
    """Absent figures; those of one family that are absent for the same reason share a row."""
    rows: dict[tuple[str, str], list[str]] = {}
    for figure in own.figures:
        if figure.value is None:
            rows.setdefault((figure.name.split(".")[0], figure.reason), []).append(_name(figure.name))
    return [[", ".join(names), reason] for (_, reason), names in rows.items()]


def _tests(other: Measurement, own: Measurement) -> list[list[Any]]:
    return [
        [_name(name), test.difference.text(), test.p, test.n01, test.n10, test.difference.n]
        for name, test in tests_of(other, own).items()
    ]


def _name(name: str) -> str:
    return NAMES.get(name, name.replace("clip.r@", "R-precision@"))
