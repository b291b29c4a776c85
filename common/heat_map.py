"""The picture of an audit: rewards across, operators down, and every figure written in its cell."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common.plots import COLOURS, WIDTH
from common.stats import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: From "never" to "always": amber over pale to blue, told apart by people with any colour vision.
RAMP = ((0.0, COLOURS[1]), (0.5, "#f0d9ae"), (0.8, "#dfe8f1"), (1.0, COLOURS[2]))
#: Not pure black, which a report turns into the page's own text colour: a cell's colour stays as it is.
INK, PAPER = "#1b1e23", "#fdfdfd"
HEIGHT, GAP, HEADER = 0.37, 0.12, 0.27  # inches
#: Height of a row without intervals.
LOW = 0.21


@dataclass(frozen=True)
class Line:
    """One row of the picture.

    Attributes:
        group: what it belongs to; its name is written above the first of its lines. "" for none.
        label: what the row is.
        values: a share in [0, 1] for each column; NaN where there is none.
    """

    group: str
    label: str
    values: Sequence[Interval]


def heat_map(
    lines: Sequence[Line], columns: Sequence[str], strong: str = "", title: str = "", ends: bool = True
) -> Figure:
    """Shares in percent with their intervals, dark blue for 100 and amber for 0.

    Args:
        lines: rows from top to bottom; the label gets the largest `n` of its values.
        columns: names of the columns.
        strong: the column whose name stands out.
        title: over the picture.
        ends: write intervals and n; without, rows are half as high and labels stand as they are.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    ramp = LinearSegmentedColormap.from_list("share", list(RAMP))
    height = HEIGHT if ends else LOW
    tops, top, group = [], 0.0, None
    for line in lines:
        if line.group != group:
            top += HEADER if line.group else GAP
            group = line.group
        tops.append(top)
        top += height
    figure = Figure(figsize=(WIDTH, top + (1.0 if title else 0.7)), layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(0, len(columns))
    axes.set_ylim(top, 0)
    group = None
    for line, start in zip(lines, tops, strict=True):
        if line.group != group and line.group:
            axes.text(0.02, start - 0.07, line.group, fontsize=8, style="italic", color="black", alpha=0.75)
        group = line.group
        for column, value in enumerate(line.values):
            _cell(axes, column, start, value, ramp(value.mean) if not math.isnan(value.mean) else None, height)
    labels = [_label(line) if ends else line.label for line in lines]
    axes.set_yticks([start + height / 2 for start in tops], labels, fontsize=8.5)
    axes.xaxis.tick_top()
    axes.set_xticks([column + 0.5 for column in range(len(columns))], list(columns), fontsize=9)
    for label, name in zip(axes.get_xticklabels(), columns, strict=True):
        label.set_fontweight("bold" if name == strong else "normal")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if title:
        figure.suptitle(textwrap.fill(title, 110), fontsize=10, x=0.01, ha="left")
    return figure


def _label(line: Line) -> str:
    return f"{line.label} (n {max((value.n for value in line.values), default=0)})"


def _cell(
    axes: Axes, column: int, top: float, value: Interval, colour: tuple[float, ...] | None, height: float
) -> None:
    from matplotlib.patches import Rectangle

    box = (column + 0.02, top + 0.015)
    middle: dict[str, Any] = {"ha": "center", "va": "center"}
    if colour is None:
        axes.add_patch(Rectangle(box, 0.96, height - 0.03, facecolor="#888888", alpha=0.12, linewidth=0))
        axes.text(column + 0.5, top + height / 2, "–", fontsize=9, color="#888888", **middle)
        return
    axes.add_patch(Rectangle(box, 0.96, height - 0.03, facecolor=colour, linewidth=0))
    ink = INK if _luminance(colour) > 0.35 else PAPER
    if height < HEIGHT:
        axes.text(column + 0.5, top + height * 0.52, f"{value.mean * 100:.0f}", fontsize=8.5, color=ink, **middle)
        return
    ends = f"{value.low * 100:.0f}–{value.high * 100:.0f}"
    axes.text(column + 0.5, top + height * 0.36, f"{value.mean * 100:.0f}", fontsize=10.5, color=ink, **middle)
    axes.text(column + 0.5, top + height * 0.75, ends, fontsize=6.8, color=ink, alpha=0.85, **middle)


def _luminance(colour: Sequence[float]) -> float:
    """Relative luminance, roughly (WCAG without the gamma's linear foot)."""
    weights = (0.2126, 0.7152, 0.0722)
    return sum(weight * math.pow(part, 2.2) for weight, part in zip(weights, colour, strict=False))
