"""Trilinear look-ups on a CPU beside torch's `grid_sample`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apps.text3d.scenes.trilinear import looked_up, sampled
from tests.apps.text3d.scenes.solids import seeded

#: Axes of different length, so that none can stand for another; the least there is among them.
SIZE = (5, 2, 7)


def grids() -> tuple[Tensor, Tensor]:
    """Of four channels and of three."""
    one, other = (torch.randn(*SIZE, count, generator=seeded(count), dtype=torch.float64) for count in (4, 3))
    return one, other


def places() -> Tensor:
    """Inside, beyond every face, far away, at the corners, and at all grid points."""
    axes = [torch.linspace(-1, 1, points, dtype=torch.float64) for points in SIZE]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    corners = torch.cartesian_prod(*3 * [torch.tensor([-1.0, 1.0], dtype=torch.float64)])
    return torch.cat([2.6 * torch.rand(300, 3, generator=seeded(), dtype=torch.float64) - 1.3, 1e6 * corners, points])


@pytest.mark.parametrize(("kind", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_values_and_gradients_are_those_of_grid_sample(kind: torch.dtype, close: float) -> None:
    points, given = places().to(kind), [grid.to(kind).requires_grad_() for grid in grids()]
    for found, grid in zip(looked_up(points, *given), given, strict=True):
        expected = sampled(points, grid)
        assert found.shape == expected.shape
        assert found.dtype == kind
        assert (found - expected).abs().max().item() < close
        # As a loss that reads some channels alone sends it back.
        way = torch.randn(len(points), 2, generator=seeded(1), dtype=kind)
        one, other = (torch.autograd.grad((each[:, 1:3] * way).sum(), grid)[0] for each in (found, expected))
        assert (one - other).abs().max().item() < close * other.abs().max().item()


def test_gradients_are_finite_differences() -> None:
    points, given = places()[:40], [grid.requires_grad_() for grid in grids()]
    assert torch.autograd.gradcheck(lambda *several: looked_up(points, *several), given)


def test_places_have_a_gradient_where_it_is_asked_for() -> None:
    points, (grid, _) = places()[:40].requires_grad_(), grids()
    assert torch.autograd.gradcheck(lambda points: looked_up(points, grid), points)


def test_no_place_has_no_value_and_a_gradient_of_nothing() -> None:
    grid = grids()[0].requires_grad_()
    (found,) = looked_up(places()[:0], grid)
    assert found.shape == (0, 4)
    (gradient,) = torch.autograd.grad(found.sum(), grid)
    assert not gradient.any()
