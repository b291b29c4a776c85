"""The adapter called as trl calls it: the same column objects for every function, helpers beside the columns."""

from __future__ import annotations

import math
import pickle
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from common.errors import GraderFailure, MissingColumn, RewardError
from common.rewards.adapters.trl import FAILED_CALLS, groups_of, text_of, to_trl
from common.rewards.base import Reward, RewardOutput
from common.rewards.compose import Gate, WeightedSum
from tests.common.rewards.toy import Column

NAN = math.nan


class Trl:
    """Calls reward functions the way `GRPOTrainer._calculate_rewards` does."""

    def __init__(self, reward: Reward, **options: Any) -> None:
        self.functions, self.weights = to_trl(reward, **options)
        self.metrics: dict[str, list[float]] = defaultdict(list)
        self.extra: dict[str, list[Any]] = defaultdict(list)

    def __call__(self, completions: list[Any] | None = None, prompts: list[Any] | None = None, **columns: Any) -> Any:
        size = len(next(iter(columns.values())))
        completions = [f"text {row}" for row in range(size)] if completions is None else completions
        prompts = ["same"] * size if prompts is None else prompts
        helpers = {
            "completion_ids": [[1]] * len(completions),
            "trainer_state": SimpleNamespace(global_step=3),
            "log_extra": lambda name, values: self.extra[name].extend(values),
            "log_metric": lambda name, value: self.metrics[name].append(value),
        }
        results = [
            function(prompts=prompts, completions=completions, **columns, **helpers) for function in self.functions
        ]
        return {function.__name__: result for function, result in zip(self.functions, results, strict=True)}


class TestFlattening:
    def test_a_sum_becomes_its_parts(self) -> None:
        trl = Trl(WeightedSum({"x": (Column("a"), 0.7), "y": (Column("b"), 0.3)}))
        assert trl.weights == [0.7, 0.3]
        assert trl(a=[1.0, 0.5], b=[0.0, 1.0]) == {"x": [1.0, 0.5], "y": [0.0, 1.0]}

    def test_anything_else_is_one_function(self) -> None:
        trl = Trl(Column("a") * Column("b"))
        assert trl.weights == [1.0]
        assert trl(a=[1.0, 0.5], b=[0.5, 0.5]) == {"product": [0.5, 0.25]}

    def test_two_of_a_kind_get_different_names(self) -> None:
        functions, _ = to_trl(Column("a", name="x") + Column("b", name="x"))
        assert [function.__name__ for function in functions] == ["x", "x_2"]

    def test_weighted_functions_sum_to_the_rewards_own_values(self) -> None:
        reward = WeightedSum({"x": (Column("a"), 0.7), "y": (Column("b"), -0.3), "z": (Column("c"), 0.0)})
        trl = Trl(reward)
        columns = {"a": [0.1, 0.9, 0.4], "b": [0.3, 0.2, 1.0], "c": [1.0, 0.0, 0.5]}
        results = trl(**columns)
        totals = [
            sum(weight * results[name][row] for weight, name in zip(trl.weights, results, strict=True))
            for row in range(3)
        ]
        assert totals == pytest.approx(reward(completion=["x"] * 3, **columns).values.tolist())

    def test_modules_and_strangers_are_refused(self) -> None:
        for stranger in (nn.Linear(1, 1), len, "some/model"):
            with pytest.raises(RewardError, match="plain Reward"):
                to_trl(stranger)  # type: ignore[arg-type]
        with pytest.raises(RewardError, match="aggregation"):
            to_trl(Column("a"), aggregation="sum")  # type: ignore[arg-type]


class TestSharedScoring:
    def test_one_batch_is_scored_once_for_all_functions(self) -> None:
        one, two = Column("a"), Column("b")
        trl = Trl(one + two)
        trl(a=[1.0], b=[1.0])
        trl(a=[1.0], b=[1.0])
        assert one.calls == two.calls == [1, 1]

    def test_an_equal_looking_new_batch_is_scored_anew(self) -> None:
        functions, _ = to_trl(Column("a") + Column("b"))
        completions, prompts = ["x"], ["p"]
        first = functions[0](prompts=prompts, completions=completions, a=[0.25], b=[0.5])
        second = functions[1](prompts=prompts, completions=completions, a=[0.25], b=[0.75])
        assert (first, second) == ([0.25], [0.75])

    def test_the_same_function_called_twice_scores_twice(self) -> None:
        functions, _ = to_trl(Column("a") + Column("b"))
        columns: dict[str, Any] = {"prompts": ["p"], "completions": ["x"], "a": [0.25], "b": [0.5]}
        assert functions[0](**columns) == [0.25]
        columns["a"][0] = 0.75
        assert functions[0](**columns) == [0.75]

    def test_a_batch_that_failed_to_score_is_scored_again(self) -> None:
        functions, _ = to_trl(Column("a") + Column("b"))
        columns: dict[str, Any] = {"prompts": ["p"], "completions": ["x"], "a": [0.25], "b": ["not a number"]}
        for _ in range(2):
            with pytest.raises(ValueError, match="not a number"):
                functions[0](**columns)
        columns["b"][0] = 0.5
        assert [function(**columns) for function in functions] == [[0.25], [0.5]]

    def test_functions_pickle_together_and_still_share(self) -> None:
        functions, _ = to_trl(Column("a") + Column("b"))
        prompts, completions, columns = ["p"], ["x"], {"a": [0.25], "b": [0.5]}
        functions[0](prompts=prompts, completions=completions, **columns)
        twins = pickle.loads(pickle.dumps(functions))
        assert [twin.__name__ for twin in twins] == ["a", "b"]
        assert [twin(prompts=prompts, completions=completions, **columns) for twin in twins] == [[0.25], [0.5]]
        assert twins[0].scorer is twins[1].scorer
        assert twins[0].scorer.parts["a"].calls == [1, 1]


class TestFailures:
    def test_in_a_sum_a_row_with_a_missing_part_is_left_out_as_a_whole(self) -> None:
        trl = Trl(WeightedSum({"x": (Column("a"), 0.7), "y": (Column("b"), 0.3), "shown": (Column("c"), 0.0)}))
        assert trl(a=[1.0, NAN, 1.0], b=[1.0, 1.0, 1.0], c=[1.0, 1.0, NAN]) == {
            "x": [1.0, None, 1.0],
            "y": [1.0, None, 1.0],
            # Were it not None too, trl would take the row for one that scored 0.
            "shown": [1.0, None, None],
        }

    def test_in_gdpo_only_the_missing_part_is_left_out(self) -> None:
        trl = Trl(
            WeightedSum({"x": (Column("a"), 0.7), "y": (Column("b"), 0.3), "shown": (Column("c"), 0.0)}),
            aggregation="normalize_then_sum",
        )
        assert trl(a=[NAN, NAN], b=[1.0, NAN], c=[1.0, 1.0]) == {
            "x": [None, None],
            "y": [1.0, None],
            "shown": [1.0, None],
        }

    @pytest.mark.parametrize("value", [math.inf, -math.inf, NAN])
    def test_what_is_no_number_is_none(self, value: float) -> None:
        assert Trl(Column("a"))(a=[value, 0.5]) == {"a": [None, 0.5]}

    def test_callers_faults_raise(self) -> None:
        trl = Trl(Column("a") + Column("b"))
        with pytest.raises(RewardError, match="length"):
            trl(a=[1.0, 1.0], b=[1.0])
        with pytest.raises(MissingColumn):
            trl(a=[1.0])
        with pytest.raises(RewardError, match="prompts"):
            trl(a=[1.0], b=[1.0], prompts=["p", "q"])
        with pytest.raises(RewardError, match="length"):
            trl(a=[1.0], b=[1.0], prompts=["p", "q"], completions=["x", "y"])

    def test_a_reward_that_returns_another_number_of_rows_raises(self) -> None:
        class Short(Column):
            def score(self, **columns: Any) -> RewardOutput:
                return RewardOutput(torch.zeros(1))

        with pytest.raises(RewardError, match="shape"):
            Trl(Short("a"))(a=[1.0, 1.0])

    def test_too_many_failures_stop_the_run_and_say_why(self) -> None:
        trl = Trl(WeightedSum({"exam": (Column("a"), 1.0), "judge": (Column("b", texts=True), 1.0)}))
        columns = {"a": [1.0] * 4, "b": [1.0, 1.0, 1.0, NAN]}
        for _ in range(FAILED_CALLS - 1):
            trl(**columns)
        with pytest.raises(GraderFailure, match=r"5 of 20 rows \(25%\).*judge 5.*no grade"):
            trl(**columns)

    def test_a_fifth_of_failures_is_endured(self) -> None:
        trl = Trl(Column("a"))
        for _ in range(4 * FAILED_CALLS):
            trl(a=[NAN, 1.0, 1.0, 1.0, 1.0])

    def test_an_outage_that_passes_is_endured(self) -> None:
        trl = Trl(Column("a"))
        for bad in (True, False, False, False, False) * 4:
            trl(a=[NAN if bad else 1.0, 1.0])

    def test_parts_of_weight_zero_stop_nothing(self) -> None:
        trl = Trl(WeightedSum({"x": (Column("a"), 1.0), "shown": (Column("b"), 0.0)}))
        for _ in range(2 * FAILED_CALLS):
            trl(a=[1.0], b=[NAN])


class TestColumns:
    def test_conversational_completions_are_unwrapped_and_prompts_passed(self) -> None:
        class Echo(Reward):
            name = "echo"
            needs = ("completion", "prompt", "step", "group")

            def score(self, **columns: Any) -> RewardOutput:
                self.seen = columns
                return RewardOutput(torch.zeros(len(columns["completion"])))

        echo = Echo()
        prompts = [[{"role": "user", "content": text}] for text in ("p", "p", "q", "q")]
        completions = [[{"role": "assistant", "content": text}] for text in "abcd"]
        Trl(echo)(prompts=prompts, completions=completions, extra=[1, 2, 3, 4])
        assert echo.seen["completion"] == ["a", "b", "c", "d"]
        assert echo.seen["prompt"] == prompts
        assert echo.seen["step"] == 3
        assert echo.seen["group"].tolist() == [0, 0, 1, 1]
        assert not {"prompts", "completions", "trainer_state", "log_metric", "log_extra"} & set(echo.seen)

    @pytest.mark.parametrize(
        ("completion", "text"),
        [
            ("plain", "plain"),
            ([{"role": "assistant", "content": "one"}], "one"),
            ([{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], "ab"),
            (
                [
                    {"role": "assistant", "content": None, "tool_calls": []},
                    {"role": "tool", "content": "42"},
                    {"role": "assistant", "content": "so 42"},
                ],
                "so 42",
            ),
            ([{"role": "assistant", "content": None}], ""),
            ([], ""),
        ],
    )
    def test_text_of(self, completion: Any, text: str) -> None:
        assert text_of(completion) == text

    def test_other_completions_raise(self) -> None:
        with pytest.raises(RewardError, match="completion must be"):
            text_of(3)

    def test_a_split_group_raises(self) -> None:
        assert groups_of(["p", "p", "q", "q", "p", "p"]).tolist() == [0, 0, 1, 1, 2, 2]
        with pytest.raises(RewardError, match="split across processes"):
            groups_of(["p", "q", "q", "q"])


class TestLogging:
    def test_parts_are_logged_under_the_same_names_whether_a_gate_opens_or_not(self) -> None:
        gate = Gate(Column("a"), Column("b", detail=True, texts=True), 0.5)
        trl = Trl(WeightedSum({"gated": (gate, 1.0), "c": (Column("c"), 1.0)}))
        trl(a=[0.0, 0.0], b=[1.0, 1.0], c=[1.0, NAN])
        trl(a=[1.0, 0.0], b=[0.5, 1.0], c=[1.0, 1.0])
        assert set(trl.metrics) == {
            "reward/gated/failed",
            "reward/gated/a",
            "reward/gated/b",
            "reward/gated/b.half",
            "reward/c/failed",
        }
        assert all(len(values) == 2 for values in trl.metrics.values())
        assert trl.metrics["reward/c/failed"] == [0.5, 0.0]
        assert trl.metrics["reward/gated/b"][1] == 0.5
        # trl's table needs columns of equal length.
        assert {len(values) for values in trl.extra.values()} == {4}
        assert trl.extra["gated/closed"][1] == "a is 0, below 0.5"

    def test_changing_parts_raise(self) -> None:
        class Moody(Column):
            def score(self, **columns: Any) -> RewardOutput:
                output = super().score(**columns)
                return RewardOutput(output.values, {f"p{len(self.calls)}": output.values})

        trl = Trl(Moody("a"))
        trl(a=[1.0])
        with pytest.raises(RewardError, match="stay the same"):
            trl(a=[1.0])
