"""What can be measured in a phantom's pixels: where it differs from its counterpart, and how many spots there are."""

from __future__ import annotations

import numpy as np

from apps.medvqa.pocket import Study, counterpart, draw


def change(study: Study, size: int = 112) -> np.ndarray:
    """Grey levels, `(size, size)`, by which findings change the picture; noise and anatomy are the same and vanish."""
    with_it, without = draw(study, size), draw(counterpart(study), size)
    return np.asarray(with_it, np.float32) - np.asarray(without, np.float32)


def centre_mm(study: Study, size: int = 112) -> tuple[float, float]:
    """Middle of the change, mm from the middle of the picture, to the right and down."""
    weight = np.abs(change(study, size))
    # A mass in the brain moves other things too, but none of them is as bright as its ring.
    weight[weight < (70 if study.organ == "head" and study.find("mass") else 25)] = 0
    axis = (np.arange(size) + 0.5) * study.spacing_mm(size) - study.field_mm / 2
    return float((weight.sum(0) * axis).sum() / weight.sum()), float((weight.sum(1) * axis).sum() / weight.sum())


def spots(mask: np.ndarray) -> list[int]:
    """Pixels of every connected patch, the largest first."""
    left = {(int(row), int(column)) for row, column in zip(*np.nonzero(mask), strict=True)}
    found = []
    while left:
        edge, seen = [left.pop()], 1
        while edge:
            row, column = edge.pop()
            for near in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if near in left:
                    left.remove(near)
                    edge.append(near)
                    seen += 1
        found.append(seen)
    return sorted(found, reverse=True)
