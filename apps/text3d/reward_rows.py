"""A row to be judged: a prompt and its pictures, read from whatever they were given as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from apps.text3d.prompts.parser import parse
from apps.text3d.prompts.prompt import Prompt
from common.errors import DataError

#: Qwen-VL models take no picture that is longer than this many times its width.
LONGEST = 200
#: An angle of a picture, in both directions.
MOST_DEGREES = 1e6


@dataclass(frozen=True, eq=False)
class Row:
    """A prompt and the pictures that should show it.

    Attributes:
        prompt: parsed.
        pictures: `(3, H, W)` each, in [0, 1]; their sizes may differ.
        azimuths: degrees of each picture's camera.
    """

    prompt: Prompt
    pictures: tuple[Tensor, ...]
    azimuths: tuple[float, ...]


def read_row(prompt: Any, images: Any, azimuths: Any = None, folder: Path | None = None) -> Row:
    """Read one row.

    Args:
        prompt: a text.
        images: a picture, or several: files, bytes, Pillow pictures, or tensors `(3, H, W)` or `(V, 3, H, W)`.
        azimuths: degrees, one for each picture; 0, the prompt's own side, for all of them where not given.
        folder: that relative paths are relative to.

    Raises:
        DataError: an empty prompt, no picture, one that cannot be read (named), or not one azimuth for each.
        UsageError: a tensor that is no picture in [0, 1].
    """
    if not isinstance(prompt, str):
        raise DataError(f"'prompt' must be text, not {type(prompt).__name__}")
    if not prompt.strip():
        raise DataError("'prompt' is empty")
    several = list(images) if isinstance(images, (list, tuple)) or _many(images) else [images]
    if not several:
        raise DataError("there is no picture")
    pictures = tuple(_read(source, folder) for source in several)
    return Row(parse(prompt), pictures, _angles(azimuths, len(pictures)))


def _many(images: Any) -> bool:
    return isinstance(images, Tensor) and images.ndim == 4


def _read(source: Any, folder: Path | None) -> Tensor:
    from common.models.vlm_input import check_tensor
    from common.pictures import load_picture, to_tensor, why

    if isinstance(source, Tensor):
        check_tensor(source.unsqueeze(0))
        return source
    if source is None or (isinstance(source, str) and not source.strip()):
        raise DataError("there is no picture")
    if isinstance(source, str) and folder is not None:
        source = folder / source  # an absolute name replaces the folder
    try:
        picture = load_picture(source)
    except DataError as error:
        raise DataError(f"the picture cannot be read: {why(error)}", path=error.path) from error
    if max(picture.size) > LONGEST * min(picture.size):
        raise DataError(f"a picture of {picture.width}×{picture.height} pixels is too long for a Qwen-VL; cut it")
    return to_tensor([picture])[0]


def _angles(azimuths: Any, pictures: int) -> tuple[float, ...]:
    if azimuths is None:
        return (0.0,) * pictures
    single = isinstance(azimuths, (int, float)) and not isinstance(azimuths, bool)
    given: Sequence[Any] = [azimuths] if single else azimuths
    numbers = isinstance(given, (list, tuple)) and all(
        isinstance(one, (int, float)) and not isinstance(one, bool) and abs(one) <= MOST_DEGREES for one in given
    )
    if not numbers or len(given) != pictures:
        raise DataError(f"'azimuths' must hold a number in degrees for each of {pictures} pictures")
    return tuple(float(one) for one in given)
