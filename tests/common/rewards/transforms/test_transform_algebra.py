"""Properties that every added transform and aggregation has, however it is set; their truth tables lie beside."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.rewards.base import Reward, take_rows
from common.rewards.check import check_reward
from common.rewards.ensemble import Baseline, Ensemble, MixedGrain
from common.rewards.episodes import CountDecay, DiscountedCredit, PotentialShaping, Scheduled, StepPenalty
from common.rewards.routing import Confidence, Route, SoftGate
from common.rewards.text import LengthIncentive, RepetitionPenalty, TokenF1
from common.rewards.transforms import (
    Above,
    Center,
    DeadBand,
    GroupLengthPenalty,
    GroupNormalize,
    GroupRank,
    RunningNormalize,
)
from tests.common.rewards.toy import Column

MAKERS: dict[str, Callable[[], Reward]] = {
    "route": lambda: Route("kind", {"open": Column("a"), "closed": Column("s", bounds=(-1, 1))}),
    "confidence": lambda: Confidence(Column("s", bounds=(-1, 1)), Column("b"), Column("a")),
    "soft_gate": lambda: SoftGate(Column("a"), Column("b"), 0.5, 0.2),
    "ensemble": lambda: Ensemble([Column("a"), Column("b")]),
    "pessimist": lambda: Ensemble([Column("a"), Column("b")], kappa=2.0),
    "mixed_grain": lambda: MixedGrain(Column("a"), TokenF1("colour"), {"completion": "items"}, 0.5),
    "baseline": lambda: Baseline(TokenF1("colour")),
    "center": lambda: Center(Column("s", bounds=(-1, 1)), 0.25),
    "above": lambda: Above(Column("s", bounds=(-1, 1)), 0.25),
    "dead_band": lambda: DeadBand(Column("s", bounds=(-1, 1)), 0.25),
    "running": lambda: RunningNormalize(Column("s", bounds=(-1, 1)), warmup=2),
    "scheduled": lambda: Scheduled(Column("s", bounds=(-1, 1)), (0, 2.0, -1.0, 10)),
    "shaping": lambda: PotentialShaping(Column("a"), {"a": "b"}, ends=("over",)),
    "step_penalty": lambda: StepPenalty(0.25, free=1),
    "length_incentive": lambda: LengthIncentive(3, cap=2.0),
    "repetition_penalty": lambda: RepetitionPenalty(2),
    "group_normalize": lambda: GroupNormalize(Column("s", bounds=(-1, 1))),
    "group_rank": lambda: GroupRank(Column("s", bounds=(-1, 1))),
    "group_length": lambda: GroupLengthPenalty(Column("a")),
    "count_decay": lambda: CountDecay(Column("a"), place="place"),
    "credit": lambda: DiscountedCredit(Column("s", bounds=(-1, 1)), 0.5, place="place", ends=("over",)),
}
#: A value of these depends on other rows, by design, and they say so by `needs`.
GROUPED = {name for name, make in MAKERS.items() if "group" in make().needs}

each = pytest.mark.parametrize("name", MAKERS)
single = pytest.mark.parametrize("name", sorted(set(MAKERS) - GROUPED))
grades = st.one_of(st.just(math.nan), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32))
words = st.sampled_from(["", "red", "red blue", "blue blue blue blue", "東京"])


@st.composite
def batches(draw: st.DrawFn, least: int = 1, grade: st.SearchStrategy[float] = grades) -> dict[str, Any]:
    size = draw(st.integers(least, 6))

    def column(of: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(of, min_size=size, max_size=size))

    group = sorted(column(st.integers(0, 2)))
    place = [row - group.index(number) for row, number in enumerate(group)]
    return {
        "completion": column(words),
        "greedy": column(words),
        "colour": column(st.sampled_from(["red", "blue", "red blue"])),
        "items": column(st.lists(words, max_size=3)),
        "kind": column(st.sampled_from(["open", "closed"])),
        "a": column(grade),
        "b": column(grade),
        "s": [2 * one - 1 for one in column(grade)],
        "steps": column(st.integers(0, 9)),
        "completion_ids": column(st.lists(st.integers(0, 2), max_size=6)),
        "event": column(st.sampled_from(["crash", "turn"])),
        "group": torch.tensor(group),
        "place": torch.tensor(place),
        "over": torch.tensor([row + 1 == size or group[row + 1] != group[row] for row in range(size)]),
        "step": draw(st.integers(0, 20)),
    }


def same(left: torch.Tensor, right: torch.Tensor) -> bool:
    return torch.allclose(left, right, atol=1e-5, equal_nan=True)


@each
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_bounds_shapes_repeating_and_pickling(name: str, data: st.DataObject) -> None:
    reward, batch = MAKERS[name](), data.draw(batches())
    output = reward(**batch)
    size = len(batch["completion"])
    low, high = reward.bounds
    slack = 1e-5 * max(1.0, abs(low), abs(high))
    known = output.values[~output.values.isnan()]
    assert ((known >= low - slack) & (known <= high + slack)).all()
    assert output.values.shape == (size,)
    assert all(part.shape == (size,) for part in output.parts.values())
    twin = pickle.loads(pickle.dumps(reward))
    assert same(reward(**batch).values, output.values)
    assert same(twin(**batch).values, output.values)
    assert (twin.bounds, twin.needs, twin.part_names) == (reward.bounds, reward.needs, reward.part_names)


@single
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_order_and_company_do_not_matter(name: str, data: st.DataObject) -> None:
    reward, batch = MAKERS[name](), data.draw(batches(least=2))
    size = len(batch["completion"])
    whole = reward(**batch)
    order = data.draw(st.permutations(range(size)))
    assert same(reward(**take_rows(batch, order, size)).values, whole.values[list(order)])
    row = data.draw(st.integers(0, size - 1))
    alone = reward(**take_rows(batch, [row], size))
    assert same(alone.values, whole.values[[row]])
    assert set(alone.parts) == set(whole.parts)


@pytest.mark.parametrize("name", sorted(GROUPED))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_group_does_not_depend_on_others_nor_on_order(name: str, data: st.DataObject) -> None:
    reward, batch = MAKERS[name](), data.draw(batches(least=2))
    size = len(batch["completion"])
    whole = reward(**batch).values
    order = data.draw(st.permutations(range(size)))
    assert same(reward(**take_rows(batch, order, size)).values, whole[list(order)])
    number = int(batch["group"][0])
    rows = (batch["group"] == number).nonzero().flatten().tolist()
    assert same(reward(**take_rows(batch, rows, size)).values, whole[rows])


@each
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_nan_comes_from_a_failed_grader_only(name: str, data: st.DataObject) -> None:
    batch = data.draw(batches(grade=st.floats(0, 1, width=32)))
    assert not MAKERS[name]()(**batch).values.isnan().any()


@pytest.mark.parametrize("name", ["center", "above", "dead_band", "running", "scheduled", "group_normalize"])
def test_a_failed_grader_stays_nan_and_harms_nobody(name: str) -> None:
    size = 4
    batch = {"completion": ["x"] * size, "s": [0.5, math.nan, -0.5, 0.9], "group": torch.zeros(size), "step": 3}
    values = MAKERS[name]()(**batch).values
    assert values.isnan().tolist() == [False, True, False, False]
    others = MAKERS[name]()(**take_rows(batch, [0, 2, 3], size)).values
    assert same(others, values[[0, 2, 3]])


@each
def test_the_checker_passes_it(name: str) -> None:
    batch = {
        "completion": ["red", "blue red", "a red bus", "red blue blue"],
        "greedy": ["red", "red", "blue", "blue"],
        "colour": ["red", "blue", "red", "blue"],
        "items": [["red"], ["blue", "red"], [], ["bus"]],
        "kind": ["open", "closed", "open", "closed"],
        "a": [0.2, 0.9, 0.6, 1.0],
        "b": [0.1, 0.8, 0.5, 0.4],
        "s": [-0.5, 0.5, 0.1, 0.9],
        "steps": [0, 3, 5, 1],
        "completion_ids": [[1, 2], [1, 2, 1, 2], [3], [4, 4, 4]],
        "event": ["crash", "turn", "turn", "crash"],
        "group": torch.tensor([0, 0, 1, 1]),
        "place": torch.tensor([0, 1, 0, 1]),
        "over": torch.tensor([False, True, False, True]),
        "step": 4,
    }
    check_reward(MAKERS[name](), batch)
