"""What every scene promises, whatever it is made of."""

from __future__ import annotations

import io

import pytest
import torch

from apps.text3d.scenes.base import Views
from tests.apps.text3d.scenes.solids import (
    MAKERS,
    around,
    double,
    gradients,
    mixed,
    parts,
    seeded,
    slope_error,
    worst,
)

pytestmark = pytest.mark.parametrize("kind", list(MAKERS))


def test_shapes_and_ranges(kind: str) -> None:
    views = MAKERS[kind]().render(around(3, 10).at_size(10, 14))
    assert [tuple(part.shape) for part in parts(views)] == [(3, count, 10, 14) for count in (3, 1, 1, 3)]
    assert all(bool(part.isfinite().all()) for part in parts(views))
    for part in (views.rgb, views.opacity):
        assert part.min().item() >= 0
        assert part.max().item() <= 1 + 1e-6
    # Normals have the length of the opacity; depth lies within the box, seen from 3.2 m.
    assert bool((views.normals.norm(dim=1, keepdim=True) <= views.opacity + 1e-5).all())
    assert bool((views.depth >= 0).all())
    assert bool((views.depth <= views.opacity * 5).all())


def test_gradients_are_finite_differences(kind: str) -> None:
    scene, cameras = MAKERS[kind]().double(), double(around(2, 9))
    assert slope_error(scene, lambda: mixed(scene.render(cameras))) < 1e-5


def test_density_and_colour_are_differentiable_too(kind: str) -> None:
    scene = MAKERS[kind]().double()
    points = (torch.rand(60, 3, generator=seeded(), dtype=torch.float64) - 0.5) * 0.9
    assert slope_error(scene, lambda: scene.density(points).sin().sum() + scene.colour(points).square().sum()) < 1e-5


def test_a_batch_is_its_views_one_by_one(kind: str) -> None:
    scene, cameras = MAKERS[kind](), around(3)
    together, apart = scene.render(cameras), [scene.render(cameras[row : row + 1]) for row in range(3)]
    joined = [torch.cat(several) for several in zip(*(parts(one) for one in apart), strict=True)]
    assert worst(parts(together), joined) < 1e-6
    assert worst(gradients(scene, mixed(together)), gradients(scene, mixed(Views(*joined)))) < 1e-5


@pytest.mark.parametrize("given", ["one", "each", None])
def test_the_background_shows_through_what_is_clear_and_nowhere_else(kind: str, given: str | None) -> None:
    scene, cameras = MAKERS[kind](), around(2)
    behind = {"one": torch.tensor([0.2, 0.5, 0.9]), "each": torch.rand(2, 3, generator=seeded()), None: None}[given]
    views, black = scene.render(cameras, behind), scene.render(cameras, torch.zeros(3))
    colour = torch.ones(2, 3) if behind is None else behind.expand(2, 3)
    assert torch.equal(views.opacity, black.opacity)
    expected = black.rgb + (1 - views.opacity) * colour[..., None, None]
    assert (views.rgb - expected).abs().max().item() < 1e-6


def test_density_is_zero_outside_of_the_bound(kind: str) -> None:
    scene = MAKERS[kind]()
    outside = torch.tensor([[1.01, 0.0, 0.0], [0.0, -1.2, 0.0], [0.9, 0.9, 3.0], [-1e6, 0.0, 0.0]])
    assert scene.density(outside).tolist() == [0, 0, 0, 0]
    assert bool((scene.density(torch.zeros(1, 3)) > 0).all())
    colour = scene.colour(outside)
    assert bool(((colour >= 0) & (colour <= 1)).all())
    assert scene.density(torch.zeros(0, 3)).shape == (0,)


def test_the_same_seed_gives_the_same_bytes(kind: str) -> None:
    def run(seed: int) -> dict[str, torch.Tensor]:
        scene, generator = MAKERS[kind](seed), seeded(seed)
        optimiser = torch.optim.Adam(scene.parameter_groups(0.05))
        for _ in range(2):
            optimiser.zero_grad()
            mixed(scene.render(around(2, 8), generator=generator)).backward()
            optimiser.step()
        return scene.state_dict()

    one, again, other = run(3), run(3), run(4)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_state_dict_comes_back_from_a_file(kind: str) -> None:
    scene, cameras, file = MAKERS[kind](0), around(1), io.BytesIO()
    torch.save(scene.state_dict(), file)
    file.seek(0)
    other = MAKERS[kind](5)
    assert not torch.equal(other.render(cameras).rgb, scene.render(cameras).rgb)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert all(
        torch.equal(a, b) for a, b in zip(parts(other.render(cameras)), parts(scene.render(cameras)), strict=True)
    )


def test_every_parameter_is_in_one_group(kind: str) -> None:
    scene = MAKERS[kind]()
    grouped = [parameter for group in scene.parameter_groups(0.1) for parameter in group["params"]]
    assert sorted(map(id, grouped)) == sorted(map(id, scene.parameters()))
    rates = [group["lr"] for group in scene.parameter_groups(0.2)]
    assert rates == pytest.approx([2 * group["lr"] for group in scene.parameter_groups(0.1)])


def test_rendering_without_gradients_is_the_same(kind: str) -> None:
    scene, cameras = MAKERS[kind](), around(1)
    with torch.no_grad():
        still = scene.render(cameras)
    assert not still.rgb.requires_grad
    assert torch.equal(still.rgb, scene.render(cameras).rgb)
