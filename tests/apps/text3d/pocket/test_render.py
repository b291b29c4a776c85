"""Pictures of worlds: where things are seen, what hides what, and that batches equal single pictures."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch

from apps.text3d.cameras import orbit
from apps.text3d.pocket.prompts import prompts, worlds
from apps.text3d.pocket.render import SHADE, render, visible_shares
from apps.text3d.pocket.sdf_scene import SdfScene
from apps.text3d.pocket.solids import UNIT, Solid
from apps.text3d.pocket.world import World
from apps.text3d.prompts import parse
from common.errors import UsageError


def world_of(*solids: Solid) -> World:
    return World(parse("a cube"), solids)


def test_a_sphere_is_seen_where_geometry_says() -> None:
    camera = orbit([30.0], size=100)
    views = render([world_of(Solid("sphere", "red", 0.5, (0.0, 0.0, 0.0)))], camera, samples=3)
    radius = float(camera.focal) * math.tan(math.asin(0.5 / 3.2))
    assert float(views.opacity.sum()) == pytest.approx(math.pi * radius**2, rel=0.01)
    assert float(views.depth[0, 0, 50, 50]) == pytest.approx(2.7, abs=0.01)
    outward = camera.positions[0] / 3.2
    assert views.normals[0, :, 50, 50].tolist() == pytest.approx(outward.tolist(), abs=0.02)
    assert views.rgb[0, :, 0, 0].tolist() == [1, 1, 1]
    assert views.depth[0, 0, 0, 0] == 0


@pytest.mark.parametrize("kind", list(UNIT))
def test_every_kind_is_seen_whole_and_in_its_colour(kind: str) -> None:
    solid = Solid(kind, "blue", 0.6, (0.1, 0.2, -0.1), 20.0)
    camera = orbit([200.0], 25.0, size=48)
    views = render([world_of(solid)], camera, torch.tensor([0.0, 1.0, 0.0]), samples=1)
    # What is solid along the rays, by brute force.
    origins, directions = camera.rays()
    along = torch.linspace(1.8, 4.6, 400)
    points = origins[0, :, :, None] + along[:, None] * directions[0, :, :, None]
    met = (solid.distance(points) < 0).any(-1)
    assert (views.opacity[0, 0].bool() ^ met).float().mean() < 0.006
    pixels = views.rgb[0].permute(1, 2, 0)[views.opacity[0, 0] == 1]
    factor = pixels / torch.tensor(solid.rgb)
    assert (factor > SHADE - 1e-4).all()
    assert (factor < 1 + 1e-4).all()


def test_the_nearer_solid_hides_the_farther() -> None:
    front, back = Solid("sphere", "red", 0.3, (0.5, 0.0, 0.0)), Solid("sphere", "blue", 0.3, (-0.5, 0.0, 0.0))
    cameras = orbit([0.0, 180.0, 90.0], 0.0, size=32)
    middle = render([world_of(front, back)], cameras).rgb[:2, :, 16, 16]
    assert middle[0, 0] > middle[0, 2]
    assert middle[1, 2] > middle[1, 0]
    shares = visible_shares([world_of(front, back)], cameras)
    assert shares[0] == [1.0, 0.0]
    assert shares[1] == [0.0, 1.0]
    assert shares[2] == [1.0, 1.0]


def test_batches_equal_single_pictures_and_chunks_change_nothing() -> None:
    shown = worlds(prompts("train", 40, seed=6))
    cameras = orbit(torch.linspace(0, 350, 40), size=20)
    batch = render(shown, cameras)
    for row in (0, 17, 33, 39):
        single = render([shown[row]], cameras[[row]])
        for entry in fields(batch):
            together, alone = getattr(batch, entry.name)[row], getattr(single, entry.name)[0]
            assert torch.allclose(together, alone, atol=1e-4), entry.name


def test_views_keep_their_contract() -> None:
    views = render(worlds(prompts("train", 8)), orbit([10.0] * 8, size=24))
    assert views.rgb.shape == (8, 3, 24, 24)
    assert views.opacity.shape == views.depth.shape == (8, 1, 24, 24)
    assert ((views.rgb >= 0) & (views.rgb <= 1)).all()
    assert ((views.opacity >= 0) & (views.opacity <= 1)).all()
    assert (views.normals.norm(dim=1, keepdim=True) <= views.opacity + 1e-4).all()
    assert not views.rgb.requires_grad


def test_an_empty_world_is_background_and_numbers_must_agree() -> None:
    empty = render([world_of()], orbit([0.0], size=8), torch.tensor([0.1, 0.2, 0.3]))
    assert torch.allclose(empty.rgb, torch.tensor([0.1, 0.2, 0.3])[None, :, None, None].expand(1, 3, 8, 8))
    with pytest.raises(UsageError, match="2 worlds, 3 cameras"):
        render([world_of()] * 2, orbit([0.0, 1.0, 2.0]))


def test_a_world_as_a_scene() -> None:
    solid = Solid("sphere", "green", 0.4, (0.3, 0.0, 0.0))
    scene = SdfScene(world_of(solid), density=60.0)
    points = torch.tensor([[0.3, 0.0, 0.0], [0.7, 0.0, 0.0], [-0.5, 0.0, 0.0], [1.2, 0.0, 0.0]])
    assert scene.density(points).tolist() == pytest.approx([60.0, 30.0, 0.0, 0.0], abs=1e-2)
    assert scene.colour(points)[0].tolist() == pytest.approx(list(solid.rgb))
    assert torch.equal(scene.render(orbit([0.0], size=16)).rgb, render([scene.world], orbit([0.0], size=16)).rgb)
    assert scene.parameter_groups(0.1) == []
