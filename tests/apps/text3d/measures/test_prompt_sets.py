"""Prompt sets: the published ones as they lie, one's own files, and errors that name file and row."""

from __future__ import annotations

import json

import pytest

from apps.text3d.measures.prompt_sets import SIZES, read_prompts, read_set
from common.errors import DataError


@pytest.fixture(scope="module")
def published(shared):
    folder = shared / "text_to_3d_prompts"
    folder = folder if folder.is_dir() else shared / "data" / "text_to_3d_prompts"
    if not folder.is_dir():
        pytest.skip(f"the published prompts are not at {folder}")
    return folder


def test_the_published_sets(published):
    found = {name: read_set(published, name) for name in SIZES}
    assert {name: len(prompts) for name, prompts in found.items()} == SIZES
    assert found["gpteval3d"][0] == "A torn hat"
    assert found["t3bench_multi"][0] == "An artist is painting on a blank canvas"
    assert read_prompts(f"{published}:t3bench_surr") == found["t3bench_surr"]
    assert len(read_prompts(published / "threestudio_prompt_library.json")) > 300
    with pytest.raises(DataError, match=r"name a set in it, such as .*:gpteval3d"):
        read_prompts(published)


def test_ones_own_files(tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text("\ufeffa red cube\n\n# a remark\n  a green cone \na red cube\n", "utf-8")
    assert read_prompts(text) == ["a red cube", "a green cone"]
    rows = tmp_path / "mine.jsonl"
    rows.write_text('{"prompt": "ein roter Würfel: „ja“", "seed": 3}\n\n{"prompt": "a cone"}\n', "utf-8")
    assert read_prompts(rows) == ["ein roter Würfel: „ja“", "a cone"]
    named = tmp_path / "library.json"
    named.write_text(json.dumps({"one": ["a", {"prompt": "b"}], "two": ["c"]}))
    assert read_prompts(named) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"prompt": "a"}\n{"text": "b"}\n', r"a\.jsonl:2: no prompt in this row"),
        ("a.json", '["a", 3]', r"a\.json: entry 2 is no prompt: 3"),
        ("a.json", '{"x": 1}', "lists of prompts by name"),
        ("a.json", "[,]", r"a\.json:1: not JSON"),
        ("a.txt", "\n# nothing\n", "no prompt in it"),
        ("a.csv", "a", "ends in .txt, .jsonl or .json"),
        ("gpteval3d_prompts.json", '["a torn hat"]', ""),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    if not message:
        assert read_prompts(path) == ["a torn hat"]
        with pytest.raises(DataError, match="1 prompts; the set gpteval3d has 110"):
            read_set(tmp_path, "gpteval3d")
        return
    with pytest.raises(DataError, match=message):
        read_prompts(path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_prompts(tmp_path / "none.txt")
    with pytest.raises(DataError, match=r"t3bench_single is not here; it is a file t3bench_prompt_single\.txt or"):
        read_set(tmp_path, "t3bench_single")
    with pytest.raises(DataError, match="no prompt set 't4bench'"):
        read_set(tmp_path, "t4bench")
