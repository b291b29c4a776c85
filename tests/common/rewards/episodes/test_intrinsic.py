"""ONI's intrinsic reward: what is paid, what is unknown, and that no order or repetition changes either."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from common.errors import MissingColumn, RewardError
from common.rewards.base import Reward, RewardOutput, take_rows
from common.rewards.check import check_reward
from common.rewards.episodes import Intrinsic, LabelQueue
from common.rewards.episodes.key_model import KeyModel

GOOD = ("drives on", "arrives", "drives safely on", "keeps its lane")
BAD = ("crashes", "leaves the road", "crashes into a car", "stands on the rails")


class Plain(Reward):
    """The column `r`."""

    name = "plain"
    needs = ("r",)
    bounds = (-1.0, 1.0)

    def score(self, **columns: Any) -> RewardOutput:
        return RewardOutput(columns["r"])


def opinion(questions: Sequence[str]) -> dict[str, float | str]:
    """1 for good events, 0 for bad ones, of two the better; of anything else it has none."""
    return {one: judged(one) for one in questions}


def judged(question: str) -> float | str:
    if question.startswith("{"):
        pair = json.loads(question)
        first, second = (judged(pair[name]) for name in ("first", "second"))
        if isinstance(first, str) or isinstance(second, str):
            return "unknown words"
        return (1 + first - second) / 2
    return 1.0 if question in GOOD else 0.0 if question in BAD else "unknown words"


def columns(texts: Sequence[str], groups: Sequence[int] | None = None, first: int = 1) -> dict[str, Any]:
    rows = len(texts)
    return {
        "r": torch.linspace(-0.5, 0.5, rows),
        "event": list(texts),
        "group": torch.tensor(list(groups) if groups is not None else [0] * rows),
        "state": {"step": torch.arange(first, first + rows)},
    }


def trained(mode: str, rounds: int = 8, **settings: Any) -> Intrinsic:
    reward = Intrinsic(Plain(), opinion, mode=mode, decay=0.0, **settings)  # type: ignore[arg-type]
    for step in range(rounds):
        reward(**columns([*GOOD, *BAD]), step=step)
    return reward


class TestRetrieval:
    def test_the_formula(self) -> None:
        reward = Intrinsic(Plain(), opinion, weights=(2.0, 0.5), decay=0.5)
        batch = columns(["arrives", "crashes", "arrives", "arrives"], groups=[1, 1, 1, 2])
        output = reward(**batch, step=0)
        expected = 2 * batch["r"] + 0.5 * torch.tensor([1, 0, 2**-0.5, 1])
        torch.testing.assert_close(output.values, expected)
        assert output.parts["count"].tolist() == [1, 1, 2, 1]
        # What is logged is what is paid.
        torch.testing.assert_close(2 * output.parts["external"] + 0.5 * output.parts["intrinsic"], output.values)
        assert reward.bounds == (-2.0, 2.5)
        assert set(output.parts) == set(reward.part_names)

    def test_an_answer_that_is_none_is_nan_counted_and_told(self) -> None:
        reward = Intrinsic(Plain(), opinion)
        output = reward(**columns(["arrives", "sings", ""]), step=0)
        assert output.values.isnan().tolist() == [False, True, True]
        assert "unknown words" in output.info["label"][1]
        assert "no text" in output.info["label"][2]
        assert output.info["reason"] == output.info["label"]
        assert reward.queue.counts["failed"] == 1

    def test_zero_and_mean_are_for_those_who_ask(self) -> None:
        batch = columns(["arrives", "crashes", "sings"])
        for late, value in (("zero", 0.0), ("mean", 0.5)):
            output = Intrinsic(Plain(), opinion, weights=(0.0, 1.0), decay=0.0, late=late)(**batch, step=0)  # type: ignore[arg-type]
            assert output.values.tolist() == [1, 0, value]
            assert "unknown words" in output.info["label"][2]

    def test_without_a_step_nothing_is_asked_learnt_or_counted(self) -> None:
        asked: list[str] = []

        def annotator(questions: Sequence[str]) -> dict[str, float | str]:
            asked.extend(questions)
            return opinion(questions)

        reward = Intrinsic(Plain(), annotator)
        batch = columns(["arrives", "arrives"])
        assert reward(**batch).values.isnan().all()
        assert asked == []
        reward(**batch, step=0)
        for _ in range(2):
            assert reward(**columns(["arrives"], first=9)).parts["count"].tolist() == [1]

    def test_the_checker_passes(self) -> None:
        check_reward(trained("retrieve"), columns([*GOOD, *BAD]))
        check_reward(trained("classify"), columns([*GOOD, *BAD]))
        check_reward(trained("rank"), columns([*GOOD, *BAD]))


class TestCounts:
    def test_order_repetition_and_pieces_change_nothing(self) -> None:
        texts = ["arrives", "crashes", "arrives", "arrives", "crashes", "arrives"]
        batch = columns(texts, groups=[1, 1, 1, 2, 2, 1])
        whole = Intrinsic(Plain(), opinion)(**batch, step=0)
        assert whole.parts["count"].tolist() == [1, 1, 2, 1, 1, 3]
        order = [5, 2, 0, 4, 3, 1]
        turned = Intrinsic(Plain(), opinion)(**take_rows(batch, order, 6), step=0)
        assert torch.equal(turned.values, whole.values[order])
        pieces = Intrinsic(Plain(), opinion)
        for step, rows in enumerate(([0, 1, 3], [2, 4, 5])):
            for _ in range(2):
                output = pieces(**take_rows(batch, rows, 6), step=step)
                assert torch.equal(output.values, whole.values[rows])

    def test_no_decay_needs_no_episode(self) -> None:
        reward = Intrinsic(Plain(), opinion, decay=0.0)
        assert reward.needs == ("r", "event")
        with pytest.raises(MissingColumn, match="group"):
            Intrinsic(Plain(), opinion)(r=torch.zeros(1), event=["arrives"], step=0)


class TestClassifier:
    def test_it_learns_the_labels_and_scores_new_words(self) -> None:
        reward = trained("classify", weights=(0.0, 1.0))
        values = reward(**columns([*GOOD, *BAD])).values
        assert values[:4].min() > 0.8
        assert values[4:].max() < 0.2
        new = reward(**columns(["keeps its lane and drives on", "leaves the road and crashes"])).values
        assert new[0] > 0.6 > 0.4 > new[1]

    def test_before_the_first_label_all_is_unknown(self) -> None:
        reward = Intrinsic(Plain(), opinion, mode="classify", decay=0.0)
        first = reward(**columns(list(GOOD)), step=0)
        assert first.values.isnan().all()
        assert first.info["label"] == ["not labelled yet"] * 4
        assert reward(**columns(list(GOOD)), step=1).values.isfinite().all()

    def test_a_step_is_scored_alike_however_often(self) -> None:
        reward = trained("classify", rounds=3)
        batch = columns([*GOOD, "arrives late"])
        one = reward(**batch, step=5).values
        assert torch.equal(reward(**batch, step=5).values, one)
        assert torch.equal(reward(**batch).values, one)

    def test_equal_seeds_learn_alike(self) -> None:
        values = [trained("classify", seed=seed)(**columns(list(BAD))).values for seed in (0, 0, 1)]
        assert torch.equal(values[0], values[1])
        assert not torch.equal(values[0], values[2])


class TestRanking:
    def test_it_pays_the_normalised_strength_of_the_better_half(self) -> None:
        reward = trained("rank", rounds=12, weights=(0.0, 1.0))
        output = reward(**columns([*GOOD, *BAD]))
        assert output.values[:4].min() > 0.3
        assert output.values[4:].max() == 0
        assert torch.equal(output.parts["intrinsic"], output.values)
        assert reward.bounds[1] == 3.0
        strengths = reward.model.scores(sorted([*GOOD, *BAD])).double()
        assert reward.centre == pytest.approx(float(strengths.mean()), abs=1e-6)

    def test_the_threshold(self) -> None:
        strict = trained("rank", rounds=12, weights=(0.0, 1.0), threshold=2.9)
        assert strict(**columns([*GOOD, *BAD])).values.max() == 0


class TestCheckpoints:
    @pytest.mark.parametrize("mode", ["retrieve", "classify", "rank"])
    def test_a_resumed_run_goes_on_as_if_nothing_had_been(self, mode: Any) -> None:
        def fresh() -> Intrinsic:
            return Intrinsic(Plain(), opinion, mode=mode, late="zero")

        def go(reward: Intrinsic, steps: range) -> list[float]:
            batches = (columns([*GOOD, *BAD], first=8 * step + 1) for step in steps)
            return [
                value
                for step, batch in zip(steps, batches, strict=True)
                for value in reward(**batch, step=step).values.tolist()
            ]

        straight = fresh()
        expected = go(straight, range(8))[32:]
        half = fresh()
        go(half, range(4))
        resumed = fresh()
        resumed.load_state_dict(pickle.loads(pickle.dumps(half.state_dict())))
        assert go(resumed, range(4, 8)) == expected
        assert go(pickle.loads(pickle.dumps(half)), range(4, 8)) == expected


def slow_queue(annotator: Callable[..., Any]) -> LabelQueue:
    return LabelQueue(annotator, batch=1, background=True)


def test_an_annotator_that_never_answers_stops_nobody() -> None:
    import threading

    never = threading.Event()

    def hang(questions: Sequence[str]) -> dict[str, float | str]:
        never.wait(5)
        return {}

    reward = Intrinsic(Plain(), slow_queue(hang), late="nan")
    for step in range(3):
        output = reward(**columns(["arrives"]), step=step)
        assert output.values.isnan().all()
        assert output.info["label"] == ["not labelled yet"]
    never.set()


@pytest.mark.parametrize(
    "options",
    [{"mode": "x"}, {"late": "x"}, {"decay": -1.0}, {"weights": (1.0, math.nan)}, {"threshold": 5.0}, {"steps": 0}],
)
def test_settings_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(RewardError):
        Intrinsic(Plain(), opinion, **options)


def test_what_describe_returns_must_be_text() -> None:
    with pytest.raises(RewardError, match="int"):
        Intrinsic(Plain(), opinion, describe=lambda column: [1])(**columns(["a"]), step=0)


class TestKeyModel:
    def test_a_tie_pulls_together(self) -> None:
        model = KeyModel()
        model.fit_pairs([("a b", "c d"), ("e", "f")], [0.5, 1.0], steps=100)
        one, two, three, four = model.scores(["a b", "c d", "e", "f"]).tolist()
        assert abs(one - two) < 0.1
        assert three - four > 1

    def test_nothing_to_learn_from_or_to_score(self) -> None:
        model = KeyModel()
        assert math.isnan(model.fit([], []))
        assert model.scores([]).shape == (0,)
        assert model.scores([""]).isfinite().all()
        with pytest.raises(RewardError):
            KeyModel(hidden=0)
