from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apps.medvqa.data import Example
from apps.medvqa.data_config import DataConfig
from apps.medvqa.fingerprints import alike, fingerprint, key_of, take_fingerprints
from apps.medvqa.leaks import NEAR, Leak, drop_leaks, find_leaks, leak_rows, protection
from apps.medvqa.readers import read_examples
from common.errors import DataError
from tests.apps.medvqa.data_folders import content, drawn, picture


def example(id: str, split: str, *pictures: Path | bytes, study: str = "") -> Example:
    return Example(id, "What?", "that", pictures=pictures, split=split, study=study)


def leaks_of(*examples: Example) -> list[Leak]:
    prints, unreadable = take_fingerprints(examples)
    assert not unreadable
    return find_leaks(examples, prints)


def test_a_study_in_two_splits() -> None:
    found = find_leaks(
        [
            example("1", "train", study="s1"),
            example("2", "test", study="s1"),
            example("3", "train", study="s2"),
            example("4", "train", study="s2"),
            example("5", "train"),
            example("6", "test"),
            example("7", "", study="s2"),
        ]
    )
    assert found == [Leak("study", ("s1",), {"train": ("1",), "test": ("2",)})]


def test_the_same_file_under_two_names(tmp_path: Path) -> None:
    first = picture(tmp_path / "a.png", 1)
    second = tmp_path / "b.png"
    second.write_bytes(first.read_bytes())
    found = leaks_of(example("1", "train", first), example("2", "test", second), example("3", "test", content(2)))
    assert [(leak.kind, leak.names) for leak in found] == [("bytes", (str(first), str(second)))]


def test_the_same_pixels_in_another_file(tmp_path: Path) -> None:
    first = picture(tmp_path / "a.png", 1)
    second = tmp_path / "a.tif"
    Image.open(first).save(second)
    found = leaks_of(example("1", "train", first), example("2", "test", second))
    assert [(leak.kind, set(leak.names)) for leak in found] == [("pixels", {str(first), str(second)})]


@pytest.mark.parametrize("quality", [95, 75, 30])
@pytest.mark.parametrize("size", [(120, 96), (60, 48), (97, 151)])
def test_a_picture_saved_anew_is_near(quality: int, size: tuple[int, int]) -> None:
    stream = BytesIO()
    drawn(1).resize(size, Image.Resampling.LANCZOS).save(stream, "JPEG", quality=quality)
    found = leaks_of(example("1", "train", content(1)), example("2", "test", stream.getvalue()))
    assert [leak.kind for leak in found] == ["near"]
    assert NEAR <= found[0].likeness < 1.0001
    assert found[0].examples == {"train": ("1",), "test": ("2",)}


def test_other_pictures_are_not_near() -> None:
    mirrored = BytesIO()
    drawn(0).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored, "PNG")
    train = [example(f"a{seed}", "train", content(seed)) for seed in range(40)]
    test = [example(f"b{seed}", "test", content(seed)) for seed in range(40, 80)]
    assert leaks_of(*train, *test, example("m", "test", mirrored.getvalue())) == []


def test_pictures_of_one_shade_are_alike_only_by_their_pixels() -> None:
    shades = []
    for grey in (0, 0, 200):
        stream = BytesIO()
        Image.new("L", (9 + len(shades), 9), grey).save(stream, "PNG")
        shades.append(stream.getvalue())
    found = leaks_of(*(example(str(at), ("train", "test", "test")[at], shade) for at, shade in enumerate(shades)))
    assert found == []


def test_a_leak_within_one_split_is_none() -> None:
    assert leaks_of(example("1", "train", content(1), study="s"), example("2", "train", content(1), study="s")) == []


def test_a_question_with_two_pictures_leaks_by_either() -> None:
    found = leaks_of(example("1", "train", content(1), content(2)), example("2", "test", content(3), content(2)))
    assert [(leak.kind, leak.examples) for leak in found] == [("bytes", {"train": ("1",), "test": ("2",)})]


def test_dicom_files_know_their_study(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    def dicom(name: str, study: str, seed: int) -> Path:
        dataset = pydicom.Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{seed}"
        dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.StudyInstanceUID = CTImageStorage, f"1.2.3.{seed}", study
        dataset.Modality, dataset.PhotometricInterpretation = "CT", "MONOCHROME2"
        dataset.Rows = dataset.Columns = 16
        dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        pixels = np.random.default_rng(seed).integers(0, 4096, (16, 16), dtype=np.uint16)
        dataset.PixelData = pixels.tobytes()
        dataset.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    first, second, third = dicom("1.dcm", "1.9.1", 1), dicom("2.dcm", "1.9.1", 2), dicom("3.dcm", "1.9.2", 3)
    found = leaks_of(example("1", "train", first), example("2", "test", second), example("3", "test", third))
    assert [(leak.kind, leak.examples) for leak in found] == [("study", {"train": ("1",), "test": ("2",)})]
    assert found[0].names[0].startswith("DICOM study ")
    assert "1.9.1" not in found[0].names[0]


def test_of_each_leak_the_best_protected_split_stays_whole() -> None:
    examples = [
        example("1", "train", study="s1"),
        example("2", "validation", study="s1"),
        example("3", "test", study="s1"),
        example("4", "train", study="s2"),
        example("5", "validation", study="s2"),
        example("6", "train", study="s3"),
    ]
    found = find_leaks(examples)
    kept, dropped = drop_leaks(examples, found)
    assert [own.id for own in kept] == ["3", "5", "6"]
    assert set(dropped) == {"1", "2", "4"}
    assert find_leaks(kept) == []
    assert sorted(["train", "other", "validation", "test"], key=protection) == ["test", "validation", "other", "train"]


def test_rows_of_the_table() -> None:
    examples = [example(str(n), split, study=f"s{n % 2}") for n in range(4) for split in ("train", "test")]
    examples = [
        Example(f"{own.id}-{own.split}", "What?", "that", split=own.split, study=own.study) for own in examples
    ]
    assert leak_rows(find_leaks(examples)) == [("study", "test + train", 2, "test 4, train 4", "s0")]


def test_unreadable_pictures_are_set_aside(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(content(1)[:60])
    prints, unreadable = take_fingerprints([example("1", "train", broken, content(2)), example("2", "test", broken)])
    assert list(unreadable) == [key_of(broken)]
    assert len(prints) == 1
    with pytest.raises(DataError, match=r"broken\.png"):
        fingerprint(broken)


def test_a_picture_in_memory_has_a_fingerprint_too() -> None:
    own = drawn(1)
    assert fingerprint(own).pixels == fingerprint(content(1)).pixels
    assert fingerprint(own).content != fingerprint(drawn(2)).content
    assert np.isclose(np.linalg.norm(fingerprint(own).thumbnail), 1, atol=1e-5)
    assert alike([], [fingerprint(own)], 0.9) == []


def test_leaks_of_vqa_rad(shared: Path) -> None:
    config = DataConfig(format="vqa_rad", path=str(shared / "data" / "vqa_rad"), phrase_types=[])
    found = read_examples(config)
    prints, unreadable = take_fingerprints(found)
    assert (len(prints), unreadable) == (314, {})
    leaks = find_leaks(found, prints)
    # Every picture of the test set is in the training set too; with the usual 1,797 rows all but one are.
    assert [row[:4] for row in leak_rows(leaks)] == [
        ("study", "test + train", 203, "test 451, train 1,912"),
        ("bytes", "test + train", 203, "test 451, train 1,912"),
    ]
    usual = [own for own in found if own.tags["phrase_type"] != "frame"]
    assert [row[:4] for row in leak_rows(find_leaks(usual))] == [
        ("study", "test + train", 202, "test 446, train 1,063")
    ]
    kept, _ = drop_leaks(found, leaks)
    assert {split: sum(own.split == split for own in kept) for split in ("train", "test")} == {
        "train": 1152,
        "test": 451,
    }
    assert find_leaks(kept, prints) == []


def test_the_limit_of_near_holds_on_real_pictures(shared: Path) -> None:
    files = sorted((shared / "data" / "vqa_rad" / "images").glob("*.jpg"))[::6]
    own = [fingerprint(file) for file in files]
    for position, file in enumerate(files):
        stream = BytesIO()
        with Image.open(file) as image:
            image.convert("RGB").resize((image.width // 2, image.height // 2)).save(stream, "JPEG", quality=50)
        pairs = alike([fingerprint(stream.getvalue())], own, NEAR)
        assert [column for _, column, _ in pairs] == [position]
