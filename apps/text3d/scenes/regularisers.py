"""What keeps scenes tidy: pure functions that give a scalar to minimise, differentiable and finite everywhere."""

from __future__ import annotations

import torch
from torch import Tensor


def opacity_entropy(opacity: Tensor) -> Tensor:
    r"""Mean binary entropy in bits, :math:`-o \log_2 o - (1 - o) \log_2 (1 - o)`, of opacities of any shape.

    Range [0, 1]: 0 where everything is either there or not, 1 at one half throughout. Values and gradients are finite
    at 0 and 1 too: there opacities count as 1e-5 and 1 − 1e-5. Stable-DreamFusion's entropy term.
    """
    inside = opacity.clamp(1e-5, 1 - 1e-5)
    entropy = -inside * inside.log2() - (1 - inside) * (1 - inside).log2()
    return entropy.mean()


def sparsity(opacity: Tensor) -> Tensor:
    r"""Mean of :math:`\sqrt{o^2 + 0.01} - 0.1`: how much of the pictures is covered. Range [0, 0.905].

    DreamFusion's (arXiv 2209.14988, appendix A.2), less its constant.
    """
    return ((opacity.square() + 0.01).sqrt() - 0.1).mean()


def total_variation(grid: Tensor, dimensions: int = 3) -> Tensor:
    r"""Mean squared difference of neighbours along each of the first `dimensions`, added up; at least 0.

    Args:
        grid: `(X, Y, Z, …)`, or with 2 dimensions `(H, W, …)`; Plenoxels (arXiv 2112.05131, eq. 3) without its root.
        dimensions: that are places.
    """
    return torch.stack([grid.diff(dim=axis).square().mean() for axis in range(dimensions)]).sum()


def orientation(weight: Tensor, normals: Tensor, directions: Tensor) -> Tensor:
    r"""Mean of :math:`w \, \max(0, n \cdot d)^2`: surfaces that are seen must face the one who looks.

    Ref-NeRF (arXiv 2112.03907, eq. 11). Range [0, 1] for weights in [0, 1]. Of pixels (opacity, unit normals) or of
    samples. Detach the weights, as threestudio does, where they are not to vanish instead of turning.

    Args:
        weight: `(...)`.
        normals: `(..., 3)`, outward.
        directions: `(..., 3)`, unit, from the camera.
    """
    return (weight * (normals * directions).sum(-1).clamp_min(0).square()).mean()


def distortion(weight: Tensor, distance: Tensor, step: Tensor) -> Tensor:
    r"""Mean over rays of :math:`\sum_{ij} w_i w_j |t_i - t_j| + \frac13 \sum_i w_i^2 \delta_i`: one thin layer a ray.

    Mip-NeRF 360 (arXiv 2111.12077, eq. 15), in time linear in the samples. In metres, at least 0, and at most the
    rays' way through the box.

    Args:
        weight: `(R, S)`.
        distance: `(R, S)`, ascending along a ray.
        step: `(R, S)` metres that each sample stands for.
    """
    # For i behind j, |t_i − t_j| = t_i − t_j: sums over all before i do it in one pass. Distances are taken from the
    # ray's first, for the difference of two large sums would lose digits.
    near = distance - distance[:, :1]
    before = torch.cumsum(weight, 1) - weight
    before_near = torch.cumsum(weight * near, 1) - weight * near
    between = 2 * (weight * (near * before - before_near)).sum(1)
    return (between + (weight.square() * step).sum(1) / 3).mean()
