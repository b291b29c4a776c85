"""Pictures for judges: the views of one scene, or of two scenes side by side, in one picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from apps.text3d.export.turntable import to_bytes
from apps.text3d.export.views import Seen

if TYPE_CHECKING:
    from PIL.Image import Image

#: Grey lines between views and halves, in pixels.
_GAP, _MIDDLE = 4, 24
_LINE = 0.75


def scene_sheet(seen: Seen, views: int) -> Image:
    """Some views of a scene in a grid, as `Seen.spread` takes them, with the normals below where there are any."""
    return _image(_half(seen, views, seen.normals is not None))


def pair_sheet(left: Seen, right: Seen, views: int) -> Image:
    """Two scenes side by side, each in its grid of views, normals below where both have them.

    Views of the second that are of another size are brought to the first's, so that neither looks the sharper for it;
    both show the same number.
    """
    count = min(views, len(left), len(right))
    normals = left.normals is not None and right.normals is not None
    size = (min(left.rgb.shape[2], right.rgb.shape[2]), min(left.rgb.shape[3], right.rgb.shape[3]))
    halves = [_half(one, count, normals, size) for one in (left, right)]
    middle = torch.full((3, halves[0].shape[1], _MIDDLE), _LINE)
    return _image(torch.cat([halves[0], middle, halves[1]], 2))


def _half(seen: Seen, views: int, normals: bool, size: tuple[int, int] | None = None) -> Tensor:
    rows = seen.spread(views)
    parts = [_grid(_sized(seen.rgb[rows], size))]
    if normals and seen.normals is not None:
        parts.append(_grid(_sized(seen.normals[rows], size)))
    return torch.cat(parts, 1)


def _sized(pictures: Tensor, size: tuple[int, int] | None) -> Tensor:
    if size is None or pictures.shape[-2:] == size:
        return pictures
    return functional.interpolate(pictures, size, mode="bilinear", antialias=True, align_corners=False)


def _grid(pictures: Tensor) -> Tensor:
    """`(3, H, W)` of `(V, 3, h, w)`, nearly square."""
    columns = math.ceil(math.sqrt(len(pictures)))
    framed = functional.pad(pictures, (0, _GAP, 0, _GAP), value=_LINE)
    empty = -len(framed) % columns
    if empty:
        framed = torch.cat([framed, torch.ones_like(framed[:1]).expand(empty, -1, -1, -1)])
    lines = [torch.cat(list(framed[at : at + columns]), 2) for at in range(0, len(framed), columns)]
    return torch.cat(lines, 1)


def _image(picture: Tensor) -> Image:
    from PIL import Image

    return Image.fromarray(to_bytes(picture[None])[0])
