"""Voxels: values at grid points, and solids of known shape."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from apps.text3d.cameras import orbit
from apps.text3d.scenes.config import BlobConfig, MarchConfig, VoxelConfig
from apps.text3d.scenes.trilinear import looked_up
from apps.text3d.scenes.voxel import VoxelScene
from common.errors import UsageError
from tests.apps.text3d.scenes.solids import ball, points_of, seeded, small_voxels, solid

VOXEL = 2 / 47


def test_grid_points_have_their_own_values_and_axes_are_not_mixed_up() -> None:
    scene = small_voxels()
    points = points_of(7).reshape(-1, 3)
    assert scene.density(points).detach().numpy() == pytest.approx(
        functional.softplus(scene.raw()).flatten().detach().numpy(), rel=1e-4, abs=1e-5
    )
    assert scene.colour(points).detach().numpy() == pytest.approx(
        torch.sigmoid(scene.grid_colour).reshape(-1, 3).detach().numpy(), abs=1e-5
    )


def test_between_grid_points_a_linear_field_is_itself() -> None:
    points = torch.rand(50, 3, generator=seeded()) * 2 - 1
    slope = torch.tensor([1.0, -2.0, 3.0])
    assert looked_up(points, points_of(9) @ slope[:, None])[0][:, 0].numpy() == pytest.approx(
        (points @ slope).numpy(), abs=1e-5
    )


def test_density_starts_as_a_blob() -> None:
    scene = VoxelScene(VoxelConfig(blob=BlobConfig(6.0, 0.6, 0.0)))
    density = scene.density(torch.tensor([[0.0, 0, 0], [0.6, 0, 0], [0.99, 0, 0], [0.95, 0.95, 0.95]])).tolist()
    assert density[0] == pytest.approx(6, abs=0.5)
    assert density[1] == pytest.approx(0.69, abs=0.05)
    assert density == sorted(density, reverse=True)
    assert density[3] < 1e-3
    views = VoxelScene(generator=seeded()).render(orbit([0.0], size=32))
    assert views.opacity[0, 0, 16, 16].item() > 0.9
    assert views.opacity[0, 0, 0, 0].item() < 0.05


@pytest.mark.parametrize("azimuth", [0.0, 130.0])
def test_a_balls_normals_point_outwards_and_its_depth_is_right(azimuth: float) -> None:
    cameras = orbit([azimuth], elevation=25.0, size=48)
    views = ball(0.5).render(cameras)
    origins, directions = cameras.rays()
    along = (origins * directions).sum(-1)
    under = along**2 - origins.square().sum(-1) + 0.25
    hit = under > 0.05
    distance = -along - under.clamp_min(0).sqrt()
    assert (views.opacity[:, 0][hit] - 1).abs().max().item() < 1e-3
    assert (views.depth[:, 0] - distance)[hit].abs().max().item() < VOXEL
    outward = (origins + distance[..., None] * directions)[hit] / 0.5
    cosine = (views.normals.movedim(1, -1)[hit] * outward).sum(-1)
    assert cosine.min().item() > 0.98
    clear = under < -0.15
    assert views.opacity[:, 0][clear].max().item() < 1e-3
    assert views.depth[:, 0][clear].max().item() < 5e-3


def test_a_wall_is_where_it_stands() -> None:
    cameras = orbit([0.0], elevation=0.0, size=32, fovy=20.0)
    views = solid(lambda points: points[..., 0] - 0.2).render(cameras)
    _, directions = cameras.rays()
    expected = 3.0 / -directions[..., 0]
    middle = slice(8, 24)
    assert (views.depth[:, 0] - expected)[:, middle, middle].abs().max().item() < VOXEL
    assert (views.normals[0, :, 16, 16] - torch.tensor([1.0, 0, 0])).abs().max().item() < 0.01


def test_colours_are_where_they_belong() -> None:
    # Red is at −y: on the left from azimuth 0, on the right from behind.
    front, back = ball(0.5).render(orbit([0.0, 180.0], size=32)).rgb
    assert front[0, 16, 10] > 0.9
    assert front[2, 16, 21] > 0.9
    assert back[0, 16, 21] > 0.9
    assert back[2, 16, 10] > 0.9


def test_what_is_opaque_does_not_depend_on_the_background() -> None:
    scene, cameras = ball(0.5), orbit([0.0], size=32)
    white, black = (scene.render(cameras, torch.full((3,), value)) for value in (1.0, 0.0))
    solid_part = white.opacity.expand(-1, 3, -1, -1) > 0.9999
    assert solid_part.any()
    assert (white.rgb - black.rgb)[solid_part].abs().max().item() < 1e-3


def test_density_has_a_gradient_by_place() -> None:
    scene = small_voxels().double()
    points = (torch.rand(20, 3, generator=seeded(), dtype=torch.float64) - 0.5).requires_grad_()
    (gradient,) = torch.autograd.grad(scene.density(points).sum(), points)
    step = 1e-6 * torch.randn(20, 3, generator=seeded(1), dtype=torch.float64)
    change = scene.density(points + step) - scene.density(points - step)
    assert change.detach().numpy() == pytest.approx(2 * (gradient * step).sum(1).numpy(), rel=1e-4, abs=1e-10)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: VoxelConfig(resolution=1),
        lambda: MarchConfig(samples=0),
        lambda: MarchConfig(hidden=1.0),
        lambda: BlobConfig(radius=0.0),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: object) -> None:
    with pytest.raises(UsageError):
        wrong()  # type: ignore[operator]
