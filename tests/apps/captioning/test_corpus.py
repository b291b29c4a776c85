from __future__ import annotations

import pytest

from apps.captioning.corpus import (
    CleaningReport,
    Sentence,
    clean_corpus,
    clean_sentences,
    plain,
    same_text,
    sentence,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  a\tdog\r\nruns ", "a dog runs"),
        ("a\u2028dog\x0bruns\x0cfast\x85.", "a dog runs fast ."),
        ("a\u00a0dog\u3000runs\x00", "a dog runs"),
        ("\ufeffa\u200bdog", "a dog"),
        ("cafe\u0301", "café"),
        ("a \ud800dog", "a \ufffddog"),
        ("a 🐕\u200d🦺 and 犬", "a 🐕\u200d🦺 and 犬"),
        (" \t\u2029", ""),
    ],
)
def test_plain_is_one_line(text: str, expected: str) -> None:
    assert plain(text) == expected
    plain(text).encode("utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a dog runs", "A dog runs."),
        ("a dog runs .", "A dog runs."),
        ("A dog runs!?...", "A dog runs."),
        ('"stop" says the sign ,', '"Stop" says the sign.'),
        ("the sign says (stop)", "The sign says (stop)."),
        ("éclairs on a plate", "Éclairs on a plate."),
        ("ß is a letter", "ß is a letter."),
        ("2 dogs run", "2 dogs run."),
        ("犬が走る。", "犬が走る."),
        ("...", ""),
        ("🐕", ""),
        ("", ""),
    ],
)
def test_a_sentence_has_a_capital_and_one_full_stop(text: str, expected: str) -> None:
    assert sentence(text) == expected
    assert sentence(expected) == expected


def test_same_text_ignores_case_punctuation_and_blanks() -> None:
    assert same_text("A dog's toy, isn't it?") == same_text("a dog 's  toy , isn 't it")
    assert same_text("ÉTÉ") == same_text("e\u0301te\u0301")
    assert same_text("STRASSE") == same_text("straße")
    assert same_text("5 $") != same_text("5 €")
    assert same_text("a dog") != same_text("a dogs")
    assert same_text("...") != same_text("!")


def test_every_cleaning_keeps_and_counts() -> None:
    texts = ["a dog runs", "A dog runs.", " ", "the cat sleeps!", "..."]
    kept, report = clean_corpus(texts, "none")
    assert kept == ["a dog runs", "the cat sleeps!", "..."]
    assert report.counts() == {"read": 5, "empty": 1, "short": 0, "long": 0, "duplicate": 1, "cut": 0, "kept": 3}
    kept, report = clean_corpus(texts)
    assert kept == ["A dog runs.", "The cat sleeps."]
    assert report.counts() == {"read": 5, "empty": 2, "short": 0, "long": 0, "duplicate": 1, "cut": 0, "kept": 2}
    assert clean_corpus(texts, dedup=False)[0] == ["A dog runs.", "A dog runs.", "The cat sleeps."]
    assert clean_corpus([])[0] == []


def words(count: int, start: str = "word") -> str:
    return " ".join([start, *(f"word{number}" for number in range(count - 1))])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # CgT-GAN: the part before the first separator, if it has six words
        ("a man walks his dog home - stock photo", "A man walks his dog home."),
        ("a man walks his dog home : vector : isolated", "A man walks his dog home."),
        ("a man walks his dog home ; isolated on white", "A man walks his dog home."),
        ("a man walks his dog home . beautiful light in the morning sun", "A man walks his dog home."),
        ("- a man walks his dog home !", "A man walks his dog home."),
        ("a well-known man walks his dog", "A well-known man walks his dog."),
        ("the man : walks his black dog home today", None),
        ("a man walks his dog", None),
        ("a man walks , his dog", None),
        (words(15), words(15, "Word") + "."),
    ],
)
def test_web_sentences(text: str, expected: str | None) -> None:
    kept, report = clean_corpus([text], "web")
    assert kept == ([expected] if expected else [])
    assert report.dropped["short"] == (expected is None)
    assert report.cut == (expected is not None and any(mark in text for mark in (" - s", " : v", " ; i", " . b")))


@pytest.mark.parametrize(("tokens", "share"), [(16, 0.3), (19, 0.3), (20, 0.1), (40, 0.1)])
def test_long_web_sentences_are_drawn(tokens: int, share: float) -> None:
    texts = [words(tokens, f"w{number}") for number in range(3000)]
    kept, report = clean_corpus(texts, "web")
    assert len(kept) / 3000 == pytest.approx(share, abs=0.03)
    assert report.dropped["long"] == 3000 - len(kept)
    assert clean_corpus(texts, "web")[0] == kept
    assert clean_corpus(texts, "web", seed=1)[0] != kept
    # a sentence's lot does not hang on its neighbours
    assert sorted(clean_corpus(texts[::-1], "web")[0]) == sorted(kept)
    half = clean_corpus(texts[:1500], "web")[0]
    assert kept[: len(half)] == half


def test_sentences_keep_their_pictures_and_come_one_by_one() -> None:
    report = CleaningReport()
    found = clean_sentences(iter([Sentence("a dog", "1"), Sentence("A dog!", "2"), Sentence("b")]), report=report)
    assert next(found) == Sentence("A dog.", "1")
    assert report.read == 1
    assert list(found) == [Sentence("B.")]
    assert (report.read, report.kept) == (3, 2)
