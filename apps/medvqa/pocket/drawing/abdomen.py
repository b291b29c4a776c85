"""Ultrasound pictures: a fan of speckle with a kidney in its long axis, or with the gallbladder in the liver."""

from __future__ import annotations

import math

import numpy as np

from apps.medvqa.pocket.catalogue import ORGANS
from apps.medvqa.pocket.drawing.canvas import Canvas, Dice, Field, ellipse, length, lumpy, row
from apps.medvqa.pocket.study import Finding, Study

#: Where the beams come from, mm, and how far they reach.
SOURCE, NEAR, FAR, OPENING = -98.0, 30.0, 166.0, 41.0


class Fan:
    """The sector's coordinates: depth in mm along a beam and its angle."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.depth = length(canvas.x, canvas.y - SOURCE)
        self.angle = np.arctan2(canvas.x, canvas.y - SOURCE)
        reach = np.abs(self.angle) - math.radians(OPENING)
        sector = np.maximum(reach * self.depth, np.maximum(NEAR - self.depth, self.depth - FAR))
        self.mask = canvas.inside(sector)
        self.gain = np.ones_like(self.depth)

    def trail(self, x: float, y: float, width: float, value: float) -> None:
        """Change what lies behind a thing: below 1 a shadow, above 1 enhancement."""
        depth, angle = math.hypot(x, y - SOURCE), math.atan2(x, y - SOURCE)
        beam = (np.abs(self.angle - angle) - (width / 2 / depth)) * depth
        behind = self.canvas.inside(np.maximum(beam, depth - self.depth), 1.2)
        fade = 1.0 if value < 1 else np.clip(1 - (self.depth - depth) / 45, 0, 1)
        self.gain += behind * fade * (value - 1)


def draw(study: Study, size: int) -> tuple[Canvas, Field]:
    """The picture before contrast and grain, and how much speckle each pixel has."""
    canvas, dice = Canvas(size, study.field_mm, 0.0), Dice(study.seed, "anatomy")
    fan = Fan(canvas)
    canvas.pixels += 0.34 + 0.05 * canvas.clouds(dice, 10)
    if study.organ == "kidney":
        _kidney(canvas, fan, study, dice)
    else:
        _gallbladder(canvas, fan, study, dice)
    skin = canvas.inside(np.abs(fan.depth - NEAR - 3) - 3, 2)
    canvas.paint(0.6 * skin, 0.75)
    canvas.pixels *= fan.gain
    canvas.pixels *= np.clip(1.12 - 0.0024 * (fan.depth - NEAR), 0.7, 1.2)
    return canvas, fan.mask


def _vessels(canvas: Canvas, dice: Dice, box: tuple[float, float, float, float], count: int) -> None:
    left, top, right, bottom = box
    for _ in range(count):
        at = (dice.uniform(left, right), dice.uniform(top, bottom))
        axes, angle = (dice.uniform(5, 8), dice.uniform(1.6, 2.4)), dice.uniform(-40, 40)
        window, xs, ys = canvas.window(*at, 12)
        canvas.paint(0.8 * canvas.inside(ellipse(xs, ys, at, axes, angle), 1.4), 0.12, window)


def _kidney(canvas: Canvas, fan: Fan, study: Study, dice: Dice) -> None:
    x, y = canvas.x, canvas.y
    centre, tilt = (dice.about(3), 16 + dice.about(3)), dice.about(5)
    long, short = 53 + dice.about(2), 25 + dice.about(1.5)
    if study.side == "right":
        # The liver lies over a right kidney, the spleen over the upper pole of a left one.
        liver = ellipse(x, y, (-16 + dice.about(4), -32), (74, 30), 6)
        canvas.paint(canvas.inside(liver), 0.42 + 0.03 * canvas.clouds(dice, 16))
        canvas.paint(0.7 * canvas.inside(np.abs(liver) - 0.9), 0.8)
        _vessels(canvas, dice, (-40, -48, 22, -26), 4)
    else:
        spleen = ellipse(x, y, (-44 + dice.about(3), -26), (30, 22), 24)
        canvas.paint(canvas.inside(spleen), 0.5 + 0.03 * canvas.clouds(dice, 16))
        canvas.paint(0.7 * canvas.inside(np.abs(spleen) - 0.9), 0.85)
    outline = ellipse(x, y, centre, (long, short), tilt)
    canvas.paint(canvas.inside(outline - 2), 0.72)
    canvas.paint(canvas.inside(outline), 0.26)
    sinus = ellipse(x, y, centre, (32, 9), tilt)
    canvas.paint(canvas.inside(sinus + 1.7 * canvas.clouds(dice, 18), 2.5), 0.74)
    if study.find("hydronephrosis"):
        wide = ellipse(x, y, centre, (29, 10.5), tilt)
        for along in (-26.0, -9.0, 9.0, 26.0):
            for up in (-1, 1):
                at = (centre[0] + along, centre[1] + up * 6 + along * math.tan(math.radians(tilt)))
                wide = np.minimum(wide, ellipse(x, y, at, (7.5, 8)))
        canvas.paint(canvas.inside(wide, 1.2), 0.03)
    turn = math.radians(tilt)
    for finding in study.findings:
        if not finding.zone:
            continue
        dot = Dice(study.seed, "finding")
        along = (ORGANS["kidney"].zones.index(finding.zone) - 1) * 33.0 + dot.about(3)
        across = dot.about(3) + (0.0 if finding.kind == "kidney stone" else -3.0)
        at = (
            centre[0] + along * math.cos(turn) - across * math.sin(turn),
            centre[1] + along * math.sin(turn) + across * math.cos(turn),
        )
        _lump(canvas, fan, finding, at, dot)


def _lump(canvas: Canvas, fan: Fan, finding: Finding, at: tuple[float, float], dice: Dice) -> None:
    radius = finding.size_mm / 2
    if finding.kind == "kidney stone":
        for along in row(finding.count, finding.size_mm, 3.5):
            _stone(canvas, fan, (at[0] + along, at[1]), radius)
        return
    window, xs, ys = canvas.window(*at, radius + 6)
    distance = length(xs - at[0], ys - at[1])
    if finding.kind == "cyst":
        canvas.paint(canvas.inside(np.abs(distance - radius) - 1.1), 0.8, window)
        canvas.paint(canvas.inside(distance - radius), 0.02, window)
        fan.trail(at[0], at[1] + radius, finding.size_mm * 0.8, 1.5)
        return
    uneven = radius * lumpy(np.arctan2(ys - at[1], xs - at[0]), dice, (3, 4), 0.12)
    canvas.paint(canvas.inside(distance - radius - 1.6), 0.14, window)
    grey = 0.56 + 0.12 * canvas.clouds(dice, 22)[window]
    canvas.paint(canvas.inside(distance - uneven, 1.2), grey, window)


def _stone(canvas: Canvas, fan: Fan, at: tuple[float, float], radius: float) -> None:
    canvas.disc(*at, radius, 1.25)
    fan.trail(at[0], at[1] + radius * 0.9, radius * 1.9, 0.12)


def _gallbladder(canvas: Canvas, fan: Fan, study: Study, dice: Dice) -> None:
    x, y = canvas.x, canvas.y
    _vessels(canvas, dice, (-55, -46, 55, -28), 5)
    _vessels(canvas, dice, (-45, 40, 45, 56), 3)
    centre, tilt = (dice.about(3), 6 + dice.about(3)), 8 + dice.about(4)
    turn = math.radians(tilt)
    dx, dy = x - centre[0], y - centre[1]
    along = math.cos(turn) * dx + math.sin(turn) * dy
    across = math.cos(turn) * dy - math.sin(turn) * dx
    # A pear: narrow at its neck on the picture's left, round at its fundus on the right.
    half = 17.5 + 0.13 * along
    shape = (length(along / 50, across / half) - 1) * 16
    thick = 6.0 if study.find("wall thickening") else 1.6
    canvas.paint(canvas.inside(shape - thick), 0.82 if thick < 2 else 0.66)
    if thick > 2:
        canvas.paint(0.75 * canvas.inside(np.abs(shape - 3) - 1.1), 0.2)
    canvas.paint(canvas.inside(shape), 0.03)
    fan.trail(centre[0], centre[1] + 16, 62, 1.45)
    for finding in study.findings:
        if not finding.zone:
            continue
        dot = Dice(study.seed, "finding")
        middle = (ORGANS["gallbladder"].zones.index(finding.zone) - 1) * 29.0 + dot.about(2)
        radius = finding.size_mm / 2
        for step in row(finding.count, finding.size_mm, 3.5):
            place = middle + step
            depth = (17.5 + 0.13 * place) * math.sqrt(max(0.1, 1 - (place / 50) ** 2))
            # Stones lie on the lower wall, polyps hang from the upper one.
            down = depth - radius + 1 if finding.kind == "gallstone" else radius - depth + 1
            at = (
                centre[0] + place * math.cos(turn) - down * math.sin(turn),
                centre[1] + place * math.sin(turn) + down * math.cos(turn),
            )
            if finding.kind == "gallstone":
                _stone(canvas, fan, at, radius)
            else:
                canvas.disc(*at, radius, 0.66, 1.2)
