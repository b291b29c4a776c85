"""Renders worlds by sphere tracing (Hart 1996), many pictures at once and without gradients.

Each solid is traced alone, in its own frame and only along the rays that meet its bounding sphere; all solids of a
kind share one loop. The nearest hit is seen. Shading is soft, a third from above and the rest from the camera, so that
a solid looks alike from every side: a picture's colour is `SHADE` to 1 times the solid's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from apps.text3d.cameras import Cameras
from apps.text3d.pocket.solids import UNIT, bounding_radius
from apps.text3d.pocket.world import World
from apps.text3d.scenes.base import Views
from common.errors import UsageError

#: The darkest that a surface is, as a factor of its colour.
SHADE = 0.65
_STEPS = 48
_CLOSE = 2e-3  # at unit size: less than a tenth of a pixel
_CHUNK = 32  # pictures


@dataclass(frozen=True)
class Hits:
    """What rays meet, flat over each picture's pixels.

    Attributes:
        depth: `(B, R)` metres along the ray; inf where nothing is.
        normals: `(B, R, 3)` in the world; 0 where nothing is.
        solid: `(B, R)` index into the world's solids; −1 where nothing is.
        own: for each world, how many rays would meet each solid if it stood alone.
    """

    depth: Tensor
    normals: Tensor
    solid: Tensor
    own: list[list[int]]


@torch.no_grad()
def render(worlds: Sequence[World], cameras: Cameras, background: Tensor | None = None, samples: int = 2) -> Views:
    """Pictures of worlds, each with its own camera.

    Args:
        worlds: `B` of them; one alone is seen by all cameras.
        cameras: `(B,)`.
        background: `(3,)` or `(B, 3)` in [0, 1]; white where not given.
        samples: rays along each side of a pixel.

    Raises:
        UsageError: the numbers of worlds and cameras differ.
    """
    paired = _paired(worlds, cameras)
    behind = torch.ones(3) if background is None else background
    behind = behind.to(cameras.c2w).expand(len(cameras), 3)
    parts = []
    for at in range(0, len(paired), _CHUNK):
        rows = slice(at, at + _CHUNK)
        parts.append(_views(paired[rows], cameras[rows], behind[rows], samples))
    return Views(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("rgb", "opacity", "depth", "normals"))
    )


@torch.no_grad()
def visible_shares(worlds: Sequence[World], cameras: Cameras) -> list[list[float]]:
    """How much of each solid's outline is seen: 1 where nothing stands before it, 0 where it is hidden or outside.

    Args:
        worlds: as for `render`.
        cameras: likewise.

    Returns:
        For each picture, a share for each solid of its world.
    """
    paired = _paired(worlds, cameras)
    found = trace(paired, cameras)
    shares = []
    for row, world in enumerate(paired):
        seen = [int((found.solid[row] == index).sum()) for index in range(len(world.solids))]
        shares.append([count / whole if whole else 0.0 for count, whole in zip(seen, found.own[row], strict=True)])
    return shares


def trace(worlds: Sequence[World], cameras: Cameras) -> Hits:
    """The nearest hit of every pixel's ray; one world for each camera."""
    origins, directions = cameras.rays()
    rays = directions.flatten(1, 2)  # (B, R, 3)
    count = rays.shape[1]
    depth = rays.new_full((len(worlds) * count,), torch.inf)
    normals = rays.new_zeros(len(worlds) * count, 3)
    solid = torch.full((len(worlds) * count,), -1, dtype=torch.long, device=rays.device)
    own = [[0] * len(world.solids) for world in worlds]
    for kind in UNIT:
        members = [
            (row, index)
            for row, world in enumerate(worlds)
            for index, one in enumerate(world.solids)
            if one.kind == kind
        ]
        if not members:
            continue
        member, place, far, facing = _trace_kind(kind, members, worlds, origins[:, 0, 0], rays)
        rows = torch.tensor([row for row, _ in members], device=rays.device)
        indices = torch.tensor([index for _, index in members], device=rays.device)
        for (row, index), met in zip(members, torch.bincount(member, minlength=len(members)).tolist(), strict=True):
            own[row][index] = met
        # Several solids of one kind may lie on one ray: the farthest are written first.
        order = far.argsort(descending=True)
        flat = (rows[member] * count + place)[order]
        nearest = depth.scatter_reduce(0, flat, far[order], "amin")
        first = far[order] <= nearest[flat]
        flat, source = flat[first], order[first]
        depth = nearest
        normals[flat] = facing[source]
        solid[flat] = indices[member[source]]
    shape = (len(worlds), count)
    return Hits(depth.view(shape), normals.view(*shape, 3), solid.view(shape), own)


def _paired(worlds: Sequence[World], cameras: Cameras) -> list[World]:
    paired = list(worlds) * len(cameras) if len(worlds) == 1 else list(worlds)
    if len(paired) != len(cameras):
        raise UsageError(f"each world needs a camera: {len(worlds)} worlds, {len(cameras)} cameras")
    return paired


def _trace_kind(
    kind: str, members: list[tuple[int, int]], worlds: Sequence[World], eyes: Tensor, rays: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Trace all solids of one kind.

    Args:
        kind: theirs.
        members: their pictures and indices.
        worlds: of the pictures.
        eyes: `(B, 3)`.
        rays: `(B, R, 3)`.

    Returns:
        For each hit: the member, the place among the picture's rays, the distance in metres, the normal in the world.
    """
    solids = [worlds[row].solids[index] for row, index in members]
    sizes = torch.tensor([one.size for one in solids]).to(rays)
    centres = torch.tensor([one.position for one in solids]).to(rays)
    angles = torch.deg2rad(torch.tensor([one.rotation for one in solids])).to(rays)
    turn = _about_z(angles)  # to the solid's frame
    rows = torch.tensor([row for row, _ in members], device=rays.device)
    start = torch.einsum("mij,mj->mi", turn, eyes[rows] - centres) / sizes[:, None]
    # With the eye at `start` in unit size, a unit ray meets the bounding sphere where its closest point is inside.
    toward = torch.einsum("mrj,mj->mr", rays[rows], centres - eyes[rows]) / sizes[:, None]
    half = bounding_radius(kind) ** 2 - (start.square().sum(1, keepdim=True) - toward.square())
    member, place = ((half > 0) & (toward > 0)).nonzero(as_tuple=True)
    reach = half[member, place].sqrt()
    along = toward[member, place] - reach
    stop = along + 2 * reach
    lines = torch.einsum("nij,nj->ni", turn[member], rays[rows[member], place])
    along, hit = _march(kind, start[member], lines, along, stop)
    member, place, along = member[hit], place[hit], along[hit]
    points = start[member] + along[:, None] * lines[hit]
    normals = torch.einsum("nji,nj->ni", turn[member], _normals(kind, points))
    return member, place, along * sizes[member], normals


def _about_z(angles: Tensor) -> Tensor:
    """`(M, 3, 3)` rotations by −angle about z, angles in radians."""
    cos, sin, zero, one = angles.cos(), angles.sin(), torch.zeros_like(angles), torch.ones_like(angles)
    return torch.stack([cos, sin, zero, -sin, cos, zero, zero, zero, one], 1).view(-1, 3, 3)


def _march(kind: str, start: Tensor, lines: Tensor, along: Tensor, stop: Tensor) -> tuple[Tensor, Tensor]:
    """Distances at which rays have come to rest, and which of them have met the solid."""
    hit = torch.zeros_like(along, dtype=torch.bool)
    alive = torch.arange(len(along), device=along.device)
    for _ in range(_STEPS):
        if not len(alive):
            break
        far = along[alive]
        gap = UNIT[kind](start[alive] + far[:, None] * lines[alive])
        met = gap < _CLOSE
        hit[alive[met]] = True
        far = torch.where(met, far, far + gap)
        along[alive] = far
        alive = alive[~met & (far < stop[alive])]
    hit[alive] = True  # these graze the surface: distances shrink, and the bounding sphere is not left
    return along, hit


def _normals(kind: str, points: Tensor) -> Tensor:
    """Unit normals by central differences."""
    step = 1e-3
    shifts = step * torch.eye(3, dtype=points.dtype, device=points.device)
    slopes = [UNIT[kind](points + shift) - UNIT[kind](points - shift) for shift in shifts]
    return functional.normalize(torch.stack(slopes, -1), dim=-1)


def _views(worlds: Sequence[World], cameras: Cameras, background: Tensor, samples: int) -> Views:
    fine = cameras.at_size(cameras.height * samples, cameras.width * samples)
    found = trace(worlds, fine)
    most = max((len(world.solids) for world in worlds), default=0)
    palette = torch.zeros(len(worlds), most + 1, 3)
    for row, world in enumerate(worlds):
        for index, one in enumerate(world.solids):
            palette[row, index] = torch.tensor(one.rgb)
    palette = palette.to(cameras.c2w)
    seen = (found.solid >= 0).to(cameras.c2w)[..., None]
    colours = palette.gather(1, found.solid.clamp_min(0)[..., None].expand(-1, -1, 3)) * _shade(found, fine) * seen
    shape = (len(worlds), fine.height, fine.width, -1)

    def pooled(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values.view(shape).permute(0, 3, 1, 2), samples)

    opacity = pooled(seen)
    rgb = pooled(colours) + (1 - opacity) * background[:, :, None, None]
    depth = pooled(torch.where(seen > 0, found.depth[..., None], 0.0))
    return Views(rgb.clamp(0, 1), opacity, depth, pooled(found.normals))


def _shade(found: Hits, cameras: Cameras) -> Tensor:
    """`(B, R, 1)` from `SHADE` to 1."""
    above = found.normals[..., 2:].clamp_min(0)
    outward = functional.normalize(cameras.positions, dim=-1)
    facing = torch.einsum("bri,bi->br", found.normals, outward)[..., None].clamp_min(0)
    return SHADE + (1 - SHADE) * (0.35 * above + 0.65 * facing)
