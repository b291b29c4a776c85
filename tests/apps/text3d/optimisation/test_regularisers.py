"""Regularisers: values by hand, ranges, gradients finite at the edges; and as a configuration asks for them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from apps.text3d.cameras import orbit
from apps.text3d.optimisation.regularisers import (
    opacity_entropy,
    orientation,
    regularisers,
    sparsity,
    total_variation,
)
from apps.text3d.optimise_config import RegulariserConfig
from apps.text3d.scenes.config import GaussianConfig, VoxelConfig
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.voxel import VoxelScene
from common.errors import UsageError
from tests.apps.text3d.scenes.solids import around, ball

CAMERAS = orbit([0.0, 120.0, 240.0], size=16)
shares = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20)


def scene() -> VoxelScene:
    return VoxelScene(VoxelConfig(resolution=12), torch.Generator().manual_seed(0))


def test_without_weights_there_is_none() -> None:
    assert regularisers(RegulariserConfig()) is None


@pytest.mark.parametrize("name", ["entropy", "sparsity", "orientation", "smoothness"])
def test_each_becomes_less_where_it_is_asked_for(name: str) -> None:
    wanted = regularisers(RegulariserConfig(**{name: 1.0}))
    assert wanted is not None
    made = scene()
    optimizer = torch.optim.Adam(made.parameters(), lr=0.05)
    losses = []
    for step in range(8):
        loss, told = wanted(made, made.render(CAMERAS), CAMERAS, step)
        assert told == {f"regularisers.{name}": pytest.approx(float(loss.detach()))}
        optimizer.zero_grad()
        loss.backward()
        assert all(one.grad is None or bool(one.grad.isfinite().all()) for one in made.parameters())
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.99 * losses[0]


def test_weights_multiply_and_follow_their_schedule() -> None:
    made = scene()
    views = made.render(CAMERAS)
    once, twice = (regularisers(RegulariserConfig(sparsity=weight)) for weight in (1.0, 2.0))
    late = regularisers(RegulariserConfig(sparsity=[10, 0.0, 1.0, 20]))
    assert once is not None
    assert twice is not None
    assert late is not None
    plain = float(once(made, views, CAMERAS, 0)[0].detach())
    assert float(twice(made, views, CAMERAS, 0)[0].detach()) == pytest.approx(2 * plain)
    assert late(made, views, CAMERAS, 5)[1] == {}
    assert float(late(made, views, CAMERAS, 20)[0].detach()) == pytest.approx(plain)


def test_smoothness_needs_a_grid() -> None:
    made = GaussianScene(GaussianConfig(count=8), torch.Generator().manual_seed(0))
    wanted = regularisers(RegulariserConfig(smoothness=1.0))
    assert wanted is not None
    with pytest.raises(UsageError, match=r"scene\.kind"):
        wanted(made, made.render(CAMERAS), CAMERAS, 0)


def test_a_weight_that_is_none_names_its_option() -> None:
    with pytest.raises(UsageError, match=r"optimise\.regularisers\.entropy"):
        regularisers(RegulariserConfig(entropy="much"))


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


class TestEntropy:
    def test_values(self) -> None:
        assert opacity_entropy(numbers(0.5, 0.5)).item() == pytest.approx(1)
        assert opacity_entropy(numbers(0, 1)).item() == pytest.approx(0, abs=3e-4)
        assert opacity_entropy(numbers(0.25)).item() == pytest.approx(0.8113, abs=1e-4)

    @given(shares)
    def test_range_and_finite_gradients(self, opacity: list[float]) -> None:
        given_ = torch.tensor(opacity, requires_grad=True)
        value = opacity_entropy(given_)
        (gradient,) = torch.autograd.grad(value, given_)
        assert 0 <= value.item() <= 1 + 1e-6
        assert bool(gradient.isfinite().all())


class TestSparsity:
    def test_values(self) -> None:
        assert sparsity(numbers(0, 0)).item() == pytest.approx(0)
        assert sparsity(numbers(1)).item() == pytest.approx(math.sqrt(1.01) - 0.1)

    @given(shares, st.floats(0, 1))
    def test_it_grows_with_what_is_covered(self, opacity: list[float], more: float) -> None:
        one = torch.tensor(opacity, dtype=torch.float64)
        assert sparsity(one).item() <= sparsity((one + more).clamp_max(1)).item() + 1e-12


def test_total_variation() -> None:
    ramp = torch.arange(4.0)[:, None, None].expand(4, 3, 5)
    assert total_variation(ramp).item() == pytest.approx(1)
    assert total_variation(torch.full((3, 3, 3, 2), 7.0)).item() == 0
    # Per place, whatever the grid's size; colours are averaged.
    assert total_variation(2 * ramp[..., None].expand(4, 3, 5, 3)).item() == pytest.approx(4)
    assert total_variation(torch.arange(6.0).expand(4, 6), dimensions=2).item() == pytest.approx(1)


class TestOrientation:
    def test_values(self) -> None:
        ahead = torch.tensor([[0.0, 0.0, 1.0]])
        assert orientation(torch.tensor([0.5]), -ahead, ahead).item() == 0
        assert orientation(torch.tensor([0.5]), ahead, ahead).item() == pytest.approx(0.5)
        tilted = torch.tensor([[0.0, 0.6, 0.8]])
        assert orientation(torch.tensor([1.0]), tilted, ahead).item() == pytest.approx(0.64)

    def test_a_ball_seen_from_outside_has_none(self) -> None:
        scene, cameras = ball(0.5, 32), around(1, 24)
        samples, directions = scene.samples(cameras)
        seen = directions[samples.ray]
        good = orientation(samples.weight, samples.normals, seen).item()
        assert good < 0.01 * orientation(samples.weight, -samples.normals, seen).item()
