"""That scenes can be learnt from pictures: eight views of a red and a blue ball."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from apps.text3d.cameras import orbit
from apps.text3d.scenes.backgrounds import background, over
from apps.text3d.scenes.config import DensifyConfig, GaussianConfig, VoxelConfig
from apps.text3d.scenes.densify import Densifier
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.voxel import VoxelScene
from tests.apps.text3d.scenes.solids import seeded, solid

CAMERAS = orbit([45.0 * view for view in range(8)], [15.0, 25.0] * 4, size=24)


def two_balls(points: torch.Tensor) -> torch.Tensor:
    left, right = torch.tensor([0, -0.45, 0]), torch.tensor([0, 0.45, 0])
    return torch.minimum((points - left).norm(dim=-1) - 0.4, (points - right).norm(dim=-1) - 0.3)


def psnr(scene: Any, steps: int, rate: float, densify: DensifyConfig | None = None) -> tuple[float, float]:
    """Before and after."""
    with torch.no_grad():
        target = solid(two_balls, 40).render(CAMERAS, torch.zeros(3))

    def quality() -> float:
        with torch.no_grad():
            error = (scene.render(CAMERAS, torch.zeros(3)).rgb - target.rgb).square().mean()
        return -10 * error.log10().item()

    before, generator = quality(), seeded(1)
    optimiser = torch.optim.Adam(scene.parameter_groups(rate), betas=(0.9, 0.99))
    densifier = Densifier(scene, densify) if densify else None
    for step in range(steps):
        rows = torch.arange(step % 2, 8, 2)
        behind = background("random", 4, generator)
        wanted = over(target.rgb[rows], target.opacity[rows], behind)
        optimiser.zero_grad()
        (scene.render(CAMERAS[rows], behind, generator).rgb - wanted).square().mean().backward()
        if densifier is not None:
            densifier.observe(scene, 24)
        optimiser.step()
        if densifier is not None and step % 15 == 14 and step < steps - 15:
            densifier.apply(scene, optimiser, generator)
    return before, quality()


def test_voxels_learn_two_balls_from_eight_views() -> None:
    scene = VoxelScene(VoxelConfig(resolution=32), seeded())
    before, after = psnr(scene, 25, 0.5)
    assert before < 15
    assert after > 25
    # Not only the pictures: what is where, and its colour.
    points = torch.tensor([[0.0, -0.1, 0.0], [0.0, -0.8, 0.0], [0.0, 0.7, 0.0], [0.7, 0.0, 0.5], [-0.6, 0.0, -0.6]])
    density = scene.density(points).tolist()
    assert min(density[:3]) > 3 * max(density[3:])
    colour = scene.colour(points)
    assert colour[1, 0] > 0.8 > 0.2 > colour[1, 2]
    assert colour[2, 2] > 0.8 > 0.2 > colour[2, 0]


@pytest.mark.parametrize("densify", [None, DensifyConfig(large=0.06, most=300)])
def test_gaussians_learn_two_balls_from_eight_views(densify: DensifyConfig | None) -> None:
    scene = GaussianScene(GaussianConfig(count=150), seeded())
    before, after = psnr(scene, 45, 0.2, densify)
    assert before < 15
    assert after > 25
    assert (len(scene) > 150) == (densify is not None)
