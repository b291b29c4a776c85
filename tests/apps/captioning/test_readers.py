from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from apps.captioning.data import load_examples
from apps.captioning.data_config import CorpusConfig, PicturesConfig
from apps.captioning.readers import read_corpus, read_pictures, read_records
from common.errors import DataError, UsageError
from tests.apps.captioning.picture_folders import (
    coco_content,
    coco_folder,
    corpus,
    jsonl,
    karpathy_image,
    picture,
    write,
)

TOKENS = "1.jpg#0\tA dog runs .\n1.jpg#1\tTwo dogs , running\n2.jpg#0\tA cat .\n2.jpg#1\tOne cat sleeps .\n"
BARS = (
    "image_name| comment_number| comment\n1.jpg| 0| A dog runs .\n1.jpg| 1| Two dogs , running\n"
    "2.jpg| 0| A cat .\n2.jpg| 1   One cat sleeps .\n"
)
COMMAS = 'image,caption\n1.jpg,A dog runs .\n1.jpg,"Two dogs , running"\n2.jpg,A cat .\n2.jpg,One cat sleeps .\n'
NUMBERED = (
    "image_name,comment_number,comment\n1.jpg,0, A dog runs .\n1.jpg,1, Two dogs , running\n2.jpg,0,A cat .\n"
    "2.jpg,1,One cat sleeps .\n"
)
DOGS = ("A dog runs .", "Two dogs , running")


def pictures(path: Path, format: str, **settings: Any) -> list[Any]:
    return read_pictures(PicturesConfig(format=format, path=str(path), **settings))  # type: ignore[arg-type]


def flickr_pictures(folder: Path, *names: str) -> None:
    for shade, name in enumerate(names or ("1.jpg", "2.jpg")):
        picture(folder / name, shade)


# COCO and NoCaps


@pytest.mark.parametrize("path", ["", "annotations", "annotations/captions_val2017.json"])
def test_coco_from_its_folder_or_its_file(tmp_path: Path, path: str) -> None:
    coco_folder(tmp_path, [139, 285])
    examples = pictures(tmp_path / path, "coco", split="" if path.endswith("json") else "val")
    assert [example.id for example in examples] == ["139", "285"]
    assert examples[0].captions == ("Thing 139 is seen from side 0.", "Thing 139 is seen from side 1.")
    assert examples[0].image == tmp_path / "val2017" / "000000000139.jpg"


def test_coco_test_pictures_have_no_captions(tmp_path: Path) -> None:
    content = coco_content([7])
    del content["annotations"]
    write(tmp_path / "image_info_test2017.json", content)
    picture(tmp_path / "test2017" / "000000000007.jpg")
    assert pictures(tmp_path, "coco", split="test2017")[0].captions == ()
    with pytest.raises(DataError, match="no sentences found"):
        corpus(tmp_path, "coco", split="test2017")


def test_a_split_in_several_files_is_not_guessed(tmp_path: Path) -> None:
    coco_folder(tmp_path, [1], name="train2014")
    coco_folder(tmp_path, [1], name="train2017")
    with pytest.raises(DataError, match=r"captions_train2014.json, captions_train2017.json; give one"):
        pictures(tmp_path, "coco")
    assert len(pictures(tmp_path, "coco", split="train2014")) == 1
    with pytest.raises(DataError, match="not of the split 'val'"):
        pictures(tmp_path / "annotations" / "captions_train2014.json", "coco", split="val")


def test_nocaps_by_domain(tmp_path: Path) -> None:
    content = coco_content([0, 1, 2], each=10)
    for image, domain in zip(content["images"], ("in-domain", "near-domain", "in-domain"), strict=True):
        image.update(open_images_id=f"00{image['id']}a", file_name=f"00{image['id']}a.jpg", domain=domain)
        picture(tmp_path / "images" / image["file_name"])
    write(tmp_path / "nocaps_val_4500_captions.json", content)
    assert [example.id for example in pictures(tmp_path, "nocaps")] == ["0", "1", "2"]
    inside = pictures(tmp_path, "nocaps", split="in-domain")
    assert [example.id for example in inside] == ["0", "2"]
    assert len(inside[0].captions) == 10
    with pytest.raises(DataError, match=r"no split 'out'; the file has in-domain \(2\), near-domain \(1\)"):
        pictures(tmp_path, "nocaps", split="out")


def broken(change: str) -> Any:
    content = coco_content([1, 2])
    if change == "list":
        return [content]
    if change == "no images":
        del content["images"]
    elif change == "twice":
        content["images"].append(content["images"][0])
    elif change == "stranger":
        content["annotations"][3]["image_id"] = 99
    elif change == "no caption":
        del content["annotations"][1]["caption"]
    elif change == "no file name":
        content["images"][1]["file_name"] = None
    elif change == "no id":
        content["images"][1]["id"] = True
    elif change == "no object":
        content["images"][1] = "1.jpg"
    return content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("list", "expected a JSON object with 'images', found list"),
        ("no images", "has no list 'images'; its keys are: info"),
        ("twice", "row 2: the id '1' stands in row 0 too"),
        ("stranger", "annotations row 3: `images` has no picture '99'"),
        ("no caption", "annotations row 1 has no text 'caption'; its fields are: image_id, id"),
        ("no file name", "row 1 has no text 'file_name'"),
        ("no id", "row 1 has no number 'id'"),
        ("no object", "images row 1: expected an object, found str"),
    ],
)
def test_what_is_wrong_with_a_coco_file_is_named(tmp_path: Path, change: str, message: str) -> None:
    file = write(tmp_path / "captions_train.json", broken(change))
    with pytest.raises(DataError, match=message) as caught:
        pictures(file, "coco")
    assert str(file) in str(caught.value)


def test_json_that_is_cut_off_is_named_by_line(tmp_path: Path) -> None:
    file = write(tmp_path / "captions_train.json", '{"images": [\n{"id": 1,\n')
    with pytest.raises(DataError, match=r"captions_train.json:3: not JSON"):
        pictures(file, "coco")


# Karpathy's splits


def test_karpathy_coco_and_its_restval(tmp_path: Path) -> None:
    splits = ("train", "restval", "val", "test", "restval")
    images = [karpathy_image(number, split) for number, split in enumerate(splits)]
    write(tmp_path / "dataset_coco.json", {"images": images, "dataset": "coco"})
    for image in images:
        picture(tmp_path / "val2014" / image["filename"])
    assert [example.id for example in pictures(tmp_path, "karpathy")] == ["0"]
    assert [example.id for example in pictures(tmp_path, "karpathy", split="train+restval")] == ["0", "1", "4"]
    assert len(pictures(tmp_path, "karpathy", split="all")) == 5
    assert pictures(tmp_path, "karpathy", split="test")[0].captions[4] == "Thing 3 from side 4."
    with pytest.raises(DataError, match=r"no split 'dev'; the file has train \(1\), restval \(2\)"):
        pictures(tmp_path, "karpathy", split="train+dev")
    assert len(corpus(tmp_path, "karpathy", split="train+restval")) == 15


def test_karpathy_flickr_pictures_lie_anywhere(tmp_path: Path) -> None:
    write(tmp_path / "dataset_flickr30k.json", {"images": [karpathy_image(10, "train", coco=False)]})
    picture(tmp_path / "elsewhere" / "10.jpg")
    found = pictures(tmp_path / "dataset_flickr30k.json", "karpathy", images=str(tmp_path / "elsewhere"))
    assert (found[0].id, len(found[0].captions)) == ("10", 5)


def test_the_same_picture_has_one_id_in_every_file_of_coco(tmp_path: Path) -> None:
    _, own = read_records("coco", str(write(tmp_path / "captions_train2014.json", coco_content([391895]))))
    karpathy = write(tmp_path / "dataset_coco.json", {"images": [karpathy_image(391895, "train")]})
    assert read_records("karpathy", str(karpathy))[1][0].id == own[0].id


@pytest.mark.parametrize("field", ["filename", "split", "sentences"])
def test_karpathy_without_a_field(tmp_path: Path, field: str) -> None:
    images = [karpathy_image(0, "train"), karpathy_image(1, "train")]
    del images[1][field]
    with pytest.raises(DataError, match=f"row 1 has no (text|list) '{field}'"):
        pictures(write(tmp_path / "dataset.json", {"images": images}), "karpathy")


def test_karpathy_without_raw_text(tmp_path: Path) -> None:
    image = karpathy_image(0, "train")
    del image["sentences"][2]["raw"]
    with pytest.raises(DataError, match="row 0, sentence 2: no text `raw`"):
        pictures(write(tmp_path / "dataset.json", {"images": [image]}), "karpathy")


# Flickr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results_20130124.token", TOKENS),
        ("results.csv", BARS),
        ("captions.txt", COMMAS),
        ("captions.txt", NUMBERED),
        ("captions.txt", COMMAS.replace("\n", "\r\n")),
        ("captions.txt", "\ufeff" + COMMAS),
        ("captions.csv", COMMAS.replace("image,caption\n", "")),
    ],
)
def test_every_form_of_flickr_captions(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_bytes(content.encode("utf-8"))
    flickr_pictures(tmp_path / "flickr30k-images")
    examples = pictures(tmp_path, "flickr30k")
    assert [example.id for example in examples] == ["1", "2"]
    assert examples[0].captions == DOGS
    assert examples[1].captions == ("A cat .", "One cat sleeps .")


def test_flickr8k_splits(tmp_path: Path) -> None:
    write(tmp_path / "Flickr8k.token.txt", TOKENS + "3.jpg#0\tA horse .\n2.jpg.1#0\tA ghost .\n")
    write(tmp_path / "Flickr_8k.trainImages.txt", "1.jpg\n3.jpg\n")
    write(tmp_path / "Flickr_8k.devImages.txt", "2.jpg\n")
    flickr_pictures(tmp_path / "Flicker8k_Dataset", "1.jpg", "2.jpg", "3.jpg")
    assert [example.id for example in pictures(tmp_path, "flickr8k")] == ["1", "3"]
    assert [example.id for example in pictures(tmp_path, "flickr8k", split="dev")] == ["2"]
    assert [example.id for example in pictures(tmp_path, "flickr8k", split="all")] == ["1", "2", "3"]
    with pytest.raises(DataError, match=r"the split 'test' needs Flickr_8k.testImages.txt or test.txt"):
        pictures(tmp_path, "flickr8k", split="test")
    write(tmp_path / "test.txt", "unknown\n")
    with pytest.raises(DataError, match="the list of the split 'test' names none"):
        pictures(tmp_path, "flickr8k", split="test")


def test_entities_lists_have_no_endings(tmp_path: Path) -> None:
    write(tmp_path / "results.csv", BARS)
    write(tmp_path / "val.txt", "2\n")
    flickr_pictures(tmp_path)
    assert [example.id for example in pictures(tmp_path, "flickr30k", split="val")] == ["2"]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (TOKENS + "no columns\n", 5, "expected the columns name.jpg#number, tab, caption, found 'no columns'"),
        (TOKENS + "1.jpg#0\tAgain .\n", 5, "caption 0 of 1.jpg stands here twice"),
        (BARS + "3.jpg| x| A horse .\n", 6, "expected the columns image_name| comment_number| comment"),
        (COMMAS + "no columns\n", 6, "expected the columns image,caption"),
        (NUMBERED + "3.jpg,A horse .\n", 6, "expected the columns image_name,comment_number,comment"),
    ],
)
def test_a_bad_line_of_flickr_is_named(tmp_path: Path, content: str, line: int, message: str) -> None:
    file = write(tmp_path / "captions.token", content)
    with pytest.raises(DataError) as caught:
        pictures(file, "flickr30k")
    assert str(caught.value).startswith(f"{file}:{line}: {message}")


def test_text_that_is_not_utf8_is_named_by_line(tmp_path: Path) -> None:
    file = tmp_path / "captions.token"
    file.write_bytes(TOKENS.encode() + b"3.jpg#0\tA caf\xe9 .\n")
    with pytest.raises(DataError, match=r"captions.token:5: not UTF-8 \(byte 14 of the line\); save"):
        pictures(file, "flickr30k")


def test_odd_line_ends_inside_a_caption_split_nothing(tmp_path: Path) -> None:
    write(tmp_path / "captions.token", "1.jpg#0\tA\u2028dog\x0b\x0cruns\x85 .\n2.jpg#0\tA cat .\n")
    flickr_pictures(tmp_path)
    assert [example.captions for example in pictures(tmp_path, "flickr30k")] == [("A dog runs .",), ("A cat .",)]


# A folder, and our own JSONL


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "in/c.webp", "in/a.jpg", ".hidden/d.jpg", ".e.jpg"):
        picture(tmp_path / name)
    write(tmp_path / "notes.md", "no picture")
    examples = pictures(tmp_path, "folder")
    assert [example.id for example in examples] == ["a", "b", "in/a", "in/c"]
    assert all(example.captions == () for example in examples)
    assert [example.id for example in pictures(tmp_path, "folder", split="in")] == ["a", "c"]
    with pytest.raises(DataError, match="no such folder; leave `split` empty"):
        pictures(tmp_path, "folder", split="out")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("captions.txt", "a.jpg\tOne dog.\na.jpg\tTwo dogs.\n"),
        ("captions.txt", "a.jpg#0\tOne dog.\na.jpg#1\tTwo dogs.\n"),
        ("captions.txt", "image,caption\na.jpg,One dog.\n\na.jpg,Two dogs.\n"),
        ("captions.txt", "a.jpg|One dog.\na.jpg|Two dogs.\n"),
        ("captions.jsonl", '{"image": "a.jpg", "captions": ["One dog.", "Two dogs."]}\n'),
        (
            "metadata.jsonl",
            '{"file_name": "a.jpg", "text": "One dog."}\n{"file_name": "a.jpg", "text": "Two dogs."}\n',
        ),
        ("a.txt", "One dog.\nTwo dogs.\n"),
    ],
)
def test_texts_of_a_folder(tmp_path: Path, name: str, content: str) -> None:
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "b.jpg")
    write(tmp_path / name, content)
    assert [example.captions for example in pictures(tmp_path, "folder")] == [("One dog.", "Two dogs."), ()]


@pytest.mark.parametrize(
    ("line", "caption"),
    [
        ('a.jpg,"One dog, ""Rex""."', 'One dog, "Rex".'),
        ('a.jpg\tA sign says "stop"', 'A sign says "stop"'),
        ('a.jpg\t"Stop" and "go"', '"Stop" and "go"'),
    ],
)
def test_only_the_quotes_of_a_cell_go(tmp_path: Path, line: str, caption: str) -> None:
    picture(tmp_path / "a.jpg")
    write(tmp_path / "captions.txt", f"{line}\n")
    assert [example.captions for example in pictures(tmp_path, "folder")] == [(caption,)]


def test_names_that_differ_in_their_ending_only(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "a.png")
    assert [example.id for example in pictures(tmp_path, "folder")] == ["a.jpg", "a.png"]


def test_what_is_wrong_with_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures here"):
        pictures(tmp_path, "folder")
    with pytest.raises(DataError, match="no folder of pictures"):
        pictures(picture(tmp_path / "a.jpg"), "folder")
    write(tmp_path / "captions.txt", "a.jpg\tOne.\nb.jpg\tOther.\n")
    with pytest.raises(DataError, match=r"captions.txt:2: no picture 'b.jpg' here"):
        pictures(tmp_path, "folder")
    write(tmp_path / "captions.txt", "a.jpg\n")
    with pytest.raises(DataError, match=r"captions.txt:1: expected a picture's name"):
        pictures(tmp_path, "folder")
    jsonl(tmp_path / "captions.jsonl", {"image": "a.jpg"})
    with pytest.raises(DataError, match=r"both captions.jsonl and captions.txt"):
        pictures(tmp_path, "folder")


def test_our_jsonl(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.jpg")
    rows = (
        {"id": 7, "image": "in/a.jpg", "captions": ["A dog.", " ", "A  dog\truns."], "split": "train"},
        {"id": "8", "image": str(tmp_path / "in" / "a.jpg"), "caption": "A cat.", "split": "val"},
        {"id": "9", "image": "in/a.jpg"},
    )
    file = jsonl(tmp_path / "rows.jsonl", *rows)
    examples = load_examples(PicturesConfig(format="jsonl", path=str(file)))
    assert [example.id for example in examples] == ["7", "8", "9"]
    assert [example.captions for example in examples] == [("A dog.", "A dog runs."), ("A cat.",), ()]
    assert [example.id for example in pictures(file, "jsonl", split="val")] == ["8"]
    with pytest.raises(DataError, match=r"no split 'dev'; the file has train \(1\), val \(1\)"):
        pictures(file, "jsonl", split="dev")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": 2}, r"rows.jsonl:2: no text 'image'; the fields are: id"),
        ({"image": "a.jpg"}, r"rows.jsonl:2: no 'id'"),
        ({"id": 2, "image": "a.jpg", "captions": [1]}, r"rows.jsonl:2: 'captions' must be a text or a list of texts"),
        ({"id": "1", "image": "a.jpg"}, r"rows.jsonl: line 2: the id '1' stands in line 1 too"),
    ],
)
def test_a_bad_row_of_ours_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    picture(tmp_path / "a.jpg")
    file = jsonl(tmp_path / "rows.jsonl", {"id": 1, "image": "a.jpg"}, row)
    with pytest.raises(DataError, match=message):
        pictures(file, "jsonl")


# Missing pictures, limits, options


def test_missing_pictures_are_named_up_to_a_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco_folder(tmp_path, list(range(1, 9)))
    (tmp_path / "val2017" / "000000000002.jpg").unlink()
    (tmp_path / "val2017" / "000000000005.jpg").write_bytes(b"")
    examples = pictures(tmp_path, "coco", split="val", bad_pictures=2)
    assert [example.id for example in examples] == ["1", "3", "4", "6", "7", "8"]
    warning = " ".join(capsys.readouterr().err.split())
    assert "left out 2 pictures" in warning
    assert "000000000002.jpg (row 1), 000000000005.jpg (row 4)" in warning
    with pytest.raises(DataError, match=r"more than 1 pictures are missing or empty: 000000000002.jpg \(row 1\)"):
        pictures(tmp_path, "coco", split="val", bad_pictures=1)


def test_no_picture_at_all_is_an_error_whatever_is_forgiven(tmp_path: Path) -> None:
    file = write(tmp_path / "captions_train.json", coco_content([1, 2]))
    with pytest.raises(
        DataError, match=r"every picture looked for is missing or empty.*give their folder as `images`"
    ):
        pictures(file, "coco")
    with pytest.raises(DataError, match="no such folder of pictures"):
        pictures(file, "coco", images=str(tmp_path / "nowhere"))


def test_a_limit_takes_the_first_ones_or_a_draw(tmp_path: Path) -> None:
    coco_folder(tmp_path, list(range(1, 31)))

    def ids(**settings: int) -> list[int]:
        return [int(example.id) for example in pictures(tmp_path, "coco", split="val", **settings)]

    assert ids(limit=4) == [1, 2, 3, 4]
    drawn = ids(limit=4, seed=3)
    assert drawn == ids(limit=4, seed=3) != ids(limit=4, seed=4)
    assert drawn == sorted(drawn) != [1, 2, 3, 4]
    assert ids(seed=3) == list(range(1, 31))
    (tmp_path / "val2017" / "000000000002.jpg").unlink()
    assert ids(limit=4) == [1, 3, 4, 5]


def test_wrong_options_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs pictures.path"):
        read_pictures(PicturesConfig(format="coco"))
    with pytest.raises(UsageError, match=r"needs corpus.path"):
        read_corpus(CorpusConfig(format="text"))
    with pytest.raises(UsageError, match="did you mean 'karpathy'"):
        read_records("karpaty", "x")
    with pytest.raises(UsageError, match="did you mean 'cc3m'"):
        corpus(tmp_path, "cc3")
    with pytest.raises(DataError, match=r"no such file or folder; correct pictures.path"):
        pictures(tmp_path / "none.json", "coco")
    with pytest.raises(UsageError, match="'text' has no splits"):
        corpus(write(tmp_path / "a.txt", "A dog.\n"), "text", split="train")
    with pytest.raises(DataError, match=r"no file captions_train.json"):
        pictures(tmp_path, "coco")


# Real data


def real(shared: Path, name: str) -> Path:
    folder = shared / "data" / name
    if not folder.is_dir():
        pytest.skip(f"public data not found at {folder}")
    return folder


def test_coco_mini(shared: Path) -> None:
    folder = real(shared, "coco_mini")
    examples = pictures(folder, "coco")
    assert (len(examples), sum(len(example.captions) for example in examples)) == (80, 400)
    assert all(len(example.captions) == 5 for example in examples)
    assert examples[0].image == folder / "train2017" / "000000493652.jpg"
    # two of its captions read the same
    assert len(corpus(folder, "coco")) == 399
    file = json.loads((folder / "captions_train2017.json").read_text(encoding="utf-8"))
    assert {example.id for example in examples} == {str(image["id"]) for image in file["images"]}


@pytest.mark.parametrize(("split", "count"), [("train", 6000), ("dev", 1000), ("test", 1000), ("all", 8093)])
def test_flickr8k_text(shared: Path, split: str, count: int) -> None:
    start = time.process_time()
    _, records = read_records("flickr8k", str(real(shared, "flickr8k_text")), split)
    assert len(records) == count
    # 8,092 pictures of five captions; one caption is filed under a picture `....jpg.1`
    captions = sum(len(record.captions) for record in records)
    assert captions == (40_460 if split == "all" else 5 * count)
    assert time.process_time() - start < 5


def test_flickr8k_without_pictures_says_what_to_do(shared: Path) -> None:
    with pytest.raises(DataError, match="give their folder as `images`"):
        pictures(real(shared, "flickr8k_text"), "flickr8k")
