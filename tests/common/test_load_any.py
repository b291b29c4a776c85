"""Pictures as people have them: of 16 bits, of several frames, DICOM or not, read by one function."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.dicom import windowing
from common.dicom.reader import read_dicom
from common.errors import DataError, UsageError
from common.pictures import load_any, load_picture
from tests.common.dicom.dicoms import data_set, dicom, saved

RAMP = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def array(source: Any, **options: Any) -> np.ndarray:
    loaded = load_any(source, **options)
    assert loaded.mode == "RGB"
    return np.asarray(loaded)


class TestDeepGrey:
    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_twelve_bits_in_sixteen_use_the_whole_scale(self, kind: str) -> None:
        file = encoded(Image.fromarray(RAMP), kind)
        assert np.asarray(load_picture(file)).max() <= 16
        shown = array(file)[..., 0]
        assert shown.min() == 0
        assert shown.max() == 255
        # Equal steps of 16 become steps of about one: nothing is clipped but the outermost half per cent.
        inner = np.diff(shown.ravel().astype(int))
        assert set(inner) <= {0, 1, 2}
        assert (np.diff(shown.ravel().astype(int)) == 0).sum() <= 4

    @pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
    def test_the_type_of_number_does_not_matter(self, dtype: type) -> None:
        expected = array(Image.fromarray(RAMP))
        np.testing.assert_array_equal(array(Image.fromarray(RAMP.astype(dtype))), expected)
        # Nor does an offset, as of Hounsfield units stored with 32768 added.
        np.testing.assert_array_equal(array(Image.fromarray((RAMP + 30_000).astype(dtype))), expected)

    def test_signed_tiff(self) -> None:
        hounsfield = RAMP.astype(np.int16) - 1024
        file = encoded(Image.fromarray(hounsfield.astype(np.int32)), "TIFF")
        shown = array(file, window=(40, 80))[..., 0]
        np.testing.assert_array_equal(shown[hounsfield <= 0], 0)
        np.testing.assert_array_equal(shown[hounsfield >= 80], 255)
        assert 0 < shown[hounsfield == 32].min() < 128

    def test_windows(self) -> None:
        image = Image.fromarray(RAMP)
        full = array(image, window="full")[..., 0]
        np.testing.assert_array_equal(full, np.rint(RAMP / 4080 * 255).astype(np.uint8))
        with pytest.raises(UsageError, match=r"picture I;16 16×16: .*Hounsfield"):
            load_any(image, window="brain")

    def test_big_endian_png_twin(self) -> None:
        image = Image.frombytes("I;16B", (16, 16), RAMP.astype(">u2").tobytes())
        np.testing.assert_array_equal(array(image), array(Image.fromarray(RAMP)))


def test_eight_bits_are_as_load_picture_reads_them() -> None:
    colour = Image.fromarray(np.random.default_rng(0).integers(0, 200, (9, 7, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [
        encoded(colour, "JPEG", exif=exif),
        encoded(colour.convert("L"), "PNG"),
        encoded(colour.convert("RGBA"), "PNG"),
        encoded(colour.convert("CMYK"), "TIFF"),
        encoded(colour.convert("1"), "PNG"),
        encoded(colour.quantize(16), "GIF"),
    ]
    for file in files:
        np.testing.assert_array_equal(array(file), np.asarray(load_picture(file)))
    grey = np.asarray(colour.convert("L"))
    shown = array(Image.fromarray(grey), window=(100, 100))[..., 1].astype(float)
    np.testing.assert_allclose(shown, np.clip((grey.astype(float) - 50) * 2.55, 0, 255), atol=0.51)


class TestFrames:
    @pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
    def test_each(self, kind: str) -> None:
        colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
        frames = [Image.new("RGB", (8, 8), colour) for colour in colours]
        options = {"lossless": True} if kind == "WEBP" else {}
        file = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        for at, colour in enumerate(colours):
            assert load_any(file, frame=at).getpixel((3, 3)) == colour
            assert load_picture(file, frame=at).getpixel((3, 3)) == colour
        for wrong in (3, -1):
            with pytest.raises(DataError, match=f"no frame {wrong}; it has 3"):
                load_any(file, frame=wrong)

    def test_an_opened_picture_stays_where_it_was(self) -> None:
        frames = [Image.new("L", (4, 4), value) for value in (10, 20, 30)]
        opened = Image.open(BytesIO(encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])))
        opened.seek(1)
        assert load_any(opened, frame=2).getpixel((0, 0)) == (30, 30, 30)
        assert load_any(opened).getpixel((0, 0)) == (20, 20, 20)
        assert opened.tell() == 1

    def test_one_frame_only(self) -> None:
        with pytest.raises(DataError, match="no frame 1; it has 1"):
            load_any(encoded(Image.new("L", (4, 4)), "PNG"), frame=1)


class TestDispatch:
    def test_dicom_by_content_or_ending(self, tmp_path: Path) -> None:
        stored = RAMP[:8]
        file = dicom(np.stack([stored, 4000 - stored]), WindowCenter=2000, WindowWidth=3000)
        (tmp_path / "IM000001").write_bytes(file)
        (tmp_path / "bare.png").write_bytes(saved(data_set(stored), preamble=False))
        for source in (file, tmp_path / "IM000001", str(tmp_path / "IM000001")):
            np.testing.assert_array_equal(array(source)[..., 0], np.asarray(read_dicom(file)))
        np.testing.assert_array_equal(array(file, frame=1)[..., 2], np.asarray(read_dicom(file, frame=1)))
        assert array(file, window=(100, 50)).max() == 255
        assert array(tmp_path / "bare.png").shape == (8, 16, 3)

    def test_corrupt_files_are_named(self, tmp_path: Path) -> None:
        contents = {
            "cut.dcm": dicom(RAMP)[:-9],
            "text.dcm": b"no picture\n" * 30,
            "cut.png": encoded(Image.fromarray(RAMP), "PNG")[:-40],
            "text.png": b"no picture\n" * 30,
            "empty.tif": b"",
        }
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
            with pytest.raises(DataError) as caught:
                load_any(tmp_path / name)
            assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize("greatest", [1, 2, 40, 256])
@pytest.mark.parametrize("window", ["auto", "full", (40.5, 3.0), (100, 250)])
def test_a_colour_picture_is_windowed_by_a_table_as_its_numbers_would_be(greatest: int, window: Any) -> None:
    """Floats of a picture of 50 million pixels, which a GIF of 2 kB may be, are gigabytes."""
    pixels = np.random.default_rng(0).integers(0, greatest, (17, 23, 3)).astype(np.uint8)
    wanted = windowing.to_bytes(windowing.apply(pixels, window, hounsfield=False))
    np.testing.assert_array_equal(np.asarray(load_any(Image.fromarray(pixels), window)), wanted)
