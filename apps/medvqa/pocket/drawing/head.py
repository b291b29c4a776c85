"""An axial slice of a head CT: skull ring, brain, ventricles, falx."""

from __future__ import annotations

import math

import numpy as np

from apps.medvqa.pocket.catalogue import ORGANS
from apps.medvqa.pocket.drawing.canvas import Canvas, Dice, Field, ellipse, length, lumpy
from apps.medvqa.pocket.study import Finding, Study

BRAIN, FLUID, BONE, BLOOD = 0.42, 0.16, 0.98, 0.82
#: Middle of each lobe from the head's centre: outwards and down, mm.
PLACES = ((26.0, -47.0), (42.0, 2.0), (27.0, 49.0))


def draw(study: Study, size: int) -> Canvas:
    """The slice before contrast and grain."""
    canvas, dice = Canvas(size, study.field_mm, 0.01), Dice(study.seed, "anatomy")
    centre = (dice.about(3), dice.about(3))
    axes = (75 + dice.about(3), 93 + dice.about(3))
    bone = dice.uniform(6.5, 8.5)
    x, y = canvas.x, canvas.y
    outer = ellipse(x, y, centre, axes)
    canvas.paint(canvas.inside(outer - 6), 0.3)
    canvas.paint(canvas.inside(outer), BONE)
    brain = canvas.inside(outer + bone)
    canvas.paint(brain, 0.24)
    # Grey matter with furrows round white matter, which is a shade darker.
    folds = canvas.clouds(dice, 22)
    canvas.paint(canvas.inside(outer + bone + 4 + 4.5 * folds, 1.6), BRAIN + 0.05)
    canvas.paint(canvas.inside(outer + bone + 15 + 5 * folds, 5), BRAIN - 0.02 + 0.02 * folds)
    push = 0.0
    for finding in study.findings:
        if finding.kind == "mass":
            push = 10.0 if finding.side == "right" else -10.0
    _middle(canvas, centre, axes, dice, push, wide=study.find("hydrocephalus") is not None)
    for finding in study.findings:
        _add(canvas, finding, centre, brain, outer + bone, Dice(study.seed, "finding"))
    return canvas


def _middle(
    canvas: Canvas, centre: tuple[float, float], axes: tuple[float, float], dice: Dice, push: float, wide: bool
) -> None:
    y = canvas.y - centre[1]
    bend = push * np.exp(-((y / 42) ** 2))
    x = canvas.x - centre[0] - bend
    falx = np.maximum(np.abs(x) - 0.8, 26 - np.abs(y + 3))
    canvas.paint(0.7 * canvas.inside(np.maximum(falx, np.abs(y) - (axes[1] - 9))), 0.68)
    for side in (-1, 1):
        # Basal ganglia, a shade brighter; then the horns of the ventricle.
        canvas.paint(0.5 * canvas.inside(ellipse(x, y, (side * 24, -4), (8, 15), side * -12), 2), BRAIN + 0.1)
    grow = 2.1 if wide else 1.0
    for side in (-1, 1):
        front = ellipse(x, y, (side * (7 + 2 * grow), -17), (5.2 * grow, 15 + 3 * grow), side * 24)
        back = ellipse(x, y, (side * (13 + 2.5 * grow), 23), (5 * grow, 16 + 3 * grow), side * -26)
        canvas.paint(canvas.inside(np.minimum(front, back), 1.3), FLUID)
    third = ellipse(x, y, (0.0, 4.0), (2.2 * grow, 13))
    canvas.paint(canvas.inside(third, 1.2), FLUID)


def _add(
    canvas: Canvas, finding: Finding, centre: tuple[float, float], brain: Field, skull: Field, dice: Dice
) -> None:
    if finding.kind == "hydrocephalus":
        return
    side = -1 if finding.side == "right" else 1
    if finding.kind == "subdural haematoma":
        _subdural(canvas, side, centre, skull, dice)
        return
    out, down = PLACES[ORGANS["head"].zones.index(finding.zone)]
    radius = finding.size_mm / 2
    room = max(2.0, 9 - radius / 3)
    at = (centre[0] + side * (out + dice.about(room)), centre[1] + down + dice.about(room))
    window, xs, ys = canvas.window(*at, radius + 16)
    dx, dy = xs - at[0], ys - at[1]
    distance = length(dx, dy)
    uneven = radius * lumpy(np.arctan2(dy, side * dx), dice, (2, 3), 0.16)
    inside = brain[window]
    if finding.kind == "haemorrhage":
        canvas.paint(0.6 * canvas.inside(distance - uneven - 4, 3) * inside, 0.3, window)
        canvas.paint(canvas.inside(distance - uneven, 1.4) * inside, BLOOD, window)
    elif finding.kind == "infarct":
        canvas.paint(0.92 * canvas.inside(distance - uneven, 1.8) * inside, 0.17, window)
    else:
        canvas.paint(0.8 * canvas.inside(distance - radius - 8, 3) * inside, 0.24, window)
        canvas.paint(canvas.inside(distance - radius, 1.2) * inside, 0.8, window)
        wall = min(4.0, radius * 0.42)
        canvas.paint(canvas.inside(distance - radius + wall, 1.2) * inside, 0.4, window)


def _subdural(canvas: Canvas, side: int, centre: tuple[float, float], skull: Field, dice: Dice) -> None:
    angle = np.arctan2(canvas.y - centre[1], (canvas.x - centre[0]) * side)
    reach = math.radians(72 + dice.about(6))
    tilt = math.radians(dice.about(10))
    thick = (13 + dice.about(1.5)) * np.clip(1 - ((angle - tilt) / reach) ** 2, -0.2, 1)
    rim = np.maximum(skull - 1, -skull - thick)
    canvas.paint(canvas.inside(rim, 1.2), BLOOD)
