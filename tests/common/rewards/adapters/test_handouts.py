"""The adapters for verl, ms-swift and OpenRLHF, called as those call them (read at 0.9.1, 4.6.0 and 0.11.2)."""

from __future__ import annotations

import importlib.util
import inspect
import json
import math
import pickle
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from common.errors import GraderFailure, MissingColumn, RewardError
from common.rewards.adapters.filling import FAILED_ROWS, FillingScorer
from common.rewards.adapters.openrlhf import to_openrlhf
from common.rewards.adapters.swift import to_swift
from common.rewards.adapters.verl import to_verl
from common.rewards.base import Reward, RewardOutput
from common.rewards.text import ExactMatch, TokenF1
from tests.common.rewards.toy import Column

NAN = math.nan
REWARD = 0.5 * ExactMatch() + 0.5 * TokenF1()
EXAMPLES = Path(__file__).parents[4] / "examples"


def from_file(path: Path, name: str) -> Any:
    """What all three do with a file of the user's: load it under a name that nothing else can import."""
    spec = importlib.util.spec_from_file_location(f"custom_module_{hash(str(path))}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def verl_rows(compute: Any, rows: list[dict[str, Any]], **reward_kwargs: Any) -> tuple[torch.Tensor, dict[str, Any]]:
    """verl's reward loop: single rows from threads, keyword arguments, a dictionary whose keys the first row sets."""
    assert not inspect.iscoroutinefunction(compute)
    call = partial(lambda function, more, **given: function(**{**given, **more}), compute, reward_kwargs)

    def one(row: dict[str, Any]) -> Any:
        extra = {**row.get("extra_info", {}), "num_turns": None, "rollout_reward_scores": {}}
        return call(**{**row, "extra_info": extra})

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(one, rows))
    tensor = torch.zeros(len(rows))
    for row, result in enumerate(results):
        tensor[row] = result["score"]
    return tensor, {key: np.array([result[key] for result in results]) for key in results[0]}


def verl_batch(compute: Any, rows: list[dict[str, Any]]) -> tuple[torch.Tensor, dict[str, list[Any]]]:
    """verl's `batch` manager: numpy object arrays of sources and extra information, lists of the rest."""
    extras = np.array([{**row.get("extra_info", {}), "rollout_reward_scores": {}} for row in rows], dtype=object)
    results = compute(
        data_sources=np.array([row["data_source"] for row in rows], dtype=object),
        solution_strs=[row["solution_str"] for row in rows],
        ground_truths=[row["ground_truth"] for row in rows],
        extra_infos=extras,
    )
    told = defaultdict(list)
    for result in results:
        for key, value in result.items():
            told[key].append(value)
    return torch.tensor([result["score"] for result in results], dtype=torch.float32), dict(told)


def verl_row(solution: str, truth: Any, **extra: Any) -> dict[str, Any]:
    return {"data_source": "quiz", "solution_str": solution, "ground_truth": truth, "extra_info": extra}


def swift_rewards(
    reward_class: Any, completions: list[str], prompts: list[str], **columns: Any
) -> tuple[str, torch.Tensor]:
    """swift's `compute_rewards_per_func`: conversations that end with the completion, and the data set's columns."""
    function = reward_class(args=SimpleNamespace(num_generations=2))
    output = function(
        completions,
        trainer_state=SimpleNamespace(global_step=3),
        messages=[
            [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
            for prompt, completion in zip(prompts, completions, strict=True)
        ],
        finish_reason=["stop"] * len(completions),
        response_token_ids=[[1]] * len(completions),
        **columns,
    )
    output = [value if value is not None else NAN for value in output]
    return function.__class__.__name__, torch.tensor(output, dtype=torch.float32)


def openrlhf_row(function: Any, query: str, prompt: str, label: str) -> dict[str, torch.Tensor]:
    """OpenRLHF's executor and sample generator: lists of one row, each entry made a tensor of one number."""
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(function, [query], [prompt], [label]).result()
    info = {key: torch.tensor([value.flatten()[0].item()]) for key, value in (told.get("extra_logs") or {}).items()}
    return {"reward": torch.tensor([told["rewards"]]), "score": torch.tensor([told["scores"]]), **info}


def advantages(rewards: torch.Tensor, size: int) -> torch.Tensor:
    groups = rewards.view(-1, size)
    return (groups - groups.mean(1, keepdim=True)).flatten()


class TestVerl:
    def test_rows_and_batches_score_as_the_reward_itself(self) -> None:
        said, truth = ["Paris", "paris, France", "", "Rome"], ["Paris", "Paris", "Paris", "Oslo"]
        rows = [verl_row(one, other, index=row) for row, (one, other) in enumerate(zip(said, truth, strict=True))]
        expected = REWARD(completion=said, reference=truth)
        compute = pickle.loads(pickle.dumps(to_verl(REWARD)))
        alone, told = verl_rows(compute, rows, reward_router_address="host:1")
        together, told_together = verl_batch(compute, rows)
        assert alone.tolist() == together.tolist() == expected.values.tolist()
        assert set(told) == set(told_together) == {"score", "failed", *expected.parts}
        assert told["token_f1"].tolist() == pytest.approx(expected.parts["token_f1"].tolist())
        assert told["failed"].tolist() == [0, 0, 0, 0]

    def test_positional_arguments_work_too(self) -> None:
        assert to_verl(ExactMatch())("quiz", "Paris", "Paris", None)["score"] == 1.0  # type: ignore[call-overload]

    def test_columns_come_from_extra_info_and_from_a_dictionary_of_truths(self) -> None:
        class Seen(Column):
            def score(self, **columns: Any) -> RewardOutput:
                self.seen = columns
                return super().score(**columns)

        reward = Seen("a")
        verl_rows(to_verl(reward), [verl_row("x", {"a": 0.5, "b": 1}, question="why?")])
        assert reward.seen["question"] == ["why?"]
        assert reward.seen["b"] == [1]
        assert reward.seen["data_source"] == ["quiz"]
        scores, _ = verl_rows(to_verl(Column("a"), columns={"a": "ground_truth"}), [verl_row("x", 0.25)])
        assert scores.tolist() == [0.25]
        with pytest.raises(MissingColumn):
            to_verl(Column("a"))(**verl_row("x", 1.0))

    def test_in_a_batch_the_group_speaks_for_a_row_that_could_not_be_scored(self) -> None:
        values = [1.0, NAN, 0.0, 0.0, 0.0, NAN, NAN, NAN]
        rows = [verl_row("x", "same", a=value, index=row // 4) for row, value in enumerate(values)]
        scores, told = verl_batch(to_verl(Column("a")), rows)
        assert scores.tolist() == pytest.approx([1, 1 / 3, 0, 0, 0, 0, 0, 0])
        assert told["failed"] == [0, 1, 0, 0, 0, 1, 1, 1]
        assert advantages(scores, 4)[1] == pytest.approx(0)
        assert advantages(scores, 4)[4:].tolist() == [0] * 4

    def test_a_group_without_any_score_gets_no_advantage(self) -> None:
        rows = [verl_row("x", "same", a=value, index=row // 2) for row, value in enumerate([NAN, NAN, 1.0, 0.5])]
        scores, _ = verl_batch(to_verl(Column("a")), rows)
        assert scores.tolist() == [0.75, 0.75, 1, 0.5]

    def test_a_row_alone_that_could_not_be_scored_raises_and_says_why(self) -> None:
        compute = to_verl(Column("a", texts=True))
        with pytest.raises(GraderFailure, match=r"row 0 of 1 \(no grade\).*missing=NUMBER"):
            verl_rows(compute, [verl_row("x", "y", a=NAN)])

    def test_a_number_stands_for_it_only_where_the_user_says_so(self) -> None:
        scores, told = verl_rows(to_verl(Column("a"), missing=0.5), [verl_row("x", "y", a=NAN)])
        assert scores.tolist() == [0.5]
        assert told["failed"].tolist() == [1]


class TestSwift:
    def test_scores_as_the_reward_itself_under_its_name(self) -> None:
        name, values = swift_rewards(
            to_swift(REWARD, columns={"reference": "solution"}), ["Paris", "Rome"], ["p", "p"], solution=["Paris"] * 2
        )
        assert name == REWARD.name
        assert values.tolist() == REWARD(completion=["Paris", "Rome"], reference=["Paris"] * 2).values.tolist()

    def test_the_signature_is_an_orms(self) -> None:
        made = to_swift(ExactMatch())
        assert inspect.isclass(made)
        assert not inspect.iscoroutinefunction(made().__call__)
        assert not isinstance(made(), nn.Module)
        made(args=None, accuracy_orm=None)

    @pytest.mark.parametrize("ids", [None, ["one", "one", "two", "two"]])
    def test_a_missing_value_becomes_its_groups_mean_and_never_none(self, ids: list[str] | None) -> None:
        columns: dict[str, Any] = {} if ids is None else {"prompt_id": ids}
        _, values = swift_rewards(
            to_swift(Column("a")), ["1", "2", "3", "4"], ["p", "p", "q", "q"], a=[NAN, 1.0, 0.0, math.inf], **columns
        )
        assert values.tolist() == [1.0, 1.0, 0.0, 0.0]

    def test_objects_pickle_and_keep_their_count_of_failures(self) -> None:
        function = to_swift(Column("a"))(args=object())
        function(["x", "y"], a=[NAN, 0.5])
        twin = pickle.loads(pickle.dumps(function))
        assert type(twin).__name__ == "a"
        assert list(twin.scorer.failures) == [True, False]
        assert twin(["x"], a=[0.25]) == [0.25]

    def test_the_step_is_passed_on(self) -> None:
        class Step(Reward):
            name = "at"
            needs = ("completion", "step")

            def score(self, **columns: Any) -> RewardOutput:
                return RewardOutput(torch.full((len(columns["completion"]),), float(columns["step"])))

        assert swift_rewards(to_swift(Step()), ["x"], ["p"])[1].tolist() == [3.0]


class TestOpenRlhf:
    def test_scores_the_answer_without_prompt_and_special_tokens(self) -> None:
        prompt = "<|im_start|>user\nCapital?<|im_end|>\n<|im_start|>assistant\n"
        function = pickle.loads(pickle.dumps(to_openrlhf(REWARD)))
        told = openrlhf_row(function, "<s>" + prompt + "Paris<|im_end|><|endoftext|>", prompt, "Paris")
        assert told["reward"].tolist() == told["score"].tolist() == [1.0]
        assert told["exact_match"].tolist() == [1.0]
        assert told["failed"].tolist() == [0.0]

    def test_keywords_beyond_the_documented_ones_are_taken(self) -> None:
        told = to_openrlhf(ExactMatch())(queries=["pA"], prompts=["p"], labels=["A"], images=[None])
        assert told["rewards"].shape == (1,)

    def test_scores_lie_in_the_unit_interval_whatever_the_bounds(self) -> None:
        function = to_openrlhf(Column("label", bounds=(-1.0, 3.0)))
        told = function(["p1", "p2"], ["p", "p"], [-1.0, 3.0])
        assert told["rewards"].tolist() == [-1.0, 3.0]
        assert told["scores"].tolist() == [0.0, 1.0]
        unbounded = to_openrlhf(Column("label", bounds=(-math.inf, math.inf)))
        assert unbounded(["p1"], ["p"], [7.0])["scores"].tolist() == [7.0]

    def test_a_failed_row_gets_its_groups_mean_and_a_score_that_filters_its_group_out(self) -> None:
        told = to_openrlhf(Column("label"))(["p1", "p2", "q3"], ["p", "p", "q"], [1.0, NAN, 0.0])
        assert told["rewards"].tolist() == [1.0, 1.0, 0.0]
        assert told["scores"].isnan().tolist() == [False, True, False]
        assert not 0 < told["scores"][:2].mean() < 1
        with pytest.raises(GraderFailure):
            openrlhf_row(to_openrlhf(Column("label")), "p1", "p", NAN)  # type: ignore[arg-type]
        told = openrlhf_row(to_openrlhf(Column("label"), missing=0.5), "p1", "p", NAN)  # type: ignore[arg-type]
        assert told["reward"].tolist() == [0.5]

    def test_a_prompt_that_was_cut_short_raises(self) -> None:
        with pytest.raises(RewardError, match="cut short"):
            to_openrlhf(ExactMatch())(["mpt answer"], ["prompt"], ["answer"])


class TestFilling:
    @given(st.lists(st.tuples(st.sampled_from([NAN, 0.0, 0.5, 1.0]), st.integers(0, 3)), min_size=1, max_size=16))
    def test_filled_rows_leave_every_groups_mean_where_it_was(self, rows: list[tuple[float, int]]) -> None:
        values, groups = [value for value, _ in rows], [group for _, group in rows]
        scorer = FillingScorer(Column("a"))
        if all(map(math.isnan, values)):
            with pytest.raises(GraderFailure):
                scorer({"completion": [""] * len(rows), "a": values}, groups)
            return
        filled = scorer({"completion": [""] * len(rows), "a": values}, groups)
        assert all(map(math.isfinite, filled.values))
        for group in set(groups):
            known = [value for value, other in rows if other == group and not math.isnan(value)]
            now = [value for value, other in zip(filled.values, groups, strict=True) if other == group]
            # Where nothing of a group was scored, its rows are equal: no advantage.
            assert math.fsum(now) / len(now) == pytest.approx(math.fsum(known) / len(known) if known else now[0])

    @pytest.mark.parametrize("missing", ["group", 0.5])
    def test_too_many_failures_stop_the_run(self, missing: Any) -> None:
        scorer = FillingScorer(Column("a", texts=True), missing=missing)
        columns = {"completion": [""] * 4, "a": [NAN, 1.0, 1.0, 1.0]}
        for _ in range(FAILED_ROWS // 4 - 1):
            scorer(columns, [0] * 4)
        with pytest.raises(GraderFailure, match=r"25 of the last 100 rows \(no grade\)"):
            scorer(columns, [0] * 4)
        scorer(columns, [0] * 4)

    def test_a_fifth_is_endured(self) -> None:
        scorer = FillingScorer(Column("a"))
        for _ in range(FAILED_ROWS):
            scorer({"completion": [""] * 5, "a": [NAN, 1.0, 1.0, 1.0, 1.0]}, [0] * 5)

    def test_strangers_and_unknown_choices_are_refused(self) -> None:
        for make in (to_verl, to_swift, to_openrlhf):
            for stranger in (nn.Linear(1, 1), len):
                with pytest.raises(RewardError, match="plain Reward"):
                    make(stranger)  # type: ignore[operator]
            for missing in ("zero", NAN):
                with pytest.raises(RewardError, match="missing"):
                    make(ExactMatch(), missing=missing)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("file", "name"),
    [("verl_reward.py", "compute_score"), ("swift_reward.py", "Orm"), ("openrlhf_reward.py", "reward_func")],
)
def test_the_examples_load_by_their_path(file: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    orms: dict[str, Any] = {}
    # swift itself is not installed: its register is all that its example needs of it.
    monkeypatch.setitem(sys.modules, "swift.rewards", SimpleNamespace(orms=orms))
    monkeypatch.setitem(sys.modules, "swift", SimpleNamespace())
    if file.startswith("swift"):
        from_file(EXAMPLES / file, "orms")
        (made,) = orms.values()
        assert swift_rewards(made, ["Paris"], ["p"], solution=["Paris"])[1].tolist() == [1.0]
        return
    function = from_file(EXAMPLES / file, name)
    if file.startswith("verl"):
        assert verl_rows(function, [verl_row("Paris", "Paris")])[0].tolist() == [1.0]
    else:
        assert openrlhf_row(function, "Capital? Paris<|im_end|>", "Capital? ", "Paris")["reward"].tolist() == [1.0]


def test_groups_are_told_apart_by_what_cannot_be_written_as_json_too() -> None:
    rows = [verl_row("x", {"a": value, "gold": {1, 2}}, index=np.int64(3)) for value in (1.0, NAN)]
    assert json.loads(json.dumps(verl_batch(to_verl(Column("a")), rows)[0].tolist())) == [1.0, 1.0]
