"""Meshes: a closed, outward surface of a scene with its colours, as GLB, OBJ or PLY."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from apps.text3d.export import field as fields
from apps.text3d.export.glb import encode_glb
from apps.text3d.export.names import comment
from apps.text3d.scenes.base import BOUND, Scene
from apps.text3d.scenes.density import CHUNK, device_of
from common.errors import MissingDependency, UsageError
from common.files import write_bytes

#: File formats by their endings.
FORMATS = (".glb", ".obj", ".ply")


@dataclass(frozen=True, eq=False)
class Mesh:
    """A surface of triangles in the scene's own frame: metres, z up.

    Attributes:
        vertices: `(N, 3)` float32.
        faces: `(M, 3)` int64, counter-clockwise seen from outside.
        normals: `(N, 3)` float32, unit length, outward.
        colours: `(N, 3)` float32, sRGB in [0, 1].
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int64]
    normals: NDArray[np.float32]
    colours: NDArray[np.float32]

    @property
    def volume(self) -> float:
        """Cubic metres inside (divergence theorem); negative where the faces look inward."""
        return signed_volume(self.vertices, self.faces)

    @property
    def components(self) -> int:
        """How many parts that share no vertex."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count = len(self.vertices)
        start, end = np.concatenate([self.faces[:, :2], self.faces[:, 1:]]).T
        joined = coo_array((np.ones(len(start), bool), (start, end)), shape=(count, count))
        return int(connected_components(joined, directed=False)[0])


@dataclass(frozen=True)
class MeshReport:
    """How a mesh came about, for logs and reports.

    Attributes:
        level: density per metre at its surface.
        automatic: whether the level was found in the field.
        filled: voxels of cavities that were filled.
        dropped: small parts that were left out.
        components: parts of the mesh.
        volume: in cubic metres.
        vertices: how many.
        faces: how many.
    """

    level: float
    automatic: bool
    filled: int
    dropped: int
    components: int
    volume: float
    vertices: int
    faces: int


def extract_mesh(
    scene: Scene,
    resolution: int = 96,
    level: float | None = None,
    fill_cavities: bool = True,
    smallest: float = 0.0,
    bound: float = BOUND,
) -> tuple[Mesh, MeshReport]:
    """The surface of a scene by marching cubes on its density.

    Args:
        scene: to sample; its colour is read at the vertices.
        resolution: voxels a side of the cube.
        level: density per metre at the surface; found in the field where not given, and reported.
        fill_cavities: also what lies inside, which no camera ever saw, is solid.
        smallest: parts with less than this share of the volume are left out.
        bound: half a side of the cube, in metres.

    Raises:
        UsageError: the scene is empty, or has no surface at this level; names its range and a level that would do.
        MissingDependency: scikit-image or scipy is not installed.
    """
    field = fields.sample_field(scene, resolution, bound)
    found, opacity = fields.threshold(field, level)
    values, filled, dropped = fields.solid(field, opacity, fill_cavities, smallest)
    places, faces = fields.marching_cubes(values, opacity)
    vertices = (places * field.step + field.lowest).astype(np.float32)
    # Whether scikit-image's triangles look outward depends on its version and on the sign of the field.
    if signed_volume(vertices, faces) < 0:
        faces = faces[:, ::-1].copy()
    mesh = Mesh(vertices, faces, vertex_normals(vertices, faces), colours_at(scene, vertices))
    report = MeshReport(
        level=found,
        automatic=level is None,
        filled=filled,
        dropped=dropped,
        components=mesh.components,
        volume=mesh.volume,
        vertices=len(vertices),
        faces=len(faces),
    )
    return mesh, report


def signed_volume(vertices: NDArray[Any], faces: NDArray[Any]) -> float:
    """Σ a · (b × c) / 6 over the triangles, in cubic metres; positive where they look outward."""
    a, b, c = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def vertex_normals(vertices: NDArray[Any], faces: NDArray[Any]) -> NDArray[np.float32]:
    """`(N, 3)` unit normals, the triangles' own weighted by their areas; up where a vertex has no area around it."""
    a, b, c = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    each = np.cross(b - a, c - a)
    sums = np.zeros((len(vertices), 3))
    for corner in range(3):
        np.add.at(sums, faces[:, corner], each)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    up = np.array([0.0, 0.0, 1.0])
    return np.where(length > 1e-20, sums / np.maximum(length, 1e-20), up).astype(np.float32)


@torch.no_grad()
def colours_at(scene: Scene, vertices: NDArray[np.float32], chunk: int = CHUNK) -> NDArray[np.float32]:
    """`(N, 3)` sRGB in [0, 1] of a scene at places."""
    device = device_of(scene)
    parts = torch.split(torch.from_numpy(vertices), chunk)
    found = torch.cat([scene.colour(part.to(device)).float().cpu() for part in parts])
    return found.clamp(0, 1).numpy()


def write_mesh(mesh: Mesh, path: Path | str, name: str = "scene", note: str = "") -> Path:
    """Write a mesh in the format of the file's ending, atomically.

    * .glb, glTF 2.0: metres, **y up**, (x, y, z) → (x, z, −y); colours linear, as glTF defines them; one material.
    * .obj and .ply: metres, **z up** as in the scene; colours sRGB, as the programs that read them expect.

    Args:
        mesh: of any size.
        path: ends in one of `FORMATS`.
        name: of the object, such as the prompt.
        note: kept in the file, such as "untrained demo weights".

    Raises:
        UsageError: another ending.
        MissingDependency: .obj and .ply need trimesh.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".glb":
        data = encode_glb(mesh.vertices, mesh.normals, mesh.colours, mesh.faces, name, note)
    elif suffix == ".obj":
        data = _obj(mesh, comment(f"{name} {note} (metres, z up, sRGB)"))
    elif suffix == ".ply":
        data = _ply(mesh, comment(f"{name} {note} (metres, z up, sRGB)"))
    else:
        raise UsageError(f"{path}: a mesh is a file of {', '.join(FORMATS)}")
    return write_bytes(path, data)


def _obj(mesh: Mesh, header: str) -> bytes:
    from trimesh.exchange import obj

    export: Any = obj.export_obj
    written = export(_trimesh(mesh), include_normals=True, header=header)
    return str(written).encode()


def _ply(mesh: Mesh, header: str) -> bytes:
    from trimesh.exchange.ply import export_ply

    written: bytes = export_ply(_trimesh(mesh), vertex_normal=True)
    first, mark, rest = written.partition(b"\nelement ")
    return first + f"\ncomment {header}".encode() + mark + rest


def _trimesh(mesh: Mesh) -> Any:
    try:
        import trimesh
    except ImportError as error:
        raise MissingDependency("trimesh", "text3d") from error
    colours = np.concatenate([np.round(mesh.colours * 255), np.full((len(mesh.colours), 1), 255)], 1)
    return trimesh.Trimesh(
        mesh.vertices,
        mesh.faces,
        vertex_normals=mesh.normals,
        vertex_colors=colours.astype(np.uint8),
        process=False,
    )
