"""Pictures' features moved to where sentences' features lie, learnt without a pair of the two.

CLIP's pictures and sentences lie apart (the modality gap, Liang et al. 2022, arXiv 2203.02053), so a captioner that
has learnt on text alone reads every picture a little wrongly. Where both sets tell of the same kind of scenes, what
lies between them is taken for an affine map: the optimal transport between Gaussians.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Share of a set's mean variance that is added in every direction: a hundred pictures do not span 768 dimensions.
RIDGE = 0.01


def transport(source: Tensor, target: Tensor, ridge: float = RIDGE) -> tuple[Tensor, Tensor]:
    r"""The optimal transport map between the Gaussians of two sets (Peyré & Cuturi 2019, remark 2.31).

    .. math:: T(x) = m_t + A (x - m_s), \qquad
        A = \Sigma_s^{-1/2} (\Sigma_s^{1/2} \Sigma_t \Sigma_s^{1/2})^{1/2} \Sigma_s^{-1/2}

    Of all maps that give the source the target's mean and covariance it moves its points least; A is symmetric and
    positive. Equal sets give the identity.

    Args:
        source: `(P, D)`, such as pictures' features.
        target: `(N, D)`, such as sentences' features.
        ridge: added to both covariances, as a share of the mean of the two sets' variances.

    Returns:
        A `(D, D)` and the shift :math:`m_t - A m_s` `(D,)`, in the source's precision and on the CPU.
    """
    one, other = source.detach().double().cpu(), target.detach().double().cpu()
    first, second = _covariance(one), _covariance(other)
    size = len(first)
    variance = float(first.trace() + second.trace()) / (2 * size)
    # Two single points have no variance at all: the map between them is a shift.
    even = (ridge * variance if variance else 1.0) * torch.eye(size, dtype=first.dtype)
    root, inverse = _power(first + even, 0.5), _power(first + even, -0.5)
    matrix = inverse @ _power(root @ (second + even) @ root, 0.5) @ inverse
    shift = other.mean(0) - matrix @ one.mean(0)
    return matrix.to(source.dtype), shift.to(source.dtype)


def _covariance(points: Tensor) -> Tensor:
    centred = points - points.mean(0)
    return centred.T @ centred / len(points)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    raised: Tensor = (vectors * values.clamp(min=torch.finfo(values.dtype).tiny) ** exponent) @ vectors.T
    return raised
