"""Optimal transport between two sets of features: its moments, its defining property, and few or flat points."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from apps.captioning.transport import transport


def cloud(rows: int, width: int, seed: int) -> Tensor:
    """Points of an uneven, shifted Gaussian."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=generator).double() + 3 * torch.eye(width).double()
    return torch.randn(rows, width, generator=generator).double() @ mix + torch.randn(width, generator=generator)


def moved(points: Tensor, map_: tuple[Tensor, Tensor]) -> Tensor:
    matrix, shift = map_
    return points @ matrix.T + shift


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(0, 1000))
def test_moved_points_have_the_targets_mean_and_covariance(width: int, seed: int) -> None:
    source, target = cloud(200, width, seed), cloud(150, width, seed + 1)
    found = moved(source, transport(source, target, ridge=0.0))
    torch.testing.assert_close(found.mean(0), target.mean(0), atol=1e-6, rtol=1e-6)
    wanted = torch.cov(target.T, correction=0).reshape(width, width)
    torch.testing.assert_close(torch.cov(found.T, correction=0).reshape(width, width), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_map_is_symmetric_and_positive_which_makes_it_the_shortest(seed: int) -> None:
    """Brenier: of the maps between two Gaussians only the optimal one is a gradient of a convex function."""
    source, target = cloud(300, 6, seed), cloud(300, 6, seed + 10)
    matrix, shift = transport(source, target, ridge=0.0)
    torch.testing.assert_close(matrix, matrix.T)
    assert float(torch.linalg.eigvalsh(matrix).min()) > 0
    cost = (moved(source, (matrix, shift)) - source).square().sum(1).mean()
    # Another map with the same result: through white points, and turned there.
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(seed)).double()).Q
    lower, upper = (torch.linalg.cholesky(torch.cov(points.T, correction=0)) for points in (source, target))
    other = upper @ turn @ torch.linalg.inv(lower)
    there = (source - source.mean(0)) @ other.T + target.mean(0)
    torch.testing.assert_close(torch.cov(there.T, correction=0), torch.cov(target.T, correction=0))
    assert float((there - source).square().sum(1).mean()) > float(cost)


def test_equal_sets_are_left_alone_and_a_shifted_one_is_shifted_back() -> None:
    points = cloud(40, 8, 0)
    matrix, shift = transport(points, points)
    torch.testing.assert_close(matrix, torch.eye(8).double())
    torch.testing.assert_close(shift, torch.zeros(8).double())
    torch.testing.assert_close(moved(points, transport(points, points + 3)), points + 3)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_fewer_points_than_dimensions_are_no_trouble(rows: int) -> None:
    source, target = cloud(rows, 32, 0).float(), cloud(rows, 32, 1).float()
    matrix, shift = transport(source, target)
    assert matrix.isfinite().all()
    assert matrix.dtype == shift.dtype == torch.float32
    torch.testing.assert_close(moved(source, (matrix, shift)).mean(0), target.mean(0), atol=1e-3, rtol=1e-3)
    # Where neither set varies, nothing is stretched.
    still = torch.linalg.svd(torch.cat([source - source.mean(0), target - target.mean(0)])).Vh[2 * rows :]
    torch.testing.assert_close(still @ matrix.T, still, atol=1e-3, rtol=1e-3)
