"""Gaussians as the PLY file that 3DGS viewers read (Kerbl et al. 2023, the layout of its reference code)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from apps.text3d.export.names import comment
from common.errors import DataError, UsageError
from common.files import write_bytes

#: Value of the constant spherical harmonic: a colour c is 0.5 + SH_0 · f_dc.
SH_0 = 0.28209479177387814
_COLUMNS = (
    *("x", "y", "z", "nx", "ny", "nz"),
    *(f"f_dc_{channel}" for channel in range(3)),
    "opacity",
    *(f"scale_{axis}" for axis in range(3)),
    *(f"rot_{part}" for part in range(4)),
)
#: PLY's names of types, as numpy's.
_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"},
}


@dataclass(frozen=True, eq=False)
class Splats:
    """Gaussians, as they are optimised; metres, z up.

    Attributes:
        means: `(N, 3)`.
        log_scales: `(N, 3)` natural logarithms of the standard deviations along a Gaussian's own axes, in metres.
        quaternions: `(N, 4)`, w first; of any length but 0.
        opacity_logits: `(N,)`; the opacity is their sigmoid.
        colours: `(N, 3)` sRGB, [0, 1].
    """

    means: Tensor
    log_scales: Tensor
    quaternions: Tensor
    opacity_logits: Tensor
    colours: Tensor

    def __post_init__(self) -> None:
        count = len(self.means)
        wanted: dict[str, tuple[int, ...]] = {"means": (count, 3), "log_scales": (count, 3), "quaternions": (count, 4)}
        wanted |= {"opacity_logits": (count,), "colours": (count, 3)}
        for entry in fields(self):
            if tuple(getattr(self, entry.name).shape) != wanted[entry.name]:
                shape = tuple(getattr(self, entry.name).shape)
                raise UsageError(f"{entry.name} of {count} Gaussians is {shape}; it must be {wanted[entry.name]}")

    def __len__(self) -> int:
        """How many."""
        return len(self.means)


def write_splats(splats: Splats, path: Path | str, note: str = "") -> Path:
    """Write a 3DGS PLY, atomically: binary, without normals (zeros) and without colours that depend on the view.

    Raises:
        UsageError: there is none, or a value is no finite number.
    """
    given = {entry.name: getattr(splats, entry.name).detach().double().cpu() for entry in fields(splats)}
    if not len(splats):
        raise UsageError("there is no Gaussian to write; the scene is empty")
    for name, values in given.items():
        if not bool(values.isfinite().all()):
            raise UsageError(f"{name} of the Gaussians are not all finite; go back to the last good checkpoint")
    columns = torch.cat(
        [
            given["means"],
            torch.zeros_like(given["means"]),
            (given["colours"] - 0.5) / SH_0,
            given["opacity_logits"].unsqueeze(1),
            given["log_scales"],
            torch.nn.functional.normalize(given["quaternions"], dim=1),
        ],
        1,
    )
    head = ["ply", "format binary_little_endian 1.0", f"comment {comment(f'Gaussians, metres, z up. {note}')}"]
    head += [f"element vertex {len(splats)}"]
    head += [f"property float {name}" for name in _COLUMNS]
    text = "\n".join([*head, "end_header", ""]).encode("ascii")
    return write_bytes(path, text + columns.numpy().astype("<f4").tobytes())


def read_splats(path: Path | str) -> Splats:
    """Read a 3DGS PLY, ours or another program's; colours that depend on the view are left out.

    Raises:
        DataError: there is no such file, or it is no binary little-endian PLY of Gaussians.
    """
    rows = _vertices(Path(path))
    names = rows.dtype.names or ()
    if lacking := [name for name in _COLUMNS if name not in names and name not in ("nx", "ny", "nz")]:
        raise DataError(f"no PLY of Gaussians: it lacks {', '.join(lacking)}", path=path)

    def columns(*wanted: str) -> Tensor:
        return torch.from_numpy(np.stack([rows[name].astype(np.float32) for name in wanted], 1))

    return Splats(
        means=columns("x", "y", "z"),
        log_scales=columns(*(f"scale_{axis}" for axis in range(3))),
        quaternions=columns(*(f"rot_{part}" for part in range(4))),
        opacity_logits=columns("opacity").squeeze(1),
        colours=columns(*(f"f_dc_{channel}" for channel in range(3))) * SH_0 + 0.5,
    )


def _vertices(path: Path) -> NDArray[np.void]:
    """The rows of a PLY's first element."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=path) from error
    head, mark, body = data.partition(b"end_header\n")
    lines = head.decode("ascii", "replace").replace("\r", "").split("\n")
    if not mark or lines[0] != "ply" or "format binary_little_endian 1.0" not in lines:
        raise DataError("no binary little-endian PLY", path=path)
    elements = [line.split() for line in lines if line.startswith("element ")]
    properties = [line.split()[1:] for line in lines if line.startswith("property ")]
    if len(elements) != 1 or elements[0][1:2] != ["vertex"] or not "".join(elements[0][2:]).isdigit():
        raise DataError("a PLY of Gaussians has one element, vertex, and their number", path=path)
    if wrong := [one for one in properties if len(one) != 2 or one[0] not in _TYPES]:
        raise DataError(f"property {' '.join(wrong[0])!r} is no number", path=path)
    if len({name for _, name in properties}) < len(properties):
        raise DataError("two properties have one name", path=path)
    kind = np.dtype([(name, f"<{_TYPES[written]}") for written, name in properties])
    count = int(elements[0][2])
    if len(body) < count * kind.itemsize:
        raise DataError(f"it ends after {len(body)} of {count * kind.itemsize} bytes of Gaussians", path=path)
    return np.frombuffer(body, kind, count)
