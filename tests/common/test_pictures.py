"""The same picture in any lossless form gives the same pixels; a bad one is named with its reason."""

from __future__ import annotations

import contextlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from common.errors import DataError, UsageError
from common.pictures import load_picture, load_pictures, to_tensor

ORIENTATION = 0x0112


def colours() -> Image.Image:
    """Thirty-five colours, no two alike, no symmetry: any turn or mirroring shows."""
    pixels = np.arange(7 * 5 * 3, dtype=np.uint8).reshape(7, 5, 3) * 2
    return Image.fromarray(pixels)


def greys() -> Image.Image:
    return Image.fromarray(np.arange(0, 245, 7, dtype=np.uint8).reshape(7, 5))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def assert_same(source: bytes | Path | Image.Image, expected: Image.Image) -> None:
    loaded = load_picture(source)
    assert loaded.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(loaded), np.asarray(expected.convert("RGB")))


def palette(image: Image.Image) -> Image.Image:
    return image.quantize(64, dither=Image.Dither.NONE, method=Image.Quantize.FASTOCTREE)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP", "PPM", "TGA"])
def test_lossless_formats(kind: str) -> None:
    assert_same(saved(colours(), kind, **({"lossless": True} if kind == "WEBP" else {})), colours())


@pytest.mark.parametrize("mode", ["RGBA", "RGBa"])
def test_opaque_pixels_do_not_change(mode: str) -> None:
    image = colours().convert("RGBA").convert(mode)
    assert_same(image, colours())


def test_palettes() -> None:
    image = palette(colours())
    assert image.mode == "P"
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        assert_same(saved(image, kind), image.convert("RGB"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_orientations(kind: str, orientation: int) -> None:
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    upright = colours()
    # What the camera stores: the inverse of the turn that the viewer applies.
    inverse = {0: 0, 1: 1, 2: 4, 3: 3, 4: 2, 5: 5, 6: 6}
    stored = upright.transpose(Image.Transpose(inverse[turns[orientation]])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    assert_same(saved(stored, kind, exif=exif, **options), upright)


def test_jpeg_orientation() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    plain = load_picture(saved(colours(), "JPEG"))
    turned = load_picture(saved(colours(), "JPEG", exif=exif))
    np.testing.assert_array_equal(np.asarray(turned), np.asarray(plain.transpose(Image.Transpose.ROTATE_270)))


class TestGrey:
    def test_eight_bits(self) -> None:
        assert_same(saved(greys(), "PNG"), greys())

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_sixteen_bits(self, kind: str) -> None:
        deep = Image.fromarray(np.asarray(greys()).astype(np.uint16) * 257)
        assert deep.mode == "I;16"
        assert_same(saved(deep, kind), greys())

    def test_integers(self) -> None:
        assert_same(Image.fromarray(np.asarray(greys()).astype(np.int32) * 257), greys())
        wide = np.round(np.asarray(greys()).astype(np.float64) / 255 * (2**31 - 1)).astype(np.int32)
        assert_same(Image.fromarray(wide), greys())

    @pytest.mark.parametrize("scale", [1 / 255, 1.0, 257.0])
    def test_floats(self, scale: float) -> None:
        pixels = np.asarray(greys()).copy()
        pixels[0, 0] = 255
        image = Image.fromarray(pixels.astype(np.float32) * np.float32(scale))
        assert image.mode == "F"
        assert_same(saved(image, "TIFF"), Image.fromarray(pixels))

    def test_negative_is_black_and_not_finite_is_bad(self) -> None:
        assert load_picture(Image.fromarray(np.array([[-1, 1]], dtype=np.float32))).getpixel((0, 0)) == (0, 0, 0)
        for bad in (np.nan, np.inf, 1e9):
            with pytest.raises(DataError):
                load_picture(Image.fromarray(np.array([[bad]], dtype=np.float32)))

    def test_one_bit(self) -> None:
        assert_same(saved(greys().convert("1"), "PNG"), greys().convert("1"))


class TestTransparency:
    def with_hole(self) -> Image.Image:
        image = colours().convert("RGBA")
        image.putpixel((1, 2), (200, 0, 0, 0))
        return image

    @pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (10, 20, 30)])
    def test_the_background_shows(self, background: tuple[int, int, int]) -> None:
        loaded = load_picture(saved(self.with_hole(), "PNG"), background)
        assert loaded.getpixel((1, 2)) == background
        assert loaded.getpixel((2, 2)) == colours().getpixel((2, 2))

    def test_half_transparent(self) -> None:
        image = Image.new("RGBA", (1, 1), (255, 0, 0, 128))
        assert load_picture(image).getpixel((0, 0)) == (255, 127, 127)
        assert load_picture(Image.new("LA", (1, 1), (0, 128))).getpixel((0, 0)) == (127, 127, 127)

    def test_palette_and_transparent_colour(self) -> None:
        clear = palette(colours())
        index = clear.getpixel((0, 0))
        for source in (saved(clear, "PNG", transparency=index), saved(clear, "GIF", transparency=index)):
            loaded = load_picture(source, (1, 2, 3))
            assert loaded.getpixel((0, 0)) == (1, 2, 3)
            assert loaded.getpixel((3, 3)) == clear.convert("RGB").getpixel((3, 3))
        first = colours().getpixel((0, 0))
        assert load_picture(saved(colours(), "PNG", transparency=first), (1, 2, 3)).getpixel((0, 0)) == (1, 2, 3)


def test_cmyk_and_ycbcr() -> None:
    assert_same(saved(colours().convert("CMYK"), "TIFF"), colours().convert("CMYK").convert("RGB"))
    red = load_picture(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")).getpixel((4, 4))
    assert red[0] > 240
    assert max(red[1:]) < 15
    assert_same(colours().convert("YCbCr"), colours().convert("YCbCr").convert("RGB"))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert load_picture(data).getpixel((0, 0)) == (255, 0, 0)


def test_a_pillow_picture_is_left_as_it_is() -> None:
    image = colours()
    image.getexif()[ORIENTATION] = 3
    before = image.tobytes()
    assert load_picture(image).tobytes() == ImageOps.exif_transpose(image).tobytes()
    load_picture(image).putpixel((0, 0), (9, 9, 9))
    assert image.tobytes() == before
    assert image.getexif()[ORIENTATION] == 3


@pytest.fixture
def bad_files(tmp_path: Path) -> dict[str, Path]:
    whole = saved(Image.effect_noise((64, 64), 80).convert("RGB"), "JPEG")
    contents = {
        "empty.jpg": b"",
        "cut.jpg": whole[: len(whole) // 2],
        "text.png": b"this is not a picture\n",
        "head.png": saved(colours(), "PNG")[:20],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.png").mkdir()
    return {name: tmp_path / name for name in (*contents, "folder.png", "absent.png")}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("empty.jpg", "empty"),
        ("cut.jpg", "cut off"),
        ("text.png", "no picture"),
        ("head.png", "picture"),
        ("folder.png", "folder"),
        ("absent.png", "no such file"),
    ],
)
def test_bad_files_are_named(bad_files: dict[str, Path], name: str, why: str) -> None:
    with pytest.raises(DataError, match=why) as caught:
        load_picture(bad_files[name])
    assert name in str(caught.value)


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="more than 20 pixels"):
        load_picture(saved(colours(), "PNG"))


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.data())
@settings(deadline=None, max_examples=150)
def test_damaged_bytes_give_a_picture_or_a_named_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM"]))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    whole = bytearray(saved(colours(), kind, **({"exif": exif} if kind in ("PNG", "JPEG", "TIFF", "WEBP") else {})))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DataError):
        assert load_picture(bytes(whole[: data.draw(st.integers(1, len(whole)))])).mode == "RGB"


class TestSeveral:
    def test_bad_ones_are_set_aside_with_their_reasons(self, bad_files: dict[str, Path], tmp_path: Path) -> None:
        for at in range(2):
            (tmp_path / f"good{at}.png").write_bytes(saved(colours(), "PNG"))
        sources = [tmp_path / "good0.png", *bad_files.values(), tmp_path / "good1.png"]
        loaded = load_pictures(sources)
        assert loaded.kept == [0, 7]
        assert len(loaded.pictures) == 2
        assert [Path(name).name for name, _ in loaded.bad] == list(bad_files)
        assert dict(loaded.bad)[str(bad_files["empty.jpg"])] == "the file is empty"

    def test_too_many_bad_ones_stop_it(self, bad_files: dict[str, Path]) -> None:
        assert len(load_pictures(bad_files.values(), limit=6).bad) == 6
        with pytest.raises(DataError, match=r"more than 2 pictures.*empty\.jpg"):
            load_pictures(bad_files.values(), limit=2)


def test_tensors() -> None:
    tensor = to_tensor([colours(), colours()])
    assert tensor.shape == (2, 3, 7, 5)
    assert tensor[1, 2, 6, 4].item() == pytest.approx(208 / 255)
    for wrong in ([], [colours(), colours().resize((5, 5))], [greys()]):
        with pytest.raises(UsageError, match="one size"):
            to_tensor(wrong)
