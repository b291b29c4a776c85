"""Pictures of a finished scene in a folder of their own, so that it can be measured and judged without the scene.

`NN.png` are the views at equal steps of azimuth over white, the first the prompt's own; `NN-normal.png` the normals as
`(n + 1) / 2` over grey; `NN-depth.png` millimetres along the ray in 16 bits, 0 where less than half of a pixel is
covered; `cameras.json` says from where. A folder with `NN.png` alone is read too: scenes made elsewhere.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from apps.text3d.cameras import Cameras, orbit
from apps.text3d.export.turntable import to_bytes
from apps.text3d.scenes.base import Scene
from apps.text3d.scenes.density import device_of
from common.errors import DataError, UsageError
from common.files import read_json, write_bytes, write_json
from common.pictures import load_picture, to_tensor

#: From where, unless `cameras.json` says otherwise; `cameras.around` and the turntable look from there too.
ELEVATION, DISTANCE, FOVY = 15.0, 3.2, 40.0
CAMERAS = "cameras.json"
#: Opacity below which a pixel has no depth.
COVERED = 0.5


@dataclass(frozen=True)
class Seen:
    """Views of one scene.

    Attributes:
        rgb: `(V, 3, H, W)` in [0, 1], over white.
        azimuths: `(V,)` degrees.
        cameras: `(V,)`.
        normals: `(V, 3, H, W)` as pictures in [0, 1]; None where there are none.
        depth: `(V, H, W)` metres along the ray, 0 where nothing is; None where it is not known.
    """

    rgb: Tensor
    azimuths: tuple[float, ...]
    cameras: Cameras
    normals: Tensor | None = None
    depth: Tensor | None = None

    def __len__(self) -> int:
        """How many views."""
        return len(self.rgb)

    def spread(self, count: int) -> list[int]:
        """Rows of at most `count` views, evenly spread, the first among them."""
        count = min(count, len(self))
        return [at * len(self) // count for at in range(count)]


@torch.no_grad()
def write_views(scene: Scene, folder: Path | str, views: int = 12, size: int = 168, note: str = "") -> Path:
    """Render a scene from all around and write what is seen; each file appears whole or not at all.

    Args:
        scene: any.
        folder: `views` of a run's folder.
        views: how many, at equal steps of azimuth.
        size: height and width in pixels.
        note: kept in each picture's text and in `cameras.json`, such as "untrained demo weights"; no pixel shows it,
            for these pictures are measured.
    """
    from PIL import Image

    folder = Path(folder)
    azimuths = [360.0 * row / views for row in range(views)]
    for row, azimuth in enumerate(azimuths):
        found = scene.render(orbit([azimuth], ELEVATION, DISTANCE, FOVY, size).to(device_of(scene)))
        # Premultiplied by opacity: grey, which is no normal, shows where nothing is.
        normals = 0.5 + 0.5 * found.normals
        metres = found.depth / found.opacity.clamp_min(1e-6)
        depth = torch.where(found.opacity >= COVERED, metres, 0.0)[0, 0].cpu().numpy()
        millimetres = np.round(1000 * depth).clip(0, 65535).astype(np.uint16)
        write_bytes(folder / f"{row:02}.png", _png(Image.fromarray(to_bytes(found.rgb)[0]), note))
        write_bytes(folder / f"{row:02}-normal.png", _png(Image.fromarray(to_bytes(normals)[0]), note))
        write_bytes(folder / f"{row:02}-depth.png", _png(Image.fromarray(millimetres), note))
    # Of an earlier writing with more views.
    for path in folder.glob("*.png"):
        number = path.stem.partition("-")[0]
        if number.isdecimal() and int(number) >= views:
            path.unlink()
    told: dict[str, Any] = {"azimuth": azimuths, "elevation": ELEVATION, "distance": DISTANCE, "fovy": FOVY}
    write_json(folder / CAMERAS, told | ({"note": note} if note else {}))
    return folder


def read_views(folder: Path | str) -> Seen:
    """Read what `write_views` wrote, or views made elsewhere.

    Raises:
        DataError: there are no views, they differ in size or number, or a file is damaged; names it.
    """
    folder = Path(folder)
    found = (path for path in folder.glob("*.png") if not path.stem.endswith(("-normal", "-depth")))
    paths = sorted(found, key=_in_order)
    if not paths:
        raise DataError("no views here; they are pictures called 00.png, 01.png, …", path=folder)
    rgb = _tensor(folder, paths)
    told = _cameras(folder, len(paths))
    height, width = rgb.shape[-2:]
    try:
        cameras = orbit(told["azimuth"], told["elevation"], told["distance"], told["fovy"]).at_size(height, width)
    except UsageError as error:
        raise DataError(str(error), path=folder / CAMERAS) from error
    normals = [path.with_name(f"{path.stem}-normal.png") for path in paths]
    depths = [path.with_name(f"{path.stem}-depth.png") for path in paths]
    return Seen(
        rgb,
        tuple(told["azimuth"]),
        cameras,
        _tensor(folder, normals) if all(path.is_file() for path in normals) else None,
        torch.stack([_depth(path, (height, width)) for path in depths])
        if all(path.is_file() for path in depths)
        else None,
    )


def _in_order(path: Path) -> list[str | int]:
    """A key by which 2.png comes before 10.png, as their numbers say."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.stem)]


def _tensor(folder: Path, paths: list[Path]) -> Tensor:
    try:
        return to_tensor([load_picture(path) for path in paths])
    except DataError:
        raise
    except UsageError as error:
        raise DataError(f"views of one scene must be of one size: {error}", path=folder) from error


def _depth(path: Path, size: tuple[int, int]) -> Tensor:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            found = np.asarray(image).astype(np.float32) / 1000
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise DataError(f"the depth cannot be read: {error}", path=path) from error
    if found.shape != size:
        raise DataError(f"the depth is {found.shape} pixels, its view {size}", path=path)
    return torch.from_numpy(found)


def _cameras(folder: Path, views: int) -> dict[str, Any]:
    path = folder / CAMERAS
    if not path.is_file():
        azimuths = [360.0 * row / views for row in range(views)]
        return {"azimuth": azimuths, "elevation": ELEVATION, "distance": DISTANCE, "fovy": FOVY}
    try:
        told = read_json(path)
        found: dict[str, Any] = {name: float(told[name]) for name in ("elevation", "distance", "fovy")}
        found["azimuth"] = [float(value) for value in told["azimuth"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"no cameras ({error}); it needs azimuth, elevation, distance and fovy", path=path) from error
    if len(found["azimuth"]) != views:
        raise DataError(f"{len(found['azimuth'])} azimuths for {views} views", path=path)
    return found


def _png(image: Any, note: str) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    data, text = io.BytesIO(), PngInfo()
    if note:
        text.add_text("Comment", note)
    image.save(data, "PNG", pnginfo=text)
    return data.getvalue()
