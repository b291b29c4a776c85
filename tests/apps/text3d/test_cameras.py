"""Camera conventions (behaviour cases 17 and 18): where things appear, and that rays and projection agree."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from apps.text3d.cameras import Cameras, orbit
from common.errors import UsageError

angle = st.floats(-720, 720)


def seen(cameras: Cameras, *point: float) -> tuple[float, float, float]:
    """Column, row and depth of one point in the first picture."""
    places, depth = cameras.project(torch.tensor([point], dtype=torch.float32))
    return places[0, 0, 0].item(), places[0, 0, 1].item(), depth[0, 0].item()


@pytest.mark.parametrize(("azimuth", "axis"), [(0, (1, 0, 0)), (90, (0, 1, 0)), (180, (-1, 0, 0)), (270, (0, -1, 0))])
def test_azimuth_goes_counter_clockwise_from_x(azimuth: float, axis: tuple[float, ...]) -> None:
    cameras = orbit([azimuth], elevation=0.0, distance=2.0)
    assert cameras.positions[0].tolist() == pytest.approx([2.0 * part for part in axis], abs=1e-6)
    assert seen(cameras, 0, 0, 0) == pytest.approx((32, 32, 2), abs=1e-5)


def test_elevation_lifts_the_camera() -> None:
    assert orbit([0.0], elevation=30.0, distance=2.0).positions[0, 2].item() == pytest.approx(1.0)


@given(angle, st.floats(-80, 80))
def test_a_marker_above_is_in_the_upper_half(azimuth: float, elevation: float) -> None:
    column, row, _ = seen(orbit([azimuth], elevation=elevation), 0, 0, 0.5)
    assert row < 32
    assert column == pytest.approx(32, abs=1e-3)


def test_left_and_right_change_with_the_viewer() -> None:
    # At azimuth 0 one looks along −x with z up: +y is on the right; from behind it is on the left.
    assert seen(orbit([0.0]), 0, 0.5, 0)[0] > 33
    assert seen(orbit([180.0]), 0, 0.5, 0)[0] < 31
    assert seen(orbit([90.0]), 0.5, 0, 0)[0] < 31
    # In front, at +x, is nearer.
    assert seen(orbit([0.0]), 0.5, 0, 0)[2] < seen(orbit([0.0]), -0.5, 0, 0)[2]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 96), (96, 48)])
def test_pixels_are_square_whatever_the_picture(height: int, width: int) -> None:
    turn = torch.linspace(0, 2 * math.pi, 33)
    ring = torch.stack([torch.zeros(33), 0.5 * turn.cos(), 0.5 * turn.sin()], 1)
    places, _ = orbit([0.0], elevation=0.0).at_size(height, width).project(ring)
    radius = (places[0] - torch.tensor([width / 2, height / 2])).norm(dim=1)
    assert radius.amax().item() - radius.amin().item() < 1e-3
    # Focal length from the height alone.
    assert radius.mean().item() == pytest.approx(0.5 / 3.2 * 0.5 * height / math.tan(math.radians(20)), rel=1e-4)


@given(angle, st.floats(-80, 80), st.floats(1.5, 5), st.floats(15, 90))
def test_rays_pass_through_the_centres_of_their_pixels(
    azimuth: float, elevation: float, distance: float, fovy: float
) -> None:
    cameras = orbit([azimuth], elevation, distance, fovy).at_size(6, 10)
    origins, directions = cameras.rays()
    assert directions.norm(dim=-1).numpy() == pytest.approx(1, abs=1e-5)
    places, depth = cameras.project((origins + 2 * directions).reshape(-1, 3))
    rows, columns = torch.meshgrid(torch.arange(6) + 0.5, torch.arange(10) + 0.5, indexing="ij")
    assert places.numpy() == pytest.approx(torch.stack([columns, rows], -1).view(1, -1, 2).numpy(), abs=2e-3)
    assert bool((depth > 0).all())


def test_w2c_undoes_c2w() -> None:
    cameras = orbit([10.0, 200.0], [5.0, -40.0], target=(0.1, 0.2, 0.3))
    assert (cameras.w2c @ cameras.c2w).numpy() == pytest.approx(torch.eye(4).expand(2, 4, 4).numpy(), abs=1e-5)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="elevation"):
        orbit([0.0], elevation=90.0)
    with pytest.raises(UsageError, match="fovy"):
        Cameras(torch.eye(4)[None], torch.ones(2), 8, 8)


def test_rows_and_sizes() -> None:
    cameras = orbit([0.0, 90.0, 180.0], size=32)
    some = cameras[[2, 0]]
    assert len(some) == 2
    assert torch.equal(some.c2w[0], cameras.c2w[2])
    assert (some.at_size(20).height, some.at_size(20).width, some.at_size(20, 30).width) == (20, 20, 30)
