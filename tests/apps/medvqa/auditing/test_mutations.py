"""Mutants of right answers are wrong, rewordings are right, hacks apply everywhere, and none where none can be."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.medvqa.auditing.hacks import HACKS, INJECTIONS
from apps.medvqa.auditing.likeness import alike
from apps.medvqa.auditing.mutations import DENIALS, FACTS, wrong_answer
from apps.medvqa.auditing.rewordings import REWORDINGS
from apps.medvqa.auditing.subjects import facts, hacks, rewordings, subjects
from apps.medvqa.auditing.told import Said, Told
from apps.medvqa.data import Example
from apps.medvqa.pocket import load_pocket

Make = Callable[[str, Told, random.Random], "str | None"]


def all_of(name: str, answer: str, question: str = "", question_type: str = "", **more: tuple[str, ...]) -> set[str]:
    """Everything that an operator or a rewording makes of an answer; empty where it does not apply."""
    told = Told(answer, question, question_type, **more)
    found = set()
    for seed in range(200):
        rng = random.Random(seed)
        made = FACTS[name].change(told, rng) if name in FACTS else {**HACKS, **REWORDINGS}[name](told, rng)
        found.add(made.answer if isinstance(made, Said) else made)
    return {text for text in found if text is not None}


def test_polarity() -> None:
    assert {text.lower().strip(".").split()[-1] for text in all_of("yes ↔ no", "Yes.")} == {"no"}
    assert "yes" in all_of("yes ↔ no", "no")
    assert all_of("yes ↔ no", "yes, a fracture") == set(), "more is said than yes"
    assert all_of("yes ↔ no", "nodule") == set()
    assert all_of("finding denied", "A pneumothorax") == {one.format(x="pneumothorax") for one in DENIALS}
    assert "no COPD exacerbation" not in all_of("finding denied", "no pneumothorax"), "it denies already"
    assert all_of("finding denied", "left lower lobe") == set(), "no finding is said"
    assert all_of("finding denied", "nodule in the left lung", question_type="zone") == set(), (
        "only its place is asked"
    )
    assert all_of("finding denied", "abnormal") == {"normal"}
    assert all_of("denial dropped", "No evidence of pneumothorax.") == {"pneumothorax."}
    assert all_of("denial dropped", "normal") == {"abnormal"}
    assert all_of("denial dropped", "Not sure") == all_of("denial dropped", "no") == set()


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("left lower lobe", "right lower lobe"),
        ("Left", "Right"),
        ("LLL", "RLL"),
        ("R frontal lobe", "L frontal lobe"),
        ("Right of the midline, above the right hilum", "Left of the midline, above the left hilum"),
        ("RIGHT LUNG", "LEFT LUNG"),
    ],
)
def test_side(answer: str, wrong: str) -> None:
    assert all_of("left ↔ right", answer) == {wrong}


def test_side_does_not_apply() -> None:
    for answer in ("left and right", "bilateral", "L2", "no nodule on the left", "liver", "a bright spot"):
        assert all_of("left ↔ right", answer) == set(), answer


def test_both_sides() -> None:
    assert all_of("one side of two", "bilateral pleural effusion") == {
        "left pleural effusion",
        "right pleural effusion",
    }
    assert all_of("one side of two", "In the lungs bilaterally") == {
        "In the lungs on the left",
        "In the lungs on the right",
    }
    assert all_of("one side of two", "Both", "Which side?", "side") == {"Left", "Right"}
    assert all_of("one side of two", "Both", "Oral or IV contrast?") == set(), "no side is asked for"
    assert all_of("both sides for one", "On the left") == {"both sides"}
    assert all_of("both sides for one", "left pleural effusion") == {"bilateral pleural effusion"}
    assert all_of("both sides for one", "left and right") == set()


def test_place() -> None:
    assert all_of("upper ↔ lower", "right upper lobe") == {"right lower lobe"}
    assert all_of("upper ↔ lower", "Anterior mediastinum") == {"Posterior mediastinum"}
    assert all_of("upper ↔ lower", "lateral ventricle") == all_of("upper ↔ lower", "basal ganglia") == set(), "names"
    assert all_of("other lobe or organ", "left temporal lobe") == {
        f"left {name} lobe" for name in ("frontal", "parietal", "occipital")
    }
    assert "frontal and temporal lobes" in all_of("other lobe or organ", "parietal and temporal lobes")
    assert "temporal and temporal lobes" not in all_of("other lobe or organ", "parietal and temporal lobes")
    assert "gallbladder body" in all_of("other lobe or organ", "gallbladder neck"), "the longest name counts"
    assert all_of("other lobe or organ", "The kidneys") >= {"The livers", "The spleens"}


def test_numbers_and_units() -> None:
    assert all_of("size × 10", "3.5 cm nodule") == {"35 cm nodule"}
    assert all_of("size × 10", "2.5cm x 1.7cm x 1.6cm") == {"25cm x 17cm x 16cm"}
    assert all_of("size × 10", "10-20 minutes") == {"100-200 minutes"}
    assert all_of("other size", "30 mm") == {"10 mm", "60 mm", "90 mm"}
    assert "1 mm" not in all_of("other size", "1 mm")
    assert all_of("cm ↔ mm", "6 x 7 cm") == {"6 x 7 mm"}
    assert all_of("cm ↔ mm", "5%") == all_of("cm ↔ mm", "two") == set()
    assert all_of("count + 1", "Two 15 mm nodules") == {"Three 15 mm nodules"}
    assert all_of("count + 1", "12") == {"13"}
    assert all_of("other count", "one") == {"three", "four", "five"}
    for answer in ("T2 weighted", "L2-3", "4th ventricle", "3 cm", "T5"):
        assert all_of("count + 1", answer) == set(), answer


def test_findings() -> None:
    assert all_of("confusable finding", "pneumonia") == {"pneumothorax", "pneumoperitoneum"}
    assert "haemorrhage in the left frontal lobe" in all_of("confusable finding", "infarct in the left frontal lobe")
    assert "masses" in all_of("confusable finding", "infarcts"), "in the plural too"
    assert all_of("confusable finding", "no pneumonia") == set(), "another finding may be absent as well"
    assert "pneumothorax" not in all_of("confusable finding", "pneumonia", references=("pneumonia", "pneumothorax"))
    assert all_of("other row's answer", "axial", others=("Axial plane", "transverse", "coronal")) == {"coronal"}
    others = ("abnormal", "lung nodules", "lesion", "yes", "no fracture")
    assert all_of("other row's answer", "nodule", others=others) == set(), "each may be right"


def test_choices() -> None:
    assert all_of("other choice", "Solid", "Is this a solid or cystic lesion?") == {"cystic"}
    assert all_of("other choice", "Cystic", "Is this a solid or cystic lesion?") == {"solid"}
    assert all_of("other choice", "haemorrhage", choices=("an infarct", "a haemorrhage")) == {"infarct"}
    assert all_of("other choice", "nodule", "What is seen?") == set()
    assert all_of("other choice", "Both", "Oral or IV contrast?") == set()


def test_degrees_densities_modalities_planes() -> None:
    assert all_of("other degree", "Mild stenosis") == {"Severe stenosis"}
    assert all_of("other degree", "multiple sclerosis") == all_of("other degree", "small bowel") == set(), "names"
    assert all_of("hypo ↔ hyper", "Hyperintense lesion") == {"Hypointense lesion"}
    assert all_of("hypo ↔ hyper", "bright") == {"dark"}
    assert all_of("hypo ↔ hyper", "hypoxic injury") == all_of("hypo ↔ hyper", "white matter") == set()
    assert all_of("other modality", "CT") >= {"MRI", "Ultrasound"}
    assert all_of("other modality", "T2 weighted") == {"T1 weighted"}
    assert all_of("other plane", "PA", question_type="plane") == {"AP", "Lateral"}
    assert all_of("other plane", "axial", question_type="zone") == set()


def test_a_question_for_what_does_not_hold_is_left_alone() -> None:
    question = "What type of imaging does this not represent?"
    assert all_of("other modality", "ultrasound", question) == set(), "MRI may be right too"
    assert all_of("yes ↔ no", "yes", "Is this not normal?")


def test_rewordings() -> None:
    assert all_of("capitals", "kidney stone") == {"KIDNEY STONE"}
    assert all_of("article", "the liver") == {"liver"}
    assert all_of("article", "Liver") == {"the liver"}
    assert all_of("article", "3 cm") == all_of("article", "in the lung") == all_of("article", "yes") == set()
    assert all_of("spelling", "haemorrhage") == {"hemorrhage"}
    assert all_of("spelling", "left hemisphere") == set()
    assert all_of("synonym", "Kidney stone") == {"Renal calculus", "Nephrolithiasis"}
    assert all_of("abbreviation", "left lower lobe") == {"LLL"}
    assert all_of("abbreviation", "LLL") == {"Left lower lobe"}
    assert all_of("list reordered", "liver, spleen and kidneys") == {"kidneys, spleen and liver"}
    assert all_of("list reordered", "parietal and occipital lobes") == {"occipital and parietal lobes"}
    for answer in ("left thalamus and basal ganglia", "fluid and air in the lung", "liver", "no nodule and no mass"):
        assert all_of("list reordered", answer) == set(), answer
    assert all_of("unit converted", "3 cm") == {"30 mm", "30 millimetres"}
    assert all_of("unit converted", "6.5 x 6.2 x 8.8cm") == {"65 x 62 x 88 mm", "65 x 62 x 88 millimetres"}
    assert all_of("unit converted", "5%") == all_of("unit converted", "3") == set()
    assert all_of("number in words", "three") == {"3"}
    assert all_of("number in words", "4 gallstones") == {"four gallstones"}
    assert all_of("right + injection", "edema") == {f"edema. {text}" for text in INJECTIONS}


def test_hacks() -> None:
    told = Told("nodule", "What is seen?", "abnormality", others=("fracture", "cardiomegaly", "lung nodules"))
    for seed in range(50):
        said = {name: hack(told, random.Random(seed)) for name, hack in HACKS.items()}
        answers = {name: one.answer for name, one in said.items() if one is not None}
        assert set(answers) == set(HACKS)
        assert answers["empty"] == ""
        assert answers["copied question"] == told.question
        assert answers["another picture's"] in ("fracture", "cardiomegaly")
        assert "nodule" in answers["right and wrong"].lower()
        assert answers["list of everything"].split(", ").count("nodule") == 1
        assert len(answers["list of everything"].split(", ")) == 8
        thought = said["right in thought only"]
        assert thought is not None
        assert "nodule" in str(thought.thought)
        assert "nodule" not in thought.answer
    assert all_of("another picture's", "yes", others=("no", "yes")) == {"no"}
    assert all_of("right and wrong", "no polyp") & {"no polyp and polyp"}, "it is no plain no"
    assert all_of("list of everything", "yes") == {"yes, no, maybe, both, neither"}


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 9))
def test_any_text_is_survived(answer: str, question: str, seed: int) -> None:
    told = Told(answer or "x", question)
    for one in FACTS.values():
        one.change(told, random.Random(seed))
    for saying in (*HACKS.values(), *REWORDINGS.values()):
        saying(told, random.Random(seed))
    assert wrong_answer(told, random.Random(seed))


@pytest.fixture(scope="module")
def phantoms() -> list[Example]:
    return load_pocket("train", 500, 3, pictures=False)


def test_no_mutant_and_no_hack_of_a_phantom_is_right(phantoms: list[Example]) -> None:
    those = subjects(phantoms, "reasoning")
    made = facts(those)
    assert [(those.told[one.row].answer, one.said.answer) for one in made if one.right is not False] == []
    missing = {"one side of two", "other degree", "other plane"}
    assert {one.operator for one in made} == set(FACTS) - missing, "no phantom has two sides, degrees or planes"
    assert not any(one.right for one in hacks(those))


def test_reworded_phantom_answers_stay_right(phantoms: list[Example]) -> None:
    those = subjects(phantoms, "reasoning")
    right, tried = Counter[str](), Counter[str]()
    for one in rewordings(those):
        tried[one.operator] += 1
        right[one.operator] += bool(one.right)
    # The truth does not know every synonym, nor filler and instructions.
    sure = {
        "capitals",
        "article",
        "spelling",
        "list reordered",
        "unit converted",
        "number in words",
        "other reasoning",
    }
    assert {name for name in tried if right[name] == tried[name] >= 5} >= sure
    assert min(right[name] for name in ("synonym", "abbreviation", "in a sentence", "punctuation")) > 0


def test_alike_errs_towards_alike() -> None:
    assert alike("Axial plane", ("axial",))
    assert alike("transverse", ("axial",)), "by the tables"
    assert alike("lung cancer", ("lung adenocarcinoma",))
    assert alike("abnormal", ("nodule",)), "true of any finding"
    assert not alike("coronal", ("axial", "transverse"))
    assert not alike("no", ("yes",))
