"""Gaussians through a file and back, and what another reader finds in it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import plyfile
import pytest
import torch
import trimesh

from apps.text3d.export.splats import Splats, read_splats, write_splats
from common.errors import DataError, UsageError


def made(count: int = 50, seed: int = 0) -> Splats:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=generator)

    return Splats(normal(3), normal(3) - 3, normal(4), normal(), torch.rand(count, 3, generator=generator))


def test_there_and_back(tmp_path: Path) -> None:
    splats = made()
    read = read_splats(write_splats(splats, tmp_path / "a" / "splats.ply", "untrained\nend_header"))
    assert len(read) == 50
    for name in ("means", "log_scales", "opacity_logits", "colours"):
        torch.testing.assert_close(getattr(read, name), getattr(splats, name), atol=1e-6, rtol=1e-6)
    unit = torch.nn.functional.normalize(splats.quaternions, dim=1)
    torch.testing.assert_close(read.quaternions, unit, atol=1e-6, rtol=1e-6)


def test_trimesh_finds_the_points(tmp_path: Path) -> None:
    splats = made()
    cloud = trimesh.load(write_splats(splats, tmp_path / "splats.ply"))
    np.testing.assert_allclose(cloud.vertices, splats.means.numpy(), atol=1e-6)


def test_the_layout_of_the_reference_code(tmp_path: Path) -> None:
    splats = made()
    vertex = plyfile.PlyData.read(str(write_splats(splats, tmp_path / "splats.ply")))["vertex"]
    names = [entry.name for entry in vertex.properties]
    assert names[:10] == ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"]
    assert names[10:] == ["scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    # The colour of the constant spherical harmonic: 0.5 + f / (2 sqrt(pi)).
    red = 0.5 + vertex["f_dc_0"] / (2 * math.sqrt(math.pi))
    np.testing.assert_allclose(red, splats.colours[:, 0].numpy(), atol=1e-6)
    np.testing.assert_allclose(
        vertex["rot_0"], (splats.quaternions[:, 0] / splats.quaternions.norm(dim=1)).numpy(), atol=1e-6
    )
    assert (vertex["nx"] == 0).all()


def test_other_programs_files_with_colours_that_depend_on_the_view(tmp_path: Path) -> None:
    path = write_splats(made(5), tmp_path / "splats.ply")
    rows = plyfile.PlyData.read(str(path))["vertex"].data
    wider = np.empty(5, [*rows.dtype.descr, ("f_rest_0", "<f4")])
    for name in rows.dtype.names:
        wider[name] = rows[name]
    wider["f_rest_0"] = 7
    plyfile.PlyData([plyfile.PlyElement.describe(wider, "vertex")], byte_order="<").write(str(path))
    torch.testing.assert_close(read_splats(path).means, made(5).means)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    splats = made(3)
    with pytest.raises(UsageError, match="quaternions of 3 Gaussians is"):
        Splats(splats.means, splats.log_scales, splats.means, splats.opacity_logits, splats.colours)
    splats.opacity_logits[1] = math.inf
    with pytest.raises(UsageError, match="opacity_logits of the Gaussians are not all finite"):
        write_splats(splats, tmp_path / "splats.ply")
    with pytest.raises(UsageError, match="no Gaussian"):
        write_splats(Splats(*[torch.zeros(0, *shape) for shape in ((3,), (3,), (4,), (), (3,))]), tmp_path / "s.ply")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("harm", ["absent", "text", "cut", "ascii", "mesh", "list", "uncounted", "twice"])
def test_what_cannot_be_read_is_named(tmp_path: Path, harm: str) -> None:
    path = write_splats(made(3), tmp_path / "splats.ply")
    data = path.read_bytes()
    if harm == "absent":
        path.unlink()
    else:
        path.write_bytes(
            {
                "text": b"hello",
                "cut": data[:-1],
                "ascii": data.replace(b"binary_little_endian", b"ascii"),
                "mesh": data.replace(b"opacity", b"quality"),
                "uncounted": data.replace(b"element vertex 3", b"element vertex"),
                "twice": data.replace(b"float ny", b"float nx"),
                "list": data.replace(b"property float opacity", b"property list uchar int opacity"),
            }[harm]
        )
    with pytest.raises(DataError, match=r"splats\.ply: "):
        read_splats(path)
