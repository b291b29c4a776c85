"""A film of both lower legs from the front: end of the femur, knee, tibia and fibula, ankle."""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.medvqa.pocket.catalogue import ORGANS
from apps.medvqa.pocket.drawing.canvas import Canvas, Dice, Field, ellipse, row
from apps.medvqa.pocket.study import Finding, Study

SOFT, MARROW, CORTEX = 0.24, 0.52, 0.86
TOP, BOTTOM = -56.0, 78.0  # of the tibia, mm


def draw(study: Study, size: int) -> Canvas:
    """The film before contrast and grain."""
    canvas, dice = Canvas(size, study.field_mm, 0.03), Dice(study.seed, "anatomy")
    shift = dice.about(3)
    for side in (-1, 1):
        here = [one for one in study.findings if (-1 if one.side == "right" else 1) == side]
        _leg(canvas, side, shift, here, Dice(study.seed, "legs"), Dice(study.seed, "finding"))
    canvas.pixels += 0.012 * canvas.clouds(dice, 16)
    return canvas


def _bone(canvas: Canvas, centre: Field | float, half: Field, ends: tuple[float, float], rim: float) -> None:
    """A shaft: bright cortex round a greyer marrow; `centre` and `half` are mm for every row."""
    distance = np.maximum(np.abs(canvas.x - centre) - half, np.maximum(ends[0] - canvas.y, canvas.y - ends[1]))
    canvas.paint(canvas.inside(distance), CORTEX)
    canvas.paint(canvas.inside(distance + rim, 1.6), MARROW)


def _leg(canvas: Canvas, side: int, shift: float, findings: list[Finding], dice: Dice, dot: Dice) -> None:
    half = canvas.columns(slice(0, canvas.size // 2) if side < 0 else slice(canvas.size // 2, canvas.size))
    y = canvas.y + shift
    middle, lean = side * (52 + dice.about(2)), side * dice.about(2)
    axis = middle + lean * y / 80
    flesh = 46 + dice.about(2) - 10 * np.clip((y + 10) / 90, 0, 1)
    half.paint(half.inside(np.abs(half.x - axis) - flesh, 3), SOFT)
    found = {one.kind: one for one in findings}
    off, at = np.zeros_like(y), 0.0
    if "fracture" in found:
        at = _height(found["fracture"].zone) + dot.about(6)
        off = side * 9 * np.clip((y - at) / 3 + 0.5, 0, 1)
    top, bottom = TOP - shift, BOTTOM - shift
    slim = 5.0 + 3 * np.clip(1 - np.abs(y - 74) / 12, 0, 1) + 3 * np.clip(1 - np.abs(y + 40) / 12, 0, 1)
    beside = side * (27 - 4 * np.clip((y - 40) / 40, 0, 1))
    _bone(half, axis + beside + 0.5 * off, slim, (top + 14, bottom + 10), 2.4)
    _bone(half, axis + off, _half_width(y), (top, bottom), 4.0)
    _joints(half, axis, side, (top, bottom), 21.0 if "dislocation" in found else 0.0)
    for kind, finding in found.items():
        if kind == "fracture":
            _break(canvas, (middle + lean * at / 80, at - shift), _half_width(at), side, dot)
        elif kind != "dislocation":
            _lesion(canvas, finding, (middle, lean, shift), side, dot)


def _break(canvas: Canvas, at: tuple[float, float], width: float, side: int, dice: Dice) -> None:
    """The dark line between two fragments, the lower of which has moved outwards."""
    window, xs, ys = canvas.window(at[0] + side * 4, at[1], 42)
    slope = side * dice.uniform(0.15, 0.35)
    across = np.abs(xs - at[0] - side * 4) - width - 6
    line = np.maximum(np.abs(ys - at[1] - slope * (xs - at[0])) - 2.2, across)
    canvas.paint(canvas.inside(line, 1.1), 0.12, window)


def _half_width(y: Any) -> Any:
    """Of the tibia at a height: broad at the knee, slender, broader again at the ankle; mm."""
    knee, ankle = np.clip(1 - (y - TOP) / 30, 0, 1), np.clip(1 - (BOTTOM - y) / 24, 0, 1)
    return 14 + 19 * knee**1.6 + 7 * ankle**1.4


def _height(zone: str) -> float:
    return (-37.0, 10.0, 56.0)[ORGANS["leg"].zones.index(zone)]


def _joints(canvas: Canvas, axis: Field, side: int, ends: tuple[float, float], off: float) -> None:
    x, y = canvas.x - axis - side * off, canvas.y
    top, bottom = ends
    condyles = np.minimum(
        ellipse(x, y, (-15, top - 22), (18, 18)),
        np.minimum(ellipse(x, y, (15, top - 22), (18, 18)), np.maximum(np.abs(x) - 17, y - (top - 22))),
    )
    canvas.paint(canvas.inside(condyles), CORTEX)
    canvas.paint(canvas.inside(condyles + 3.5, 1.6), MARROW)
    heel = ellipse(canvas.x - axis, y, (0.0, bottom + 22), (22, 17))
    canvas.paint(canvas.inside(heel), CORTEX)
    canvas.paint(canvas.inside(heel + 3, 1.6), MARROW + 0.04)


def _lesion(canvas: Canvas, finding: Finding, place: tuple[float, float, float], side: int, dice: Dice) -> None:
    middle, lean, shift = place
    y = _height(finding.zone) + dice.about(5 if finding.count == 1 else 2)
    radius = finding.size_mm / 2
    for along in row(finding.count, finding.size_mm, 5):
        at = (middle + lean * (y + along) / 80 + side * dice.about(1.5), y + along - shift)
        if finding.kind == "lytic lesion":
            canvas.disc(*at, radius + 1, 0.75, 1.2)
            canvas.disc(*at, radius, 0.1, 1.1)
        else:
            canvas.disc(*at, radius, 1.0, 1.3)
