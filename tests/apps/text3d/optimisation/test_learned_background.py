"""Case 19: a background that is learned beside a scene, and stays out of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.text3d.cameras import orbit
from apps.text3d.guidance.base import Term, Weighted
from apps.text3d.optimisation.learner import SceneLearner
from apps.text3d.optimise_config import OptimiseConfig, ViewpointConfig
from apps.text3d.scenes.backgrounds import LearnedBackground, over
from apps.text3d.scenes.config import BlobConfig, GaussianConfig, VoxelConfig
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.voxel import VoxelScene
from common.errors import UsageError
from common.training.run import Interrupted, Run
from common.training.stage import run_stage

SHORT = OptimiseConfig(steps=8, size=16, background="learned", viewpoints=ViewpointConfig(views=2))


def voxels(generator: torch.Generator) -> VoxelScene:
    return VoxelScene(VoxelConfig(resolution=12, blob=BlobConfig(radius=0.8)), generator)


def gaussians(generator: torch.Generator) -> GaussianScene:
    return GaussianScene(GaussianConfig(count=40), generator)


class Wanting:
    """Wants every pixel to be of one colour."""

    def __init__(self, *colour: float) -> None:
        self.colour = torch.tensor(colour)[:, None, None]

    def loss(self, views: Any, cameras: Any, step: int, generator: Any = None) -> Any:
        return (views.rgb - self.colour).square().mean(), {}


def learner(config: OptimiseConfig = SHORT, seed: int = 0, make: Any = voxels) -> SceneLearner:
    return SceneLearner(make, Weighted({"red": Term(Wanting(0.9, 0.1, 0.1))}), config, seed)


def kept(one: SceneLearner) -> list[torch.Tensor]:
    assert one.backdrop is not None
    return [*one.scene.state_dict().values(), *one.backdrop.state_dict().values()]


@pytest.mark.parametrize("make", [voxels, gaussians])
def test_a_resumed_optimisation_has_the_same_background_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    whole, cut = learner(make=make), learner(make=make)
    for _ in range(8):
        whole.step()
    run = Run.create(tmp_path, "cut", {}, 0, "python -m apps.text3d generate …")
    step = cut.step

    def stopped() -> dict[str, float]:
        if cut.steps == 5:
            raise KeyboardInterrupt
        return step()

    monkeypatch.setattr(cut, "step", stopped)
    with pytest.raises(Interrupted):
        run_stage(run, "scene", cut, 8, save_every=3)
    again = learner(seed=77, make=make)
    run_stage(run, "scene", again, 8, save_every=3)
    assert all(torch.equal(one, other) for one, other in zip(kept(whole), kept(again), strict=True))
    assert whole.backdrop is not None
    assert float(whole.backdrop.tone.detach().abs().max()) > 0


def test_a_random_colour_takes_its_place_in_its_share_of_steps() -> None:
    cameras = orbit([0.0, 90.0], size=8)
    for share, low, high in ((0.0, 0, 0), (0.5, 35, 65), (1.0, 100, 100)):
        one = learner(replace(SHORT, background_random=share))
        shapes = [tuple(one._behind(cameras).shape) for _ in range(100)]
        assert low <= shapes.count((3,)) <= high
        assert shapes.count((3,)) + shapes.count((2, 3, 8, 8)) == 100
    with pytest.raises(UsageError, match="a share of steps"):
        replace(SHORT, background_random=1.5)


def test_what_is_wanted_is_built_though_the_background_shows_it_already() -> None:
    """Before a background that is always there the scene may stay fog; before random colours it must become solid."""

    def fog(generator: torch.Generator) -> VoxelScene:
        return VoxelScene(VoxelConfig(resolution=12, blob=BlobConfig(height=0.0)), generator)

    def opacity(share: float) -> tuple[float, float]:
        one = learner(replace(SHORT, background_random=share, learning_rate=0.3), make=fog)
        assert one.backdrop is not None
        with torch.no_grad():
            one.backdrop.tone.copy_(torch.logit(torch.tensor([0.9, 0.1, 0.1])))
            one.scene.grid_density.sub_(2.0)
        first = one.step()["opacity"]
        return first, [one.step()["opacity"] for _ in range(30)][-1]

    (start, painted), (same, built) = opacity(0.0), opacity(0.5)
    assert start == same < 0.4
    assert painted < start
    assert built > start + 0.3


def test_it_has_no_room_for_an_outline() -> None:
    """Along any row of pixels a colour rises or falls, and never comes back."""
    behind = LearnedBackground()
    with torch.no_grad():
        behind.tone.copy_(torch.tensor([0.3, -1.0, 2.0]))
        behind.slope.copy_(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)) * 4)
        seen = behind(orbit([20.0], elevation=0.0, size=24))
    # Rays of one row turn about the camera by 40 degrees: far less than the half turn that a cosine needs to return.
    changes = seen.diff(dim=3).sign()
    turns = (changes[..., 1:] * changes[..., :-1] < 0).sum(3)
    assert int(turns.max()) <= 1
    assert bool((seen > 0).all())
    assert bool((seen < 1).all())


def test_what_is_opaque_shows_its_own_colour_and_gives_the_background_no_gradient() -> None:
    scene, behind = voxels(torch.Generator().manual_seed(0)), LearnedBackground()
    with torch.no_grad():
        scene.grid_density.add_(40.0)
        behind.tone.copy_(torch.tensor([3.0, -3.0, 0.0]))
    cameras = orbit([30.0], size=24)
    on_white, on_learned = scene.render(cameras), scene.render(cameras, behind(cameras))
    covered = (on_white.opacity > 0.9999).expand_as(on_white.rgb)
    assert 0.2 < float(covered.float().mean()) < 1
    assert float((on_white.rgb - on_learned.rgb)[covered].detach().abs().max()) < 1e-3
    assert float((on_white.rgb - on_learned.rgb).detach().abs().max()) > 0.1
    (slope,) = torch.autograd.grad(on_learned.rgb[covered].sum(), [behind.tone])
    assert float(slope.abs().max()) < 1e-2


def test_nothing_that_is_exported_has_it() -> None:
    one, plain = learner(), learner(replace(SHORT, background="random"))
    one.step()
    assert set(one.scene.state_dict()) == set(plain.scene.state_dict())
    with pytest.raises(UsageError, match="a background has shape"):
        over(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4), torch.zeros(2, 3, 5, 4))
