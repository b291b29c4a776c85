"""Curves over one drive as HTML: all share one marker, which stands where the film does.

Where the marker stands is the page's CSS variable `--now`, from 0 to 1; the numbers beside the curves are filled in by
the page's script (`apps.driving.demo_player`), which reads them from the plot itself.
"""

from __future__ import annotations

import hashlib
import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 1000.0, 100.0
#: Share of the height that is left free above and below the curves.
MARGIN = 0.06

CSS = """
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 0.55rem 1.1rem; }
.plot { margin: 0; min-width: 0; }
.plot figcaption { display: flex; flex-wrap: wrap; gap: 0 0.9rem; font-size: 0.82rem; margin-bottom: 0.15rem;
  font-variant-numeric: tabular-nums; }
.plot figcaption .name { font-weight: 600; }
.plot .line-name { color: var(--body-text-color-subdued); }
.plot .line-name::before { content: ""; display: inline-block; width: 0.85rem; height: 3px; border-radius: 2px;
  vertical-align: middle; margin-right: 0.3rem; background: var(--ink); }
.plot output { display: inline; font-weight: 600; color: var(--body-text-color); }
.plot .area { position: relative; height: 4.4rem; cursor: crosshair; touch-action: pan-y; user-select: none;
  border-radius: 6px; background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary); }
.plot.tall .area { height: 9rem; }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.plot svg * { fill: none; stroke-width: 1.6px; vector-effect: non-scaling-stroke; stroke: var(--ink);
  stroke-linejoin: round; }
.plot svg .rule { stroke: var(--body-text-color-subdued); stroke-width: 1px; stroke-dasharray: 4 4; opacity: 0.6; }
.ink-0 { --ink: #b45309; } .ink-1 { --ink: #2f7fd1; } .ink-rest { --ink: #a8a29e; }
.dark .ink-0 { --ink: #f0a33c; } .dark .ink-1 { --ink: #6db1f2; }
.plot .edge { position: absolute; left: 0.2rem; padding: 0.08rem 0.15rem; border-radius: 3px; font-size: 0.66rem;
  background: color-mix(in srgb, var(--background-fill-secondary) 75%, transparent); line-height: 1;
  pointer-events: none; color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
.plot .edge.high { top: 0.2rem; } .plot .edge.low { bottom: 0.2rem; }
.plot .now { position: absolute; top: 0; bottom: 0; width: 0; border-left: 2px solid var(--body-text-color);
  left: calc(var(--now, 0) * 100%); pointer-events: none; opacity: 0.75; }
"""


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: beside its number; empty for the only curve of a plot.
        values: `(N,)`; a gap where one is NaN.
        ink: `0`, `1` or `rest`.
    """

    name: str
    values: NDArray[Any]
    ink: str = "0"


@dataclass(frozen=True)
class Plot:
    """Curves over the steps of a drive on one scale.

    Attributes:
        title: over it.
        lines: at least one, all of one length.
        unit: behind every number.
        digits: behind the point.
        bounds: of the scale; those of the curves where not given.
        rules: heights of dashed lines.
        spared: last steps that do not stretch the scale: a penalty of -10 would leave a flat line of all the others.
        tall: whether it is higher than others.
    """

    title: str
    lines: Sequence[Line]
    unit: str = ""
    digits: int = 2
    bounds: tuple[float, float] | None = None
    rules: Sequence[float] = ()
    spared: int = 0
    tall: bool = False


def plots_html(plots: Sequence[Plot]) -> str:
    """Several plots, side by side where there is room."""
    return f'<div class="plots">{"".join(map(plot_html, plots))}</div>'


def plot_html(plot: Plot) -> str:
    """One plot."""
    low, high = _scale(plot)
    rules = "".join(
        f'<path class="rule" d="M0,{y:.1f}H{WIDTH:.0f}"/>' for y in (_height(one, low, high) for one in plot.rules)
    )
    curves = "".join(f'<path class="ink-{line.ink}" d="{_path(line.values, low, high)}"/>' for line in plot.lines)
    shown = [[_number(value, plot.digits) for value in line.values.tolist()] for line in plot.lines]
    unit = f" {html.escape(plot.unit)}" if plot.unit else ""
    numbers = "".join(
        f"<span>{_name(line)}<output>{_text(values[0], plot.digits)}</output>{unit}</span>"
        for line, values in zip(plot.lines, shown, strict=True)
    )
    ends = "".join(
        f'<span class="edge {side}">{_text(_number(value, plot.digits), plot.digits)}</span>'
        for side, value in (("high", high), ("low", low))
    )
    values = json.dumps(shown, separators=(",", ":"))
    data = f'data-values="{html.escape(values, quote=True)}" data-key="{key_of(values)}" data-digits="{plot.digits}"'
    return (
        f'<figure class="plot{" tall" if plot.tall else ""}" {data}>'
        f'<figcaption><span class="name">{html.escape(plot.title)}</span>{numbers}</figcaption>'
        f'<div class="area"><svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" preserveAspectRatio="none" aria-hidden="true">'
        f'{rules}{curves}</svg>{ends}<i class="now"></i></div></figure>'
    )


def key_of(data: str) -> str:
    """Tells data apart from other data that a page may have shown in the same place."""
    return hashlib.blake2b(data.encode(), digest_size=8).hexdigest()


def _scale(plot: Plot) -> tuple[float, float]:
    """The lowest and the highest value that is seen."""
    if plot.bounds is not None:
        return plot.bounds
    steps = len(plot.lines[0].values)
    counted = max(steps - plot.spared, 1)
    known = np.concatenate([np.asarray(line.values, np.float64)[:counted] for line in plot.lines])
    known = np.concatenate([known[np.isfinite(known)], plot.rules])
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    least = 2 * 10.0**-plot.digits
    if high - low < least:
        # What hardly changes is not blown up until it does.
        low, high = (low + high) / 2 - least, (low + high) / 2 + least
    return low, high


def _path(values: NDArray[Any], low: float, high: float) -> str:
    """An SVG path; values beyond the scale lie on its edge."""
    steps = len(values)
    parts, broken = [], True
    for step, value in enumerate(values.tolist()):
        if not math.isfinite(value):
            broken = True
            continue
        x = WIDTH * step / max(steps - 1, 1)
        parts.append(f"{'M' if broken else 'L'}{x:.1f},{_height(value, low, high):.1f}")
        broken = False
    return "".join(parts)


def _height(value: float, low: float, high: float) -> float:
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return HEIGHT * (1.0 - MARGIN - share * (1.0 - 2 * MARGIN))


def _number(value: float, digits: int) -> float | None:
    # There is no minus zero on the page.
    return round(value, digits) + 0.0 if math.isfinite(value) else None


def _text(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _name(line: Line) -> str:
    return f'<span class="line-name ink-{line.ink}">{html.escape(line.name)} </span>' if line.name else ""
