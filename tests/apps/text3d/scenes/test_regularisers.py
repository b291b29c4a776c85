"""Regularisers: values by hand, ranges, and gradients that are finite at the edges."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from apps.text3d.scenes.regularisers import distortion, opacity_entropy, orientation, sparsity, total_variation
from tests.apps.text3d.scenes.solids import around, ball, seeded

shares = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20)


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


class TestDistortion:
    @staticmethod
    def plain(weight: Tensor, distance: Tensor, step: Tensor) -> float:
        """The formula as it is written, in loops."""
        total = 0.0
        for row in range(len(weight)):
            for i in range(weight.shape[1]):
                total += weight[row, i].item() ** 2 * step[row, i].item() / 3
                for j in range(weight.shape[1]):
                    apart = abs(distance[row, i].item() - distance[row, j].item())
                    total += weight[row, i].item() * weight[row, j].item() * apart
        return total / len(weight)

    @given(st.integers(0, 1000), st.integers(1, 9))
    def test_it_is_the_double_sum(self, seed: int, samples: int) -> None:
        generator = seeded(seed)
        weight = torch.rand(3, samples, generator=generator, dtype=torch.float64) / samples
        distance = torch.rand(3, samples, generator=generator, dtype=torch.float64).sort(1).values + 3
        step = torch.rand(3, samples, generator=generator, dtype=torch.float64)
        assert distortion(weight, distance, step).item() == pytest.approx(
            self.plain(weight, distance, step), abs=1e-12
        )

    def test_one_thin_layer_is_best(self) -> None:
        distance, step = torch.linspace(2, 4, 21)[None], torch.full((1, 21), 0.1)
        thin, spread, two = torch.zeros(3, 1, 21)
        thin[0, 10], spread[0, :], two[0, 0], two[0, 20] = 1, 1 / 21, 0.5, 0.5
        values = [distortion(weight, distance, step).item() for weight in (thin, spread, two)]
        assert values == sorted(values)
        assert values[0] == pytest.approx(0.1 / 3)
