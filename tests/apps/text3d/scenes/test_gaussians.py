"""3D Gaussians: projection, compositing against the plain sum, occlusion, normals, density."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from apps.text3d.cameras import Cameras, orbit
from apps.text3d.scenes import compositing
from apps.text3d.scenes.base import Views
from apps.text3d.scenes.config import GaussianConfig
from apps.text3d.scenes.gaussian_maths import BLUR, LEAST_ALPHA, MOST_ALPHA, covariances, project, rotations
from apps.text3d.scenes.gaussians import PARAMETERS, GaussianScene
from apps.text3d.scenes.volume import assemble
from tests.apps.text3d.scenes.solids import around, gradients, mixed, parts, seeded, small_gaussians, worst


def dense(scene: GaussianScene, cameras: Cameras) -> Views:
    """The plain sum over all Gaussians for all pixels, by autograd."""
    turns = rotations(scene.quaternions)
    splats = project(cameras, scene.means, covariances(scene.scales, turns), scene.opacities)
    features = scene.features(cameras, turns, scene.scales)
    rows, columns = torch.meshgrid(
        torch.arange(cameras.height) + 0.5, torch.arange(cameras.width) + 0.5, indexing="ij"
    )
    pictures = []
    for view in range(len(cameras)):
        order = splats.depth[view].argsort()
        order = order[splats.depth[view][order] > 0.05]
        dx = columns.flatten() - splats.places[view, order, :1]
        dy = rows.flatten() - splats.places[view, order, 1:]
        a, b, c = splats.conics[view, order, :, None].unbind(1)
        fall = torch.exp(-0.5 * (a * dx**2 + c * dy**2) - b * dx * dy)
        alpha = scene.opacities[order, None].clamp_max(MOST_ALPHA) * fall
        alpha = torch.where(alpha < LEAST_ALPHA, 0.0, alpha)
        light = torch.cat([torch.ones_like(alpha[:1]), torch.cumprod(1 - alpha, 0)])
        weight = alpha * light[:-1]
        sums = torch.cat([features[view, order].t() @ weight, 1 - light[-1:]])
        pictures.append(sums.view(8, cameras.height, cameras.width))
    maps = torch.stack(pictures)
    return assemble(maps[:, :3], maps[:, 3:4], maps[:, 4:7], maps[:, 7:], None)


def few(*rows: tuple[tuple[float, ...], tuple[float, ...], float, tuple[float, ...]]) -> GaussianScene:
    """Of (mean, standard deviations, opacity, colour) each, not turned."""
    scene = GaussianScene(GaussianConfig(count=len(rows)), seeded())
    mean, scale, opacity, colour = (torch.tensor(part) for part in zip(*rows, strict=True))
    with torch.no_grad():
        scene.means.copy_(mean)
        scene.log_scales.copy_(scale.log())
        scene.quaternions.copy_(torch.tensor([1.0, 0, 0, 0]))
        scene.opacity_logits.copy_(opacity.logit())
        scene.colour_logits.copy_(colour.clamp(0.001, 0.999).logit())
    return scene


RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


@pytest.mark.parametrize("block", [1, 24, 1000])
@pytest.mark.parametrize("opaque", [0.0, 8.0])
def test_blocks_are_the_plain_sum_even_where_the_rest_is_dark(
    monkeypatch: pytest.MonkeyPatch, block: int, opaque: float
) -> None:
    monkeypatch.setattr(compositing, "BLOCK", block)
    scene, cameras = small_gaussians(count=120), around(1, 20)
    with torch.no_grad():
        scene.opacity_logits.add_(opaque)
        scene.log_scales.add_(0.1 * opaque)
    tiled, plain = scene.render(cameras), dense(scene, cameras)
    assert max((a - b).abs().max().item() for a, b in zip(parts(tiled), parts(plain), strict=True)) < 1e-5
    assert worst(gradients(scene, mixed(tiled)), gradients(scene, mixed(plain))) < 1e-3


@pytest.mark.parametrize(("height", "width"), [(40, 40), (24, 50), (16, 16), (7, 33)])
def test_tiles_are_the_plain_sum(height: int, width: int) -> None:
    scene, cameras = small_gaussians(count=200), around(2).at_size(height, width)
    tiled, plain = scene.render(cameras), dense(scene, cameras)
    assert max((a - b).abs().max().item() for a, b in zip(parts(tiled), parts(plain), strict=True)) < 1e-5
    assert worst(gradients(scene, mixed(tiled)), gradients(scene, mixed(plain))) < 1e-3


def test_one_gaussian_has_the_width_that_optics_says() -> None:
    scene = few(((0, 0, 0), (0.1, 0.2, 0.3), 0.8, RED))
    views = scene.render(orbit([0.0], elevation=0.0, size=65))
    opacity = views.opacity[0, 0].detach()
    assert opacity[32, 32].item() == pytest.approx(0.8, abs=1e-5)
    focal = 0.5 * 65 / math.tan(math.radians(20))
    # From azimuth 0 columns show y and rows z.
    for offset, spread in (((0, 6), 0.2), ((6, 0), 0.3)):
        variance = (focal * spread / 3.2) ** 2 + BLUR
        expected = 0.8 * math.exp(-0.5 * 36 / variance)
        assert opacity[32 + offset[0], 32 + offset[1]].item() == pytest.approx(expected, rel=1e-4)
    assert views.depth[0, 0, 32, 32].item() == pytest.approx(0.8 * 3.2, rel=1e-5)
    # The shortest axis is x, towards the camera.
    assert (views.normals[0, :, 32, 32] / 0.8).tolist() == pytest.approx([1, 0, 0], abs=1e-5)


def test_normals_face_the_camera_from_either_side() -> None:
    scene = few(((0, 0, 0), (0.01, 0.2, 0.3), 0.8, RED))
    front, back = scene.render(orbit([0.0, 180.0], elevation=0.0, size=33)).normals[:, 0, 16, 16].tolist()
    assert (front, back) == pytest.approx((0.8, -0.8), abs=1e-5)


def test_what_is_in_front_hides_what_is_behind_from_either_side() -> None:
    scene = few(((0.5, 0, 0), (0.2, 0.2, 0.2), 0.999, RED), ((-0.5, 0, 0), (0.2, 0.2, 0.2), 0.999, BLUE))
    front, back = scene.render(orbit([0.0, 180.0], elevation=0.0, size=33)).rgb[:, :, 16, 16]
    assert front.tolist() == pytest.approx([1, 0, 0], abs=0.01)
    assert back.tolist() == pytest.approx([0, 0, 1], abs=0.01)


def test_the_order_of_gaussians_in_memory_does_not_matter() -> None:
    scene, cameras = small_gaussians(), around(2)
    before, order = scene.render(cameras).rgb, torch.randperm(len(scene), generator=seeded())
    with torch.no_grad():
        for name in PARAMETERS:
            parameter = getattr(scene, name)
            parameter.copy_(parameter[order].clone())
    assert (scene.render(cameras).rgb - before).abs().max().item() < 1e-6


def test_a_marker_appears_where_cameras_say() -> None:
    place = torch.tensor([[0.3, -0.4, 0.5]])
    scene = few((tuple(place[0].tolist()), (0.02, 0.02, 0.02), 0.9, RED))
    cameras = orbit([0.0, 70.0, 200.0], [0.0, 40.0, -30.0]).at_size(48, 80)
    expected, _ = cameras.project(place)
    for picture, (column, row) in zip(scene.render(cameras).opacity[:, 0], expected[:, 0].tolist(), strict=True):
        peak = int(picture.argmax())
        assert (peak % 80 + 0.5, peak // 80 + 0.5) == pytest.approx((column, row), abs=0.71)


def test_what_is_behind_the_camera_or_beside_the_picture_is_not_seen_and_has_no_nan() -> None:
    scene = few(
        ((6.0, 0, 0), (0.2, 0.2, 0.2), 0.9, RED),
        ((3.2, 0, 0), (0.2, 0.2, 0.2), 0.9, RED),
        ((0, 50.0, 0), (0.2, 0.2, 0.2), 0.9, BLUE),
    )
    views = scene.render(orbit([0.0], elevation=0.0, size=32))
    assert views.opacity.max().item() == 0
    assert torch.equal(views.rgb, torch.ones(1, 3, 32, 32))
    assert all(bool(part.isfinite().all()) for part in gradients(scene, mixed(views)))


def test_zero_quaternions_and_tiny_scales_have_no_nan() -> None:
    scene = small_gaussians()
    with torch.no_grad():
        scene.quaternions[0] = 0
        scene.log_scales[1] = -40
        scene.opacity_logits[2], scene.opacity_logits[3] = 80, -80
    found = gradients(scene, mixed(scene.render(around(2))) + scene.density(torch.zeros(5, 3)).log1p().sum())
    assert all(bool(part.isfinite().all()) for part in found)


def test_a_ball_of_small_gaussians_has_its_depth_and_normals_face_outwards() -> None:
    generator, radius = seeded(), 0.5
    outward = torch.nn.functional.normalize(torch.randn(4000, 3, generator=generator), dim=1)
    scene = few(*[(tuple(way), (0.002, 0.02, 0.02), 0.99, RED) for way in (radius * outward).tolist()])
    with torch.no_grad():
        # Turn x, the shortest axis, outward: halfway between the two.
        half = outward + torch.tensor([1.0, 0, 0])
        half = torch.nn.functional.normalize(half, dim=1)
        scene.quaternions.copy_(torch.cat([torch.zeros(4000, 1), half], 1))
        cameras = orbit([30.0], elevation=10.0, size=32)
        views = scene.render(cameras)
    origins, directions = cameras.rays()
    along = (origins * directions).sum(-1)
    under = along**2 - origins.square().sum(-1) + radius**2
    hit = under > 0.15
    distance = -along - under.clamp_min(0).sqrt()
    assert views.opacity[:, 0][hit].min().item() > 0.99
    assert (views.depth[:, 0] - distance)[hit].abs().max().item() < 2 / 47
    normals = (origins + distance[..., None] * directions)[hit] / radius
    assert (views.normals.movedim(1, -1)[hit] * normals).sum(-1).min().item() > 0.97


class TestMixture:
    def test_a_ray_along_the_shortest_axis_is_dimmed_by_the_opacity(self) -> None:
        scene = few(((0.1, 0, 0), (0.05, 0.2, 0.3), 0.7, RED))
        line = torch.zeros(4001, 3)
        line[:, 0] = torch.linspace(-1, 1, 4001)
        depth = scene.density(line).sum() * (2 / 4000)
        assert 1 - math.exp(-depth.item()) == pytest.approx(0.7, abs=1e-3)

    def test_it_is_the_plain_sum(self) -> None:
        scene = small_gaussians(count=60)
        points = torch.rand(500, 3, generator=seeded()) * 2 - 1
        turns = rotations(scene.quaternions)
        inverse = torch.linalg.inv(covariances(scene.scales, turns))
        apart = points[:, None] - scene.means
        square = torch.einsum("pni,nij,pnj->pn", apart, inverse, apart)
        peak = -torch.log1p(-scene.opacities) / (math.sqrt(2 * math.pi) * scene.scales.amin(1))
        each: Tensor = peak * torch.exp(-0.5 * square)
        density, colour = scene.density(points), scene.colour(points)
        # Each is cut at e⁻⁸ of its peak.
        assert bool(((density - each.sum(1)).abs() <= peak.sum() * math.exp(-8)).all())
        solid = density > 1
        expected = (each @ scene.colours / each.sum(1, keepdim=True))[solid]
        assert (colour[solid] - expected).abs().max().item() < 0.02

    def test_far_from_everything_it_is_nothing_and_grey(self) -> None:
        scene = few(((0, 0, 0), (0.05, 0.05, 0.05), 0.9, RED))
        point = torch.tensor([[0.9, 0.9, 0.9]])
        assert scene.density(point).item() == 0
        assert scene.colour(point)[0].tolist() == pytest.approx([0.5] * 3)


def test_a_checkpoint_with_another_number_of_gaussians_is_taken_on() -> None:
    scene, other = small_gaussians(count=40), small_gaussians(1, count=25)
    scene.load_state_dict(other.state_dict())
    assert len(scene) == 25
    assert torch.equal(scene.render(around(1)).rgb, other.render(around(1)).rgb)


def test_the_start_fills_a_ball() -> None:
    scene = GaussianScene(GaussianConfig(count=2000, radius=0.8), seeded())
    distance = scene.means.norm(dim=1)
    assert distance.max().item() <= 0.8 + 1e-6
    # An eighth of a ball's volume lies within half of its radius.
    assert (distance < 0.4).float().mean().item() == pytest.approx(0.125, abs=0.03)
    assert scene.opacities.mean().item() == pytest.approx(0.3, abs=1e-5)


def test_screen_gradients_are_those_of_the_places() -> None:
    scene, cameras = small_gaussians(), around(2)
    mixed(scene.render(cameras)).backward()
    assert scene.screen is not None
    gradient = scene.screen.places.grad
    assert gradient is not None
    assert gradient.shape == (2, 40, 2)
    assert gradient.abs().sum().item() > 0
