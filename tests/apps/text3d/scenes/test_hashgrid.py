"""The hash grid: its slopes, its table, what it is like at the start."""

from __future__ import annotations

import pytest
import torch

from apps.text3d.scenes.config import HashGridConfig
from apps.text3d.scenes.hashgrid import HashGridScene, entry
from common.errors import UsageError
from tests.apps.text3d.scenes.solids import seeded, small_hash_grid


def places(count: int = 60) -> torch.Tensor:
    return (torch.rand(count, 3, generator=seeded(), dtype=torch.float64) - 0.5) * 1.9


def test_slopes_are_those_of_autograd() -> None:
    encoding, points = small_hash_grid().double().encoding, places().requires_grad_()
    features, slopes = encoding.with_slopes(points)
    assert torch.equal(features, encoding(points))
    for row in range(len(features)):
        (expected,) = torch.autograd.grad(features[row].sum(), points, retain_graph=True)
        assert slopes[:, row].t().detach().numpy() == pytest.approx(expected.numpy(), abs=1e-9)


def test_normals_are_against_the_densitys_slope() -> None:
    scene, points = small_hash_grid().double(), places().requires_grad_()
    (slope,) = torch.autograd.grad(scene.density(points).sum(), points)
    density, colour, normals = scene.sample(points.detach())
    assert density.detach().numpy() == pytest.approx(scene.density(points).detach().numpy())
    assert torch.equal(colour, scene.colour(points.detach()))
    cosine = (normals * -slope / slope.norm(dim=1, keepdim=True)).sum(1)
    assert cosine.detach().numpy() == pytest.approx(1, abs=1e-4)


def test_coarse_levels_give_each_point_its_own_entry_and_fine_ones_hash_into_the_table() -> None:
    cells = torch.cartesian_prod(*[torch.arange(4)] * 3).t()
    rows = entry(cells, edge=5, size=125)
    assert set(rows.flatten().tolist()) == set(range(125))
    fine = entry(torch.randint(0, 2000, (3, 5000), generator=seeded()), edge=2048, size=256)
    counts = torch.bincount(fine.flatten(), minlength=256)
    assert fine.min().item() >= 0
    assert len(counts) == 256
    # Evenly: a good hash leaves no entry with twice the mean.
    assert counts.max().item() < 2 * counts.float().mean().item()


def test_it_is_continuous_from_cell_to_cell() -> None:
    scene = small_hash_grid().double()
    line = torch.linspace(-1, 1, 20_001, dtype=torch.float64)[:, None] * torch.tensor([[1.0, 0.7, -0.4]])
    assert scene.density(line).diff().abs().max().item() < 0.02


def test_it_starts_as_a_blob() -> None:
    scene = HashGridScene(HashGridConfig(levels=3), seeded())
    density = scene.density(torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [0.95, 0, 0]])).tolist()
    assert density == sorted(density, reverse=True)
    _, _, normals = scene.sample(torch.tensor([[0.5, 0.0, 0.0], [0.0, -0.5, 0.0]]))
    assert normals[0, 0].item() > 0.9
    assert normals[1, 1].item() < -0.9


def test_settings_that_cannot_be_are_refused() -> None:
    for wrong in ({"levels": 0}, {"log2_table": 40}, {"growth": 0.5}):
        with pytest.raises(UsageError):
            HashGridConfig(**wrong)  # type: ignore[arg-type]
