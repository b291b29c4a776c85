"""Solids: signs, distances, volumes, extents."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from apps.text3d.pocket.solids import ACROSS, CENTRE_OF_MASS, UNIT, UPWARD, VOLUME, Solid, bounding_radius


@pytest.fixture(scope="module")
def cloud() -> Tensor:
    return torch.rand(200_000, 3, generator=torch.Generator().manual_seed(0)) * 3 - 1.5


@pytest.mark.parametrize("kind", list(UNIT))
def test_measures_of_each_kind(kind: str, cloud: Tensor) -> None:
    inside = cloud[UNIT[kind](cloud) < 0]
    assert len(inside) / len(cloud) * 27 == pytest.approx(VOLUME[kind], rel=0.03)
    assert inside.norm(dim=1).max() <= bounding_radius(kind) + 1e-6
    assert inside[:, :2].norm(dim=1).max() <= ACROSS[kind] + 1e-6
    assert inside[:, :2].norm(dim=1).max() >= ACROSS[kind] - 0.1
    assert inside[:, 2].abs().max() == pytest.approx(UPWARD[kind], abs=0.05)
    assert inside.mean(0).tolist() == pytest.approx([0, 0, CENTRE_OF_MASS.get(kind, 0.0)], abs=0.02)


@pytest.mark.parametrize("kind", list(UNIT))
def test_no_step_along_a_ray_can_leap_over_the_surface(kind: str, cloud: Tensor) -> None:
    # A function that is 0 on the surface and falls no faster than the way is long never exceeds the distance to it.
    for far in (0.05, 3.0):
        other = cloud + (cloud.flip(0) - cloud) * far / 3
        way = (cloud - other).norm(dim=1)
        assert ((UNIT[kind](cloud) - UNIT[kind](other)).abs() <= way + 1e-5).all()


def test_a_solid_stands_where_it_says() -> None:
    solid = Solid("cube", "red", 0.5, (0.2, -0.1, 0.3), rotation=45.0)
    corner = 0.5 * 0.8 * math.sqrt(2)
    points = torch.tensor([[0.2, -0.1, 0.3], [0.2 + corner, -0.1, 0.3], [0.2 + corner + 0.1, -0.1, 0.3]])
    assert solid.distance(points).tolist() == pytest.approx([-0.4, 0.0, 0.1], abs=1e-6)
    cross = Solid("cross", "red", 1.0, (0.0, 0.0, 0.0), rotation=30.0)
    tip = torch.tensor([[math.cos(math.radians(30)), math.sin(math.radians(30)), 0.0]])
    assert float(cross.distance(tip)) == pytest.approx(0.0, abs=1e-6)
