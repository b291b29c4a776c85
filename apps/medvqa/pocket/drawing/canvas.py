"""A grey picture with coordinates in mm, and the few strokes that all phantoms are drawn with."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field: TypeAlias = "NDArray[np.floating[Any]]"


@lru_cache(maxsize=16)
def _grid(size: int, field_mm: float) -> tuple[Field, Field]:
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * field_mm
    x, y = axis[None, :].copy(), axis[:, None].copy()
    x.setflags(write=False)
    y.setflags(write=False)
    return x.astype(np.float32), y.astype(np.float32)


class Dice:
    """Chance from a seed; a named stream never depends on how much another has used."""

    def __init__(self, seed: int, stream: str) -> None:
        self._random = random.Random(f"{stream}/{seed}")
        self._generator: np.random.Generator | None = None

    def uniform(self, low: float, high: float) -> float:
        """A number between two."""
        return low + (high - low) * self._random.random()

    def about(self, spread: float) -> float:
        """A number around 0, at most `spread` from it."""
        return self.uniform(-spread, spread)

    @property
    def generator(self) -> np.random.Generator:
        """For whole arrays."""
        if self._generator is None:
            self._generator = np.random.Generator(np.random.PCG64(self._random.getrandbits(64)))
        return self._generator


class Canvas:
    """`pixels` is `(size, size)` float32, 0 black to 1 white; `x` is `(1, size)` and `y` `(size, 1)`, mm, y downwards.

    Attributes:
        pixel: width of a pixel in mm; edges are about this soft.
    """

    def __init__(self, size: int, field_mm: float, value: float = 0.0) -> None:
        self.size = size
        self.field = field_mm
        self.x, self.y = _grid(size, field_mm)
        self.pixel = field_mm / size
        self.pixels: Field = np.full((size, size), value, np.float32)

    def inside(self, distance: Field, soft: float = 1.0) -> Field:
        """1 where a signed distance (mm) is negative, 0 where positive, smooth over `soft` pixels."""
        share: Field = distance * (-1 / (soft * self.pixel))
        share += 0.5
        np.maximum(share, 0, out=share)
        np.minimum(share, 1, out=share)
        return share

    def paint(self, mask: Field, value: float | Field, window: tuple[slice, slice] = np.s_[:, :]) -> None:
        """Lay a grey over the picture where the mask says."""
        part = self.pixels[window]
        change = value - part
        change *= mask
        part += change

    def window(self, x: float, y: float, reach: float) -> tuple[tuple[slice, slice], Field, Field]:
        """The part of the picture within `reach` mm of a point, with its coordinates; drawing there is quick."""
        half = self.field / 2

        def cut(at: float) -> slice:
            low = math.floor((at - reach + half) / self.pixel)
            high = math.ceil((at + reach + half) / self.pixel)
            return slice(max(0, min(self.size, low)), max(0, min(self.size, high)))

        rows, columns = cut(y), cut(x)
        return (rows, columns), self.x[:, columns], self.y[rows]

    def columns(self, columns: slice) -> Canvas:
        """A part of the picture over its whole height; what is painted there stands in the whole."""
        part = copy.copy(self)
        part.x, part.pixels = self.x[:, columns], self.pixels[:, columns]
        return part

    def disc(self, x: float, y: float, radius: float, value: float, soft: float = 1.0) -> None:
        """A round spot."""
        window, xs, ys = self.window(x, y, radius + 2 * soft * self.pixel)
        self.paint(self.inside(length(xs - x, ys - y) - radius, soft), value, window)

    def glow(self, x: float, y: float, radius: float, value: float, strength: float) -> None:
        """A spot without an edge."""
        window, xs, ys = self.window(x, y, 2.5 * radius)
        self.paint(strength * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / radius**2), value, window)

    def clouds(self, dice: Dice, cells: int) -> Field:
        """Smooth random texture, about -1 to 1, `cells` bumps wide."""
        coarse = dice.generator.random((cells + 1, cells + 1), np.float32) * 2 - 1
        image = Image.fromarray(coarse).resize((self.size, self.size), Image.Resampling.BICUBIC)
        return np.asarray(image, np.float32)

    def finish(self, dice: Dice, noise: float) -> Image.Image:
        """The picture of mode L: contrast, brightness and grain by the dice."""
        gain, bend, lift = dice.uniform(0.86, 1.08), dice.about(0.28), dice.about(0.025)
        pixels = np.clip(self.pixels, 0.0, 1.0)
        # Middle greys lighter or darker, as gamma does it, black and white as they are.
        pixels *= 1 + bend * (1 - pixels)
        pixels *= gain * 255
        pixels += dice.generator.standard_normal((self.size, self.size), np.float32) * (noise * 255)
        pixels += lift * 255 + 0.5
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def length(dx: Field, dy: Field) -> Field:
    """As `np.hypot`, and several times as fast."""
    square = dx * dx + dy * dy
    return np.sqrt(square, out=square)


def ellipse(x: Field, y: Field, centre: tuple[float, float], axes: tuple[float, float], angle: float = 0.0) -> Field:
    """About the signed distance (mm) to an ellipse: negative inside; `angle` in degrees, clockwise on the screen."""
    dx, dy = x - centre[0], y - centre[1]
    if angle:
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        dx, dy = cos * dx + sin * dy, cos * dy - sin * dx
    a, b = axes
    distance = length(dx * (1 / a), dy * (1 / b))
    distance -= 1
    distance *= min(a, b)
    return distance


def segment(x: Field, y: Field, start: tuple[float, float], end: tuple[float, float]) -> Field:
    """Distance (mm) to a straight stroke."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) * (1 / (dx * dx + dy * dy)), 0, 1)
    return length(x - start[0] - along * dx, y - start[1] - along * dy)


def cluster(count: int, size: float, dice: Dice, gap: float) -> list[tuple[float, float]]:
    """Where up to three spots of a diameter lie around their common middle, `gap` mm apart."""
    turn = dice.about(12.0)
    angles = ([], [turn, turn + 180], [turn - 90, turn + 30, turn + 150])[count - 1]
    radius = (size + gap) / (2 if count == 2 else math.sqrt(3))
    around = [(radius * math.cos(math.radians(angle)), radius * math.sin(math.radians(angle))) for angle in angles]
    return around or [(0.0, 0.0)]


def row(count: int, size: float, gap: float) -> list[float]:
    """Where spots of a diameter lie along a line, `gap` mm apart, from their common middle."""
    return [(number - (count - 1) / 2) * (size + gap) for number in range(count)]


#: Letters of three by five, for markers and the label in the picture.
_LETTERS = {
    "L": ("X..", "X..", "X..", "X..", "XXX"),
    "R": ("XX.", "X.X", "XX.", "X.X", "X.X"),
    "P": ("XX.", "X.X", "XX.", "X..", "X.."),
    "H": ("X.X", "X.X", "XXX", "X.X", "X.X"),
    "A": (".X.", "X.X", "XXX", "X.X", "X.X"),
    "N": ("XX.", "X.X", "X.X", "X.X", "X.X"),
    "T": ("XXX", ".X.", ".X.", ".X.", ".X."),
    "O": ("XXX", "X.X", "X.X", "X.X", "XXX"),
    "M": ("X.X", "XXX", "XXX", "X.X", "X.X"),
}


@lru_cache(maxsize=64)
def _stencil(text: str, scale: int) -> NDArray[np.bool_]:
    rows = [".".join(_LETTERS[letter][row] for letter in text) for row in range(5)]
    dots: Any = np.array([[dot == "X" for dot in row] for row in rows])
    return np.pad(np.kron(dots, np.ones((scale, scale), bool)).astype(bool), scale)


def write(canvas: Canvas, text: str, corner: tuple[float, float], value: float, scale: float = 1.0) -> None:
    """Letters on a dark ground; `corner`: where the text's middle lies, as shares of width and height."""
    dots = _stencil(text, max(1, round(scale * canvas.size / 112)))
    height, width = dots.shape
    left = min(max(0, round(corner[0] * canvas.size - width / 2)), canvas.size - width)
    top = min(max(0, round(corner[1] * canvas.size - height / 2)), canvas.size - height)
    box = canvas.pixels[top : top + height, left : left + width]
    box[...] = np.where(dots, value, np.minimum(box, 0.12))


def lumpy(angle: Field, dice: Dice, lumps: Sequence[int], depth: float) -> Field:
    """Radius of an uneven outline as a share of the largest, 1 at most."""
    total = np.zeros_like(angle)
    for lump in lumps:
        total += np.cos(lump * angle + dice.uniform(0, 2 * math.pi))
    return 1 - depth * (1 - total / len(lumps)) / 2
