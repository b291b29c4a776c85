r"""Geometry of 3D Gaussians, batched: covariances, their projection, normals.

EWA splatting (Zwicker et al. 2001; Kerbl et al. 2023, arXiv 2308.04079, section 4): with W the world-to-camera
rotation and J the Jacobian of the perspective projection at the mean,

.. math:: \Sigma = R S S^T R^T, \qquad \Sigma' = J W \Sigma W^T J^T + 0.3 I

in pixels, where the last term makes the smallest splat as wide as a pixel. Quaternions are (w, x, y, z), as in 3DGS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from apps.text3d.cameras import Cameras
from apps.text3d.scenes.volume import unit

#: Splats with less opacity than this at a pixel do not count there (3DGS; gsplat's ALPHA_THRESHOLD).
LEAST_ALPHA = 1 / 255
#: A splat lets at least 1 − this through (gsplat cuts o e^…, here o is cut: no gap at a splat's middle).
MOST_ALPHA = 0.999
#: Added to both variances on the picture, in pixels².
BLUR = 0.3
#: Gaussians nearer than this to the camera's plane, in metres, are not seen.
NEAR = 0.05
#: The Jacobian is taken no farther outside of the picture than this share of half its size (3DGS).
MARGIN = 0.3


@dataclass(frozen=True)
class Splats:
    """Gaussians as cameras see them.

    Attributes:
        places: `(B, N, 2)` columns and rows in pixels.
        conics: `(B, N, 3)`, a, b and c of the inverse covariance [[a, b], [b, c]], per pixel².
        depth: `(B, N)` metres along the camera's axis.
        reach: `(B, N, 2)` half width and height in pixels of the box outside of which a splat counts nowhere; 0 for
            those that are not seen.
    """

    places: Tensor
    conics: Tensor
    depth: Tensor
    reach: Tensor


def rotations(quaternions: Tensor) -> Tensor:
    """Rotation matrices `(N, 3, 3)` of `(N, 4)` quaternions, which need not have unit length."""
    w, x, y, z = unit_quaternions(quaternions).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).view(-1, 3, 3)


def unit_quaternions(quaternions: Tensor) -> Tensor:
    """The same with unit length; a zero one stays 0 without NaN, and turns nothing."""
    length: Tensor = quaternions.norm(dim=-1, keepdim=True)
    return quaternions / length.clamp_min(1e-8)


def covariances(scales: Tensor, turns: Tensor) -> Tensor:
    """Σ `(N, 3, 3)` of standard deviations `(N, 3)` along the columns of `(N, 3, 3)` rotations."""
    spread = turns * scales[:, None]
    return spread @ spread.transpose(1, 2)


def project(cameras: Cameras, means: Tensor, sigma: Tensor, opacity: Tensor) -> Splats:
    """Gaussians on the pictures.

    Args:
        cameras: `(B,)`, of the means' type and device.
        means: `(N, 3)`.
        sigma: `(N, 3, 3)` covariances.
        opacity: `(N,)` in (0, 1), which sets how far a splat reaches.
    """
    turn = cameras.w2c[:, :3, :3]
    inside = means @ turn.transpose(1, 2) + cameras.w2c[:, None, :3, 3]
    depth = -inside[..., 2]
    seen = depth > NEAR
    away = torch.where(seen, depth, NEAR)
    focal = cameras.focal[:, None]
    across, up = inside[..., 0] / away, inside[..., 1] / away
    places = torch.stack([cameras.width / 2 + focal * across, cameras.height / 2 - focal * up], -1)
    limits = [(1 + MARGIN) * half / cameras.focal[:, None] for half in (cameras.width / 2, cameras.height / 2)]
    slope = jacobian(focal / away, torch.clamp(across, -limits[0], limits[0]), torch.clamp(up, -limits[1], limits[1]))
    both = slope @ turn[:, None]
    flat = both @ sigma @ both.transpose(-1, -2)
    xx, xy, yy = flat[..., 0, 0] + BLUR, flat[..., 0, 1], flat[..., 1, 1] + BLUR
    # Never below BLUR²: the exact value is at least that, and rounding must not turn the inverse's sign.
    determinant = (xx * yy - xy * xy).clamp_min(BLUR * BLUR)
    conics = torch.stack([yy, -xy, xx], -1) / determinant[..., None]
    with torch.no_grad():
        radius = (2 * torch.log(opacity / LEAST_ALPHA).clamp_min(0)).sqrt() * seen
        reach = torch.stack([xx, yy], -1).sqrt() * radius[..., None]
    return Splats(places, conics, depth, reach)


def jacobian(scale: Tensor, across: Tensor, up: Tensor) -> Tensor:
    """J `(B, N, 2, 3)`: how column and row follow a point in the camera's frame (x right, y up, looking along −z).

    Column = f x / −z and row = −f y / −z, beside their constants; `scale` is f / −z, `across` x / −z and `up` y / −z.
    """
    zero = torch.zeros_like(scale)
    rows = torch.stack([scale, zero, scale * across, zero, -scale, -scale * up], -1)
    return rows.view(*scale.shape, 2, 3)


def facing(turns: Tensor, scales: Tensor, means: Tensor, positions: Tensor) -> Tensor:
    """Normals `(B, N, 3)`: each Gaussian's shortest axis, on the side that faces the camera at `(B, 3)` positions."""
    shortest = scales.argmin(1)
    axes = turns.gather(2, shortest[:, None, None].expand(-1, 3, 1))[..., 0]
    toward = ((positions[:, None] - means) * axes).sum(-1, keepdim=True)
    return unit(axes) * torch.where(toward < 0, -1, 1)


def extinction(opacity: Tensor, scales: Tensor) -> Tensor:
    r"""Density per metre at Gaussians' centres, `(N,)`: a ray through one along its shortest axis is dimmed by its
    opacity.

    :math:`\sigma_0 = -\ln(1 - o) / (\sqrt{2\pi} \min s)`, with o cut at `MOST_ALPHA`.
    """
    return -torch.log1p(-opacity.clamp_max(MOST_ALPHA)) / (math.sqrt(2 * math.pi) * scales.amin(1))
