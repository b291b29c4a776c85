from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.medvqa.answers import AnswerScorer
from apps.medvqa.data import Example, load_examples
from apps.medvqa.data_config import DataConfig
from apps.medvqa.measures.evaluation import Evaluation
from apps.medvqa.measures.items import measure
from apps.medvqa.measures.text_metrics import (
    METRICS,
    open_recall,
    overlap,
    text_scores,
)
from common.rewards.functional import token_f1
from tests.apps.medvqa.data_folders import FOLDERS

WORDS = st.lists(st.sampled_from(["left", "right", "lung", "of", "mass", "no", "2", "cm"]), max_size=7).map(" ".join)


def measured(examples: list[Example], answers: list[str]) -> Evaluation:
    return Evaluation(measure(examples, answers, AnswerScorer()))


@pytest.mark.parametrize(
    ("answer", "reference", "precision", "recall", "f1"),
    [
        # MedEvalKit returned (f1, precision, recall) and read (precision, recall, f1): .667, .5, 1.0 here (defect 9).
        ("lung mass", "mass", 0.5, 1.0, 2 / 3),
        ("mass", "lung mass", 1.0, 0.5, 2 / 3),
        ("lung", "lung", 1.0, 1.0, 1.0),
        ("liver", "lung", 0.0, 0.0, 0.0),
        ("lung lung lung", "lung", 1 / 3, 1.0, 0.5),
        ("lung", "lung lung", 1.0, 0.5, 2 / 3),
        ("the lung", "a lung", 1.0, 1.0, 1.0),
        ("Lung.", "lung", 1.0, 1.0, 1.0),
        ("", "lung", 0.0, 0.0, 0.0),
        ("lung", "", 0.0, 0.0, 0.0),
        ("左肺", "左侧肺", 1.0, 2 / 3, 0.8),
    ],
)
def test_precision_recall_and_f1_by_name(
    answer: str, reference: str, precision: float, recall: float, f1: float
) -> None:
    found = overlap(answer, reference)
    assert found.precision == pytest.approx(precision)
    assert found.recall == pytest.approx(recall)
    assert found.f1 == pytest.approx(f1)
    if reference:
        scores = text_scores(answer, [reference])
        assert (scores.precision, scores.recall, scores.f1) == (found.precision, found.recall, found.f1)


@pytest.mark.parametrize(
    ("answer", "reference", "recall"),
    [
        ("it is in the left lung", "left lung", 1.0),
        ("left", "left lung", 0.5),
        ("left", "left left lung", 0.5),
        ("left lung", "the left lung", 1.0),
        ("right lobe", "left lung", 0.0),
        ("", "left lung", 0.0),
    ],
)
def test_open_recall_counts_different_words(answer: str, reference: str, recall: float) -> None:
    assert open_recall(answer, reference) == recall


@pytest.mark.parametrize(
    ("answer", "exact"),
    [("pneumonia", 1.0), ("Pneumonia.", 1.0), ("the pneumonia", 1.0), ("pneumonia left", 0.0), ("", 0.0), ("  ", 0.0)],
)
def test_a_final_period_does_not_count_and_empty_is_zero(answer: str, exact: float) -> None:
    # MedEvalKit: "pneumonia." was not "pneumonia", and an empty answer raised in its ROUGE (defect 10).
    scores = text_scores(answer, ["pneumonia"])
    assert scores.exact == exact
    if not answer.strip():
        assert set(scores.values().values()) == {0.0}


def test_bleu_is_smoothed_and_never_tiny() -> None:
    # Without smoothing BLEU-4 of a short answer is 1e-157 or an error (defect 10).
    same = text_scores("mass", ["mass"])
    assert [same.bleu1, same.bleu2, same.bleu3, same.bleu4] == pytest.approx([1, 1, 1, 1])
    part = text_scores("mass in the left lung", ["a mass of the left lung"])
    # 4 of 5 words, 2 of 4 pairs, 1 of 3 triples, 0 of 2 quadruples; 5 words against 6.
    brevity = math.exp(1 - 6 / 5)
    bleu2 = brevity * (4 / 5 * 3 / 5) ** (1 / 2)
    bleu4 = brevity * (4 / 5 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4)
    assert part.bleu1 == pytest.approx(brevity * 4 / 5)
    assert (part.bleu2, part.bleu4) == pytest.approx((bleu2, bleu4))
    none = text_scores("liver", ["mass"])
    assert (none.bleu1, none.bleu4) == (0.0, 0.0)


def test_rouge() -> None:
    scores = text_scores("left lung mass", ["mass of the left lung"])
    assert scores.rouge1 == pytest.approx(2 * 3 / (3 + 5))
    assert scores.rouge2 == pytest.approx(2 * 1 / (2 + 4))
    assert scores.rouge_l == pytest.approx(2 * 2 / (3 + 5))
    assert text_scores("mass", ["mass"]).rouge2 == 0.0


def test_the_best_of_several_references_counts() -> None:
    scores = text_scores("lung mass", ["nodule", "a mass in the lung", "lung mass"])
    assert scores.values() == text_scores("lung mass", ["lung mass"]).values()
    scores = text_scores("lung mass", ["mass", "lung mass seen today here"])
    assert (scores.precision, scores.recall) == (0.5, 1.0)
    assert scores.open_recall == 1.0


@pytest.mark.parametrize("references", [[], [""], ["?"]])
def test_without_a_reference_nothing_can_be_scored(references: list[str]) -> None:
    assert all(map(math.isnan, text_scores("mass", references).values().values()))


@given(WORDS, st.lists(WORDS, min_size=1, max_size=3))
def test_scores_are_in_bounds_and_the_reference_scores_best(answer: str, references: list[str]) -> None:
    scores = text_scores(answer, references).values()
    if not any(references):
        assert all(map(math.isnan, scores.values()))
        return
    assert tuple(scores) == METRICS
    assert all(0 <= value <= 1 for value in scores.values())
    assert scores["f1"] == pytest.approx(max(token_f1(answer, reference) for reference in references))
    assert scores["rouge1"] == pytest.approx(scores["f1"])
    right = next(filter(None, references))
    best = text_scores(right, references).values()
    assert all(best[name] == pytest.approx(1) for name in METRICS if name != "rouge2" or len(right.split()) > 1)
    more = text_scores(answer, [*references, "no right lung"]).values()
    assert all(
        more[name] >= scores[name] - 1e-9 for name in ("exact", "f1", "open_recall", "rouge1", "rouge2", "rouge_l")
    )


@given(WORDS, WORDS)
def test_f1_is_the_harmonic_mean(answer: str, reference: str) -> None:
    found = overlap(answer, reference)
    back = overlap(reference, answer)
    assert (found.precision, found.recall, found.f1) == pytest.approx((back.recall, back.precision, back.f1))
    if found.f1:
        assert 1 / found.f1 == pytest.approx((1 / found.precision + 1 / found.recall) / 2)


def test_closed_accuracy_counts_every_way_of_not_being_right() -> None:
    examples = [Example(str(n), "Is there a mass?", "yes", kind="closed") for n in range(6)]
    found = measured(examples, ["Yes.", "yes, a mass", "no", "I cannot tell", "yes and no", "mass"])
    assert found.counts("verdict") == {"right": 2, "wrong": 1, "cannot tell": 1, "both": 1, "unclear": 1}
    accuracy = found.metric("closed")
    assert (accuracy.n, accuracy.mean) == (6, pytest.approx(1 / 3))
    assert math.isnan(measured([], []).metric("closed").mean)


def test_closed_accuracy_is_for_closed_questions() -> None:
    (item,) = measured([Example("q", "Where?", "here")], ["here"]).items
    assert "closed" not in item.scores
    assert item.verdict == ""


@pytest.mark.parametrize("format", FOLDERS)
def test_every_data_set_can_be_scored(tmp_path: Path, format: str) -> None:
    # MedEvalKit passed five arguments to a judge of three on some data sets (defect 11).
    path = FOLDERS[format](tmp_path)
    for example in load_examples(DataConfig(format=format, path=str(path))):  # type: ignore[arg-type]
        right = text_scores(example.answer, example.references)
        assert (right.exact, right.f1, right.open_recall) == (1, 1, 1)
        if example.kind == "closed":
            said = [example.answer, "I do not know"] + [example.letter] * bool(example.choices)
            found = measured([example] * len(said), said)
            assert [item.verdict for item in found.items] == ["right", "cannot tell", "right"][: len(said)]


def test_an_oracle_and_a_constant_answer_on_vqa_rad(shared: Path) -> None:
    config = DataConfig(format="vqa_rad", path=str(shared / "data" / "vqa_rad"), split="test")
    examples = load_examples(config)
    closed = [own for own in examples if own.kind == "closed"]
    assert measured(closed, [own.answer for own in closed]).metric("closed").mean == 1
    constant = measured(closed, ["no"] * len(closed)).metric("closed").mean
    expected = sum(own.answer.strip().lower() == "no" for own in closed) / len(closed)
    assert constant == pytest.approx(expected)
    opened = [own for own in examples if own.kind == "open"]
    assert all(text_scores(own.answer, own.references).exact == 1 for own in opened)
