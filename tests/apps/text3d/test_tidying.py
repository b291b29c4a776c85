"""Regularisers as a configuration asks for them."""

from __future__ import annotations

import pytest
import torch

from apps.text3d.cameras import orbit
from apps.text3d.optimise_config import RegulariserConfig
from apps.text3d.scenes.config import GaussianConfig, VoxelConfig
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.voxel import VoxelScene
from apps.text3d.tidying import regularisers
from common.errors import UsageError

CAMERAS = orbit([0.0, 120.0, 240.0], size=16)


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
