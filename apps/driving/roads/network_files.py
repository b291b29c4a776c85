"""Road networks as `.npz` files: no pickle inside, small, and equal bytes for equal networks."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError, UsageError
from common.files import write_bytes
from common.pictures import BROKEN

if TYPE_CHECKING:
    from apps.driving.roads.network import RoadNetwork

FORMAT = 1
MILLIMETRE = 1e-3
ANGLE = 1e-5
#: Of a network, unpacked; a hundred times as many as a large town has.
MOST_BYTES = 2**30
SPEED = 0.01 / 3.6
"""Of speed limits: a hundredth of a km/h."""

# Whole numbers along a lane differ by little, and differences are what compresses well.
_STEPS = {"xyz": MILLIMETRE, "yaw": ANGLE, "width": MILLIMETRE, "s": MILLIMETRE, "speed_limit": SPEED}
_PLAIN = ("lane", "junction", "next_start", "next_node", "left", "right", "spawns")


def rounded(values: Any, name: str) -> NDArray[Any]:
    """`values` as `save` keeps the column `name`: whole steps, float64."""
    return np.asarray(np.rint(np.asarray(values, np.float64) / _STEPS[name]) * _STEPS[name])


def save(roads: RoadNetwork, path: Path | str) -> Path:
    """Write a network atomically.

    Raises:
        UsageError: the name does not end in `.npz`.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise UsageError(f"{path}: a road network's file name ends in .npz")
    columns: dict[str, NDArray[Any]] = {
        "format": np.array(FORMAT, np.int32),
        "name": np.array(roads.name),
        "digest": np.array(roads.digest),
        "crossings": np.rint(roads.crossings / MILLIMETRE).astype(np.int32),
    }
    for name, step in _STEPS.items():
        columns[name] = _differences(np.rint(getattr(roads, name).astype(np.float64) / step).astype(np.int32))
    for name in _PLAIN:
        columns[name] = _differences(getattr(roads, name))
    file = io.BytesIO()
    np.savez_compressed(file, **columns)  # type: ignore[arg-type]
    return write_bytes(path, file.getvalue())


def load(path: Path | str) -> RoadNetwork:
    """Read a network.

    Raises:
        DataError: the file is absent, is no road network or is damaged.
    """
    from apps.driving.roads.network import RoadNetwork

    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(part.file_size for part in archive.infolist())
        if size > MOST_BYTES:
            raise DataError(f"unpacked it has {size:,} bytes; at most {MOST_BYTES:,} are read", path=path)
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except (*BROKEN, zipfile.BadZipFile, MemoryError, TokenError) as error:  # the last of an array's header
        raise DataError(f"this is no road network, or it is damaged ({error}); make it again", path=path) from error
    missing = [n for n in ("format", "name", "digest", "crossings", *_STEPS, *_PLAIN) if n not in columns]
    if missing:
        raise DataError(f"this is no road network: it lacks {', '.join(missing)}", path=path)
    if columns["format"].tolist() != FORMAT:
        raise DataError(f"road network of format {columns['format']}; this version reads {FORMAT}", path=path)
    kinds = {"xyz": np.float64, "yaw": np.float64}
    try:
        values: dict[str, Any] = {name: _sums(columns[name]) for name in _PLAIN}
        for name, step in _STEPS.items():
            values[name] = (_sums(columns[name]) * step).astype(kinds.get(name, np.float32))
        values["crossings"] = columns["crossings"] * MILLIMETRE
        return RoadNetwork(name=str(columns["name"]), digest=str(columns["digest"]), **values)
    except UsageError as error:
        raise DataError(str(error), path=path) from error
    except (TypeError, ValueError, IndexError) as error:
        raise DataError(f"damaged road network: a column of another kind or size ({error})", path=path) from error


def _differences(values: NDArray[Any]) -> NDArray[Any]:
    return np.diff(values, axis=0, prepend=np.zeros_like(values[:1]))


def _sums(values: NDArray[Any]) -> NDArray[np.int32]:
    return np.cumsum(values, axis=0, dtype=np.int32)
