from __future__ import annotations

from pathlib import Path

import pytest

from apps.captioning.measures.evaluation_report import comparison, print_tables, write_report
from apps.captioning.measures.measurement import Measurement
from apps.captioning.measures.metric_suite import Options, measure
from apps.captioning.measures.paired import lowest, paired_tests
from common.errors import DataError
from common.rewards.text import ngrams

METRICS = ("bleu", "rouge_l", "cider_d", "meteor", "diversity")
REFERENCES = {f"{number}": [f"a dog number {number} runs in the park", "the dog runs"] for number in range(30)}


def said(template: str) -> Measurement:
    predictions = {key: template.format(key) for key in REFERENCES}
    return measure(predictions, REFERENCES, METRICS, options=Options(java="/no/java"))


GOOD, BAD = said("a dog number {} runs in the park"), said("a cat {} sits on a sofa")


def test_the_better_set_wins_every_metric() -> None:
    tests = paired_tests(BAD, GOOD)
    assert {"bleu1", "bleu4", "rouge_l", "cider_d", "length"} <= set(tests)
    assert "meteor" not in tests  # neither could measure it
    assert "vocabulary" not in tests
    for name in ("bleu1", "bleu4", "rouge_l", "cider_d"):
        assert tests[name].difference.low > 0
        assert tests[name].p < 0.01
        assert (tests[name].n01, tests[name].n10) == (30, 0)


def test_a_set_against_itself_shows_nothing() -> None:
    tests = paired_tests(GOOD, GOOD)
    assert all(test.difference.mean == 0 and test.p == 1 for test in tests.values())


def test_only_common_pictures_count_whatever_the_type_of_their_ids() -> None:
    few = {int(key): texts for key, texts in list(REFERENCES.items())[:10]}
    part = measure(dict.fromkeys(few, "a cat"), few, ("bleu",))
    test = paired_tests(part, GOOD)["bleu1"]
    assert test.difference.n == 10
    rows = [GOOD.ids.index(str(key)) for key in few]
    sums = [sum(GOOD.results["bleu1"].sums[row][column] for row in rows) for column in range(10)]
    assert test.difference.mean == pytest.approx(ngrams.bleu(sums)[0] - part.results["bleu1"].value.mean)  # type: ignore[union-attr]


def test_strangers_are_refused() -> None:
    other = measure({"x": "a dog", "y": "a cat"}, {"x": ["a dog"], "y": ["a cat"]}, ("bleu",))
    with pytest.raises(DataError, match="no picture in common"):
        paired_tests(other, GOOD)


def test_the_worst_come_first() -> None:
    result = GOOD.results["cider_d"]
    rows = lowest(result, 3)
    assert [result.each[row] for row in rows] == sorted(result.each)[:3]


def test_the_page_and_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = write_report(GOOD, tmp_path / "report.html", BAD, REFERENCES).read_text("utf-8")
    for text in ("CIDEr-D", "Not measured", "METEOR", "cannot be run", "Paired test", "Captions that score least"):
        assert text in page
    print_tables(GOOD, BAD)
    shown = capsys.readouterr()
    assert "BLEU-4" in shown.out + shown.err
    assert comparison(BAD, GOOD)["rouge_l"]["difference"]["mean"] > 0
