"""The exact judge: other words for the same, and what is nearly right and wrong."""

from __future__ import annotations

import random
import re
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.medvqa.data import Example
from apps.medvqa.pocket import Finding, Study, is_right, load_pocket, phantom
from apps.medvqa.pocket.phrasings import PHRASINGS
from apps.medvqa.pocket.study import make_study, to_json

NODULES = make_study("chest", (Finding("nodule", "right", "lower zone", 15, 2),))
NODULE = phantom("nodule", "right", "lower zone", 20)
TWO = make_study("chest", (Finding("nodule", "right", "lower zone", 20), Finding("pleural effusion", "left")))
NORMAL = phantom()
BLEED = phantom("haemorrhage", "left", "temporal lobe", 30)
STONE = phantom("gallstone", "", "gallbladder neck", 10)


def ask(study: Study, asks: str, subject: str = "", place: str = "") -> Example:
    tags = {"phantom": to_json(study), "asks": asks, "subject": subject, "slot_place": place}
    return Example("1", "?", "?", kind=PHRASINGS[asks].kind, tags=tags)


RIGHT = [
    (NODULE, "presence", "nodule", ["yes", "Yes.", "YES, there is a nodule in the right lower zone",
                                    "a nodule is seen", "yes, 20 mm", "there is one nodule"]),
    (NORMAL, "presence", "nodule", ["no", "No.", "no nodule", "No, there is no nodule", "without a nodule", "none",
                                    "no evidence of a nodule", "a nodule is not seen", "there are no nodules",
                                    "no, the image is normal"]),
    (TWO, "presence", "cavity", ["no", "no cavity, but a nodule", "No. There is a pleural effusion on the left."]),
    (NORMAL, "absence", "nodule", ["yes", "yes, no nodule", "no nodule", "the nodule is absent"]),
    (NODULE, "absence", "nodule", ["no", "no, there is a nodule"]),
    (NORMAL, "normality", "", ["yes", "normal", "yes, normal", "no abnormality", "it is normal", "not abnormal"]),
    (NODULE, "normality", "", ["no", "abnormal", "not normal", "no, a nodule"]),
    (NODULE, "any", "", ["yes", "abnormal", "yes, a nodule"]),
    (NORMAL, "any", "", ["no", "no abnormality", "normal", "nothing abnormal"]),
    (NODULE, "side", "nodule", ["right", "Right.", "the right side", "on the patient's right", "right lower zone",
                                "right, not left", "not left but right"]),
    (NODULE, "zone", "nodule", ["lower zone", "lower", "the lower zone", "right lower zone"]),
    (NODULE, "location", "nodule", ["right lower zone", "in the lower zone of the right lung", "right, lower zone"]),
    (NODULE, "size", "nodule", ["20 mm", "2 cm", "20mm", "2.0 cm", "20 millimetres", "20.0 millimeters",
                                "about 20 mm", "it measures 20 mm", "a 20 mm nodule"]),
    (NODULES, "count", "nodule", ["two", "2", "two nodules", "there are two nodules"]),
    (NODULE, "count", "nodule", ["one", "1", "a single nodule"]),
    (NODULES, "abnormality", "", ["nodules", "two nodules", "nodule", "nodules in the right lower zone"]),
    (TWO, "abnormality", "", ["nodule and pleural effusion", "pleural effusion and nodule", "a nodule, an effusion",
                              "nodule and effusion, no pneumothorax"]),
    (NORMAL, "abnormality", "", ["no abnormality", "normal", "No abnormality is seen.", "nothing abnormal"]),
    (NODULES, "description", "", ["two 15 mm nodules in the right lower zone",
                                  "in the right lower zone, two nodules, 15 mm",
                                  "nodules: two, 1.5 cm, right lower zone"]),
    (BLEED, "description", "", ["30 mm haemorrhage in the left temporal lobe", "30 mm left temporal hemorrhage"]),
    (BLEED, "which kind", "", ["haemorrhage", "a hemorrhage", "bleeding", "haemorrhage, not infarct"]),
    (BLEED, "brightness", "", ["bright", "hyperdense", "it is bright"]),
    (BLEED, "shift", "", ["no", "no midline shift", "there is no midline shift"]),
    (phantom("mass", organ="head"), "shift", "", ["yes", "yes, midline shift", "midline shift is seen"]),
    (STONE, "shadow", "", ["yes", "yes, an acoustic shadow", "there is an acoustic shadow"]),
    (STONE, "location", "gallstone", ["gallbladder neck", "neck of the gallbladder", "the neck"]),
    (NODULE, "modality", "", ["x-ray", "X-ray", "x ray", "radiograph", "chest x-ray", "plain film", "CXR"]),
    (NODULE, "organ", "", ["chest", "the chest", "thorax", "chest x-ray"]),
    (BLEED, "modality", "", ["CT", "ct scan", "computed tomography", "head CT"]),
    (NODULE, "any kind", "nodule", ["nodule in the right lower zone", "one nodule in the right lower zone, 20 mm"]),
    (NORMAL, "any kind", "nodule", ["no nodule", "no", "no nodule is seen", "there are no nodules"]),
]  # fmt: skip

WRONG = [
    (NODULE, "presence", "nodule", ["no", "", " ", "...", "yes and no", "no, yes", "maybe", "no nodule",
                                    "I do not know", "yes, in the left lower zone", "yes, 30 mm",
                                    "yes, there are two nodules", "a cavity", "right", "yes, and a cavity",
                                    "yes yes maybe", "not yes"]),
    (NORMAL, "presence", "nodule", ["yes", "nodule", "no, a cavity", "no nodule but a cavity", "abnormal",
                                    "there is a nodule", "not without a nodule"]),
    (NORMAL, "absence", "nodule", ["no", "there is a nodule", "no, there is no nodule"]),
    (NODULE, "normality", "", ["yes", "normal", "no abnormality", "no, a cavity"]),
    (NORMAL, "any", "", ["yes", "abnormal", "a nodule"]),
    (NODULE, "side", "nodule", ["left", "right and left", "right or left", "left right", "both sides", "lower zone",
                                "not left", "not right", "yes", "right upper zone", "right left"]),
    (NODULE, "zone", "nodule", ["upper zone", "middle", "lower lobe", "right", "lower pole", "left lower zone"]),
    (NODULE, "location", "nodule", ["right", "lower zone", "left lower zone", "right upper zone",
                                    "right lower zone and left lower zone", "right lower lobe"]),
    (NODULE, "size", "nodule", ["20", "20 cm", "2 mm", "15 mm", "20 mm or 30 mm", "20-30 mm", "not 20 mm",
                                "20 mm nodules", "20 mm cavity", "large", "0.2 mm"]),
    (NODULES, "count", "nodule", ["three", "one", "two or three", "nodules", "2 mm", "two cavities", "not two"]),
    (NODULES, "abnormality", "", ["cavity", "nodules and cavity", "normal", "no nodules", "three nodules",
                                  "nodules in the left lower zone", "lesion"]),
    (NODULE, "abnormality", "", ["nodules", "not a nodule", "no abnormality"]),
    (TWO, "abnormality", "", ["nodule", "pleural effusion", "nodule and pneumothorax", "nodule, no effusion"]),
    (NORMAL, "abnormality", "", ["nodule", "no nodule", "abnormal", "yes", "no"]),
    (NODULES, "description", "", ["nodules in the right lower zone", "15 mm nodules in the right lower zone",
                                  "two 15 mm nodules", "two 20 mm nodules in the right lower zone",
                                  "two 15 mm nodules in the right upper zone",
                                  "two 15 mm cavities in the right lower zone"]),
    (BLEED, "which kind", "", ["infarct", "haemorrhage or infarct", "not a haemorrhage", "yes",
                                "subdural haemorrhage"]),
    (BLEED, "brightness", "", ["dark", "hypodense", "not bright", "bright or dark"]),
    (BLEED, "shift", "", ["yes", "midline shift"]),
    (phantom("mass", organ="head"), "shift", "", ["no", "no midline shift"]),
    (STONE, "shadow", "", ["no", "no acoustic shadow", "without an acoustic shadow"]),
    (STONE, "location", "gallstone", ["gallbladder", "fundus", "kidney", "neck or body"]),
    (NODULE, "modality", "", ["CT", "head x-ray", "MRI", "ultrasound", "x-ray or CT", "not x-ray", "chest"]),
    (NODULE, "organ", "", ["head", "chest and head", "x-ray", "lung cancer"]),
    (NODULE, "any kind", "nodule", ["no nodule", "nodule", "nodule in the left lower zone", "no", "right lower zone"]),
    (NORMAL, "any kind", "nodule", ["nodule", "yes", "no cavity", "normal", "nodule in the right lower zone"]),
    (TWO, "any kind", "nodule", ["nodule on the left", "pleural effusion on the left"]),
]  # fmt: skip


@pytest.mark.parametrize(("study", "asks", "subject", "answers"), RIGHT)
def test_right_in_other_words(study, asks, subject, answers):
    example = ask(study, asks, subject)
    assert [answer for answer in answers if not is_right(example, answer)] == []


@pytest.mark.parametrize(("study", "asks", "subject", "answers"), WRONG)
def test_wrong_incomplete_or_unreadable(study, asks, subject, answers):
    example = ask(study, asks, subject)
    assert [answer for answer in answers if is_right(example, answer)] == []


def test_presence_at_a_place():
    here, there = (ask(NODULE, "presence at", "nodule", place) for place in ("right lower zone", "left lower zone"))
    assert is_right(here, "yes")
    assert is_right(here, "yes, a nodule in the right lower zone")
    assert not is_right(here, "no")
    assert is_right(there, "no")
    assert is_right(there, "no nodule in the left lower zone")
    assert is_right(there, "no, it is in the right lower zone")
    assert not is_right(there, "no nodule")
    assert not is_right(there, "yes")
    assert not is_right(there, "no nodule in the right lower zone")


@pytest.fixture(scope="module")
def rows() -> list[Example]:
    return load_pocket("heldout", 4000, pictures=False) + load_pocket("train", 4000, pictures=False)


def test_another_pictures_answer_is_right_only_where_it_is_the_same(rows):
    """Each way of asking, 300 pairs: the judge, which never sees a reference, agrees with the references."""
    by_ask, rng = defaultdict(list), random.Random(0)
    for row in rows:
        by_ask[row.tags["asks"]].append(row)
    for asks, its in by_ask.items():
        for _ in range(300):
            one, other = rng.sample(its, 2)
            # One nodule or several is the same abnormality, unless "nodules" are said where there is one.
            but_for_number = one.answer.replace("s", "") == other.answer.replace("s", "")
            if asks not in ("abnormality", "any kind") or not but_for_number:
                assert is_right(one, other.answer) == (one.answer == other.answer), (asks, one.answer, other.answer)


def test_one_changed_fact_makes_an_answer_wrong(rows):
    """The mutations of the audit: swapped side, scaled number, other unit, denied, contradicted."""
    changes = [
        (re.compile(r"\bright\b"), "left"),
        (re.compile(r"\bleft\b"), "right"),
        (re.compile(r"\b(\d+) mm"), r"\g<1>0 mm"),
        (re.compile(r"\bmm\b"), "cm"),
        (re.compile(r"\b(upper|proximal|frontal)\b"), lambda found: {"upper": "lower", "proximal": "distal"}.get(
            found[0], "occipital")),
        (re.compile(r"^two\b"), "three"),
        (re.compile(r"^yes$"), "no"),
        (re.compile(r"^no$"), "yes"),
        (re.compile(r"^no (?=\w)"), ""),
        (re.compile(r"^(?!yes|no)"), "no "),
        (re.compile(r"$"), " and dinosaur"),
        (re.compile(r"^(yes|no)$"), "yes and no"),
    ]  # fmt: skip
    tried = 0
    for row in rows:
        for what, instead in changes:
            mutated = what.sub(instead, row.answer, count=1)
            if mutated != row.answer:
                tried += 1
                assert not is_right(row, mutated), (row.question, row.answer, mutated)
    assert tried > 10_000


@given(number=st.integers(0, 3999), text=st.text(max_size=80))
def test_any_text_gets_a_verdict(rows, number, text):
    assert is_right(rows[number], text) in (True, False)


def test_case_space_and_full_stop_do_not_matter(rows):
    for row in rows[:1000]:
        assert is_right(row, f"  {row.answer.upper()}. ")


def test_long_answers_are_wrong_and_quick(rows):
    row = next(row for row in rows if row.answer == "yes")
    assert not is_right(row, "yes " * 100_000)


def test_a_question_from_elsewhere_is_refused():
    with pytest.raises(KeyError):
        is_right(Example("1", "Is there a nodule?", "yes"), "yes")
