"""Draws a scene: 64 x 64 pixels, the same picture for the same scene and seed on every machine with one Pillow."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from apps.captioning.pocket.scene import Group, Scene

SIDE = 64
# Drawn larger and averaged down, so that edges are smooth and a small object's texture still shows.
SCALE = 4

RADII = {"small": 5.5, "usual": 9.5}
RGB = {
    "red": (214, 40, 40),
    "orange": (245, 135, 20),
    "yellow": (245, 215, 50),
    "green": (45, 160, 70),
    "blue": (40, 80, 215),
    "purple": (125, 50, 170),
    "pink": (250, 130, 185),
    "brown": (125, 75, 35),
}
BACKGROUND_RGB = {
    "white": (246, 246, 246),
    "grey": (150, 150, 152),
    "black": (22, 22, 24),
    "pale blue": (175, 215, 240),
}

Shape = Callable[[ImageDraw.ImageDraw, float, float, float], None]
Point = tuple[float, float]


def draw(scene: Scene) -> Image.Image:
    """The picture of a scene, RGB, 64 x 64."""
    rng = random.Random(scene.seed)
    canvas = Image.new("RGB", (SIDE * SCALE, SIDE * SCALE), _shade(rng, BACKGROUND_RGB[scene.background], 6))
    for group, places in zip(scene.groups, _layout(scene, rng), strict=True):
        for place in places:
            _draw_object(canvas, group, place, rng)
    picture = np.asarray(canvas.reduce(SCALE), dtype=np.int16)
    noise = np.random.default_rng(scene.seed).integers(-5, 6, picture.shape, dtype=np.int16)
    return Image.fromarray((picture + noise).clip(0, 255).astype(np.uint8))


def _layout(scene: Scene, rng: random.Random) -> list[list[Point]]:
    """The centres of every group's objects: one half of the picture each where there are two groups."""
    if len(scene.groups) == 1:
        return [_line(scene.groups[0], rng.random() < 0.5, (2, 2, SIDE - 2, SIDE - 2), rng.random(), rng)]
    middle = SIDE / 2 + rng.uniform(-1, 1)
    if scene.relation == "left":
        boxes = [(1.0, 1.0, middle, SIDE - 1.0), (middle, 1.0, SIDE - 1.0, SIDE - 1.0)]
    else:
        boxes = [(1.0, 1.0, SIDE - 1.0, middle), (1.0, middle, SIDE - 1.0, SIDE - 1.0)]
    # Both stand at about the same height (or the same distance from the side), so that only one relation is true.
    level = rng.random()
    levels = [min(1.0, max(0.0, level + rng.uniform(-0.07, 0.07))) for _ in boxes]
    upright = scene.relation == "left"
    return [_line(*place, rng) for place in zip(scene.groups, (upright, upright), boxes, levels, strict=True)]


def _line(
    group: Group, upright: bool, box: tuple[float, float, float, float], level: float, rng: random.Random
) -> list[Point]:
    """Centres of a row (or a column, where `upright`) of objects; its middle lies at `level` (0 to 1) of the box."""
    left, top, right, bottom = box
    radius = RADII[group.size]
    along = (bottom - top) if upright else (right - left)
    across = (right - left) if upright else (bottom - top)
    pitch = min(2 * radius + rng.uniform(1.0, 3.0), (along - 2 * radius) / max(group.count - 1, 1))
    length = pitch * (group.count - 1) + 2 * radius
    middle = along * level
    start = min(max(middle - length / 2, 0.0), along - length) + radius
    side = radius + rng.uniform(0, max(0.0, across - 2 * radius))
    centres = []
    for number in range(group.count):
        a, b = start + number * pitch, side + (rng.uniform(-1, 1) if across > 2 * radius + 2 else 0.0)
        centres.append((left + b, top + a) if upright else (left + a, top + b))
    return centres


def _draw_object(canvas: Image.Image, group: Group, centre: Point, rng: random.Random) -> None:
    radius = RADII[group.size] * rng.uniform(0.96, 1.04) * SCALE
    x, y = centre[0] * SCALE, centre[1] * SCALE
    mask = Image.new("L", canvas.size, 0)
    SHAPES[group.kind](ImageDraw.Draw(mask), x, y, radius)
    colour = _shade(rng, RGB[group.colour], 10)
    reach = radius + 2
    box = (round(x - reach), round(y - reach), round(x + reach), round(y + reach))
    paint = Image.new("RGB", (box[2] - box[0], box[3] - box[1]), colour)
    _texture(ImageDraw.Draw(paint), group.texture, paint.size[0], colour, rng)
    canvas.paste(paint, box[:2], mask.crop(box))


def _texture(
    pen: ImageDraw.ImageDraw, texture: str, side: int, colour: tuple[int, int, int], rng: random.Random
) -> None:
    """Light stripes or dots, dark ones on light colours."""
    if texture == "plain":
        return
    light = sum(colour) < 420
    ink = tuple(round(value + (250 - value) * 0.8) if light else round(value * 0.35) for value in colour)
    pitch = max(3.6 * SCALE, side / 5)
    offset = rng.uniform(0, pitch)
    steps = [offset + number * pitch - pitch for number in range(int(side / pitch) + 3)]
    for number, at in enumerate(steps):
        if texture == "striped":
            pen.rectangle((0, at, side, at + pitch * 0.45), fill=ink)
            continue
        shift = pitch / 2 * (number % 2)
        for along in steps:
            dot = pitch * 0.27
            pen.ellipse((along + shift - dot, at - dot, along + shift + dot, at + dot), fill=ink)


def _shade(rng: random.Random, colour: tuple[int, int, int], by: int) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, value + rng.randint(-by, by))) for value in colour)
    return red, green, blue


def _circle(pen: ImageDraw.ImageDraw, x: float, y: float, r: float) -> None:
    pen.ellipse((x - r, y - r, x + r, y + r), fill=255)


def _square(pen: ImageDraw.ImageDraw, x: float, y: float, r: float) -> None:
    side = r * 0.88
    pen.rectangle((x - side, y - side, x + side, y + side), fill=255)


def _triangle(pen: ImageDraw.ImageDraw, x: float, y: float, r: float) -> None:
    pen.polygon([(x, y - r), (x - r, y + r * 0.85), (x + r, y + r * 0.85)], fill=255)


def _star(pen: ImageDraw.ImageDraw, x: float, y: float, r: float) -> None:
    corners = []
    for number in range(10):
        angle, reach = math.pi * number / 5 - math.pi / 2, r * (1.05 if number % 2 == 0 else 0.42)
        corners.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    pen.polygon(corners, fill=255)


def _heart(pen: ImageDraw.ImageDraw, x: float, y: float, r: float) -> None:
    lobe = r * 0.54
    for side in (-1, 1):
        pen.ellipse(
            (x + side * r * 0.46 - lobe, y - r * 0.9, x + side * r * 0.46 + lobe, y - r * 0.9 + 2 * lobe), fill=255
        )
    pen.polygon([(x - r * 0.95, y - r * 0.15), (x + r * 0.95, y - r * 0.15), (x, y + r)], fill=255)


def _cross(pen: ImageDraw.ImageDraw, x: float, y: float, r: float) -> None:
    arm = r * 0.34
    pen.rectangle((x - arm, y - r, x + arm, y + r), fill=255)
    pen.rectangle((x - r, y - arm, x + r, y + arm), fill=255)


SHAPES: dict[str, Shape] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "cross": _cross,
}
