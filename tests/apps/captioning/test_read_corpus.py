from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.captioning.corpus import NO_PICTURE, CleaningReport, Sentence
from apps.captioning.data import load_corpus
from apps.captioning.data_config import CorpusConfig
from apps.captioning.readers import read_sentences
from common.errors import DataError
from tests.apps.captioning.picture_folders import coco_folder, corpus, jsonl, write


def test_corpus_of_lines(tmp_path: Path) -> None:
    file = write(tmp_path / "corpus.txt", "a dog runs\n\nA dog runs.\nthe cat\u2028sleeps !\n")
    assert load_corpus(CorpusConfig(format="text", path=str(file))) == ["A dog runs.", "The cat sleeps."]
    assert len(corpus(file, "text", dedup=False)) == 3
    assert corpus(file, "text", clean="none") == ["a dog runs", "the cat sleeps !"]
    assert corpus(file, "text", limit=1) == ["A dog runs."]


def test_an_empty_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sentences found"):
        corpus(write(tmp_path / "corpus.txt", ""), "text")
    with pytest.raises(DataError, match=r"of 2 sentences none is left \(2 empty\)"):
        corpus(write(tmp_path / "corpus.txt", "...\n\n"), "text")


def test_corpus_of_our_rows_keeps_the_pictures(tmp_path: Path) -> None:
    file = jsonl(
        tmp_path / "corpus.jsonl",
        {"text": "A dog runs."},
        {"text": "A cat sleeps.", "picture": 12},
        {"id": "a", "image": "a.jpg", "captions": ["A horse.", "A foal."]},
    )
    found = read_sentences(CorpusConfig(format="jsonl", path=str(file)))
    assert found == [
        Sentence("A dog runs."),
        Sentence("A cat sleeps.", "12"),
        Sentence("A horse.", "a"),
        Sentence("A foal.", "a"),
    ]
    with pytest.raises(DataError, match=r"corpus.jsonl:1: no text 'text'; the fields are: sentence"):
        corpus(jsonl(file, {"sentence": "A dog."}), "jsonl")


def test_captions_know_their_picture(tmp_path: Path) -> None:
    coco_folder(tmp_path, [1, 2])
    report = CleaningReport()
    found = read_sentences(CorpusConfig(format="coco", path=str(tmp_path), split="val"), report)
    assert {sentence.picture for sentence in found} == {"1", "2"}
    assert report.counts()["kept"] == 4


@pytest.mark.parametrize(
    "content",
    [
        "a very typical bus station\thttp://lh6.ggpht.com/-IvRtNLNcG8o/bus\nsierra looked stunning\thttp://78.media/s\n",
        "caption\turl\na very typical bus station\thttp://lh6\nsierra looked stunning\thttps://78\n",
        "https://lh6\ta very typical bus station\nhttps://78\tsierra looked stunning\n",
        "a very typical bus station\thttp://lh6\tbus,station\t/m/01\t0.9,0.8\nsierra looked stunning\thttp://78\t\t\t\n",
    ],
)
def test_conceptual_captions(tmp_path: Path, content: str) -> None:
    write(tmp_path / "Train_GCC-training.tsv", content)
    found = read_sentences(CorpusConfig(format="cc3m", path=str(tmp_path)))
    assert found == [
        Sentence("A very typical bus station.", NO_PICTURE),
        Sentence("Sierra looked stunning.", NO_PICTURE),
    ]


def test_a_bad_line_of_conceptual_captions_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", "a bus\thttp://x\na bus without an address\n")
    with pytest.raises(DataError, match=r"a.tsv:2: expected caption, tab, url"):
        corpus(file, "cc3m")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ss1m.json", ["<S> a dog runs . </S>", "a cat sleeps"]),
        ("ss1m.json", [["<S>", "a", "dog", "runs", ".", "</S>"], ["<S>", "a", "cat", "sleeps", "</S>"]]),
        ("ss1m.txt", "<S> a dog runs . </S>\na cat sleeps\n"),
    ],
)
def test_ss1m(tmp_path: Path, name: str, content: Any) -> None:
    assert corpus(write(tmp_path / name, content), "ss1m") == ["A dog runs.", "A cat sleeps."]


def test_ss1m_is_never_unpickled(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pickle files are not read"):
        corpus(write(tmp_path / "sentences.pkl", "x"), "ss1m")
    with pytest.raises(DataError, match="row 1: expected a text or a list of tokens"):
        corpus(write(tmp_path / "a.json", ["a dog", 3]), "ss1m")
    with pytest.raises(DataError, match="expected a JSON list of texts, found dict"):
        corpus(write(tmp_path / "a.json", {"a": 3}), "ss1m")
