"""The same Gaussians through gsplat's CUDA kernels (Ye et al. 2024, arXiv 2409.06765), where gsplat is installed.

Written against `gsplat.rasterization` of gsplat 1.5. Same parameters, same state dicts. Pictures differ from
`GaussianScene`'s in one rule: gsplat ends a pixel before the splat that would leave it 1e-4 of its light or less, so
that a value differs by at most 1e-2 where no Gaussian's opacity is above 0.99 (with opacity o the light that is cut
off is at most 1e-4 / (1 − o)).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from apps.text3d.cameras import Cameras
from apps.text3d.scenes.base import Views
from apps.text3d.scenes.compositing import TILE
from apps.text3d.scenes.gaussian_maths import BLUR, NEAR, Splats, rotations
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.volume import assemble
from common.errors import MissingDependency, UsageError


class GsplatScene(GaussianScene):
    """`GaussianScene` that renders by gsplat; its parameters must lie on a CUDA device."""

    def render(
        self, cameras: Cameras, background: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Views:
        """See `Scene.render`.

        Raises:
            MissingDependency: gsplat is not installed.
            UsageError: the scene is not on a CUDA device.
        """
        try:
            from gsplat import rasterization
        except ImportError as error:
            raise MissingDependency("gsplat", "gsplat") from error
        if self.means.device.type != "cuda":
            raise UsageError("gsplat renders on CUDA only: move the scene there, or render a GaussianScene")
        return rasterized(rasterization, self, cameras, background)


def rasterized(
    rasterization: Callable[..., tuple[Tensor, Tensor, dict[str, Any]]],
    scene: GaussianScene,
    cameras: Cameras,
    background: Tensor | None,
) -> Views:
    """Views by a function of `gsplat.rasterization`'s signature."""
    cameras = Cameras(cameras.c2w.to(scene.means), cameras.fovy.to(scene.means), cameras.height, cameras.width)
    features = scene.features(cameras, rotations(scene.quaternions), scene.scales)
    maps, opacity, told = rasterization(
        means=scene.means,
        quats=scene.quaternions,
        scales=scene.scales,
        opacities=scene.opacities,
        colors=features,
        viewmats=opencv(cameras),
        Ks=intrinsics(cameras),
        width=cameras.width,
        height=cameras.height,
        near_plane=NEAR,
        eps2d=BLUR,
        packed=False,
        tile_size=TILE,
        render_mode="RGB",
    )
    scene.remember(Splats(told["means2d"], told["conics"], told["depths"], told["radii"]))
    colour, depth, normals = torch.split(maps.permute(0, 3, 1, 2), [3, 1, 3], 1)
    return assemble(colour, depth, normals, opacity.permute(0, 3, 1, 2), background)


def opencv(cameras: Cameras) -> Tensor:
    """World to camera `(B, 4, 4)` as OpenCV has it: x right, y down, looking along +z."""
    return cameras.w2c.new_tensor([1.0, -1.0, -1.0, 1.0])[:, None] * cameras.w2c


def intrinsics(cameras: Cameras) -> Tensor:
    """`(B, 3, 3)`: focal length and centre in pixels."""
    found = cameras.focal.new_zeros(len(cameras), 3, 3)
    found[:, 0, 0] = found[:, 1, 1] = cameras.focal
    found[:, 0, 2], found[:, 1, 2], found[:, 2, 2] = cameras.width / 2, cameras.height / 2, 1.0
    return found
