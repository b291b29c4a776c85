"""DICOM files as scanners, archives and exporters write them give the picture a workstation shows."""

from __future__ import annotations

import builtins
import contextlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_voi

from common.dicom import reader as module
from common.dicom.reader import is_dicom, open_dicom, read_dicom
from common.dicom.windowing import window
from common.errors import DataError, MissingDependency, UsageError
from tests.common.dicom.dicoms import compressed, data_set, dicom, saved

#: Stored numbers of a CT: Hounsfield units + 1024.
STORED = (np.arange(0, 4096, 16, dtype=np.uint16)).reshape(8, 32)
HU = STORED.astype(np.float32) - 1024
CT: dict[str, Any] = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"}
COLOUR = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


def shown(source: bytes | Path, **options: Any) -> np.ndarray:
    return np.asarray(read_dicom(source, **options))


def as_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(values.astype(np.float64) * 255).astype(np.uint8)


class TestValues:
    def test_rescaling_gives_hounsfield_units(self) -> None:
        opened = open_dicom(dicom(STORED, bits=12, **CT))
        np.testing.assert_array_equal(opened.pixels, HU)
        assert opened.hounsfield
        assert not opened.colour

    def test_slope_and_signed_numbers(self) -> None:
        signed = STORED.astype(np.int16) - 2000
        opened = open_dicom(dicom(signed, RescaleSlope="0.5", RescaleIntercept="-3"))
        np.testing.assert_allclose(opened.pixels, signed * 0.5 - 3)
        assert not opened.hounsfield

    def test_a_modality_table(self) -> None:
        item = Dataset()
        item.LUTDescriptor = [256, 0, 16]
        item.LUTData = [value * value for value in range(256)]
        item["LUTData"].VR = "US"
        made = data_set(np.arange(256, dtype=np.uint8).reshape(16, 16), ModalityLUTSequence=[item])
        np.testing.assert_array_equal(open_dicom(saved(made)).pixels.ravel(), np.arange(256) ** 2)

    def test_padding_does_not_stretch_an_automatic_window(self) -> None:
        stored = STORED.astype(np.int16)
        stored[:4] = -20000
        without = dicom(stored, RescaleIntercept=-1024, RescaleSlope=1)
        named = dicom(stored, RescaleIntercept=-1024, RescaleSlope=1, PixelPaddingValue=-20000)
        assert shown(named)[4:].min() == 0
        assert shown(without)[4:].min() > 200

    def test_big_endian_and_implicit(self) -> None:
        for syntax, options in (
            (uid.ExplicitVRBigEndian, {"implicit_vr": False, "little_endian": False}),
            (uid.ImplicitVRLittleEndian, {"implicit_vr": True, "little_endian": True}),
        ):
            made = data_set(STORED, **CT)
            made.file_meta.TransferSyntaxUID = syntax
            made["PixelData"].VR = "OW"
            if not options["little_endian"]:
                made.PixelData = STORED.astype(">u2").tobytes()
            file = BytesIO()
            made.save_as(file, enforce_file_format=True)
            np.testing.assert_array_equal(open_dicom(file.getvalue()).pixels, HU)


class TestWindows:
    @pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
    def test_the_files_own(self, function: Any) -> None:
        file = dicom(STORED, WindowCenter=40, WindowWidth=400, VOILUTFunction=function, **CT)
        np.testing.assert_array_equal(shown(file), as_bytes(window(HU, 40, 400, function)))

    def test_several_of_which_the_first_is_shown(self) -> None:
        file = dicom(STORED, WindowCenter=[-600, 40], WindowWidth=[1500, 80], **CT)
        opened = open_dicom(file)
        assert opened.windows == ((-600, 1500), (40, 80))
        np.testing.assert_array_equal(shown(file), as_bytes(window(HU, -600, 1500)))
        np.testing.assert_array_equal(shown(file, window=opened.windows[1]), as_bytes(window(HU, 40, 80)))

    def test_named(self) -> None:
        ct = dicom(STORED, WindowCenter=40, WindowWidth=400, **CT)
        np.testing.assert_array_equal(shown(ct, window="lung"), as_bytes(window(HU, -600, 1500)))
        mr = dicom(STORED, Modality="MR", WindowCenter=40, WindowWidth=400)
        # A screenshot of a CT is not in Hounsfield units.
        screenshot = dicom(STORED.astype(np.uint8), Modality="CT")
        for other in (mr, screenshot):
            with pytest.raises(UsageError, match=r"picture of .* bytes: the window 'lung' is in Hounsfield"):
                read_dicom(other, window="lung")

    def test_a_table_of_shades_comes_before_the_window_and_not_before_a_wish(self) -> None:
        item = Dataset()
        item.LUTDescriptor = [4096, 0, 12]
        item.LUTData = [int(4095 * (value / 4095) ** 2) for value in range(4096)]
        item["LUTData"].VR = "US"
        made = data_set(STORED, bits=12, VOILUTSequence=[item], WindowCenter=100, WindowWidth=50)
        expected = apply_voi(STORED, made) / 4095
        np.testing.assert_array_equal(shown(saved(made)), as_bytes(expected))
        np.testing.assert_array_equal(shown(saved(made), window=(100, 50)), as_bytes(window(STORED, 100, 50)))

    def test_without_a_window_deep_pictures_are_stretched_and_8_bits_are_not(self) -> None:
        dim = (STORED // 8).astype(np.uint16)
        picture = shown(dicom(dim))
        assert picture.min() == 0
        assert picture.max() == 255
        eight = np.arange(40, 168, dtype=np.uint8).reshape(8, 16)
        np.testing.assert_array_equal(shown(dicom(eight)), eight)
        assert np.ptp(shown(dicom(eight), window="full")) == 255

    def test_a_constant_picture_is_black(self) -> None:
        assert not shown(dicom(np.full((4, 4), 1000, dtype=np.uint16))).any()

    @pytest.mark.parametrize("own_window", [{}, {"WindowCenter": 1000, "WindowWidth": 900}])
    def test_monochrome1_is_inverted(self, own_window: dict[str, Any]) -> None:
        plain, inverted = (dicom(STORED, kind, **own_window) for kind in ("MONOCHROME2", "MONOCHROME1"))
        np.testing.assert_allclose(shown(plain).astype(int) + shown(inverted), 255, atol=1)
        assert open_dicom(inverted).inverted

    def test_one_reading_several_looks(self) -> None:
        opened = open_dicom(dicom(STORED, **CT))
        for name in ("lung", "bone", "auto"):
            picture = opened.picture(name)
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), as_bytes(opened.shown(name)))


class TestMalformedFields:
    @pytest.mark.parametrize(
        "fields",
        [
            {"WindowCenter": None, "WindowWidth": None},
            {"WindowCenter": 40, "WindowWidth": 0},
            {"WindowCenter": 40},
            {"RescaleSlope": 0, "RescaleIntercept": 0},
            {"RescaleSlope": None, "RescaleIntercept": None},
            {"VOILUTFunction": "NONSENSE"},
            {"VOILUTSequence": [Dataset()]},
            {"NumberOfFrames": None},
            {"PixelSpacing": None},
        ],
    )
    def test_count_as_absent(self, fields: dict[str, Any]) -> None:
        np.testing.assert_array_equal(shown(dicom(STORED, **fields)), shown(dicom(STORED)))

    @pytest.mark.filterwarnings("ignore::UserWarning")
    @pytest.mark.parametrize("text", [b"4x0", b"1,5", b"inf", b"nan"])
    def test_numbers_that_are_none(self, text: bytes) -> None:
        file = dicom(STORED, WindowCenter="123.456", WindowWidth="777.777", RescaleSlope="1")
        file = file.replace(b"123.456", text.ljust(7)).replace(b"777.777", b"400    ")
        assert open_dicom(file).windows == ()
        np.testing.assert_array_equal(shown(file), shown(dicom(STORED)))

    def test_private_fields(self) -> None:
        made = data_set(STORED, **CT)
        block = made.private_block(0x0099, "SOMEONE", create=True)
        block.add_new(0x01, "UN", b"\x00\x01\xff" * 7)
        block.add_new(0x02, "OB", b"__import__('os')")
        np.testing.assert_array_equal(open_dicom(saved(made)).pixels, HU)


class TestSpacing:
    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"PixelSpacing": [0.5, 0.7]}, ((0.5, 0.7), "patient")),
            ({"ImagerPixelSpacing": [0.2, 0.2]}, ((0.2, 0.2), "detector")),
            (
                {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 2},
                ((0.1, 0.1), "patient"),
            ),
            ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.15, 0.15]}, ((0.15, 0.15), "patient")),
            ({"PixelSpacing": [0, 0]}, (None, "")),
            ({}, (None, "")),
        ],
    )
    def test_where_it_stands(self, fields: dict[str, Any], expected: Any) -> None:
        opened = open_dicom(dicom(STORED, **fields))
        if expected[0] is None:
            assert opened.spacing is None
        else:
            assert opened.spacing == pytest.approx(expected[0])
        assert opened.spacing_at == expected[1]

    def test_ultrasound_is_in_centimetres(self) -> None:
        region = Dataset()
        region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
        region.PhysicalDeltaX, region.PhysicalDeltaY = 0.02, -0.03
        opened = open_dicom(dicom(COLOUR, "RGB", Modality="US", SequenceOfUltrasoundRegions=[region]))
        assert opened.spacing == pytest.approx((0.3, 0.2))


class TestFrames:
    def test_each(self) -> None:
        frames = np.stack([STORED, STORED + 100, STORED + 200])
        file = dicom(frames)
        for at in range(3):
            opened = open_dicom(file, frame=at)
            np.testing.assert_array_equal(opened.pixels, frames[at])
            assert opened.frames == 3
        for wrong in (3, -1):
            with pytest.raises(DataError, match=f"no frame {wrong}; it has 3"):
                open_dicom(file, frame=wrong)

    def test_enhanced_pictures_have_numbers_for_each_frame(self) -> None:
        def group(intercept: int, centre: int) -> Dataset:
            made, change, look = Dataset(), Dataset(), Dataset()
            change.RescaleSlope, change.RescaleIntercept, change.RescaleType = 1, intercept, "HU"
            look.WindowCenter, look.WindowWidth = centre, 100
            made.PixelValueTransformationSequence, made.FrameVOILUTSequence = [change], [look]
            return made

        shared, measures = Dataset(), Dataset()
        measures.PixelSpacing = [0.4, 0.4]
        shared.PixelMeasuresSequence = [measures]
        file = dicom(
            np.stack([STORED, STORED]),
            Modality="CT",
            PerFrameFunctionalGroupsSequence=[group(-1024, 40), group(0, 500)],
            SharedFunctionalGroupsSequence=[shared],
        )
        for at, (intercept, centre) in enumerate(((-1024, 40), (0, 500))):
            opened = open_dicom(file, frame=at)
            np.testing.assert_array_equal(opened.pixels, STORED.astype(np.float32) + intercept)
            assert opened.windows == ((centre, 100),)
            assert opened.spacing == (0.4, 0.4)
            assert opened.hounsfield


class TestColour:
    def test_rgb_in_both_orders(self) -> None:
        np.testing.assert_array_equal(shown(dicom(COLOUR, "RGB")), COLOUR)
        made = data_set(COLOUR, "RGB")
        made.PlanarConfiguration = 1
        made.PixelData = COLOUR.transpose(2, 0, 1).tobytes()
        np.testing.assert_array_equal(shown(saved(made)), COLOUR)

    def test_ybr_is_converted(self) -> None:
        ybr = np.asarray(Image.fromarray(COLOUR).convert("YCbCr"))
        picture = shown(dicom(ybr, "YBR_FULL"))
        assert np.abs(picture.astype(int) - COLOUR).max() <= 3

    def test_palette(self) -> None:
        made = data_set(np.arange(16, dtype=np.uint8).reshape(4, 4), PhotometricInterpretation="PALETTE COLOR")
        for at, name in enumerate(("Red", "Green", "Blue")):
            setattr(made, f"{name}PaletteColorLookupTableDescriptor", [16, 0, 16])
            table = np.arange(16, dtype=np.uint16) * (at + 1) * 257
            setattr(made, f"{name}PaletteColorLookupTableData", table.tobytes())
        expected = np.arange(16)[:, None] * np.array([1, 2, 3])
        np.testing.assert_array_equal(shown(saved(made)).reshape(16, 3), expected)

    def test_a_window_on_colour(self) -> None:
        picture = shown(dicom(COLOUR, "RGB"), window=(128, 128))
        np.testing.assert_array_equal(picture, as_bytes(window(COLOUR, 128, 128)))


class TestCompression:
    @pytest.mark.parametrize("syntax", [uid.RLELossless, uid.DeflatedExplicitVRLittleEndian])
    def test_without_loss(self, syntax: str) -> None:
        made = data_set(STORED, **CT)
        if syntax == uid.RLELossless:
            made.compress(syntax, generate_instance_uid=False)
        else:
            made.file_meta.TransferSyntaxUID = syntax
        np.testing.assert_array_equal(open_dicom(saved(made)).pixels, HU)

    def test_jpeg_2000(self) -> None:
        file = compressed(STORED, uid.JPEG2000Lossless, "JPEG2000", irreversible=False)
        np.testing.assert_array_equal(open_dicom(file).pixels, STORED)
        file = compressed(COLOUR, uid.JPEG2000Lossless, "JPEG2000", "YBR_RCT", irreversible=False, mct=1)
        np.testing.assert_array_equal(shown(file), COLOUR)

    def test_jpeg(self) -> None:
        grey = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))
        file = compressed(grey, uid.JPEGBaseline8Bit, "JPEG", quality=95)
        assert np.abs(shown(file).astype(int) - grey).max() <= 6
        smooth = np.stack([grey, grey[:, ::-1], np.full_like(grey, 90)], axis=-1)
        file = compressed(smooth, uid.JPEGBaseline8Bit, "JPEG", "YBR_FULL_422", quality=95, subsampling=1)
        assert np.abs(shown(file).astype(int) - smooth).max() <= 12

    def test_what_no_installed_package_reads_names_one_that_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from pydicom.pixels import get_decoder

        decoder = get_decoder(uid.JPEGLSLossless)
        monkeypatch.setattr(decoder, "_available", {})
        file = compressed(STORED, uid.JPEGLSLossless, "PNG")
        with pytest.raises(DataError, match=r"bytes: its pixels are compressed as JPEG-LS.*pip install 'pylibjpeg"):
            open_dicom(file)

    def test_video(self) -> None:
        with pytest.raises(DataError, match="MPEG-4"):
            open_dicom(compressed(STORED, uid.MPEG4HP41, "PNG"))

    def test_without_a_transfer_syntax(self) -> None:
        made = data_set(STORED)
        made.compress(uid.RLELossless, generate_instance_uid=False)
        file = saved(made).replace(b"1.2.840.10008.1.2.5\0", b"\0" * 20)
        with pytest.raises(DataError, match="does not say how its pixels are compressed"):
            open_dicom(file)


class TestBadFiles:
    @pytest.mark.parametrize(
        ("name", "content", "why"),
        [
            ("empty.dcm", b"", "empty"),
            ("text.dcm", b"this is no picture, whatever its name says\n" * 20, "no DICOM"),
            ("head.dcm", dicom(STORED)[:200], "DICOM"),
            ("cut.dcm", dicom(STORED)[:-100], "broken or cut off"),
        ],
    )
    def test_are_named(self, tmp_path: Path, name: str, content: bytes, why: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=why) as caught:
            read_dicom(tmp_path / name)
        assert name in str(caught.value)

    def test_absent_ones_too(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"absent\.dcm: no such file"):
            read_dicom(tmp_path / "absent.dcm")

    def test_no_picture_in_it(self) -> None:
        made = data_set(STORED)
        del made.PixelData
        made.SOPClassUID = uid.BasicTextSRStorage
        with pytest.raises(DataError, match=r"holds no picture .*Basic Text SR"):
            open_dicom(saved(made))

    def test_too_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        file = dicom(STORED)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        with pytest.raises(DataError, match="more than 200 pixels"):
            open_dicom(file)
        monkeypatch.setattr(module, "MAX_BYTES", 500)
        with pytest.raises(DataError, match="more than 500; split"):
            open_dicom(file)

    def test_a_deflated_bomb(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = data_set(np.zeros((512, 512), dtype=np.uint16))
        made.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
        file = saved(made)
        assert len(file) < 5000
        monkeypatch.setattr(module, "MAX_BYTES", 100_000)
        with pytest.raises(DataError, match="unpacks to more than 100,000"):
            open_dicom(file)

    def test_an_empty_box_in_a_jpeg_2000_header_does_not_hang(self) -> None:
        file = compressed(STORED, uid.JPEG2000Lossless, "JPEG2000", irreversible=False)
        np.testing.assert_array_equal(open_dicom(file).pixels, STORED)
        at = file.index(b"ftyp") - 4
        with pytest.raises(DataError, match="ends before the picture"):
            open_dicom(file[:at] + bytes(4) + file[at + 4 :])

    def test_not_finite(self) -> None:
        made = data_set(STORED.astype(np.uint16))
        del made.PixelData
        made.BitsAllocated = 32
        for name in ("BitsStored", "HighBit", "PixelRepresentation"):
            delattr(made, name)
        values = HU.copy()
        for last, why in ((0.0, None), (np.inf, "not finite")):
            values[-1, -1] = last
            made.FloatPixelData = values.tobytes()
            if why is None:
                np.testing.assert_array_equal(open_dicom(saved(made)).pixels, values)
            else:
                with pytest.raises(DataError, match=why):
                    open_dicom(saved(made))

    def test_pydicom_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = builtins.__import__

        def without(name: str, *rest: Any) -> Any:
            if name.split(".")[0] == "pydicom":
                raise ImportError(name)
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(MissingDependency, match=r"'pydicom'.*\[medvqa\]"):
            read_dicom(dicom.__name__.encode())

    @pytest.mark.filterwarnings("ignore::UserWarning")
    @given(st.data())
    @settings(deadline=None, max_examples=200)
    def test_damaged_bytes_give_a_picture_or_a_named_error(self, data: st.DataObject) -> None:
        whole = bytearray(data.draw(st.sampled_from(FILES)))
        for _ in range(data.draw(st.integers(1, 4))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(DataError):
            assert read_dicom(bytes(whole[: data.draw(st.integers(1, len(whole)))])).mode in ("L", "RGB")


def _files() -> list[bytes]:
    rle = data_set(np.stack([STORED, STORED]), WindowCenter=40, WindowWidth=400, **CT)
    rle.compress(uid.RLELossless, generate_instance_uid=False)
    return [
        saved(rle),
        dicom(STORED[:2, :8], WindowCenter=40, WindowWidth=400, PixelSpacing=[1, 1], **CT),
        saved(data_set(COLOUR[:2, :2], "RGB"), preamble=False),
        compressed(COLOUR, uid.JPEGBaseline8Bit, "JPEG", "YBR_FULL_422"),
        compressed(STORED, uid.JPEG2000Lossless, "JPEG2000", irreversible=False),
    ]


FILES = _files()


class TestIsDicom:
    def test_by_preamble_first_tag_or_ending(self, tmp_path: Path) -> None:
        with_preamble, without = dicom(STORED, **CT), saved(data_set(STORED, **CT), preamble=False)
        assert is_dicom(with_preamble)
        assert is_dicom(without)
        for name, content in (("IM0001", with_preamble), ("bare", without), ("odd.DCM", b"?"), ("x.dicom", b"?")):
            (tmp_path / name).write_bytes(content)
            assert is_dicom(tmp_path / name)
            assert is_dicom(str(tmp_path / name))
        np.testing.assert_array_equal(open_dicom(without).pixels, HU)
        np.testing.assert_array_equal(open_dicom(tmp_path / "bare").pixels, HU)

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM", "TGA", "JPEG2000", "ICO"])
    def test_other_pictures_are_not(self, kind: str, tmp_path: Path) -> None:
        for colour in (0, 8, 255):
            Image.new("RGB", (20, 20), (colour,) * 3).save(tmp_path / "picture", kind)
            assert not is_dicom(tmp_path / "picture")
            assert not is_dicom((tmp_path / "picture").read_bytes())
        assert not is_dicom(tmp_path / "absent.png")
        assert not is_dicom(b"")
