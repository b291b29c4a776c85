"""Scores into preference pairs: best against worst, with a margin, and an account of every group."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import DataError, UsageError
from common.rewards.trained.pairs import run_pairs
from common.rewards.trained.preference_pairs import to_preference_pairs
from tests.common.rewards.trained.preferring import write

NAN = math.nan


@pytest.mark.parametrize(
    ("scores", "margin", "expected"),
    [
        ([0.1, 0.9, 0.5], 0.0, (1, 0)),
        ([0.1, 0.9, NAN], 0.0, (1, 0)),
        ([0.7, 0.9], 0.2, (1, 0)),
        ([0.71, 0.9], 0.2, "narrow"),
        ([0.5, 0.5], 0.0, "tied"),
        ([0.5, NAN], 0.0, "alone"),
        ([NAN, NAN], 0.0, "alone"),
        ([0.9, 0.9, 0.1, 0.1], 0.0, (0, 2)),
    ],
)
def test_truth_table(scores: list[float], margin: float, expected: Any) -> None:
    found = to_preference_pairs(scores, ["g"] * len(scores), margin)
    if isinstance(expected, tuple):
        assert found.pairs == (expected,)
    else:
        assert not found.pairs
        assert getattr(found, expected) == ("g",)


@pytest.mark.parametrize(("scores", "margin"), [([math.inf, 0.0], 0.0), ([1.0, 0.0], -0.1), ([1.0], 0.0)])
def test_the_callers_faults(scores: list[float], margin: float) -> None:
    with pytest.raises(ValueError, match=r"score|margin|groups"):
        to_preference_pairs(scores, ["g", "g"], margin)


@given(
    st.lists(st.tuples(st.floats(-5, 5) | st.just(NAN), st.integers(0, 5)), max_size=40),
    st.floats(0, 3),
)
def test_every_group_is_a_pair_or_accounted_for(rows: list[tuple[float, int]], margin: float) -> None:
    scores, groups = [score for score, _ in rows], [group for _, group in rows]
    found = to_preference_pairs(scores, groups, margin)
    for best, worst in found.pairs:
        assert groups[best] == groups[worst]
        members = [score for score, group in rows if group == groups[best] and score == score]
        assert (scores[best], scores[worst]) == (max(members), min(members))
        assert scores[best] > scores[worst]
        assert scores[best] - scores[worst] >= margin * (1 - 1e-9)
    told = [*(groups[best] for best, _ in found.pairs), *found.alone, *found.tied, *found.narrow]
    assert sorted(told) == sorted(set(groups))
    assert len(found.unscored) == sum(score != score for score in scores)


def row(prompt: Any, completion: Any, score: Any, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, "score": score, **more}


SCORED = [
    row("a?", "good", 0.9),
    row("b?", "either", 0.5),
    row("a?", "bad", 0.1),
    row("b?", "or", 0.5),
    row("c?", "lonely", 0.5),
    row("a?", "lost", None),
    row("d?", "near", 0.5),
    row("d?", "by", 0.6),
]


def test_the_verb_tells_of_each_group_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pairs.jsonl"
    assert run_pairs(str(write(tmp_path / "s.jsonl", SCORED)), str(out), 0.2, json_output=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {"prompt": "a?", "chosen": "good", "rejected": "bad", "score_chosen": 0.9, "score_rejected": 0.1}
    ]
    assert [(one["line"], one["reason"]) for one in told["left_out"]] == [
        (2, "all completions score the same"),
        (5, "fewer than two scored completions"),
        (6, "a completion without a score"),
        (7, "best and worst are less than 0.2 apart"),
    ]


def test_what_our_score_verb_writes_is_read_and_conversations_stay_ones(tmp_path: Path) -> None:
    asked = [{"role": "user", "content": "a?"}]
    rows = [{"prompt": asked, "completion": text, "reward": value} for text, value in (("x", 0.0), ("y", 1.0))]
    out = tmp_path / "pairs.jsonl"
    run_pairs(str(write(tmp_path / "s.jsonl", rows)), str(out))
    (found,) = map(json.loads, out.read_text().splitlines())
    assert found["prompt"] == asked
    assert found["chosen"] == [{"role": "assistant", "content": "y"}]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"prompt": "a?", "completion": "x"}, "no field 'score' or 'reward'"),
        (row("a?", "x", "high"), "must be a number or null"),
        (row("a?", "x", True), "must be a number or null"),
        (row(3, "x", 1.0), "'prompt' must be a text"),
        (row("other?", "x", 1.0, group=1), "has another prompt than in line 1"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, bad: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        run_pairs(str(write(tmp_path / "s.jsonl", [row("a?", "y", 0.0, group=1), bad])), str(tmp_path / "o"))
    assert caught.value.line == 2
    assert not (tmp_path / "o").exists()


def test_no_pair_at_all_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no pair is left \(1 all completions score the same\)"):
        run_pairs(str(write(tmp_path / "s.jsonl", [SCORED[1], SCORED[3]])), str(tmp_path / "o"))


def test_trls_dpo_trainer_takes_a_step_on_them(tmp_path: Path) -> None:
    datasets, trl = pytest.importorskip("datasets"), pytest.importorskip("trl")
    from tests.common.training import tiny

    out = tmp_path / "pairs.jsonl"
    run_pairs(str(write(tmp_path / "s.jsonl", [SCORED[0], SCORED[2]])), str(out))
    tiny.model().save_pretrained(tmp_path / "model")
    data = datasets.Dataset.from_list([json.loads(line) for line in out.read_text().splitlines()])
    arguments = trl.DPOConfig(
        output_dir=str(tmp_path),
        max_steps=1,
        per_device_train_batch_size=1,
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
    )
    trainer = trl.DPOTrainer(
        model=str(tmp_path / "model"), args=arguments, train_dataset=data, processing_class=tiny.tokenizer()
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    # Before the first step the model is its own reference: every pair is a toss of a coin.
    assert losses == pytest.approx([math.log(2)], abs=1e-4)
