"""States of all kinds in two files, neither of which can execute anything: tensors in safetensors, the rest in JSON.

Nested dictionaries (with any plain keys), lists, tuples, numbers of any size, texts, None, tensors and numpy arrays
come back as they were, to the bit.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.errors import DataError
from common.files import read_json, write_text

TENSORS = "tensors.safetensors"
STATE = "state.json"
#: What JSON cannot hold becomes a dictionary of this one key and the kind.
KIND = "__kind__"


def save_state(folder: Path | str, state: Any) -> None:
    """Write a state into a folder.

    Raises:
        TypeError: an entry is of a kind that cannot be kept; the message says where it lies.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    plain = _plain(state, "state", tensors)
    # Tensors may share memory in a state; in the file each has its own.
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, folder / TENSORS)
    write_text(folder / STATE, json.dumps(plain, ensure_ascii=False, allow_nan=False))


def load_state(folder: Path | str) -> Any:
    """Read what `save_state` wrote; tensors come on the CPU.

    Raises:
        DataError: a file is absent or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    plain = read_json(folder / STATE)
    try:
        tensors = load_file(folder / TENSORS)
        return _restored(plain, tensors)
    except FileNotFoundError as error:
        raise DataError("no such file", path=folder / TENSORS) from error
    except (
        SafetensorError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
        struct.error,
        OSError,
    ) as error:
        raise DataError(f"damaged state: {error}", path=folder) from error


def read_tensors(path: Path) -> Any:
    """What `torch.save` wrote of tensors and plain values, on the CPU; nothing in the file is executed.

    Raises:
        DataError: the file is damaged; names it and the way on.
    """
    import pickle

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, pickle.UnpicklingError) as error:
        # What torch says of a file that it takes for a pickle is advice to execute it.
        unsafe = isinstance(error, pickle.UnpicklingError)
        reason = "not a file of tensors" if unsafe else f"{error}".partition("\n")[0]
        raise DataError(f"damaged checkpoint ({reason}); delete it to go on from the one before", path=path) from error


def _plain(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and not isinstance(value, np.generic):
        return value if math.isfinite(value) else {KIND: "float", "bits": struct.pack(">d", value).hex()}
    # A key with a dot in it may lead to the path of another entry.
    while path in tensors:
        path += "_"
    if isinstance(value, torch.Tensor):
        tensors[path] = value
        return {KIND: "tensor", "name": path}
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.ascontiguousarray(value)
        if array.dtype == object:
            raise TypeError(f"{path}: an array of objects cannot be kept")
        # As bytes: safetensors does not know every type of number.
        tensors[path] = torch.from_numpy(array.reshape(-1).view(np.uint8).copy())
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return {KIND: kind, "name": path, "dtype": array.dtype.str, "shape": list(np.shape(value))}
    if isinstance(value, tuple):
        return {KIND: "tuple", "items": [_plain(one, f"{path}.{at}", tensors) for at, one in enumerate(value)]}
    if isinstance(value, list):
        return [_plain(one, f"{path}.{at}", tensors) for at, one in enumerate(value)]
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value) and KIND not in value:
            return {key: _plain(one, f"{path}.{key}", tensors) for key, one in value.items()}
        items = [
            [_plain(key, f"{path}.key{at}", tensors), _plain(one, f"{path}.item{at}", tensors)]
            for at, (key, one) in enumerate(value.items())
        ]
        return {KIND: "mapping", "items": items}
    raise TypeError(f"{path}: a {type(value).__name__} cannot be kept in a checkpoint")


def _restored(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_restored(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(KIND)
    if kind is None:
        return {key: _restored(one, tensors) for key, one in value.items()}
    if kind == "float":
        return struct.unpack(">d", bytes.fromhex(value["bits"]))[0]
    if kind == "tuple":
        return tuple(_restored(one, tensors) for one in value["items"])
    if kind == "mapping":
        return {_restored(key, tensors): _restored(one, tensors) for key, one in value["items"]}
    if kind not in ("tensor", "array", "scalar"):
        raise ValueError(f"unknown kind {kind!r}")
    tensor = tensors[value["name"]]
    if kind == "tensor":
        return tensor
    array = tensor.numpy().view(np.dtype(value["dtype"])).reshape(value["shape"]).copy()
    return array if kind == "array" else array[()]
