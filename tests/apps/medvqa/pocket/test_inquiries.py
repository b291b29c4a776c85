"""The questions that a phantom answers by itself."""

from __future__ import annotations

import random
from typing import Any

import pytest

from apps.medvqa.pocket import is_right, phantom
from apps.medvqa.pocket.catalogue import KINDS, ORGANS, places_of
from apps.medvqa.pocket.inquiries import find_inquiry, inquiries, to_try
from apps.medvqa.pocket.phrasings import PHRASINGS

HOSTILE = "<img src=x onerror=alert(1)>"
WHERE = "Where is the nodule?"


def test_every_reference_is_exactly_right_and_no_question_has_two() -> None:
    rng = random.Random(0)
    studies = [phantom(organ=organ) for organ in ORGANS] + [phantom(organ="kidney", side="left")]
    for kind in KINDS:
        for side, zone in places_of(kind):
            count = rng.choice((1, 2, 3) if kind.crowd else (1,))
            studies.append(phantom(kind.name, side, zone, 0, count, organ=kind.organ))
    asked = set()
    for study in studies:
        answers: dict[str, str] = {}
        for example in inquiries(study):
            assert is_right(example, example.answer), (example.question, example.answer)
            assert answers.setdefault(example.question.lower(), example.answer) == example.answer
            asked.add(example.tags["asks"])
    assert asked == set(PHRASINGS)


def test_a_question_is_known_however_it_is_written_and_only_where_it_presumes_nothing() -> None:
    study = phantom("nodule", "right", "upper zone", 30)
    for text in (WHERE, " where  is the NODULE", "where is the nodule ?!"):
        found = find_inquiry(text, study)
        assert found is not None
        assert found.answer == "right upper zone"
    for text in ("", "Where is the cavity?", "How many nodules and cavities are there?", HOSTILE):
        assert find_inquiry(text, study) is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.organ} {kind.name}")
def test_questions_to_try_are_answered_by_the_phantom(kind: Any) -> None:
    study = phantom(kind.name, organ=kind.organ)
    questions = to_try(study)
    assert len(set(questions)) == len(questions) >= 4
    assert all(find_inquiry(question, study) for question in questions)
    told = {find_inquiry(question, study).answer for question in questions}  # type: ignore[union-attr]
    assert {"yes", "no"} <= told
