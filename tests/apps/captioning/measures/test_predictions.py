from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.captioning.measures.predictions import read_predictions, read_references
from common.errors import DataError


def test_coco_result_files(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{"image_id": 42, "caption": "a dog"}, {"image_id": 7, "caption": ""}]))
    assert read_predictions(path) == {"42": "a dog", "7": ""}


def test_the_published_fake_captions(shared: Path) -> None:
    found = read_predictions(shared / "data/coco_caption_fixtures/captions_val2014_fakecap_results.json")
    assert len(found) == 1000


def test_json_lines_and_objects(tmp_path: Path) -> None:
    lines = tmp_path / "captions.jsonl"
    lines.write_text('{"id": "a", "caption": "one\\u2028two", "score": 3}\n\n{"id": 5, "caption": "b"}\n')
    assert read_predictions(lines) == {"a": "one\u2028two", "5": "b"}
    whole = tmp_path / "captions.json"
    whole.write_text('{"a": "one", "b": ["two"]}')
    assert read_predictions(whole) == {"a": "one", "b": "two"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "x.json",
            '[{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}]',
            "'1' has two captions, in entry 0",
        ),
        ("x.json", '[{"image_id": 1}]', r"entry 0 \(picture '1'\): 'caption' is None"),
        ("x.json", '[{"caption": "a"}]', "entry 0 needs 'id' or 'image_id'"),
        ("x.json", "[]", "no caption"),
        ("x.json", "3", "expected a list"),
        ("x.json", '["a"]', "entry 0 is a str"),
        ("x.json", '{"a": ["one", "two"]}', "not a text"),
        ("x.jsonl", '{"id": true, "caption": "a"}', "line 1 needs 'id'"),
        ("x.jsonl", "{", "not JSON"),
    ],
)
def test_bad_rows_are_named(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_predictions(tmp_path / name)
    assert name in str(caught.value)


def test_references(tmp_path: Path, shared: Path) -> None:
    coco = read_references(shared / "data/coco_mini/captions_train2017.json")
    assert len(coco) > 60
    assert all(coco.values())
    lines = tmp_path / "x.jsonl"
    lines.write_text('{"id": 1, "references": ["a", "b"]}\n{"id": 2, "captions": "c"}\n{"id": 1, "captions": ["d"]}\n')
    assert read_references(lines) == {"1": ["a", "b", "d"], "2": ["c"]}
    lines.write_text('{"id": 1}')
    with pytest.raises(DataError, match="references, captions, refs"):
        read_references(lines)
    broken = tmp_path / "x.json"
    broken.write_text('{"annotations": [{"image_id": 1, "bbox": []}]}')
    with pytest.raises(DataError, match="annotation 0 has no 'caption'"):
        read_references(broken)
