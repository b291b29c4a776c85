"""Features of preference pairs, read once and kept in the run's folder: an interrupted reading goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from common.errors import DataError
from common.files import write_bytes
from common.rewards.trained.learner import CHOSEN, REJECTED, answered
from common.rewards.trained.preferences import Preference

if TYPE_CHECKING:
    from common.models.backbone import Backbone
    from common.ui import Bar

#: Completions in a file.
BLOCK = 1024


def pair_features(
    backbone: Backbone,
    pairs: Sequence[Preference],
    batch_size: int,
    folder: Path | None = None,
    bar: Bar | None = None,
) -> Tensor:
    """`(N, 2, width)` features of chosen and rejected; a completion that stands in several pairs is read once.

    Args:
        backbone: what reads.
        pairs: what is read.
        batch_size: completions at once.
        folder: where blocks are kept, for a backbone that stays as it is; nothing is kept where not given.
        bar: counts completions, up to `distinct`.

    Raises:
        DataError: a picture cannot be read, or a block is damaged.
    """
    from common.models.backbone import read_features

    places, first = _places(pairs)
    rows = [answered(pairs[at], side) for at, side in first]
    blocks = []
    for start in range(0, len(rows), BLOCK):
        several = rows[start : start + BLOCK]
        keys = [_key(pairs[at], side) for at, side in first[start : start + BLOCK]]
        name = hashlib.sha256("\0".join(keys).encode("utf-8", "replace")).hexdigest()[:16]
        file = None if folder is None else folder / f"features-{start // BLOCK:05d}-{name}.safetensors"
        if file is not None and file.is_file():
            found = _read(file, len(several), backbone.width)
        else:
            told = partial(_tell, bar, start)
            found = read_features(backbone, several, batch_size, told)
            _keep(file, found)
        blocks.append(found)
        _tell(bar, start, len(several))
    return torch.cat(blocks)[torch.tensor(places)]


def distinct(pairs: Sequence[Preference]) -> int:
    """How many different completions the pairs hold."""
    return len(_places(pairs)[1])


def _places(pairs: Sequence[Preference]) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """The number of each pair's two completions, and where each number stands first."""
    numbers: dict[str, int] = {}
    first: list[tuple[int, int]] = []
    places = []
    for at, pair in enumerate(pairs):
        both = []
        for side in (CHOSEN, REJECTED):
            key = _key(pair, side)
            if key not in numbers:
                numbers[key] = len(first)
                first.append((at, side))
            both.append(numbers[key])
        places.append(both)
    return places, first


def _key(pair: Preference, side: int) -> str:
    return repr((pair.prompt, [str(image) for image in pair.images], pair.rejected if side else pair.chosen))


def _tell(bar: Bar | None, start: int, done: int) -> None:
    if bar is not None:
        bar(start + done)


def _keep(file: Path | None, features: Tensor) -> None:
    if file is not None:
        from safetensors.torch import save

        write_bytes(file, save({"features": features.contiguous()}))


def _read(file: Path, rows: int, width: int) -> Tensor:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        features = load(file.read_bytes())["features"]
    except (OSError, KeyError, SafetensorError) as error:
        raise DataError(f"damaged features ({error}); delete the file to read them again", path=file) from error
    if features.shape != (rows, width):
        raise DataError(f"features of shape {tuple(features.shape)}, not {(rows, width)}; delete the file", path=file)
    return features
