from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps.medvqa.data import Example, load_examples
from apps.medvqa.data_config import DataConfig
from apps.medvqa.measures.predictions import read_predictions
from common.errors import DataError
from tests.apps.medvqa.data_folders import jsonl, table, write

EXAMPLES = [
    Example("11", "Is there a nodule?", "yes", kind="closed"),
    Example("24", "Where is it?", "left lung"),
    Example("7", "Which organ?", "lung", kind="closed", choices=("liver", "lung")),
]
ANSWERS = ["No.", "in the left lung", "B"]


def rows(id: str, answer: str, **fields: Any) -> list[dict[str, Any]]:
    """One row for each example, in another order."""
    found = [{id: example.id, answer: said, **fields} for example, said in zip(EXAMPLES, ANSWERS, strict=True)]
    return [found[2], found[0], found[1]]


@pytest.mark.parametrize("id", ["id", "qid", "question_id", "Question ID"])
@pytest.mark.parametrize("answer", ["prediction", "pred", "response", "completion", "output", "text", "answer"])
def test_rows_by_id(tmp_path: Path, id: str, answer: str) -> None:
    file = jsonl(tmp_path / "x.jsonl", *rows(id, answer, model_id="m", metadata={}))
    found = read_predictions(file, EXAMPLES)
    assert (found.answers, found.missing, found.unknown, found.repeated) == (ANSWERS, (), (), ())


def test_llava_med_answers(tmp_path: Path) -> None:
    made = [
        {"question_id": example.id, "prompt": f"<image>\n{example.question}", "text": said, "answer_id": "x1"}
        for example, said in zip(EXAMPLES, ANSWERS, strict=True)
    ]
    assert read_predictions(jsonl(tmp_path / "answers.jsonl", *made), EXAMPLES).answers == ANSWERS
    numbered = [{**row, "question_id": number} for number, row in enumerate(made)]
    assert read_predictions(jsonl(tmp_path / "answers.jsonl", *numbered), EXAMPLES).answers == ANSWERS
    with pytest.raises(DataError, match=r"3 of 3 questions have no answer: 11, 24, 7; 3 ids belong to no question"):
        read_predictions(jsonl(tmp_path / "answers.jsonl", *numbered[::-1]), EXAMPLES)


def test_vqa_v2_results(tmp_path: Path) -> None:
    made = [{"question_id": int(example.id), "answer": said} for example, said in zip(EXAMPLES, ANSWERS, strict=True)]
    assert read_predictions(write(tmp_path / "r.json", made), EXAMPLES).answers == ANSWERS
    assert read_predictions(write(tmp_path / "r.json", {"annotations": made}), EXAMPLES).answers == ANSWERS


def test_medevalkit_results_are_in_order_and_their_answer_is_the_reference(tmp_path: Path) -> None:
    made = [
        {
            "question": example.question,
            "answer": example.answer,
            "response": said,
            "correct": False,
            "metrics": {"em": 0},
        }
        for example, said in zip(EXAMPLES, ANSWERS, strict=True)
    ]
    assert read_predictions(write(tmp_path / "results.json", made), EXAMPLES).answers == ANSWERS
    with pytest.raises(DataError, match=r"results\.json: row 0 answers 'Where is it\?', but question '11' is"):
        read_predictions(write(tmp_path / "results.json", [made[1], made[0], made[2]]), EXAMPLES)


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], lambda value: {"prediction": value}])
def test_an_object_from_id_to_answer(tmp_path: Path, wrap: Any) -> None:
    made = {example.id: wrap(said) for example, said in zip(EXAMPLES, ANSWERS, strict=True)}
    if isinstance(wrap("x"), list):
        with pytest.raises(DataError, match="expected a list of rows"):
            read_predictions(write(tmp_path / "x.json", made), EXAMPLES)
    else:
        assert read_predictions(write(tmp_path / "x.json", made), EXAMPLES).answers == ANSWERS


def test_a_list_of_texts_is_in_order(tmp_path: Path) -> None:
    assert read_predictions(write(tmp_path / "x.json", ANSWERS), EXAMPLES).answers == ANSWERS


@pytest.mark.parametrize(
    ("field", "turns"),
    [
        ("conversations", lambda said: [{"from": "human", "value": "?"}, {"from": "gpt", "value": said}]),
        ("messages", lambda said: [{"role": "user", "content": "?"}, {"role": "assistant", "content": said}]),
        ("filtered_resps", lambda said: [[said]]),
    ],
)
def test_conversations_and_lmms_eval(tmp_path: Path, field: str, turns: Any) -> None:
    made = [{**row, field: turns(row.pop("x"))} for row in rows("id", "x", target="r")]
    assert read_predictions(jsonl(tmp_path / "x.jsonl", *made), EXAMPLES).answers == ANSWERS


def test_a_conversation_that_the_model_does_not_end(tmp_path: Path) -> None:
    made = rows("id", "messages")
    made[1]["messages"] = [{"role": "assistant", "content": "No."}, {"role": "user", "content": "?"}]
    made[0]["messages"] = made[2]["messages"] = "x"
    with pytest.raises(DataError, match="line 2: the last turn is by 'user'"):
        read_predictions(jsonl(tmp_path / "x.jsonl", *made), EXAMPLES)


def test_json_under_another_name_is_not_taken_for_lines_of_text(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "answers", *rows("id", "prediction"))
    with pytest.raises(DataError, match=r"looks like JSON; name the file \.jsonl"):
        read_predictions(file, EXAMPLES)


def test_csv(tmp_path: Path) -> None:
    assert read_predictions(table(tmp_path / "x.csv", *rows("qid", "prediction")), EXAMPLES).answers == ANSWERS


@pytest.mark.parametrize("text", ["No.\nin the left lung\nB\n", "\ufeffNo.\r\nin the left lung\r\nB\r\n\r\n"])
def test_a_line_an_answer(tmp_path: Path, text: str) -> None:
    assert read_predictions(write(tmp_path / "x.txt", text), EXAMPLES).answers == ANSWERS


def test_lines_that_are_empty_are_empty_answers(tmp_path: Path) -> None:
    assert read_predictions(write(tmp_path / "x.txt", "No.\n\nB\n"), EXAMPLES).answers == ["No.", "", "B"]


def test_vqa_med_submissions(tmp_path: Path) -> None:
    file = write(tmp_path / "run.txt", "7|B\n11|No.\n24|in the left lung\n")
    assert read_predictions(file, EXAMPLES).answers == ANSWERS
    bars = write(tmp_path / "bars.txt", "a|b\nc|d\ne|f\n")
    assert read_predictions(bars, EXAMPLES).answers == ["a|b", "c|d", "e|f"]


@pytest.mark.parametrize(
    ("value", "answer"), [(None, ""), (3, "3"), (2.5, "2.5"), (True, "yes"), (["lung"], "lung"), ("a\nb ", "a\nb")]
)
def test_answers_of_other_types(tmp_path: Path, value: Any, answer: str) -> None:
    made = [{"id": example.id, "prediction": value} for example in EXAMPLES]
    assert read_predictions(write(tmp_path / "x.json", made), EXAMPLES).answers == [answer] * 3


def test_missing_and_unknown_ids_are_errors_or_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = [*rows("id", "pred")[1:], {"id": "99", "pred": "?"}]
    file = jsonl(tmp_path / "x.jsonl", *made)
    with pytest.raises(DataError, match=r"1 of 3 questions have no answer: 7; 1 ids belong to no question: 99"):
        read_predictions(file, EXAMPLES)
    found = read_predictions(file, EXAMPLES, strict=False)
    assert found.answers == ["No.", "in the left lung", ""]
    assert (found.missing, found.unknown) == (("7",), ("99",))
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of 3 questions have no answer: 7" in said
    assert "1 ids belong to no question: 99" in said


def test_ids_of_which_none_is_known_are_an_error_even_so(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "x.jsonl", {"id": "a", "pred": "x"}, {"id": "b", "pred": "x"}, {"id": "c", "pred": "x"})
    with pytest.raises(DataError, match=r"ids look like '11'"):
        read_predictions(file, EXAMPLES, strict=False)


def test_an_id_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = rows("id", "pred")
    again = jsonl(tmp_path / "x.jsonl", *made, made[0])
    assert read_predictions(again, EXAMPLES).repeated == ("7",)
    assert "1 ids come more than once: 7" in " ".join(capsys.readouterr().err.split())
    other = jsonl(tmp_path / "x.jsonl", *made, {**made[0], "pred": "A"})
    with pytest.raises(DataError, match=r"line 4: a second answer to '7', other than that in line 1"):
        read_predictions(other, EXAMPLES, strict=False)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], "holds no answers"),
        ([{"id": "11"}], r"row 0 has no answer; its fields are: id"),
        ([{"id": "11", "pred": ["a", "b"]}], r"row 0: an answer is one text"),
        ([{"id": "11", "pred": "a"}, {"pred": "b"}], r"row 1 has no id"),
        ([{"pred": "a"}, {"pred": "b"}], r"2 answers without known ids for 3 questions"),
        ([{"id": "11", "pred": "a", "question": "Something else?"}], r"belongs to another split or order"),
        ([1, 2, 3], r"expected an object, found int \(3 such rows\)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(DataError, match=says) as error:
        read_predictions(write(tmp_path / "x.json", content), EXAMPLES)
    assert "x.json" in str(error.value)


def test_all_of_the_test_set_of_vqa_rad(shared: Path, tmp_path: Path) -> None:
    examples = load_examples(DataConfig(format="vqa_rad", path=str(shared / "data" / "vqa_rad"), split="test"))
    made = {own.id: own.answer for own in reversed(examples)}
    file = write(tmp_path / "oracle.json", json.dumps(made))
    assert read_predictions(file, examples).answers == [own.answer for own in examples]
