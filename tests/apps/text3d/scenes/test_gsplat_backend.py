"""gsplat is not run here, for it needs CUDA: a plain function of its signature checks what it would be given."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from apps.text3d.cameras import orbit
from apps.text3d.config import SceneConfig, Text3dConfig
from apps.text3d.scenes.build import drawn_by, maker
from apps.text3d.scenes.config import GaussianConfig
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.gsplat_backend import GsplatScene, rasterized
from common.errors import MissingDependency, UsageError
from tests.apps.text3d.scenes.solids import mixed, parts, seeded, small_gaussians


def rasterization(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor, Ks: Tensor,
    width: int, height: int, near_plane: float = 0.01, far_plane: float = 1e10, radius_clip: float = 0.0,
    eps2d: float = 0.3, sh_degree: int | None = None, packed: bool = True, tile_size: int = 16,
    backgrounds: Tensor | None = None, render_mode: str = "RGB",
) -> tuple[Tensor, Tensor, dict[str, Any]]:  # fmt: skip
    """As gsplat 1.5 documents it, from OpenCV's pinhole: x right, y down, z ahead, K; quaternions (w, x, y, z)."""
    assert not packed
    assert sh_degree is None
    assert backgrounds is None
    assert render_mode == "RGB"
    views, count = len(viewmats), len(means)
    assert colors.shape[:2] == (views, count)
    w, x, y, z = functional.normalize(quats, dim=1).unbind(1)
    vector = torch.stack([x, y, z], 1)
    eye = torch.eye(3)
    cross = torch.stack([torch.linalg.cross(vector, eye[i].expand_as(vector)) for i in range(3)], 2)
    # Rodrigues: R = I + 2 w [v] + 2 [v]²
    turns = eye + 2 * w[:, None, None] * cross + 2 * cross @ cross
    spread = turns @ torch.diag_embed(scales)
    sigma = spread @ spread.mT
    inside = torch.einsum("vij,nj->vni", viewmats[:, :3, :3], means) + viewmats[:, None, :3, 3]
    homogeneous = torch.einsum("vij,vnj->vni", Ks, inside)
    places = homogeneous[..., :2] / homogeneous[..., 2:]
    px, py, pz = inside.unbind(-1)
    focal, zero = Ks[:, 0, :1], torch.zeros_like(px)
    slope = torch.stack([focal / pz, zero, -focal * px / pz**2, zero, focal / pz, -focal * py / pz**2], -1)
    both = slope.view(views, count, 2, 3) @ viewmats[:, None, :3, :3]
    conics = torch.linalg.inv(both @ sigma @ both.mT + eps2d * torch.eye(2))
    grid = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    pixels = torch.stack([grid[1], grid[0]], -1).view(-1, 2)
    pictures, opacity = [], []
    for view in range(views):
        order = pz[view].argsort()
        apart = pixels - places[view, order, None]
        power = torch.einsum("npi,nij,npj->np", apart, conics[view, order], apart)
        alpha = (opacities[order, None] * torch.exp(-0.5 * power)).clamp_max(0.999)
        alpha = torch.where(alpha < 1 / 255, 0.0, alpha)
        light = torch.cat([torch.ones_like(alpha[:1]), (1 - alpha).cumprod(0)])
        pictures.append(((alpha * light[:-1]).t() @ colors[view, order]).view(height, width, -1))
        opacity.append((1 - light[-1]).view(height, width, 1))
    told = {"means2d": places, "conics": conics, "depths": pz, "radii": torch.ones(views, count, 2)}
    return torch.stack(pictures), torch.stack(opacity), told


def test_the_same_parameters_give_the_same_pictures() -> None:
    scene, cameras = small_gaussians(), orbit([15.0, 170.0], [20.0, -10.0]).at_size(24, 40)
    behind = torch.tensor([[0.1, 0.4, 0.9], [1.0, 0.0, 0.5]])
    theirs = rasterized(rasterization, scene, cameras, behind)
    ours = scene.render(cameras, behind)
    for one, other in zip(parts(theirs), parts(ours), strict=True):
        assert (one - other).abs().max().item() < 1e-4


def test_the_gradients_that_densify_needs_are_kept() -> None:
    scene, cameras = small_gaussians(), orbit([15.0], size=16)
    mixed(rasterized(rasterization, scene, cameras, None)).backward()
    assert scene.screen is not None
    assert scene.screen.places.grad is not None


def test_without_gsplat_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(MissingDependency, match="gsplat"):
        GsplatScene(GaussianConfig(count=3), seeded()).render(orbit([0.0]))


def test_on_a_cpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("gsplat")
    module.rasterization = rasterization
    monkeypatch.setitem(sys.modules, "gsplat", module)
    with pytest.raises(UsageError, match="CUDA"):
        GsplatScene(GaussianConfig(count=3), seeded()).render(orbit([0.0]))


def test_state_dicts_are_exchangeable() -> None:
    scene, other = small_gaussians(), GsplatScene(GaussianConfig(count=3), seeded())
    other.load_state_dict(scene.state_dict())
    assert all(torch.equal(one, two) for one, two in zip(scene.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("backend", "device", "installed", "drawn"),
    [
        ("auto", "cpu", True, GaussianScene),
        ("auto", "cuda", False, GaussianScene),
        ("auto", "cuda", True, GsplatScene),
        ("torch", "cuda", True, GaussianScene),
        ("gsplat", "cuda", True, GsplatScene),
    ],
)
def test_the_config_names_what_draws(
    monkeypatch: pytest.MonkeyPatch, backend: str, device: str, installed: bool, drawn: type[GaussianScene]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)
    assert drawn_by(backend, torch.device(device)) is drawn


def test_gsplat_is_refused_where_it_cannot_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"scene\.device is cpu"):
        maker(SceneConfig(kind="gaussians", backend="gsplat"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="gsplat"):
        drawn_by("gsplat", torch.device("cuda"))
    with pytest.raises(UsageError, match=r"scene\.backend: gsplat draws Gaussians, and scene\.kind is voxel"):
        Text3dConfig(scene=SceneConfig(backend="gsplat"))
