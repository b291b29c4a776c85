"""A small writer of glTF 2.0 in its binary form, for one mesh with vertex colours.

Written here because colours in glTF are linear (3.7.2.1) and general writers put sRGB bytes there, which every viewer
that follows the standard shows washed out.
"""

from __future__ import annotations

import json
import struct
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

# glTF's numbers of component types, and of what a buffer is for.
_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_VERTICES, _INDICES = 34962, 34963


def encode_glb(
    vertices: NDArray[Any],
    normals: NDArray[Any],
    colours: NDArray[Any],
    faces: NDArray[Any],
    name: str = "scene",
    note: str = "",
) -> bytes:
    """A mesh as the bytes of a .glb file: metres, y up.

    Args:
        vertices: `(N, 3)` metres, z up.
        normals: `(N, 3)` unit length, z up.
        colours: `(N, 3)` sRGB in [0, 1].
        faces: `(M, 3)` indices, counter-clockwise from outside.
        name: of the mesh.
        note: kept in the asset's extras.
    """
    places = y_up(vertices).astype("<f4")
    # Four numbers of 16 bits: elements must begin at multiples of four bytes. The last is the opacity.
    linear = np.round(to_linear(np.clip(colours, 0, 1)) * 65535).astype("<u2")
    linear = np.concatenate([linear, np.full((len(linear), 1), 65535, "<u2")], 1)
    parts = [
        (places, _FLOAT, "VEC3", _VERTICES),
        (y_up(normals).astype("<f4"), _FLOAT, "VEC3", _VERTICES),
        (linear, _USHORT, "VEC4", _VERTICES),
        (faces.astype("<u4").reshape(-1), _UINT, "SCALAR", _INDICES),
    ]
    name = name.encode("utf-8", "replace").decode()
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []
    chunks, offset = [], 0
    for array, component, kind, target in parts:
        data = array.tobytes()
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(data), "target": target})
        accessors.append({"bufferView": len(accessors), "componentType": component, "count": len(array), "type": kind})
        chunks.append(data)
        offset += len(data)
    accessors[0] |= {"min": places.min(0).tolist(), "max": places.max(0).tolist()}
    accessors[2]["normalized"] = True
    described = {
        "asset": {"version": "2.0", "generator": f"Touchstone {_version()}"}
        | ({"extras": {"note": note}} if note else {}),
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"name": name, "primitives": [_PRIMITIVE]}],
        "materials": [_MATERIAL],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": offset}],
    }
    return _container(json.dumps(described, ensure_ascii=False, separators=(",", ":")).encode(), b"".join(chunks))


def y_up(vectors: NDArray[Any]) -> NDArray[Any]:
    """(x, y, z) with z up as (x, z, −y) with y up: a rotation, so that left stays left."""
    return np.stack([vectors[:, 0], vectors[:, 2], -vectors[:, 1]], 1)


def to_linear(colours: NDArray[Any]) -> NDArray[np.float64]:
    """SRGB in [0, 1] as linear light (IEC 61966-2-1)."""
    encoded = np.asarray(colours, dtype=np.float64)
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: NDArray[Any]) -> NDArray[np.float64]:
    """Linear light in [0, 1] as sRGB."""
    light = np.asarray(linear, dtype=np.float64)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)


_PRIMITIVE = {"attributes": {"POSITION": 0, "NORMAL": 1, "COLOR_0": 2}, "indices": 3, "material": 0, "mode": 4}
_MATERIAL = {
    "name": "vertex colours",
    "pbrMetallicRoughness": {"baseColorFactor": [1.0, 1.0, 1.0, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.9},
    "doubleSided": False,
}


def _container(text: bytes, binary: bytes) -> bytes:
    """The two chunks of a .glb, each filled up to a multiple of four bytes."""
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    head = struct.pack("<4sII", b"glTF", 2, total)
    return head + struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary


def _version() -> str:
    try:
        return version("touchstone-rl")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unreleased"
