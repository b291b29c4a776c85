"""What of a picture's values is shown: windows, sliders, frames."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from apps.medvqa.viewer import AS_STORED, open_view
from apps.medvqa.workbench import Wish, make_phantom
from common.errors import DataError
from tests.apps.medvqa.pictures import ct, grey, png
from tests.common.dicom.dicoms import dicom


def test_hounsfield_units_have_named_windows() -> None:
    view = open_view(ct(), "scan.dcm")
    assert view.hounsfield
    assert view.presets == (AS_STORED, "lung", "mediastinum", "soft tissue", "brain", "bone")
    assert view.start == view.window_of("brain") == (40, 80)
    assert (view.low, view.high, view.size) == (-1000, 1500, (48, 64))
    assert np.array_equal(grey(view), grey(view, (40.0, 80.0)))
    assert np.array_equal(grey(view, "lung"), grey(view, view.window_of("lung")))
    assert not np.array_equal(grey(view, "lung"), grey(view))
    for name in view.presets:
        centre, width = view.window_of(name)
        assert view.centres[0] <= centre <= view.centres[1]
        assert view.widths[0] <= width <= view.widths[1]
    assert "Hounsfield units -1000 to 1500" in view.about


def test_8_bits_are_shown_as_they_are_and_sliders_start_where_nothing_changes() -> None:
    for source in (png(colour=(10, 200, 90)), png("L", colour=77, kind="JPEG"), make_phantom(Wish())[0].source):
        view = open_view(source, "film")
        assert view.presets == (AS_STORED,)
        assert np.array_equal(np.asarray(view.seen()), np.asarray(view.seen(view.start)))
        assert (view.about, view.hounsfield) == ("", False)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_start_where_the_picture_is_seen(kind: str) -> None:
    file = BytesIO()
    ramp = np.repeat(np.linspace(100, 4000, 64).astype(np.uint16)[:, None], 48, axis=1)
    Image.fromarray(ramp).save(file, kind)
    view = open_view(file.getvalue(), "deep")
    assert view.presets == (AS_STORED, "auto", "full")
    assert (view.low, view.high) == (100, 4000)
    assert np.abs(grey(view) - grey(view, view.start)).max() <= 1
    assert grey(view, (2000.0, 10.0)).tolist() == [0] * 31 + [255] * 33
    assert view.widths[0] == view.step == 1


def test_few_values_are_split_finer() -> None:
    file = BytesIO()
    Image.fromarray(np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)).save(file, "TIFF")
    view = open_view(file.getvalue(), "floats")
    assert 0 < view.step <= 0.01
    view.seen((0.5, view.widths[0]))
    flat = open_view(dicom(np.full((4, 4), 7, np.uint16)), "flat")
    flat.seen((7.0, flat.widths[0]))
    flat.seen(flat.window_of("full"))


def test_frames() -> None:
    values = np.stack([np.full((8, 8), value, np.uint8) for value in (10, 200)])
    view = open_view(dicom(values), "cine.dcm")
    assert (view.frames, grey(view)[0], grey(view.at(1))[0]) == (2, 10, 200)
    with pytest.raises(DataError, match=r"^cine\.dcm: there is no frame 2"):
        view.at(2)
    pages = [Image.new("L", (8, 8), value) for value in (10, 200)]
    file = BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    view = open_view(file.getvalue(), "pages.tif")
    assert (view.frames, grey(view)[0], grey(view.at(1))[0]) == (2, 10, 200)
