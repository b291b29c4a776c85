"""The splits: what training may see and hear of, how questions are worded, and how little the words give away."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from apps.medvqa.data import Example
from apps.medvqa.pocket import LABEL, draw, examples, is_right, load_pocket, rephrase, study_of
from apps.medvqa.pocket.catalogue import HELD_OUT, KINDS, ORGANS, is_held
from apps.medvqa.pocket.phrasings import PHRASINGS
from apps.medvqa.pocket.world import SPLITS
from apps.medvqa.reading.vocabulary import MODALITIES, QUESTION_TYPES
from apps.medvqa.reading.vocabulary import ORGANS as REGIONS
from common.errors import UsageError
from tests.apps.medvqa.pocket.priors import blind_accuracy

WORD = re.compile(r"[a-z]+|\d+")


@pytest.fixture(scope="module")
def worded() -> dict[str, list[Example]]:
    """Many examples of every split, without pictures."""
    return {split: load_pocket(split, 5000, pictures=False) for split in SPLITS}


def combinations(rows):
    return {
        (study.organ, one.kind, one.side, one.zone)
        for study in map(study_of, rows)
        for one in study.findings
        if one.zone
    }


@pytest.mark.parametrize("split", ["demonstrations", "train"])
def test_training_neither_shows_nor_names_a_held_out_combination(worded, split):
    rows = worded[split]
    everything = {(kind.organ, kind.name, side, zone) for kind in KINDS if kind.place == "zone"
                  for zone in ORGANS[kind.organ].zones
                  for side in (("right", "left") if ORGANS[kind.organ].sides else ("",))}  # fmt: skip
    assert combinations(rows) == everything - HELD_OUT
    assert {row.tags["combination"] for row in rows} == {"seen"}
    for row in rows:
        if row.tags["asks"] == "presence at":
            side, _, zone = row.tags["slot_place"].partition(" ")
            where = (side, zone) if side in ("right", "left") else ("", row.tags["slot_place"])
            assert not is_held(row.tags["organ"], row.tags["subject"], *where)


@pytest.mark.parametrize("split", ["validation", "heldout"])
def test_every_second_question_is_about_a_held_out_combination(worded, split):
    rows = worded[split]
    assert [row.tags["combination"] for row in rows[:4]] == ["held-out", "seen", "held-out", "seen"]
    assert all(study_of(row).held == (row.tags["combination"] == "held-out") for row in rows)
    assert combinations(row for row in rows if row.tags["combination"] == "held-out") >= HELD_OUT


def test_the_tags_tell_the_combination(worded):
    for row in worded["heldout"]:
        tags = row.tags
        if tags["combination"] == "held-out" and not tags["subject"]:
            assert is_held(tags["organ"], tags["finding"], tags["side"], tags["zone"])


def test_no_study_is_in_two_splits_or_twice():
    studies = [
        row.study for split in SPLITS for seed in (0, 1) for row in load_pocket(split, 600, seed, pictures=False)
    ]
    assert len(set(studies)) == len(studies)


def test_no_two_pictures_are_equal():
    pictures = {row.pictures[0].tobytes() for split in SPLITS for row in load_pocket(split, 60)}
    assert len(pictures) == 60 * len(SPLITS)


def test_a_limit_takes_the_first_ones_and_a_seed_means_its_questions():
    some, more, other = load_pocket("train", 5), load_pocket("train", 9), load_pocket("train", 5, 1)
    assert some == more[:5]
    assert [row.question for row in some] != [row.question for row in other]
    assert not {row.id for row in some} & {row.id for row in other}
    assert np.array_equal(np.asarray(some[0].pictures[0]), np.asarray(more[0].pictures[0]))
    assert len(load_pocket("validation", None, pictures=False)) == SPLITS["validation"][0]


def test_pictures_can_be_left_out_and_drawn_later_in_any_size():
    (row,) = load_pocket("train", 1)
    (bare,) = load_pocket("train", 1, pictures=False)
    assert bare.pictures == ()
    assert draw(study_of(bare)).tobytes() == row.pictures[0].tobytes()
    assert next(examples("train", 1, size=224)).pictures[0].size == (224, 224)


def test_an_example_is_filled_in(worded):
    for row in (row for rows in worded.values() for row in rows[:300]):
        assert row.answer
        assert row.reasoning.endswith(".")
        assert row.kind in ("open", "closed")
        assert row.question_type in QUESTION_TYPES
        assert row.modality in MODALITIES
        assert row.organ in REGIONS
        assert row.tags["label"] == LABEL
        assert "{" not in row.question
        assert all(isinstance(value, str) for value in row.tags.values())


def test_the_judge_accepts_every_reference(worded):
    assert all(is_right(row, row.answer) for rows in worded.values() for row in rows)


def test_reasons_are_short_and_true(worded):
    """They say the side, the zone, the size and the number that the study has."""
    for row in (row for rows in worded.values() for row in rows):
        assert len(row.reasoning.split()) <= 23
        study = study_of(row)
        for place in re.findall(r"(?<!not) in the ((?:right|left) \w+ (?:zone|lobe|pole|third))", row.reasoning):
            if f"not in the {place}" not in row.reasoning:
                assert place in {one.place for one in study.findings}, row.reasoning
        for size in re.findall(r"(\d+) mm", row.reasoning):
            assert int(size) in {one.size_mm for one in study.findings}
        for number, word in ((2, "two"), (3, "three")):
            if re.search(rf"\b{word}\b", row.reasoning.lower()) and row.tags["asks"] not in ("modality", "organ"):
                assert number in {one.count for one in study.findings}, row.reasoning
        if side := re.search(r"the patient's (\w+)", row.reasoning):
            assert side[1] == row.answer
            assert f"on the {'left' if side[1] == 'right' else 'right'} of the image" in row.reasoning


def test_every_way_of_asking_comes_up_in_every_wording(worded):
    """Each of the known wordings is used, and only those; rephrasing uses the others, and nothing else changes."""

    def pattern(text):
        return re.compile(re.sub(r"\\\{\w+\\\}", "(.+)", re.escape(text)))

    for ask, phrasing in PHRASINGS.items():
        rows = [row for rows in worded.values() for row in rows if row.tags["asks"] == ask]
        assert len(rows) > 100, ask
        for text in phrasing.known:
            assert any(pattern(text).fullmatch(row.question) for row in rows), text
        for row in rows[:50]:
            other = rephrase(row)
            assert any(pattern(text).fullmatch(other.question) for text in phrasing.held)
            assert other == rephrase(row)
            assert (other.answer, other.study, other.reasoning) == (row.answer, row.study, row.reasoning)
        known = {row.question for row in rows}
        assert not known & {rephrase(row).question for row in rows}, ask


def test_a_small_vocabulary_says_it_all(worded):
    """Training teaches every word that any split or any rephrased question uses."""

    def words(rows):
        return {word for row in rows for word in WORD.findall(f"{row.question} {row.answer} {row.reasoning}".lower())}

    known = words(worded["demonstrations"])
    assert len(known) < 200
    assert words(worded["train"] + worded["heldout"] + worded["validation"]) <= known
    assert words(rephrase(row) for rows in worded.values() for row in rows) <= known


def test_words_alone_do_not_give_the_answer_away(worded):
    """The best guess without a picture, learnt from 20,000 training questions."""
    known = load_pocket("demonstrations", 20_000, pictures=False)
    for split in ("train", "heldout", "validation"):
        found = blind_accuracy(known, worded[split])
        assert found["open"][0] < 0.30, split
        assert 0.44 < found["closed"][0] < 0.56, split
        for name, (share, number) in found.items():
            # Four standard errors round a coin for closed ones; three zones, four sizes, two sides for open ones.
            assert share < 0.5 + 2 / number**0.5, (split, name)
    own = blind_accuracy(known, known)
    assert own["open"][0] < 0.32


def test_yes_is_as_common_as_no(worded):
    for split, rows in worded.items():
        for ask in ("presence", "absence", "presence at", "normality", "any", "shadow", "shift"):
            answers = Counter(row.answer for row in rows if row.tags["asks"] == ask)
            total = answers["yes"] + answers["no"]
            assert abs(answers["yes"] / total - 0.5) < 2.5 / total**0.5, (split, ask, answers)


def test_what_is_not_there_is_named():
    with pytest.raises(UsageError, match="no split 'test'; it has demonstrations, train"):
        load_pocket("test")


def test_it_needs_no_torch():
    code = "import sys, apps.medvqa.pocket; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
