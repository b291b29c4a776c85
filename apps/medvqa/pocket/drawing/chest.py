"""A chest film from the front: lungs between ribs, heart and mediastinum, diaphragm, clavicles, spine."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from apps.medvqa.pocket.catalogue import ORGANS
from apps.medvqa.pocket.drawing.canvas import Canvas, Dice, Field, cluster, ellipse, length, lumpy, segment
from apps.medvqa.pocket.study import Finding, Study

AIR, LUNG, SOFT, DENSE = 0.04, 0.2, 0.52, 0.74


@dataclass
class Chest:
    """Where things are, in mm; sides are the picture's, -1 its left (the patient's right) and 1 its right."""

    middle: float
    apex: float
    base: float
    width: float
    rib_pitch: float
    rib_start: float

    def centre(self, side: int, y: Field | float) -> Field | float:
        """Where the middle of a lung is at a height."""
        down = (y - self.apex) / (self.base - self.apex)
        return self.middle + side * (56 + 14 * down)

    def dome(self, side: int, x: Field | float) -> Field | float:
        """Where the diaphragm is; the patient's right half stands higher."""
        off = (x - self.middle - side * 58) / 60
        return self.base - (5 if side < 0 else 0) + 26 * off * off

    def lung(self, canvas: Canvas, side: int) -> Field:
        """Signed distance to a lung's outline."""
        down = np.clip((canvas.y - self.apex) / (self.base - self.apex), 0.0, 1.0)
        half = self.width * np.clip(down * (2 - down), 1e-6, 1) ** 0.55
        across = np.abs(canvas.x - self.centre(side, canvas.y)) - half
        low: Field = np.maximum(canvas.y - self.dome(side, canvas.x), self.apex - canvas.y)
        np.maximum(low, across, out=low)
        return low

    def zone(self, side: int, number: int) -> tuple[float, float]:
        """The middle of a third of a lung, clear of the heart."""
        height = (self.base - self.apex) / 3
        y = self.apex + height * (number + 0.5) + (6 if number == 0 else 0)
        outwards = (0, 4, 8)[number] + (5 if side > 0 and number == 2 else 0)
        x = float(self.centre(side, y)) + side * outwards
        return x, y


def draw(study: Study, size: int) -> Canvas:
    """The film before contrast and grain."""
    canvas, dice = Canvas(size, study.field_mm, AIR), Dice(study.seed, "anatomy")
    chest = Chest(
        middle=dice.about(4),
        apex=-126 + dice.about(5),
        base=84 + dice.about(6),
        width=50 + dice.about(3),
        rib_pitch=dice.uniform(25, 29),
        rib_start=dice.uniform(0, 28),
    )
    _body(canvas, chest, dice)
    lungs = {side: canvas.inside(chest.lung(canvas, side), 1.6) for side in (-1, 1)}
    air = (LUNG + dice.about(0.02)) + 0.035 * canvas.clouds(dice, 14)
    for finding in study.findings:
        side, own = _side(finding), Dice(study.seed, "finding")
        if finding.kind == "pleural effusion":
            lungs[side] = _effusion(canvas, chest, side, lungs[side], own)
        elif finding.kind == "pneumothorax":
            air = _pneumothorax(canvas, chest, side, air, own)
    canvas.paint(lungs[-1] + lungs[1], air)
    _hila(canvas, chest, dice)
    wide = study.find("cardiomegaly") is not None
    _middle(canvas, chest, dice, wide)
    for finding in study.findings:
        if finding.zone:
            # Nodules before a wide heart would be lost in it.
            white = 0.98 if wide and finding.place == "left lower zone" else 0.86
            _add(canvas, chest, finding, lungs, Dice(study.seed, "finding"), white)
    _ribs(canvas, chest, dice)
    return canvas


def _side(finding: Finding) -> int:
    return -1 if finding.side == "right" else 1


def _body(canvas: Canvas, chest: Chest, dice: Dice) -> None:
    x = np.abs(canvas.x - chest.middle)
    shoulders = -150 + np.clip(x - 34, 0, None) * dice.uniform(0.3, 0.42)
    flank = x - (138 + dice.about(6)) - np.clip(-canvas.y - 60, 0, None) * 0.6
    canvas.paint(canvas.inside(np.maximum(shoulders - canvas.y, flank), 2.5), SOFT)
    below = canvas.inside(chest.base - 20 - canvas.y, 8) * canvas.inside(flank + 6, 3)
    canvas.paint(below, DENSE - 0.04)


def _hila(canvas: Canvas, chest: Chest, dice: Dice) -> None:
    y = chest.apex + 0.5 * (chest.base - chest.apex)
    for side in (-1, 1):
        root = (chest.middle + side * 24.0, y - 6 + dice.about(4))
        canvas.glow(*root, 15, 0.62, 0.75)
        for angle in (-58, -20, 22, 60):
            turn = math.radians(angle + dice.about(8))
            reach = dice.uniform(42, 56)
            end = (root[0] + side * reach * math.cos(turn), root[1] + reach * math.sin(turn))
            window, xs, ys = canvas.window((root[0] + end[0]) / 2, (root[1] + end[1]) / 2, reach / 2 + 4)
            canvas.paint(0.22 * canvas.inside(segment(xs, ys, root, end) - 1.4, 1.3), 0.6, window)


def _middle(canvas: Canvas, chest: Chest, dice: Dice, wide: bool) -> None:
    grow = 1.42 if wide else 1.0
    at = (chest.middle + 17 * grow, chest.base - 26 + dice.about(3))
    axes = (47 * grow + dice.about(2), 38 * (grow * 0.4 + 0.6))
    heart = ellipse(canvas.x, canvas.y, at, axes, 28)
    stripe = np.abs(canvas.x - chest.middle) - (18 + dice.about(2))
    knob = ellipse(canvas.x, canvas.y, (chest.middle + 14, chest.apex + 62), (14, 16))
    shape = np.minimum(np.minimum(heart, stripe), knob)
    shape = np.maximum(shape, np.maximum(chest.apex - 40 - canvas.y, canvas.y - chest.base - 15))
    canvas.paint(canvas.inside(shape, 1.8), DENSE)
    windpipe = np.maximum(np.abs(canvas.x - chest.middle + 1) - 7, canvas.y - chest.apex - 66)
    canvas.paint(0.5 * canvas.inside(windpipe, 1.6), 0.3)
    bone = np.abs(canvas.x - chest.middle) - 13
    disc = 0.5 + 0.5 * np.cos(canvas.y * (2 * math.pi / 22))
    canvas.paint(0.3 * canvas.inside(bone, 1.5) * (0.35 + 0.65 * disc), 0.95)


def _ribs(canvas: Canvas, chest: Chest, dice: Dice) -> None:
    x = np.abs(canvas.x - chest.middle)
    # Ribs leave the spine, rise a little and fall towards the flank.
    fall = 0.0030 * (x - 30) ** 2
    phase = (canvas.y - fall - chest.rib_start) * (2 * math.pi / chest.rib_pitch)
    band = np.clip(np.cos(phase) * 1.6 - 0.35, 0, 1)
    cage = np.maximum(x - (chest.width + 78), 14 - x)
    cage = np.maximum(cage, chest.apex - 6 - canvas.y)
    cage = np.maximum(cage, canvas.y - chest.base - 30)
    canvas.pixels += dice.uniform(0.07, 0.1) * band * canvas.inside(cage, 3)
    for side in (-1, 1):
        start = (chest.middle + side * 14, chest.apex + 34.0)
        end = (chest.middle + side * 118, chest.apex + dice.uniform(-4, 8))
        window, xs, ys = canvas.window((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, 62)
        canvas.pixels[window] += 0.17 * canvas.inside(segment(xs, ys, start, end) - 4.5, 1.5)


def _add(canvas: Canvas, chest: Chest, finding: Finding, lungs: dict[int, Field], dice: Dice, white: float) -> None:
    side = _side(finding)
    x, y = chest.zone(side, ORGANS["chest"].zones.index(finding.zone))
    room = 4 if finding.size_mm >= 50 or finding.count > 1 else 8
    x, y = x + side * dice.about(room), y + dice.about(room)
    if finding.kind == "consolidation":
        _consolidation(canvas, (x, y), lungs[side], dice)
    elif finding.kind == "cavity":
        canvas.disc(x, y, finding.size_mm / 2, 0.78, 1.1)
        canvas.disc(x, y, finding.size_mm / 2 - 7, 0.1, 1.1)
    else:
        for dx, dy in cluster(finding.count, finding.size_mm, dice, 8):
            canvas.disc(x + side * dx, y + dy, finding.size_mm / 2, white, 1.2)


def _consolidation(canvas: Canvas, at: tuple[float, float], lung: Field, dice: Dice) -> None:
    window, xs, ys = canvas.window(*at, 44)
    dx, dy = xs - at[0], ys - at[1]
    radius = 36 * lumpy(np.arctan2(dy, np.abs(dx)), dice, (2, 3, 5), 0.3)
    cloud = np.clip((radius - length(dx, dy)) / 16 + 0.3, 0, 1)
    cloud *= lung[window] * (0.85 + 0.15 * canvas.clouds(dice, 18)[window])
    canvas.paint(0.85 * cloud, 0.7, window)


def _effusion(canvas: Canvas, chest: Chest, side: int, lung: Field, dice: Dice) -> Field:
    """Dense below a curve that rises towards the flank; returns the lung that is left."""
    out = np.clip((canvas.x - chest.middle) * side / 110, 0, None)
    above = canvas.inside(canvas.y - (chest.base - 24 + dice.about(4) - 40 * out * out), 2)
    inner = np.abs(canvas.x - chest.centre(side, chest.base)) - chest.width
    canvas.paint(canvas.inside(inner, 2) * (1 - above), DENSE)
    return lung * above


def _pneumothorax(canvas: Canvas, chest: Chest, side: int, air: Field, dice: Dice) -> Field:
    """Black round a lung that has shrunk behind a thin white line."""
    top = chest.apex + 24 + dice.about(3)
    down = np.clip((canvas.y - top) / (chest.base - top), 0.0, 1.0)
    half = chest.width * np.clip(down * (2 - down), 1e-6, 1) ** 0.55 - (27 + dice.about(3)) * (1 - 0.6 * down)
    edge = (canvas.x - chest.centre(side, canvas.y)) * side - half
    here = canvas.inside((chest.middle - canvas.x) * side)
    outside = canvas.inside(-edge) * here
    air = air + outside * (0.03 - air) + here * (1 - outside) * 0.07
    return air + (0.5 - air) * canvas.inside(np.abs(edge) - 0.9) * here
