"""The ray marcher: quadrature where numbers are extreme, the box, jitter, skipping, turns."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from apps.text3d.scenes.config import MarchConfig
from apps.text3d.scenes.volume import intersect, unit, weights
from tests.apps.text3d.scenes.solids import (
    EXACT,
    MAKERS,
    around,
    ball,
    gradients,
    mixed,
    parts,
    seeded,
    small_voxels,
    worst,
)

depths = st.lists(st.one_of(st.floats(0, 10, width=32), st.sampled_from([0.0, 1e-12, 1e30])), min_size=1, max_size=40)


class TestWeights:
    @given(depths)
    def test_they_never_add_up_to_more_than_one(self, tau: list[float]) -> None:
        weight, opacity = weights(torch.tensor([tau]))
        assert bool((weight >= 0).all())
        assert weight.sum().item() <= 1 + 1e-6
        assert weight.sum().item() == pytest.approx(opacity.item(), abs=1e-6)
        assert opacity.item() <= 1

    def test_solid_walls(self) -> None:
        # `cumsum(tau) - tau` makes this 2.
        tau = torch.full((1, 32), 1e30, requires_grad=True)
        weight, opacity = weights(tau)
        assert weight[0].tolist() == [1.0] + [0.0] * 31
        assert opacity.item() == 1
        (gradient,) = torch.autograd.grad((weight * torch.arange(32)).sum() + opacity.sum(), tau)
        assert bool(gradient.isfinite().all())

    def test_thin_media_keep_their_digits(self) -> None:
        tau = torch.full((1, 64), 1e-7)
        exact, _ = weights(tau.double())
        weight, opacity = weights(tau)
        assert ((weight - exact).abs() / exact).max().item() < 1e-6
        assert opacity.item() == pytest.approx(64e-7, rel=1e-5)

    def test_even_fog(self) -> None:
        _, opacity = weights(torch.full((1, 100), 0.03, dtype=torch.float64))
        assert opacity.item() == pytest.approx(1 - math.exp(-3))


class TestBox:
    def near_far(self, origin: list[float], direction: list[float]) -> list[float]:
        near, far = intersect(torch.tensor([origin]), unit(1e6 * torch.tensor([direction])))
        return [near.item(), far.item()]

    def test_through_along_an_axis_inside_and_missing(self) -> None:
        assert self.near_far([3, 0, 0], [-1, 0, 0]) == pytest.approx([2, 4])
        assert self.near_far([0, 0, 0], [0, 1, 0]) == pytest.approx([0, 1])
        near, far = self.near_far([3, 0, 0], [0, 1, 0])
        assert near == far
        near, far = self.near_far([3, 0, 0], [1, 0, 0])
        assert near == far
        assert self.near_far([2, 2, 0], [-1, -1, 0]) == pytest.approx([math.sqrt(2), 3 * math.sqrt(2)], rel=1e-5)

    @given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
    def test_the_way_between_is_inside_and_the_rest_is_not(self, numbers: list[float]) -> None:
        origin, direction = torch.tensor(numbers, dtype=torch.float64).view(2, 1, 3)
        if direction.norm() < 1e-3:
            return
        direction = direction / direction.norm()
        near, far = intersect(origin, direction)
        at = near + (far - near) * torch.linspace(0.001, 0.999, 7, dtype=torch.float64)[:, None]
        if far - near > 1e-6:
            assert bool(((origin + at * direction).abs() <= 1 + 1e-9).all())
        assert bool(((origin + (far + 1e-3) * direction).abs() > 1 - 1e-9).any()) or far == near


def test_unit_has_no_nan_at_zero() -> None:
    vectors = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 4.0]], requires_grad=True)
    found = unit(vectors)
    assert found[0].tolist() == [0, 0, 0]
    assert found[1].tolist() == pytest.approx([0.6, 0, 0.8], abs=1e-6)
    (gradient,) = torch.autograd.grad(found.sum(), vectors)
    assert gradient.abs().max().item() <= 1e3 + 1


def test_a_field_without_a_slope_has_no_nan_normals() -> None:
    scene = small_voxels()
    with torch.no_grad():
        scene.grid_density.copy_(-scene.shift)
    views = scene.render(around(1))
    assert views.normals.abs().max().item() < 1e-3
    assert all(bool(part.isfinite().all()) for part in gradients(scene, mixed(views)))


@pytest.mark.parametrize("level", [1e30, -1e30])
def test_extreme_fields_stay_finite(level: float) -> None:
    scene = small_voxels()
    with torch.no_grad():
        scene.grid_density.fill_(level)
    views = scene.render(around(1))
    assert all(bool(part.isfinite().all()) for part in [*parts(views), *gradients(scene, mixed(views))])
    assert views.opacity.max().item() == (1 if level > 0 else 0)


@pytest.mark.parametrize("kind", ["voxels", "hash grid"])
@pytest.mark.parametrize("rays", [5, 100, 10_000])
def test_turns_change_nothing(kind: str, rays: int) -> None:
    cameras, size = around(3, 6), MarchConfig(samples=8, empty=0, hidden=0)
    whole, turns = MAKERS[kind](march=size), MAKERS[kind](march=MarchConfig(8, 0, 0, rays=rays))
    one, other = (scene.render(cameras, generator=seeded()) for scene in (whole, turns))
    assert worst(parts(other), parts(one)) < 1e-6
    assert worst(gradients(turns, mixed(other)), gradients(whole, mixed(one))) < 1e-5
    # A loss that reads pictures alone leaves normals out.
    pictures = [scene.render(cameras).rgb.square().sum() for scene in (turns, whole)]
    assert worst(*(gradients(scene, value) for scene, value in zip((turns, whole), pictures, strict=True))) < 1e-5


def saved(views: int, rays: int) -> int:
    """Bytes that the graph of a render keeps for its backward pass."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = max(kept.get(tensor.data_ptr(), 0), tensor.numel() * tensor.element_size())
        return tensor

    scene, cameras = small_voxels(march=MarchConfig(rays=rays)), around(views, 24)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        made = scene.render(cameras)
    del made
    return sum(kept.values())


def test_memory_hardly_grows_with_views() -> None:
    whole, turns = (saved(16, rays) - saved(4, rays) for rays in (10**9, 576))
    # What stays are the rays and the pictures themselves: under 150 bytes a pixel.
    assert turns / (12 * 576) < 150
    assert whole > 10 * turns


def test_jitter_comes_from_the_generator_alone() -> None:
    scene, cameras = small_voxels(), around(2)
    torch.manual_seed(0)
    one = scene.render(cameras, generator=seeded(1)).rgb
    torch.manual_seed(1)
    assert torch.equal(one, scene.render(cameras, generator=seeded(1)).rgb)
    assert not torch.equal(one, scene.render(cameras, generator=seeded(2)).rgb)
    assert torch.equal(scene.render(cameras).rgb, scene.render(cameras).rgb)


def test_jitter_has_no_bias() -> None:
    scene, cameras = small_voxels(march=MarchConfig(samples=6, empty=0, hidden=0)), around(1, 6)
    fine = small_voxels(march=MarchConfig(samples=400, empty=0, hidden=0)).render(cameras).depth
    generator = seeded()
    mean = torch.stack([scene.render(cameras, generator=generator).depth for _ in range(400)]).mean(0)
    assert (mean - fine).abs().max().item() < 0.02


@pytest.mark.parametrize("make", [small_voxels, lambda march: ball(0.5, 24, march)])
def test_skipping_changes_a_picture_by_less_than_it_says(make: object) -> None:
    cameras = around(2, 24)
    exact, skipping = (make(march=march) for march in (EXACT, MarchConfig(samples=24)))  # type: ignore[operator]
    one, other = exact.render(cameras), skipping.render(cameras)
    assert (one.opacity - other.opacity).abs().max().item() <= 1e-3 * 3.5 + 1e-4
    assert (one.rgb - other.rgb).abs().max().item() <= 1e-3 * 3.5 + 1e-4
    assert worst(gradients(skipping, other.rgb.sum()), gradients(exact, one.rgb.sum())) < 2e-3


def test_skipping_leaves_little_to_do() -> None:
    scene = ball(0.4, 32, MarchConfig(samples=64))
    samples, _ = scene.samples(around(1, 32))
    assert 0 < len(samples.ray) < 0.1 * 64 * 32 * 32


def test_samples_are_what_the_picture_is_made_of() -> None:
    scene, cameras = small_voxels(), around(1, 8)
    samples, directions = scene.samples(cameras)
    views = scene.render(cameras)
    sums = torch.zeros(64).index_add(0, samples.ray, samples.weight)
    assert sums.detach().numpy() == pytest.approx(views.opacity.flatten().detach().numpy(), abs=1e-5)
    assert directions.shape == (64, 3)
    assert bool((samples.ray.diff() >= 0).all())
