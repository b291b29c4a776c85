"""A `FrameReplayBuffer` in a file: plain arrays (npz), nothing of which is executed when it is read.

Only what is filled is written, straight from the buffer's memory, so that a large buffer needs none beside its own.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from common.errors import DataError
from common.training.sb3.replay import Array, FrameReplayBuffer

STEPS = ("actions", "rewards", "dones", "timeouts", "final_at")


def save_buffer(buffer: FrameReplayBuffer, path: Path | str) -> Path:
    """Write a buffer atomically.

    Raises:
        OSError: it could not be written; an earlier file is still there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = buffer.size()
    used = np.unique(buffer.final_at[:steps][buffer.final_at[:steps] >= 0])
    # Until the buffer is full the ring is filled up to the frame after the last step.
    frames = {f"frames/{key}": ring[: min(steps, buffer.buffer_size) + 1] for key, ring in buffer.frames.items()}
    if not steps:
        frames = {name: ring[:0] for name, ring in frames.items()}
    arrays: dict[str, Array] = {name: getattr(buffer, name)[:steps] for name in STEPS}
    arrays["final_at"] = np.where(arrays["final_at"] >= 0, np.searchsorted(used, arrays["final_at"]), -1)
    arrays |= frames | {f"finals/{key}": values[used] for key, values in buffer.finals.items()}
    meta = {**_shape(buffer), "pos": buffer.pos, "full": buffer.full, "count": buffer.count}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def load_buffer(buffer: FrameReplayBuffer, path: Path | str) -> None:
    """Fill a buffer of the same kind and size with what `save_buffer` wrote.

    Raises:
        DataError: the file is absent, damaged or of another buffer.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            meta = json.loads(stored["meta"].tobytes())
            shape = _shape(buffer)
            if {name: meta.get(name) for name in shape} != shape:
                raise DataError(f"a replay buffer of another kind: {meta}; this one is {shape}", path=path)
            _fill(buffer, stored, meta)
            with zipfile.ZipFile(path) as archive:
                for key, ring in buffer.frames.items():
                    _read_into(ring, archive, f"frames/{key}.npy")
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        EOFError,
        RuntimeError,
        zipfile.BadZipFile,
        TokenError,
    ) as error:
        raise DataError(f"damaged replay buffer: {error}", path=path) from error


def _fill(buffer: FrameReplayBuffer, stored: Any, meta: dict[str, Any]) -> None:
    buffer.reset()
    for name in STEPS:
        values = stored[name]
        getattr(buffer, name)[: len(values)] = values
    for key in buffer.codecs:
        apart = stored[f"finals/{key}"]
        size = len(buffer.finals[key])
        while size < len(apart):
            size *= 2
        room = np.empty((size, *buffer.finals[key].shape[1:]), buffer.finals[key].dtype)
        room[: len(apart)] = apart
        buffer.finals[key] = room
        buffer.free = list(range(len(apart), size))
    buffer.pos, buffer.full, buffer.count = int(meta["pos"]), bool(meta["full"]), int(meta["count"])


def _read_into(ring: Array, archive: zipfile.ZipFile, name: str) -> None:
    """Read an array to the front of another one, without a copy in between: it may be all the memory there is."""
    with archive.open(name) as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype != ring.dtype or shape[1:] != ring.shape[1:] or shape[0] > len(ring):
            raise ValueError(f"{name} holds {dtype} {shape}")
        target = ring[: shape[0]].reshape(-1).view(np.uint8)
        done = 0
        while done < len(target):
            piece = file.read(1 << 24)
            if not piece:
                raise ValueError(f"{name} ends early")
            target[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
            done += len(piece)


def _shape(buffer: FrameReplayBuffer) -> dict[str, Any]:
    """What must agree between the buffer that was saved and the one that is filled."""
    return {
        "buffer_size": buffer.buffer_size,
        "n_envs": buffer.n_envs,
        "handle_timeout_termination": buffer.handle_timeout_termination,
        "observations": {
            key: [list(codec.shape), codec.dtype.str, type(codec).__name__, getattr(codec, "high", 0)]
            for key, codec in buffer.codecs.items()
        },
    }
