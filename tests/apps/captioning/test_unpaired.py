from __future__ import annotations

from pathlib import Path

import pytest

from apps.captioning.corpus import Sentence
from apps.captioning.data import Example
from apps.captioning.readers import read_records
from apps.captioning.unpaired import (
    check_unpaired,
    shared_pictures,
    split_unpaired,
    without_captions,
    written_without_pictures,
)
from common.errors import DataError, UsageError


def examples(start: int, count: int, each: int = 5) -> list[Example]:
    return [
        Example(f"p{own}", captions=tuple(f"Thing {own} from side {side}." for side in range(each)))
        for own in range(start, start + count)
    ]


def captions(pictures: list[Example], known: bool = True) -> list[Sentence]:
    return [Sentence(text, picture.id if known else "") for picture in pictures for text in picture.captions]


def test_captions_of_other_pictures_are_unpaired() -> None:
    found = check_unpaired(examples(0, 20), captions(examples(20, 20)), heldout=examples(40, 5))
    assert found["train"].counts() == {
        "sentences": 100,
        "own": 0,
        "coincident": 0,
        "captions": 100,
        "found": 0,
        "pictures": 20,
        "whole": 0,
        "share": 0.0,
        "whole_share": 0.0,
    }


def test_one_own_caption_is_one_too_many() -> None:
    corpus = [*captions(examples(20, 200)), Sentence("thing 3, from side 2", "p3")]
    with pytest.raises(DataError) as caught:
        check_unpaired(examples(0, 20), corpus)
    assert "1 of 1001 corpus sentences are captions of pictures that are trained on" in str(caught.value)
    assert "'thing 3, from side 2' (picture p3)" in str(caught.value)
    assert "prepare --corpus_out" in str(caught.value)
    with pytest.raises(DataError, match="are captions of held-out pictures"):
        check_unpaired(examples(250, 5), corpus, heldout=examples(3, 1), allowed_overlap=1)


def test_a_part_of_an_own_caption_is_one_too() -> None:
    with pytest.raises(DataError, match="1 of 1 corpus"):
        check_unpaired(
            [Example("1", captions=("A dog runs home - stock photo",))], [Sentence("A dog runs home.", "1")]
        )


def test_pictures_without_captions_are_known_by_their_id() -> None:
    pictures = without_captions(examples(0, 20))
    with pytest.raises(DataError, match="5 of 5 corpus sentences"):
        check_unpaired(pictures, captions(examples(3, 1)))
    assert check_unpaired(pictures, captions(examples(20, 1)))["train"].captions == 0


def test_a_namesake_in_another_data_set_is_another_picture() -> None:
    nocaps = [Example("9", captions=("A flower pot.",))]
    assert check_unpaired(nocaps, [Sentence("A tray of food.", "9")])["train"].own == 0


def test_equal_words_for_other_pictures_are_counted_only() -> None:
    pictures = examples(0, 10)
    texts = [sentence.text for sentence in captions(pictures)]
    other = check_unpaired(pictures, [Sentence(text, "elsewhere") for text in texts])["train"]
    grammar = check_unpaired(pictures, written_without_pictures(texts))["train"]
    assert (other.own, other.coincident, grammar.own, grammar.coincident) == (0, 50, 0, 50)


def test_of_unknown_sentences_the_overlap_is_the_evidence() -> None:
    pictures = examples(0, 100)
    chance = [Sentence(pictures[own].captions[0].upper()) for own in range(25)]
    corpus = [*captions(examples(100, 400), known=False), *chance]
    found = check_unpaired(pictures, corpus)["train"]
    assert (found.share, found.whole) == (0.05, 0)
    corpus.append(Sentence(pictures[30].captions[0]))
    with pytest.raises(DataError, match=r"holds 26 of the 500 captions .*\(5.2%, allowed 5.0%\)"):
        check_unpaired(pictures, corpus)
    assert check_unpaired(pictures, corpus, allowed_overlap=0.06)["train"].found == 26


def test_all_captions_of_one_picture_in_a_large_corpus_are_noticed() -> None:
    pictures = examples(0, 100)
    corpus = [text for text, _ in [*captions(examples(100, 400)), *captions(pictures[7:8])]]
    with pytest.raises(
        DataError, match=r"all captions of 1 of these \(1.00%, allowed 0.10%\): 'Thing 7 from side 0.'"
    ):
        check_unpaired(pictures, corpus)
    assert check_unpaired(pictures, corpus, allowed_overlap=1)["train"].whole == 1


def test_the_share_must_be_one() -> None:
    with pytest.raises(UsageError, match="share between 0 and 1"):
        check_unpaired([], [], allowed_overlap=5)


def test_pictures_must_not_be_shared(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"one")
    (tmp_path / "copy").mkdir()
    same, other = tmp_path / "copy" / "a.jpg", tmp_path / "copy" / "b.jpg"
    same.write_bytes(b"two")
    other.write_bytes(b"more")
    train = [Example("a", file), *examples(0, 3)]
    with pytest.raises(DataError, match="2 pictures are both trained on and held out: x, p1; choose another split"):
        check_unpaired(train, [], heldout=[Example("x", tmp_path / "copy" / ".." / "a.jpg"), *examples(1, 1)])
    assert shared_pictures(train, [Example("a", same)]) == ["a"]
    same.write_bytes(b"three")
    assert shared_pictures(train, [Example("a", same), Example("a", other), Example("p0")]) == []


def test_split_unpaired_is_unpaired_by_construction() -> None:
    everything = examples(0, 21)
    pictures, corpus = split_unpaired(everything, seed=5)
    own = {picture.id for picture in pictures}
    assert len(pictures) == 10
    assert len(corpus) == 55
    assert not own & {sentence.picture for sentence in corpus}
    assert check_unpaired(pictures, corpus)["train"].own == 0
    assert [picture.id for picture in everything if picture.id in own] == [picture.id for picture in pictures]
    assert split_unpaired(everything, seed=5) == (pictures, corpus)
    assert split_unpaired(everything, seed=6)[0] != pictures
    assert len(split_unpaired(everything, share=0.9)[0]) == 19


def test_a_split_needs_two_parts_with_captions() -> None:
    for bad in (examples(0, 1), []):
        with pytest.raises(UsageError, match="cannot be split in two"):
            split_unpaired(bad)
    with pytest.raises(UsageError, match="share 1"):
        split_unpaired(examples(0, 4), share=1)
    with pytest.raises(DataError, match="no captions"):
        split_unpaired(without_captions(examples(0, 4)))


def test_without_captions_nothing_is_left_to_see() -> None:
    pictures = examples(0, 3)
    blind = without_captions(pictures)
    assert [picture.id for picture in blind] == [picture.id for picture in pictures]
    assert all(picture.captions == () for picture in blind)
    assert all("Thing" not in repr(picture) for picture in blind)
    assert pictures[0].captions


def test_flickr8k_by_chance(shared: Path) -> None:
    """The figures in the module's text: how much people's captions of different pictures coincide."""
    folder = shared / "data" / "flickr8k_text"
    if not folder.is_dir():
        pytest.skip(f"public data not found at {folder}")
    _, records = read_records("flickr8k", str(folder), "all")
    pictures, corpus = split_unpaired([Example(own.id, captions=own.captions) for own in records], share=4000 / 8093)
    found = check_unpaired(pictures, [sentence.text for sentence in corpus])["train"]
    assert len(pictures) == 4000
    assert found.share == pytest.approx(0.006, abs=0.001)
    assert found.whole == 0
    assert check_unpaired(pictures, corpus)["train"].own == 0
    with pytest.raises(DataError, match="corpus sentences are captions of"):
        check_unpaired(pictures, captions(pictures))
