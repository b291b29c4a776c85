"""`evaluate`: figures of an oracle, a constant and a model, their slices, and what asking otherwise changes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from apps.medvqa.config import MedVqaConfig
from apps.medvqa.data import load_examples
from apps.medvqa.data_config import DataConfig
from apps.medvqa.evaluate import conditions, evaluate_predictions, run_evaluate
from apps.medvqa.measures.evaluation import Evaluation
from apps.medvqa.measures.evaluation_report import paired_tests, robustness_rows
from apps.medvqa.pocket import load_pocket
from common.errors import DataError, UsageError
from common.files import write_jsonl

VQA_RAD = Path(__file__).parents[4] / "shared" / "data" / "vqa_rad"
EXAMPLES = load_pocket("heldout", 120)
CONFIG = MedVqaConfig()


def tagged(text: str) -> str:
    return f"<think>x</think><answer>{text}</answer>"


def test_an_oracle_is_right_in_every_figure():
    found = evaluate_predictions(EXAMPLES, [tagged(one.answer) for one in EXAMPLES], CONFIG, details=True)
    means = {name: value.mean for name, value in found.metrics().items()}
    for name in ("truth", "truth_open", "truth_closed", "closed", "right", "scorer", "exact", "f1", "rouge_l", "form"):
        assert means[name] == 1.0, name
    assert means["similarity"] == pytest.approx(1.0, abs=1e-6)
    assert found.headline == "truth_open"


def test_a_constant_answer_is_worth_what_the_prior_is():
    found = evaluate_predictions(EXAMPLES, ["no"] * len(EXAMPLES), CONFIG)
    closed = [one for one in EXAMPLES if one.kind == "closed"]
    said_no = sum(one.answer.lower().startswith("no") for one in closed) / len(closed)
    assert found.metric("closed").mean == pytest.approx(said_no, abs=0.08)
    assert found.metric("truth_open").mean < 0.15
    assert found.metric("form").mean == 0.0


def test_closed_and_open_questions_are_never_mixed():
    found = evaluate_predictions(EXAMPLES, [one.answer for one in EXAMPLES], CONFIG)
    for item in found.items:
        assert ("closed" in item.scores) == (item.kind == "closed")
        assert ("f1" in item.scores) == (item.kind == "open")
    assert found.metric("closed").n + found.metric("f1").n == len(EXAMPLES)


def test_slices_add_up():
    found = evaluate_predictions(EXAMPLES, [one.answer for one in EXAMPLES], CONFIG)
    for name in ("question_type", "organ", "modality", "combination"):
        assert sum(value.n for value in found.by(name, "truth").values()) == len(EXAMPLES)
    assert set(found.by("combination", "truth")) == {"seen", "held-out"}


def test_the_scorer_is_calibrated_by_the_exact_truth():
    answers = [one.answer if at % 2 else EXAMPLES[at - 1].answer for at, one in enumerate(EXAMPLES)]
    rows = evaluate_predictions(EXAMPLES, answers, CONFIG).calibration()
    low, high = rows[0], rows[-1]
    assert low[2].mean < 0.2 < 0.8 < high[2].mean


def test_it_is_written_and_read_again(tmp_path, capsys):
    config = MedVqaConfig(heldout=DataConfig(split="heldout", limit=40))
    examples = load_examples(config.heldout)
    write_jsonl(tmp_path / "said.jsonl", ({"id": one.id, "answer": one.answer} for one in examples))
    out = tmp_path / "found"
    assert run_evaluate(config, str(tmp_path / "said.jsonl"), out=str(out), json_output=True) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["metrics"]["truth"]["mean"] == 1.0
    again = Evaluation.load(out)
    assert len(again.items) == 40
    assert again.metrics() == Evaluation(again.items).metrics()
    page = (out / "report.html").read_text("utf-8")
    for words in ("Figures", "Calibration of the scorer", "Not for clinical use"):
        assert words in page
    with pytest.raises(UsageError, match="is a file; name a folder"):
        run_evaluate(config, str(tmp_path / "said.jsonl"), out=str(tmp_path / "said.jsonl"))
    # Against itself nothing differs.
    assert run_evaluate(config, str(tmp_path / "said.jsonl"), str(out), str(tmp_path / "two"), json_output=True) == 0
    comparison = json.loads(capsys.readouterr().out)["comparison"]
    assert comparison["truth"]["difference"]["mean"] == 0.0
    (tmp_path / "other.json").write_text('{"items": 3}', encoding="utf-8")
    with pytest.raises(DataError, match="no evaluation written by"):
        Evaluation.load(tmp_path / "other.json")


def test_paired_tests_see_a_difference():
    right = evaluate_predictions(EXAMPLES, [one.answer for one in EXAMPLES], CONFIG)
    half = evaluate_predictions(EXAMPLES, [one.answer if at % 2 else "" for at, one in enumerate(EXAMPLES)], CONFIG)
    tests = paired_tests(half, right)
    assert tests["truth"].difference.mean == pytest.approx(0.5, abs=0.02)
    assert tests["truth"].p < 1e-6


def test_asking_otherwise_keeps_question_and_answer():
    found = conditions(EXAMPLES)
    assert set(found) == {"blank", "swapped", "rephrased"}
    for example, blank, swapped in zip(EXAMPLES, found["blank"], found["swapped"], strict=True):
        assert (
            (blank.question, blank.answer) == (swapped.question, swapped.answer) == (example.question, example.answer)
        )
        assert blank.pictures[0].size == example.pictures[0].size
        assert len(set(blank.pictures[0].getdata())) == 1
        assert swapped.pictures[0].tobytes() != example.pictures[0].tobytes()
    assert all(one.question != other.question for one, other in zip(EXAMPLES, found["rephrased"], strict=True))


def test_robustness_pairs_the_same_questions():
    found = evaluate_predictions(EXAMPLES, [one.answer for one in EXAMPLES], CONFIG)
    rephrased = conditions(EXAMPLES)["rephrased"]
    found.robustness["rephrased"] = evaluate_predictions(rephrased, ["" for _ in rephrased], CONFIG).items
    rows = robustness_rows(found)
    assert {row[0] for row in rows} == {"rephrased"}
    assert sum(row[-1] for row in rows) == len(EXAMPLES)


def test_robustness_compares_no_other_questions():
    """Where only some questions can be asked otherwise, "as asked" is of those."""
    found = evaluate_predictions(EXAMPLES, [one.answer for one in EXAMPLES], CONFIG)
    found.robustness["blank"] = [item for item in found.items if item.kind == "closed"][:10]
    for item in found.items:
        if item.id not in {one.id for one in found.robustness["blank"]}:
            item.scores["closed"] = 0.0
    (row,) = robustness_rows(found)
    assert row[2] == row[3]
    assert row[-1] == 10


def test_as_many_answers_as_questions():
    with pytest.raises(UsageError, match="2 answers for 120 questions"):
        evaluate_predictions(EXAMPLES, ["a", "b"], CONFIG)


@pytest.mark.skipif(not VQA_RAD.is_dir(), reason=f"{VQA_RAD} is not there")
def test_vqa_rad_for_real(tmp_path, capsys):
    config = MedVqaConfig(heldout=DataConfig(format="vqa_rad", path=str(VQA_RAD), split="test"))
    examples = load_examples(config.heldout)
    assert len(examples) == 451
    for name, answers in (("oracle", [one.answer for one in examples]), ("trivial", ["no"] * len(examples))):
        write_jsonl(
            tmp_path / f"{name}.jsonl", ({"id": e.id, "answer": a} for e, a in zip(examples, answers, strict=True))
        )
        assert run_evaluate(config, str(tmp_path / f"{name}.jsonl"), out=str(tmp_path / name), json_output=True) == 0
        found = json.loads(capsys.readouterr().out)["metrics"]
        closed, right = found["closed"], found["right"]
        assert closed["n"] == 272
        assert right["n"] == 179
        if name == "oracle":
            assert closed["mean"] == right["mean"] == 1.0
        else:
            assert 0.3 < closed["mean"] < 0.6
            assert right["mean"] < 0.05
        assert "truth" not in found
        assert not math.isnan(closed["low"])
