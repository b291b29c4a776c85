"""Figures for reports: drawn for a light and a dark page alike (transparent, text in the page's own colour)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from common.stats import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by people with any colour vision, on white and on near-black.
COLOURS = ("#8d9199", "#d08a12", "#2f7fd1", "#2e9e6b", "#c24e78", "#8a6bd1")
WIDTH = 9.6


def curves(
    log_rows: Iterable[Mapping[str, Any]], keys: Sequence[str] | Mapping[str, str], x: str = "step", smooth: int = 0
) -> Figure:
    """One small panel for each figure of a run's log: the raw values faint, their running mean strong.

    Args:
        log_rows: rows as in `log.jsonl`; a row without a key, or with null, leaves a gap.
        keys: names of figures, or names with the titles to show; those never logged are left out.
        x: name of the horizontal axis.
        smooth: rows in the running mean; 0 takes a fifteenth of the rows, 1 does not smooth.
    """
    titles = dict(keys) if isinstance(keys, Mapping) else {key: key for key in keys}
    rows = list(log_rows)
    found = {key: points for key in titles if (points := _points(rows, key, x))}
    if not found:
        figure, (axes,) = _panels(1)
        axes.text(0.5, 0.5, "nothing was logged", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return figure
    figure, panels = _panels(len(found))
    for axes, (key, points) in zip(panels, found.items(), strict=False):
        steps, values = zip(*points, strict=True)
        window = smooth or max(1, len(values) // 15)
        few = len(values) <= 12
        axes.plot(
            steps, values, color=COLOURS[1], alpha=1 if few else 0.28, linewidth=1.2, marker="o" if few else None
        )
        if not few and window > 1:
            axes.plot(steps, _running_mean(values, window), color=COLOURS[1], linewidth=2)
        axes.set_title(titles[key], loc="left", fontsize=10)
    for axes in panels[len(found) :]:
        axes.set_visible(False)
    panels[min(len(found), len(panels)) - 1].set_xlabel(x)
    return figure


def bars(
    labels: Sequence[str], series: Mapping[str, Sequence[Interval | float]], axis: str = "", scale: float = 1.0
) -> Figure:
    """Grouped bars with interval whiskers, such as accuracy by language before and after.

    Args:
        labels: one for each group of bars.
        series: name → one value or interval for each label; NaN draws no bar.
        axis: title of the value axis.
        scale: factor on the values; 100 for percentages.
    """
    figure, (axes,) = _panels(1, columns=1, height=3.1)
    width = 0.8 / max(1, len(series))
    # The last series is the one the report is about: it gets the accent, what it is compared with stays grey.
    colours = [COLOURS[1]] if len(series) == 1 else list(COLOURS)
    for number, (name, values) in enumerate(series.items()):
        if len(values) != len(labels):
            raise ValueError(f"series {name!r} has {len(values)} values for {len(labels)} labels")
        places = [place - 0.4 + width * (number + 0.5) for place in range(len(labels))]
        intervals = [_as_interval(value) for value in values]
        heights = [interval.mean * scale for interval in intervals]
        errors = [
            [max(0.0, (interval.mean - interval.low) * scale) for interval in intervals],
            [max(0.0, (interval.high - interval.mean) * scale) for interval in intervals],
        ]
        axes.bar(places, heights, width * 0.92, label=name, color=colours[number % len(colours)])
        axes.errorbar(places, heights, errors, fmt="none", ecolor="black", elinewidth=1, capsize=2.5, alpha=0.7)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylabel(axis)
    axes.grid(visible=False, axis="x")
    if len(series) > 1:
        axes.legend(frameon=False, ncols=len(series), loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    return figure


def lines(series: Mapping[str, Sequence[Sequence[tuple[float, float]]]], x: str, y: str) -> Figure:
    """Several curves in one panel, such as a held-out metric by step; curves of one name (its seeds) share a colour.

    Args:
        series: name → curves, each a list of (x, y).
        x: title of the horizontal axis.
        y: title of the vertical axis.
    """
    figure, (axes,) = _panels(1, columns=1, height=3.1)
    for number, (name, several) in enumerate(series.items()):
        for place, points in enumerate(several):
            colour = COLOURS[(number + 1) % len(COLOURS)]
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.6, label=None if place else name)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(frameon=False)
    return figure


def _panels(count: int, columns: int = 3, height: float = 2.1) -> tuple[Figure, Sequence[Axes]]:
    """A figure of `count` panels or a few more, and its panels, row by row."""
    from matplotlib.figure import Figure

    columns = 2 if count == 4 else min(columns, count)
    lines = math.ceil(count / columns)
    figure = Figure(figsize=(WIDTH, height * lines + 0.3), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, color="#888888", alpha=0.22, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8.5)
    return figure, panels


def _points(rows: Sequence[Mapping[str, Any]], key: str, x: str) -> list[tuple[float, float]]:
    return [
        (float(row[x]), float(row[key]))
        for row in rows
        if isinstance(row.get(key), (int, float)) and math.isfinite(row[key]) and isinstance(row.get(x), (int, float))
    ]


def _running_mean(values: Sequence[float], window: int) -> list[float]:
    """Centred mean over `window` values, fewer at the ends."""
    before, after = (window - 1) // 2, window // 2
    spans = [values[max(0, place - before) : place + after + 1] for place in range(len(values))]
    return [sum(span) / len(span) for span in spans]


def _as_interval(value: Interval | float) -> Interval:
    if isinstance(value, Interval):
        # An estimate without an interval (one seed) is drawn without whiskers.
        return value if not math.isnan(value.low) else Interval(value.mean, value.mean, value.mean, value.n)
    return Interval(value, value, value, 1)
