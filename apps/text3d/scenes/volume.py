r"""Rendering of radiance fields by marching along rays, shared by all of them.

A ray is cut where it enters and leaves the cube of `BOUND`, and its way d through it into S equal steps
:math:`\delta = d / S`, with a sample in the middle of each or, jittered, at one random place common to a ray's steps.
With :math:`\tau_i = \sigma_i \delta` (Max 1995; NeRF, arXiv 2003.08934, eq. 3)

.. math:: \alpha_i = 1 - e^{-\tau_i}, \quad T_i = e^{-\sum_{j<i} \tau_j}, \quad w_i = T_i \alpha_i, \quad
    \sum_i w_i = 1 - e^{-\sum_i \tau_i}

computed as `-expm1(-τ)`, which keeps thin media, and with a sum that leaves τ_i out from the start instead of taking
it off again, which keeps dense ones: weights never add up to more than 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from apps.text3d.cameras import Cameras
from apps.text3d.scenes.backgrounds import over
from apps.text3d.scenes.base import BOUND, Views
from apps.text3d.scenes.config import MarchConfig

#: A vector shorter than this has no clear direction: `unit` shrinks it, so that gradients stay below 1 / `SHORT`.
SHORT = 1e-3


#: From rays' tensors to tensors of as many rows.
Work: TypeAlias = Callable[..., tuple[Tensor, ...]]


class Field(Protocol):
    """A radiance field as the marcher asks it; all points lie within the bound."""

    def limits(self, points: Tensor) -> tuple[Tensor, Tensor] | None:
        """Density is between these two at `(..., 3)` points, each `(...)`; None where nobody knows cheaply."""

    def sample(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Density `(M,)`, sRGB `(M, 3)` and outward normals `(M, 3)` at `(M, 3)` points."""

    def tensors(self) -> tuple[Tensor, ...]:
        """All that samples depend on and gradients are to reach."""


@dataclass(frozen=True)
class Samples:
    """What the rays met; places that were skipped are left out.

    Attributes:
        ray: `(M,)` which ray, ascending.
        distance: `(M,)` metres along it.
        step: `(M,)` metres that the sample stands for.
        weight: `(M,)` w; a ray's sum is its opacity.
        colour: `(M, 3)`.
        normals: `(M, 3)`.
        opacity: `(R,)` of each ray.
    """

    ray: Tensor
    distance: Tensor
    step: Tensor
    weight: Tensor
    colour: Tensor
    normals: Tensor
    opacity: Tensor


def unit(vectors: Tensor) -> Tensor:
    """Unit vectors along the last dimension; one much shorter than `SHORT` stays short, and 0 stays 0 without NaN."""
    return vectors * torch.rsqrt(vectors.square().sum(-1, keepdim=True) + SHORT**2)


def intersect(origins: Tensor, directions: Tensor, bound: float = BOUND) -> tuple[Tensor, Tensor]:
    """Distances at which rays enter and leave the cube of ±bound, each `(...)`; equal where they miss it.

    The slab method (Kay and Kajiya 1986). A ray that starts inside enters at 0; nothing behind it counts.
    """
    # A component of 0 becomes the smallest that can be divided by: the slab is then crossed infinitely far away.
    tiny = torch.finfo(directions.dtype).tiny
    inverse = 1 / torch.where(directions.abs() < tiny, tiny, directions)
    first, second = (-bound - origins) * inverse, (bound - origins) * inverse
    near = torch.minimum(first, second).amax(-1).clamp_min(0)
    far = torch.maximum(first, second).amin(-1)
    return near, torch.maximum(near, far)


def weights(tau: Tensor) -> tuple[Tensor, Tensor]:
    """Weights `(R, S)` and opacity `(R,)` of optical depths `(R, S)`; see the module."""
    passed = torch.cumsum(tau[:, :-1], 1)
    light = torch.exp(-functional.pad(passed, (1, 0)))
    return light * -torch.expm1(-tau), -torch.expm1(-tau.sum(1))


@torch.no_grad()
def needed(field: Field, points: Tensor, step: Tensor, config: MarchConfig) -> Tensor:
    """Which of `(R, S, 3)` places matter: not empty, and not hidden, on rays that meet the box. `(R, S)` bool."""
    kept = (step > 0)[:, None].expand(points.shape[:2])
    limits = field.limits(points)
    if limits is None:
        return kept
    least, most = limits
    before = functional.pad(torch.cumsum(least[:, :-1] * step[:, None], 1), (1, 0))
    if config.empty > 0:
        kept = kept & (most > config.empty)
    return kept & (torch.exp(-before) > config.hidden) if config.hidden > 0 else kept


def march(field: Field, origins: Tensor, directions: Tensor, offset: Tensor, config: MarchConfig) -> Samples:
    """Follow rays.

    Args:
        field: that they go through.
        origins: `(R, 3)`.
        directions: `(R, 3)`, unit length.
        offset: `(R,)` in [0, 1): where in each step its sample lies.
        config: how.
    """
    near, far = intersect(origins, directions)
    step = (far - near) / config.samples
    index = torch.arange(config.samples, device=origins.device, dtype=origins.dtype)
    distance = near[:, None] + (index + offset[:, None]) * step[:, None]
    points = origins[:, None] + distance[..., None] * directions[:, None]
    flat = needed(field, points, step, config).flatten().nonzero()[:, 0]
    ray = flat // config.samples
    # index_select, forward and backward, is several times as fast on a CPU as indexing.
    density, colour, normals = field.sample(points.reshape(-1, 3).index_select(0, flat))
    length = step.index_select(0, ray)
    tau = torch.zeros_like(distance).flatten().index_put((flat,), density * length).view_as(distance)
    weight, opacity = weights(tau)
    met = distance.flatten().index_select(0, flat)
    return Samples(ray, met, length, weight.flatten().index_select(0, flat), colour, normals, opacity)


def summed(
    field: Field, origins: Tensor, directions: Tensor, offset: Tensor, config: MarchConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Colour and depth `(R, 4)`, normals `(R, 3)` and opacity `(R, 1)` of rays; arguments as `march`'s.

    They are kept apart so that a loss that does not read normals does not pay for their backward pass.
    """
    found = march(field, origins, directions, offset, config)
    weight = found.weight[:, None]
    values = torch.cat([found.colour, found.distance[:, None]], 1) * weight
    seen = values.new_zeros(len(origins), 4).index_add(0, found.ray, values)
    normals = values.new_zeros(len(origins), 3).index_add(0, found.ray, found.normals * weight)
    return seen, normals, found.opacity[:, None]


def offsets(cameras: Cameras, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """`(B, H, W)`: where in its steps each pixel's ray is sampled; 0.5 without a generator."""
    shape = (len(cameras), cameras.height, cameras.width)
    if generator is None:
        return like.new_full(shape, 0.5)
    return torch.rand(shape, generator=generator, device=generator.device).to(like)


class Turn(torch.autograd.Function):
    """One turn of work, which is done again in the backward pass.

    `torch.utils.checkpoint` would do if all of its results were used: of those that are not, normals for instance, it
    keeps what it computed again until the whole backward pass has ended.
    """

    @staticmethod
    def forward(ctx: Any, work: Work, rows: tuple[Tensor, ...], *tensors: Tensor) -> tuple[Tensor, ...]:
        """`work(*rows)`, differentiable by the tensors that it reads."""
        ctx.work, ctx.rows = work, rows
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        return work(*rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        """Of the tensors, through the results that a loss has used."""
        with torch.enable_grad():
            results = ctx.work(*ctx.rows)
        used = [(result, part) for result, part in zip(results, given, strict=True) if part is not None]
        found = torch.autograd.grad(
            [result for result, _ in used], ctx.saved_tensors, [part for _, part in used], allow_unused=True
        )
        return None, None, *found


def in_turns(work: Work, rows: tuple[Tensor, ...], size: int, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """`work(*rows)` of at most `size` rows at once, each of its results joined again.

    Where there is more than one turn, each keeps only its arguments and is computed again in the backward pass:
    memory stays that of one turn, and gradients are the same.

    Args:
        work: gives tensors of as many rows.
        rows: its arguments; no gradient reaches them.
        size: see above.
        tensors: what else it reads, which gradients are to reach.
    """
    if len(rows[0]) <= size:
        return work(*rows)
    turns = zip(*(torch.split(tensor, size) for tensor in rows), strict=True)
    done = [Turn.apply(work, turn, *tensors) for turn in turns]
    return tuple(torch.cat(parts) for parts in zip(*done, strict=True))


def render_field(
    field: Field,
    cameras: Cameras,
    background: Tensor | None,
    generator: torch.Generator | None,
    config: MarchConfig,
    like: Tensor,
) -> Views:
    """Pictures of a field; see `Scene.render`. `like` has the device and the type to compute in."""
    rays = tuple(part.to(like).reshape(-1, 3) for part in cameras.rays())
    offset = offsets(cameras, like, generator).flatten()

    def follow(origins: Tensor, directions: Tensor, offset: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return summed(field, origins, directions, offset, config)

    found = in_turns(follow, (*rays, offset), config.rays, field.tensors())
    shape = (len(cameras), cameras.height, cameras.width, -1)
    seen, normals, opacity = (part.view(shape).permute(0, 3, 1, 2) for part in found)
    return assemble(seen[:, :3], seen[:, 3:], normals, opacity, background)


def assemble(colour: Tensor, depth: Tensor, normals: Tensor, opacity: Tensor, background: Tensor | None) -> Views:
    """Views of sums over what is seen, each `(B, C, H, W)` and times its weight."""
    facing = unit(normals.movedim(1, -1)).movedim(-1, 1) * opacity
    return Views(over(colour, opacity, background), opacity, depth, facing)
