from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps.captioning.config import CaptioningConfig
from apps.captioning.data import load_corpus, load_examples
from apps.captioning.data_config import CorpusConfig, PicturesConfig
from apps.captioning.prepare import run_prepare
from apps.captioning.readers import read_sentences
from apps.captioning.unpaired import check_unpaired
from common.errors import DataError, UsageError
from tests.apps.captioning.picture_folders import coco_folder, karpathy_image, picture, write


def settings(bad_pictures: int = 100, dedup: bool = True) -> CaptioningConfig:
    return CaptioningConfig(train=PicturesConfig(bad_pictures=bad_pictures), corpus=CorpusConfig(dedup=dedup))


def prepare(
    capsys: pytest.CaptureFixture[str], source: Path, format: str, out: Path | None, config: Any = None, **flags: Any
) -> dict[str, Any]:
    target = str(out) if out else None
    assert run_prepare(config or settings(), str(source), format, target, json_output=True, **flags) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    written = out or Path(flags["corpus_out"])
    report = json.loads(written.with_name(f"{written.stem}.report.json").read_text(encoding="utf-8"))
    assert report.items() <= printed.items()
    return printed


def pictures(path: Path) -> list[Any]:
    return load_examples(PicturesConfig(format="jsonl", path=str(path)))


def test_every_problem_is_found_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = coco_folder(tmp_path / "coco", list(range(1, 9)))
    file = source / "annotations" / "captions_val2017.json"
    content = json.loads(file.read_text())
    content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] != 8]
    content["annotations"][0]["caption"] = " \n"
    write(file, content)
    folder = source / "val2017"
    (folder / "000000000002.jpg").unlink()
    (folder / "000000000003.jpg").write_bytes(b"")
    (folder / "000000000004.jpg").write_bytes((folder / "000000000004.jpg").read_bytes()[:200])
    (folder / "000000000005.jpg").write_text("<html>404</html>")
    (folder / "000000000007.jpg").write_bytes((folder / "000000000006.jpg").read_bytes())
    found = prepare(capsys, source, "coco", tmp_path / "out" / "val.jsonl", split="val")
    assert found["counts"] == {
        "read": 8,
        "missing": 2,
        "unreadable": 2,
        "duplicate": 1,
        "no captions": 1,
        "kept": 4,
        "captions": 5,
        "empty captions": 1,
    }
    problems = {(problem["id"], problem["kind"]): problem for problem in found["problems"]}
    assert set(problems) == {
        ("2", "missing"),
        ("3", "missing"),
        ("4", "unreadable"),
        ("5", "unreadable"),
        ("7", "duplicate"),
        ("8", "no_captions"),
    }
    assert "row 1" in problems["2", "missing"]["reason"]
    assert "000000000004.jpg" in problems["4", "unreadable"]["reason"]
    assert "content as 6" in problems["7", "duplicate"]["reason"]
    kept = pictures(tmp_path / "out" / "val.jsonl")
    assert [example.id for example in kept] == ["1", "6", "7", "8"]
    assert kept[1].captions == ("Thing 6 is seen from side 0.", "Thing 6 is seen from side 1.")
    assert kept[1].picture().size == (8, 6)
    row = json.loads((tmp_path / "out" / "val.jsonl").read_text().splitlines()[0])
    assert row["image"] == "../coco/val2017/000000000001.jpg"


def test_too_many_bad_pictures_stop_it(tmp_path: Path) -> None:
    source = coco_folder(tmp_path / "coco", list(range(1, 9)))
    for number in (2, 3, 4):
        (source / "val2017" / f"00000000000{number}.jpg").write_text("no picture")
    (source / "val2017" / "000000000005.jpg").unlink()
    arguments = (str(source), "coco", str(tmp_path / "out.jsonl"))
    with pytest.raises(DataError, match=r"more than 3 pictures are bad: .*000000000005.jpg.*--train.bad_pictures"):
        run_prepare(settings(3), *arguments, split="val")
    assert not (tmp_path / "out.jsonl").exists()
    assert run_prepare(settings(4), *arguments, split="val") == 0
    for file in (source / "val2017").iterdir():
        file.write_text("no picture")
    with pytest.raises(DataError, match="no picture can be opened"):
        run_prepare(settings(), *arguments, split="val")


def test_two_halves_are_unpaired_by_construction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = coco_folder(tmp_path / "coco", list(range(1, 22)))
    out, corpus = tmp_path / "half.jsonl", tmp_path / "corpus.jsonl"
    found = prepare(capsys, source, "coco", out, split="val", corpus_out=str(corpus))
    assert (found["counts"]["kept"], found["corpus"]["written"]) == (10, 22)
    sentences = read_sentences(CorpusConfig(format="jsonl", path=str(corpus)))
    chosen = pictures(out)
    assert len({sentence.picture for sentence in sentences} | {example.id for example in chosen}) == 21
    assert check_unpaired(chosen, sentences)["train"].own == 0
    with pytest.raises(DataError, match="captions of pictures that are trained on"):
        check_unpaired(chosen, read_sentences(CorpusConfig(format="coco", path=str(source), split="val")))
    # the other half's pictures need not be on disk
    for example in pictures(out):
        assert example.image is not None
    kept = {example.image.name for example in chosen}
    for file in (source / "val2017").iterdir():
        if file.name not in kept:
            file.unlink()
    again = prepare(capsys, source, "coco", out, split="val", corpus_out=str(corpus))
    assert again["counts"] == found["counts"]
    other = prepare(
        capsys, coco_folder(source, list(range(1, 22))), "coco", out, split="val", corpus_out=str(corpus), seed=3
    )
    assert other["counts"]["kept"] == 10
    assert {example.id for example in pictures(out)} != {example.id for example in chosen}


def test_a_limit_counts_before_the_split_in_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = coco_folder(tmp_path / "coco", list(range(1, 22)))
    corpus = tmp_path / "corpus.txt"
    found = prepare(capsys, source, "coco", tmp_path / "a.jsonl", split="val", corpus_out=str(corpus), limit=8)
    assert (found["counts"]["kept"], found["corpus"]["written"]) == (4, 8)
    found = prepare(capsys, source, "coco", tmp_path / "a.jsonl", split="val", limit=8)
    assert [example.id for example in pictures(tmp_path / "a.jsonl")] == [str(number) for number in range(1, 9)]


def test_captions_alone_need_no_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "dataset_coco.json", {"images": [karpathy_image(own, "train") for own in range(3)]})
    found = prepare(capsys, source, "karpathy", None, corpus_out=str(tmp_path / "corpus.txt"))
    assert "counts" not in found
    assert found["corpus"]["written"] == 15
    lines = (tmp_path / "corpus.txt").read_text().splitlines()
    assert lines[:2] == ["Thing 0 from side 0.", "Thing 0 from side 1."]


def test_what_was_prepared_can_be_prepared_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = coco_folder(tmp_path / "coco", [1, 2, 3])
    prepare(capsys, source, "coco", tmp_path / "a.jsonl", split="val")
    prepare(capsys, tmp_path / "a.jsonl", "jsonl", tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()


def test_a_folder_with_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "in" / "deep" / "a.png", 1)
    picture(tmp_path / "in" / "b.gif", 2)
    write(tmp_path / "in" / "captions.txt", "deep/a.png\tA dog.\n")
    found = prepare(capsys, tmp_path / "in", "folder", tmp_path / "in" / "rows.jsonl")
    assert (found["counts"]["kept"], found["counts"]["no captions"]) == (2, 1)
    assert [(own.id, own.captions) for own in pictures(tmp_path / "in" / "rows.jsonl")] == [
        ("b", ()),
        ("deep/a", ("A dog.",)),
    ]


def test_a_folder_without_texts_has_no_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "in" / "a.png")
    found = prepare(capsys, tmp_path / "in", "folder", tmp_path / "rows.jsonl")
    assert (found["counts"]["no captions"], found["problems"]) == (1, [])


def test_web_sentences_are_cleaned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = (
        "a man walks his dog home - stock photo\thttp://x",
        "a short one\thttp://y",
        "A man walks his dog home\thttp://z",
    )
    source = write(tmp_path / "Train_GCC-training.tsv", "\n".join(rows) + "\n")
    found = prepare(capsys, source, "cc3m", tmp_path / "corpus.jsonl")
    assert found["corpus"] == {
        "read": 3,
        "empty": 0,
        "short": 1,
        "long": 0,
        "duplicate": 1,
        "cut": 1,
        "kept": 1,
        "written": 1,
    }
    assert load_corpus(CorpusConfig(format="jsonl", path=str(tmp_path / "corpus.jsonl"))) == [
        "A man walks his dog home."
    ]
    found = prepare(capsys, source, "cc3m", tmp_path / "corpus.txt", settings(dedup=False), clean="sentence", limit=2)
    assert (found["corpus"]["kept"], found["corpus"]["written"]) == (3, 2)
    with pytest.raises(DataError, match="none of 3 sentences is left"):
        run_prepare(settings(), str(write(source, "a\thttp://x\n" * 3)), "cc3m", str(tmp_path / "out.txt"))


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    source, out = str(coco_folder(tmp_path / "coco", [1, 2])), str(tmp_path / "out.jsonl")
    for message, arguments, flags in (
        ("this is a folder", (source, "coco", str(tmp_path)), {}),
        ("give --out for the pictures", (source, "coco", None), {}),
        ("are one file", (source, "coco", out), {"corpus_out": out}),
        ("holds sentences and no pictures", (source, "text", out), {"corpus_out": out + "2"}),
        ("did you mean 'sentence'", (source, "coco", out), {"clean": "sentances"}),
        ("no format 'cocoa' of", (source, "cocoa", out), {}),
        ("no such file or folder", (str(tmp_path / "none"), "coco", out), {}),
    ):
        with pytest.raises(UsageError, match=message):
            run_prepare(settings(), *arguments, **flags)


def test_people_see_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = coco_folder(tmp_path / "coco", [1, 2, 3])
    (source / "val2017" / "000000000002.jpg").write_text("no picture")
    out = tmp_path / "out.jsonl"
    assert run_prepare(settings(), str(source), "coco", str(out), split="val") == 0
    printed = capsys.readouterr()
    assert "unreadable" in printed.out
    assert "out.report.json" in "".join(printed.err.split())


def test_real_pictures(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared / "data" / "coco_mini"
    if not folder.is_dir():
        pytest.skip(f"public data not found at {folder}")
    out, corpus = tmp_path / "half.jsonl", tmp_path / "corpus.jsonl"
    found = prepare(capsys, folder, "coco", tmp_path / "all.jsonl")
    assert (found["counts"]["kept"], found["counts"]["captions"], found["problems"]) == (80, 400, [])
    found = prepare(capsys, folder, "coco", out, corpus_out=str(corpus))
    assert (found["counts"]["kept"], found["corpus"]["read"]) == (40, 200)
    sentences = read_sentences(CorpusConfig(format="jsonl", path=str(corpus)))
    assert check_unpaired(pictures(out), sentences)["train"].own == 0


def test_real_captions(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared / "data" / "flickr8k_text"
    if not folder.is_dir():
        pytest.skip(f"public data not found at {folder}")
    found = prepare(capsys, folder, "flickr8k", None, split="all", corpus_out=str(tmp_path / "corpus.jsonl"))
    assert found["corpus"]["read"] == 40_460
    assert found["corpus"]["written"] == 40_125
    with pytest.raises(DataError, match="give their folder as `images`"):
        run_prepare(settings(), str(folder), "flickr8k", str(tmp_path / "pictures.jsonl"))
