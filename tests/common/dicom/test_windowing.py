"""Windows agree with DICOM's formulas, and automatic ones neither clip all nor show nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.pixels.processing import apply_windowing

from common.dicom import windowing
from common.errors import UsageError
from tests.common.dicom.dicoms import data_set

HU = np.arange(-2000, 3000, dtype=np.int16).reshape(50, 100)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@given(centre=st.floats(-1500, 2500), width=st.floats(1, 4000))
@settings(max_examples=25, deadline=None)
def test_as_pydicom(function: windowing.Function, centre: float, width: float) -> None:
    centre, width = round(centre, 2), round(width, 2)
    made = data_set(HU, WindowCenter=centre, WindowWidth=width, VOILUTFunction=function)
    expected = (apply_windowing(HU, made) + 32768) / 65535
    np.testing.assert_allclose(windowing.window(HU, centre, width, function), expected, atol=1e-6)


def test_a_brain_window_by_hand() -> None:
    shown = windowing.window([-100, 0, 40, 80, 3000], 40, 80, "LINEAR_EXACT")
    np.testing.assert_allclose(shown, [0, 0, 0.5, 1, 1])
    assert windowing.window([0, 1, 79, 80], 40, 80)[[0, 3]].tolist() == [0, 1]
    # The narrowest window is a threshold.
    assert windowing.window([99, 100, 101], 100, 1).tolist() == [0, 1, 1]
    np.testing.assert_allclose(windowing.window([-1e9, 5, 1e9], 5, 2, "SIGMOID"), [0, 0.5, 1], atol=1e-12)


@example([0, -(2**31)], "auto")
@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=30), st.sampled_from(["auto", "full"]))
def test_any_picture_is_shown_without_a_window(values: list[int], kind: str) -> None:
    shown = windowing.apply(np.array(values, dtype=np.int32), kind, hounsfield=False)
    assert np.isfinite(shown).all()
    assert shown.min() >= 0
    assert shown.max() <= 1
    order = np.argsort(values, kind="stable")
    assert (np.diff(shown[order]) >= 0).all()
    if len(set(values)) > 1:
        assert shown.max() - shown.min() == 1


def test_auto_is_not_darkened_by_one_bright_pixel_and_full_is() -> None:
    pixels = np.arange(10_000, dtype=np.float32).reshape(100, 100) / 10_000
    pixels[0, 0] = 1000
    assert windowing.apply(pixels, "auto", hounsfield=False)[50, 50] == pytest.approx(0.505, abs=0.01)
    assert windowing.apply(pixels, "full", hounsfield=False)[50, 50] < 0.001


def test_a_small_bright_spot_on_one_background_is_seen() -> None:
    pixels = np.full((100, 100), 7, dtype=np.uint16)
    pixels[50, 50:53] = (100, 200, 300)
    shown = windowing.apply(pixels, "auto", hounsfield=False)
    assert shown[0, 0] == 0
    assert 0 < shown[50, 50] < shown[50, 51] < shown[50, 52] == 1


def test_names() -> None:
    for name, (centre, width) in windowing.HOUNSFIELD.items():
        expected = windowing.window(HU, centre, width, "LINEAR_EXACT")
        np.testing.assert_array_equal(windowing.apply(HU, name, hounsfield=True), expected)
        with pytest.raises(UsageError, match="Hounsfield"):
            windowing.apply(HU, name, hounsfield=False)
    # Grey and white matter, 10 units apart, differ in the window made for them and hardly in another.
    grey, white = windowing.apply([40, 30], "brain", hounsfield=True)
    assert grey - white > 0.1
    grey, white = windowing.apply([40, 30], "lung", hounsfield=True)
    assert grey - white < 0.01
    with pytest.raises(UsageError, match="no window 'lungs'; use auto, full, lung"):
        windowing.apply(HU, "lungs", hounsfield=True)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((0, 0.5), "at least 1"),
        ((0, 0, "LINEAR_EXACT"), "above 0"),
        ((0, -5, "SIGMOID"), "above 0"),
        ((float("nan"), 5), "needs numbers"),
        ((0, 5, "CUBIC"), "no window function"),
    ],
)
def test_wrong_windows(arguments: tuple, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        windowing.window(HU, *arguments)


@pytest.mark.parametrize("wrong", [(1, 2, 3), 5, (None, 3), ("a", "b")])
def test_what_is_no_window(wrong: object) -> None:
    with pytest.raises(UsageError, match="a name or"):
        windowing.apply(HU, wrong, hounsfield=False)


def test_a_narrow_window_of_a_file_is_taken_exactly() -> None:
    shown = windowing.apply([0.0, 0.25, 0.5], (0.25, 0.5), hounsfield=False, function="LINEAR")
    np.testing.assert_allclose(shown, [0, 0.5, 1])
