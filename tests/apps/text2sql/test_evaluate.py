from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.data import Example, load_examples
from apps.text2sql.data_config import DataConfig
from apps.text2sql.evaluate import evaluate_model, evaluate_predictions, make_judge, run_evaluate
from apps.text2sql.execution.workers import Judge
from apps.text2sql.measures.evaluation import Evaluation, Item, aligned
from apps.text2sql.measures.evaluation_report import paired_tests
from apps.text2sql.measures.metrics import efficiency, interval, time_ratio
from apps.text2sql.verdicts.verdict import PRESETS
from common.errors import DataError, UsageError
from tests.apps.text2sql.data_folders import QUERIES, multispider_folder, spider_folder, write_database


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with make_judge(Text2SqlConfig()) as judge:
        yield judge


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    return load_examples(DataConfig(format="spider", path=str(spider_folder(tmp_path / "spider"))))


@pytest.fixture(scope="module")
def spider(request: pytest.FixtureRequest) -> list[Example]:
    folder = request.getfixturevalue("shared") / "data/spider_dev_en"
    return load_examples(DataConfig(format="spider", path=str(folder)))


def config(path: Path, **settings: Any) -> Text2SqlConfig:
    return Text2SqlConfig(heldout=DataConfig(format="spider", path=str(path)), **settings)


def test_golds_against_themselves_on_spider_dev(spider: list[Example], judge: Judge) -> None:
    golds = [[example.sql] for example in spider]
    evaluation = evaluate_predictions(spider, golds, judge, list(PRESETS), details=True)
    metrics = evaluation.metrics()
    for name in ("ex_strict", "ex_bird", "ex_spider_testsuite", "ex_spider2", "ex_defog", "exact_match", "r_ves"):
        assert (metrics[name].mean, metrics[name].n) == (1.0, 1034), name
    assert (metrics["semantic_accuracy"].mean, metrics["semantic_accuracy"].n) == (1.0, 941)
    assert evaluation.verdict_counts() == {"correct": 941, "correct_empty": 93}
    assert {grade: value.n for grade, value in evaluation.by("hardness").items()} == {
        "easy": 248,
        "medium": 446,
        "hard": 174,
        "extra": 166,
    }
    # Certainty is not claimed, not even here.
    assert metrics["ex_strict"].low < 1.0
    assert evaluation.error_shares() == {}


def test_shuffled_predictions_and_deletes_on_spider_dev(spider: list[Example], judge: Judge) -> None:
    golds = [example.sql for example in spider]
    random.Random(0).shuffle(golds)
    shuffled = evaluate_predictions(spider, [[gold] for gold in golds], judge, ["bird"])
    assert shuffled.accuracy().mean < 0.03
    assert shuffled.accuracy("bird").mean < 0.03
    deletes = [["DELETE FROM " + example.database] for example in spider]
    nothing = evaluate_predictions(spider, deletes, judge, list(PRESETS))
    assert all(nothing.accuracy(preset).mean == 0.0 for preset in PRESETS)
    assert nothing.verdict_counts() == {"rejected": 1034}
    assert nothing.metrics()["soft_f1"].mean == 0.0


def test_broken_golds_are_left_out_and_counted(shared: Path, judge: Judge) -> None:
    folder = shared / "data/machine_spider_de"
    examples = load_examples(DataConfig(format="machine_spider", path=str(folder)))
    evaluation = evaluate_predictions(examples, [[example.sql] for example in examples], judge, ["bird"])
    assert evaluation.verdict_counts()["gold_error"] == 52
    assert (evaluation.accuracy().n, evaluation.accuracy().mean) == (978, 1.0)
    assert evaluation.accuracy("bird").n == 978


def test_each_figure_on_a_small_set(examples: list[Example], judge: Judge) -> None:
    predictions = [
        ["SELECT count(id) FROM singer"],  # right, other text
        ["SELECT name FROM singer WHERE age > 26 ORDER BY age DESC"],  # wrong order
        ["SELECT T2.name FROM singer AS T1 JOIN country AS T2 ON T1.country_id = T2.id GROUP BY T2.name"],
        ["SELECT name FROM singer WHERE age > 200"],  # both empty
        ["SELECT height FROM singer"],
    ]
    evaluation = evaluate_predictions(examples, predictions, judge, ["bird"], details=True)
    metrics = evaluation.metrics()
    assert metrics["ex_strict"].mean == pytest.approx(2 / 5)
    assert metrics["ex_bird"].mean == pytest.approx(3 / 5)  # BIRD does not look at the order
    assert (metrics["semantic_accuracy"].mean, metrics["semantic_accuracy"].n) == (pytest.approx(1 / 4), 4)
    assert metrics["exact_match"].mean == pytest.approx(1 / 5)  # values do not count
    assert [item.errors[0] for item in evaluation.items] == [
        [],
        ["order_limit"],
        ["aggregate"],
        [],
        ["schema"],
    ]
    assert evaluation.items[4].reasons[0]
    soft = [item.soft_f1[0] for item in evaluation.items]
    assert soft[0] == 1.0
    assert 0.0 < soft[2] < 1.0
    assert soft[4] == 0.0
    # Efficiency is paid where BIRD's comparison holds, and only there.
    assert [value > 0 for item in evaluation.items for value in item.efficiency or []] == [
        True,
        True,
        False,
        True,
        False,
    ]


def test_questions_that_share_a_gold_share_its_times(tmp_path: Path, judge: Judge) -> None:
    examples = load_examples(DataConfig(format="multispider", path=str(multispider_folder(tmp_path))))
    predictions = [[f"SELECT count(id) + {number} - {number} FROM singer"] for number in range(6)]
    evaluation = evaluate_predictions(examples, predictions, judge, details=True)
    paid = [value for item in evaluation.items if item.gold == QUERIES[0] for value in item.efficiency or []]
    assert len(paid) == 3
    assert all(0.5 <= value <= math.sqrt(1.25) for value in paid)


def test_rows_of_an_unordered_gold_pair_in_any_order(examples: list[Example], judge: Judge) -> None:
    query = QUERIES[2] + " ORDER BY T2.name DESC"
    item = evaluate_predictions(examples[2:3], [[query]], judge).items[0]
    assert (item.soft_f1, item.verdicts["strict"]) == ([1.0], ["correct"])


def test_samples_give_pass_and_majority(examples: list[Example], judge: Judge) -> None:
    right, wrong, broken = "SELECT count(id) FROM singer", "SELECT 7", "SELECT x FROM singer"
    predictions = [
        [right, wrong, QUERIES[0], broken],  # the vote is right at 4, a tie at 2
        [wrong, wrong, QUERIES[1], QUERIES[1]],  # wrong at 2, a tie that the first wins at 4
        [broken, broken, broken, QUERIES[2]],  # a query that runs beats three that do not
        [QUERIES[3]] * 4,
        ["", "", "", ""],
    ]
    evaluation = evaluate_predictions(examples, predictions, judge, details=True)
    metrics = evaluation.metrics()
    assert metrics["ex_strict"].mean == pytest.approx((2 / 4 + 2 / 4 + 1 / 4 + 1 + 0) / 5)
    assert metrics["pass@1"].mean == pytest.approx(metrics["ex_strict"].mean)
    assert metrics["pass@4"].mean == pytest.approx(4 / 5)
    assert metrics["pass@2"].mean == pytest.approx((5 / 6 + 5 / 6 + 1 / 2 + 1 + 0) / 5)
    assert [item.majority["4"] for item in evaluation.items] == [True, False, True, True, False]
    assert [item.majority["2"] for item in evaluation.items] == [True, False, False, True, False]
    assert metrics["majority@4"].mean == pytest.approx(3 / 5)


def test_translations_are_one_piece_of_evidence(tmp_path: Path, judge: Judge) -> None:
    examples = load_examples(DataConfig(format="multispider", path=str(multispider_folder(tmp_path))))
    predictions = [[example.sql if example.sql == QUERIES[0] else "SELECT 1"] for example in examples]
    evaluation = evaluate_predictions(examples, predictions, judge)
    # Two questions in three languages: with one of two right, the interval reaches from 0 to 1.
    assert (evaluation.accuracy().low, evaluation.accuracy().high) == (0.0, 1.0)
    assert evaluation.languages == ["en", "de", "ja"]
    assert {name: value.mean for name, value in evaluation.by("language").items()} == dict.fromkeys(
        ("en", "de", "ja"), 0.5
    )
    assert evaluation.accuracy(language="de").n == 2


def test_the_verb_writes_a_file_that_can_be_read_and_compared(
    tmp_path: Path, examples: list[Example], capsys: pytest.CaptureFixture[str]
) -> None:
    better, worse = tmp_path / "better.txt", tmp_path / "worse.txt"
    better.write_text("\n".join(QUERIES), encoding="utf-8")
    worse.write_text("\n".join(["SELECT 1"] * 4 + [QUERIES[4]]), encoding="utf-8")
    settings = config(tmp_path / "spider")
    assert run_evaluate(settings, str(worse), out=str(tmp_path / "worse"), json_output=True) == 0
    capsys.readouterr()
    code = run_evaluate(
        settings, str(better), compare=str(tmp_path / "worse"), out=str(tmp_path / "better"), json_output=True
    )
    printed = json.loads(capsys.readouterr().out)
    assert code == 0
    assert printed["metrics"]["ex_strict"]["mean"] == 1.0
    test = printed["comparison"]["execution accuracy (strict)"]
    assert (test["difference"]["mean"], test["n01"], test["n10"]) == (0.8, 4, 0)
    assert test["p"] == pytest.approx(2 * 0.5**4)
    loaded = Evaluation.load(tmp_path / "better" / "evaluation.json")
    assert [item.gold for item in loaded.items] == QUERIES
    assert loaded.to_dict()["metrics"] == printed["metrics"]
    page = (tmp_path / "worse" / "report.html").read_text(encoding="utf-8")
    assert "SELECT" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    # The same for people.
    assert run_evaluate(settings, str(worse), compare=str(tmp_path / "better"), out=str(tmp_path / "worse")) == 0
    assert "execution accuracy (strict)" in " ".join(capsys.readouterr().out.split())


def test_errors_name_the_next_step(tmp_path: Path, examples: list[Example]) -> None:
    file = tmp_path / "predictions.txt"
    file.write_text("SELECT 1\n", encoding="utf-8")
    with pytest.raises(DataError, match="1 predictions for 5 questions"):
        run_evaluate(config(tmp_path / "spider"), str(file))
    settings = config(tmp_path / "spider")
    settings.evaluate.presets = ["strikt"]
    with pytest.raises(UsageError, match="strikt"):
        run_evaluate(settings, str(file))
    (tmp_path / "other.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(DataError, match="no evaluation written by"):
        run_evaluate(config(tmp_path / "spider"), str(file), compare=str(tmp_path / "other.json"))


def test_evaluations_without_a_common_question_cannot_be_compared() -> None:
    def of(name: str) -> Evaluation:
        return Evaluation(
            [Item(name, "q", "en", "d", "easy", "", "s", ["s"], {"strict": ["correct"]}, [""], 1, [1.0])]
        )

    with pytest.raises(DataError, match="no question in common"):
        aligned(of("a"), of("b"))
    assert paired_tests(of("a"), of("a"))["execution accuracy (strict)"].p == 1.0


def test_a_model_is_asked_with_prompts_and_its_answers_are_extracted(
    examples: list[Example], judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def answer(model: Any, tokenizer: Any, prompts: Any, *settings: Any) -> list[list[str]]:
        asked.extend(prompts)
        return [[f"```sql\n{query}\n```" if number % 2 == 0 else "no idea"] for number, query in enumerate(QUERIES)]

    monkeypatch.setattr("common.models.language.generate", answer)
    evaluation = evaluate_model(object(), object(), examples, judge, Text2SqlConfig())
    assert evaluation.accuracy().mean == pytest.approx(3 / 5)
    assert evaluation.presets == ["strict"]
    assert all(
        e.question in p[-1]["content"] and e.sql not in p[-1]["content"] for e, p in zip(examples, asked, strict=True)
    )
    assert judge.preset == "strict"


def test_an_ambiguous_sample_counts_in_no_figure() -> None:
    verdicts = {"strict": ["correct", "wrong", "ambiguous", "ambiguous"]}
    item = Item("1", "q", "en", "d", "easy", "", "s", ["s"] * 4, verdicts, [""] * 4, 1, [1.0, 0.5, 0.0, 0.0])
    item.errors = [[], ["join"], [], []]
    assert (item.right(), item.mean("soft_f1"), item.failing("join")) == (0.5, 0.75, 0.5)
    unjudged = replace(item, verdicts={"strict": ["ambiguous"] * 4})
    assert math.isnan(unjudged.mean("soft_f1"))
    assert math.isnan(unjudged.failing("join"))


def test_an_ambiguous_answer_is_left_out(tmp_path: Path, judge: Judge) -> None:
    path = write_database(
        tmp_path / "t.sqlite", "CREATE TABLE t (n, v); INSERT INTO t VALUES ('a', 1), ('b', 1), ('c', 2);"
    )
    example = Example("1", "q", "en", "t", path, "SELECT n FROM t ORDER BY v LIMIT 1")
    evaluation = evaluate_predictions([example], [["SELECT n FROM t ORDER BY v, n DESC LIMIT 1"]], judge, details=True)
    assert evaluation.verdict_counts() == {"ambiguous": 1}
    assert math.isnan(evaluation.accuracy().mean)
    json.dumps(evaluation.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("ratio", "reward"),
    [
        (5.0, 1.25),
        (2.0, 1.25),
        (1.99, 1.0),
        (1.0, 1.0),
        (0.99, 0.75),
        (0.5, 0.75),
        (0.3, 0.5),
        (0.25, 0.5),
        (0.1, 0.25),
    ],
)
def test_birds_time_reward(ratio: float, reward: float) -> None:
    assert efficiency(ratio) == pytest.approx(math.sqrt(reward))


def test_a_time_ratio_withstands_one_slow_run_and_has_ends() -> None:
    assert time_ratio([1.0, 1.0, 1.0], [1.0, 50.0, 1.0]) == 1.0
    assert time_ratio([1.0], [0.0]) == 10.0
    assert time_ratio([0.0], [1.0]) == 0.1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_intervals_of_equal_values_have_a_width_that_counts_groups(value: float) -> None:
    many, few = interval([value] * 70), interval([value] * 70, [str(n % 10) for n in range(70)])
    width: Callable[[Any], float] = lambda found: found.high - found.low  # noqa: E731
    assert 0 < width(many) < width(few) < 0.5
    assert math.isnan(interval([math.nan]).mean)
