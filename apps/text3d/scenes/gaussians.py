"""A scene of 3D Gaussians (3DGS: Kerbl et al. 2023, arXiv 2308.04079) in plain PyTorch, on CPU and CUDA."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from apps.text3d.cameras import Cameras
from apps.text3d.scenes.base import Views
from apps.text3d.scenes.compositing import KEPT, Composite, tile_lists
from apps.text3d.scenes.config import GaussianConfig
from apps.text3d.scenes.gaussian_maths import MOST_ALPHA, Splats, covariances, facing, project, rotations
from apps.text3d.scenes.mixture import mixture
from apps.text3d.scenes.volume import assemble

PARAMETERS = ("means", "log_scales", "quaternions", "opacity_logits", "colour_logits")


class GaussianScene(nn.Module):
    """Gaussians with one colour each, seen alike from all sides.

    A picture's depth is the sum of distances from the camera to the Gaussians' centres, and its normals that of their
    shortest axes, both weighted as colours are. Jitter does not exist here, so `render` draws nothing.

    After a backward pass, `screen` holds the last pictures' splats, whose `places.grad` `densify` reads.

    Args:
        config: how many, and their start.
        generator: for the random start; the same seed gives the same bytes.
    """

    def __init__(self, config: GaussianConfig | None = None, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config or GaussianConfig()
        count, radius = self.config.count, self.config.radius
        direction = torch.randn(count, 3, generator=generator)
        direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-6)
        share = torch.rand(count, 1, generator=generator)
        # Uniform in the ball: the volume within r grows with r³.
        self.means = nn.Parameter(radius * share ** (1 / 3) * direction)
        scale = self.config.scale or 0.6 * radius * (4.2 / count) ** (1 / 3)
        self.log_scales = nn.Parameter(torch.full((count, 3), math.log(scale)))
        self.quaternions = nn.Parameter(torch.randn(count, 4, generator=generator))
        odds = self.config.opacity / (1 - self.config.opacity)
        self.opacity_logits = nn.Parameter(torch.full((count,), math.log(odds)))
        self.colour_logits = nn.Parameter(0.1 * torch.randn(count, 3, generator=generator))
        self.screen: Splats | None = None

    def __len__(self) -> int:
        """How many Gaussians."""
        return len(self.means)

    @property
    def scales(self) -> Tensor:
        """`(N, 3)` standard deviations in metres."""
        return self.log_scales.exp()

    @property
    def opacities(self) -> Tensor:
        """`(N,)` in (0, 1)."""
        return torch.sigmoid(self.opacity_logits)

    @property
    def colours(self) -> Tensor:
        """`(N, 3)` sRGB in (0, 1)."""
        return torch.sigmoid(self.colour_logits)

    def render(
        self, cameras: Cameras, background: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Views:
        """See `Scene.render`."""
        cameras = Cameras(cameras.c2w.to(self.means), cameras.fovy.to(self.means), cameras.height, cameras.width)
        turns, scales, opacity = rotations(self.quaternions), self.scales, self.opacities
        splats = project(cameras, self.means, covariances(scales, turns), opacity)
        self.remember(splats)
        features = self.features(cameras, turns, scales)
        cut = opacity.clamp_max(MOST_ALPHA).expand(len(cameras), -1)[..., None]
        geometry = torch.cat([splats.places, splats.conics, cut], 2)
        packed = torch.cat([geometry, features], 2)
        maps = torch.stack([self.view(packed[row], splats, row, cameras) for row in range(len(cameras))])
        return assemble(maps[:, :3], maps[:, 3:4], maps[:, 4:7], maps[:, 7:], background)

    def view(self, packed: Tensor, splats: Splats, row: int, cameras: Cameras) -> Tensor:
        """One view's `(8, H, W)` maps."""
        size = cameras.height, cameras.width
        with torch.no_grad():
            lists, across = tile_lists(splats.places[row], splats.reach[row], splats.depth[row], *size)
        maps: Tensor = Composite.apply(packed, lists, across, *size, KEPT // len(cameras))
        return maps

    def features(self, cameras: Cameras, turns: Tensor, scales: Tensor) -> Tensor:
        """`(B, N, 7)`: what each Gaussian shows each camera: colour, distance, normal."""
        distance = (self.means - cameras.positions[:, None]).norm(dim=-1, keepdim=True)
        normals = facing(turns, scales, self.means, cameras.positions)
        return torch.cat([self.colours.expand(len(cameras), -1, -1), distance, normals], 2)

    def remember(self, splats: Splats) -> None:
        """Keep the splats, and their places' gradient, for `densify`."""
        self.screen = splats
        if splats.places.requires_grad:
            splats.places.retain_grad()

    def density(self, points: Tensor) -> Tensor:
        """See `Scene.density`: the sum of the Gaussians', each cut at four standard deviations."""
        return mixture(self, points)[0]

    def colour(self, points: Tensor) -> Tensor:
        """See `Scene.colour`: the Gaussians' mean, weighted by their density there; grey where there is none."""
        return mixture(self, points)[1]

    def parameter_groups(self, learning_rate: float) -> list[dict[str, object]]:
        """3DGS's ratios, but for places: their rate is a fifth, in metres, of what logits and log scales take."""
        shares = {"means": 0.2, "log_scales": 0.5, "quaternions": 0.2, "opacity_logits": 1.0, "colour_logits": 1.0}
        return [
            {"params": [getattr(self, name)], "lr": share * learning_rate, "name": name}
            for name, share in shares.items()
        ]

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take on as many Gaussians as a checkpoint has: `densify` changes their number."""
        for name in PARAMETERS:
            saved, own = state.get(prefix + name), getattr(self, name)
            if saved is not None and saved.shape[1:] == own.shape[1:]:
                own.data = own.data.new_empty(saved.shape)
        super()._load_from_state_dict(state, prefix, *rest)
