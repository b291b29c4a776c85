from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps.medvqa.data import load_examples
from apps.medvqa.data_config import DataConfig
from apps.medvqa.prepare import run_prepare
from common.errors import DataError, UsageError
from common.pictures import load_picture
from tests.apps.medvqa.data_folders import FOLDERS, content, drawn, jsonl, slake, vqa_rad


def prepare(source: Path, format: str, out: Path, **options: Any) -> dict[str, Any]:
    """The report of a run."""
    assert run_prepare(None, str(source), format, str(out), **options) == 0
    return json.loads(out.with_name(f"{out.stem}.report.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("format", FOLDERS)
@pytest.mark.parametrize("copy_pictures", [False, True])
def test_every_format_becomes_ours(tmp_path: Path, format: str, copy_pictures: bool) -> None:
    source = FOLDERS[format](tmp_path / "data")
    out = tmp_path / "out" / "own.jsonl"
    report = prepare(source, format, out, copy_pictures=copy_pictures)
    before = load_examples(DataConfig(format=format, path=str(source)))  # type: ignore[arg-type]
    after = load_examples(DataConfig(format="jsonl", path=str(out)))
    assert [own.id for own in after] == [own.id for own in before]
    assert report["counts"]["questions kept"] == len(after) == sum(report["by split"].values())
    for first, second in zip(before, after, strict=True):
        assert (first.question, first.answer, first.split) == (second.question, second.answer, second.split)
        for one, other in zip(first.pictures, second.pictures, strict=True):
            assert load_picture(one).tobytes() == load_picture(other).tobytes()
            inside = Path(str(other)).resolve().is_relative_to((tmp_path / "out").resolve())
            assert inside == copy_pictures


def test_counts_add_up_and_the_table_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = prepare(vqa_rad(tmp_path / "data"), "vqa_rad", tmp_path / "own.jsonl")
    counts = report["counts"]
    assert counts == {
        "rows read": 4,
        "not asked for: phrase type frame": 1,
        "questions kept": 3,
        "pictures": 2,
    }
    assert report["by kind"] == {"closed": 2, "open": 1}
    assert report["by modality"] == {"not known": 2, "xray": 1}
    shown = capsys.readouterr()
    assert "questions kept" in shown.out
    assert "no study and no picture is in more than one split" in " ".join(shown.err.split())


def test_a_picture_that_cannot_be_read_takes_its_questions_with_it(tmp_path: Path) -> None:
    source = vqa_rad(tmp_path / "data")
    (source / "images" / "synpic1.jpg").write_bytes(content(1, "JPEG")[:200])
    report = prepare(source, "vqa_rad", tmp_path / "own.jsonl")
    assert report["counts"]["left out: unreadable picture"] == 2
    assert [(own["id"], own["kind"]) for own in report["problems"]] == [
        ("1", "unreadable_picture"),
        ("2", "unreadable_picture"),
    ]
    assert "synpic1.jpg" in report["problems"][0]["where"]
    assert "cut off" in report["problems"][0]["reason"]
    unchecked = prepare(source, "vqa_rad", tmp_path / "own.jsonl", check=False)
    assert unchecked["counts"]["questions kept"] == 3


def test_missing_pictures_are_dropped_kept_or_an_error(tmp_path: Path) -> None:
    source = slake(tmp_path / "data")
    (source / "imgs" / "xmlab3" / "source.jpg").unlink()
    out = tmp_path / "own.jsonl"
    assert prepare(source, "slake", out)["counts"]["left out: missing picture"] == 1
    kept = prepare(source, "slake", out, missing_pictures="keep")
    assert kept["counts"]["of them without picture"] == 1
    assert kept["counts"]["questions kept"] == 4
    with pytest.raises(DataError, match="1 of 4 questions lack their pictures"):
        prepare(source, "slake", out, missing_pictures="error")


def test_leaks_are_reported_and_dropped_where_asked(tmp_path: Path) -> None:
    source = vqa_rad(tmp_path / "data")
    drawn(1).save(source / "images" / "synpic2.jpg", quality=60)
    out = tmp_path / "own.jsonl"
    report = prepare(source, "vqa_rad", out)
    assert [(leak["kind"], leak["examples"]) for leak in report["leaks"]] == [
        ("near", {"test": ["9"], "train": ["1", "2"]})
    ]
    assert report["leak summary"][0]["questions"] == "test 1, train 2"
    report = prepare(source, "vqa_rad", out, drop_leaks=True)
    assert report["counts"]["left out: leak"] == 2
    assert [own.id for own in load_examples(DataConfig(format="jsonl", path=str(out)))] == ["9"]
    assert "in test too (near)" in report["problems"][0]["reason"]


def test_options_choose_questions(tmp_path: Path) -> None:
    source, out = slake(tmp_path / "data"), tmp_path / "own.jsonl"
    assert prepare(source, "slake", out, languages="zh")["counts"]["questions kept"] == 1
    assert prepare(source, "slake", out, kinds="open", languages="en, zh")["counts"]["questions kept"] == 3
    assert prepare(source, "slake", out, limit=2)["counts"]["not asked for: limit"] == 2
    rad = vqa_rad(tmp_path / "rad")
    assert prepare(rad, "vqa_rad", out, phrase_types="all")["counts"]["questions kept"] == 4
    assert prepare(rad, "vqa_rad", out, phrase_types="frame")["by split"] == {"train": 1}


def test_pictures_inside_tables_become_files(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    images = [{"bytes": content(seed, format), "path": None} for seed, format in ((1, "PNG"), (2, "JPEG"), (1, "PNG"))]
    rows = [{"image": image, "question": f"what {n}?", "answer": "x"} for n, image in enumerate(images)]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "train.parquet")
    report = prepare(tmp_path / "train.parquet", "path_vqa", tmp_path / "own.jsonl")
    found = load_examples(DataConfig(format="jsonl", path=str(tmp_path / "own.jsonl")))
    files = [Path(str(own.pictures[0])) for own in found]
    assert report["counts"]["pictures"] == 2
    assert [file.suffix for file in files] == [".png", ".jpg", ".png"]
    assert files[0] == files[2]
    assert files[1].read_bytes() == content(2, "JPEG")


def test_the_report_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = prepare(vqa_rad(tmp_path / "data"), "vqa_rad", tmp_path / "own.jsonl", json_output=True)
    assert json.loads(capsys.readouterr().out) == {**report, "out": str(tmp_path / "own.jsonl")}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "pocket"}, "--format"),
        ({"format": "vqarad"}, "--format"),
        ({"missing_pictures": "ignore"}, "--missing_pictures"),
        ({"phrase_types": "farme"}, "there is no farme"),
        ({"out": "."}, "this is a folder"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    arguments = {"source": str(vqa_rad(tmp_path)), "format": "vqa_rad", "out": str(tmp_path / "own.jsonl"), **options}
    with pytest.raises(UsageError, match=says):
        run_prepare(None, **arguments)


def test_nothing_is_written_where_nothing_is_left(tmp_path: Path) -> None:
    file = tmp_path / "broken.png"
    file.write_bytes(b"not a picture")
    source = jsonl(tmp_path / "in.jsonl", {"question": "What?", "answer": "x", "image": "broken.png"})
    with pytest.raises(DataError, match=r"no question is left of 1 rows: 1 unreadable_picture"):
        prepare(source, "jsonl", tmp_path / "own.jsonl")
    assert not (tmp_path / "own.jsonl").exists()


def test_all_of_vqa_rad_and_back(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "vqa_rad"
    # Opening the 314 pictures is what `test_leaks_of_vqa_rad` does.
    report = prepare(source, "vqa_rad", tmp_path / "own.jsonl", phrase_types="all", check=False)
    assert report["counts"] == {"rows read": 3515, "questions kept": 3515, "pictures": 314}
    before = load_examples(DataConfig(format="vqa_rad", path=str(source), phrase_types=[]))
    after = load_examples(DataConfig(format="jsonl", path=str(tmp_path / "own.jsonl")))
    assert after == before


def test_all_of_slake_without_pictures(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "slake_questions"
    report = prepare(source, "slake", tmp_path / "own.jsonl", missing_pictures="keep")
    assert report["counts"]["rows read"] == 14028
    assert report["counts"]["questions kept"] == report["counts"]["of them without picture"] == 14027
    assert report["by language"] == {"en": 7032, "zh": 6995}
    # In this copy the splits were drawn by question: 142 of the test set's 180 pictures are in the training set too.
    assert [(row["splits"], row["found"]) for row in report["leak summary"]] == [
        ("test + train", 142),
        ("validation + train", 130),
        ("test + validation", 26),
    ]
