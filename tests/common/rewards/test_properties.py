"""Properties that hold for every composition, however it is nested."""

from __future__ import annotations

import math
import pickle
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.rewards.base import Reward, take_rows
from common.rewards.compose import Gate, Product, WeightedSum
from common.rewards.max_over import MaxOver
from common.rewards.text import (
    Anls,
    ChartMatch,
    EncoderSimilarity,
    ExactMatch,
    LengthWindow,
    NumericMatch,
    Repetition,
    StrictTags,
    TemplateFormat,
    TokenF1,
)
from common.rewards.transforms import Affine, Cached, Clip, Rescale
from tests.common.rewards.toy import Column

COLUMNS = ("a", "b", "c")
WORDS = ("", "red", "blue", "<answer>red</answer>", "red blue red", "東京", "\x00")

numbers = st.one_of(st.just(math.nan), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32))
weights = st.one_of(st.just(0.0), st.floats(-2, 3))
factors = st.floats(0.1, 3)


def leaves() -> st.SearchStrategy[Reward]:
    return st.one_of(
        st.sampled_from(COLUMNS).map(lambda name: Column(name, detail=name == "a")),
        st.sampled_from([ExactMatch(), TokenF1(), EncoderSimilarity("hash"), TemplateFormat(["answer"])]),
        st.sampled_from([Anls(), ChartMatch()]),
        st.sampled_from([NumericMatch(), StrictTags(["answer"]), LengthWindow(2, softness=1.0), Repetition(1)]),
    )


def grown(children: st.SearchStrategy[Reward]) -> st.SearchStrategy[Reward]:
    several = st.lists(children, min_size=1, max_size=3)
    # Only what starts at 0 or above can be a factor: a clip and a shift bring any reward there.
    positive = children.map(lambda one: Affine(one, 1.0, max(0.0, -one.bounds[0]), name="lifted"))
    return st.one_of(
        st.lists(st.tuples(children, weights), min_size=1, max_size=3).map(WeightedSum),
        st.lists(positive, min_size=1, max_size=3).map(Product),
        st.builds(
            lambda gate, inner, at: Gate(gate, inner, gate.bounds[0] + at * (gate.bounds[1] - gate.bounds[0])),
            positive,
            positive,
            st.floats(0, 1),
        ),
        st.builds(lambda one, scale, shift: Affine(one, scale, shift), children, st.floats(-2, 2), st.floats(-1, 1)),
        st.builds(lambda one, low, width: Clip(one, low, low + width), children, st.floats(-1, 1), factors),
        st.builds(lambda one, low, width: Rescale(one, low, low + width), children, st.floats(-1, 1), factors),
        children.map(Cached),
        children.map(lambda one: MaxOver(one, tag="answer")),
        several.map(sum),
    )


rewards = st.recursive(leaves(), grown, max_leaves=6)


@st.composite
def batches(draw: st.DrawFn, least: int = 1) -> dict[str, list[Any]]:
    size = draw(st.integers(least, 6))
    texts = st.lists(st.sampled_from(WORDS), min_size=size, max_size=size)
    scores = st.lists(numbers, min_size=size, max_size=size)
    return {"completion": draw(texts), "reference": draw(texts), **{name: draw(scores) for name in COLUMNS}}


def same(left: torch.Tensor, right: torch.Tensor) -> bool:
    return torch.allclose(left, right, atol=1e-5, equal_nan=True)


@settings(max_examples=150, deadline=None)
@given(rewards, batches())
def test_values_stay_within_bounds_and_shapes_hold(reward: Reward, batch: dict[str, list[Any]]) -> None:
    output = reward(**batch)
    size = len(batch["completion"])
    low, high = reward.bounds
    known = output.values[~output.values.isnan()]
    slack = 1e-5 * max(1.0, abs(low), abs(high))
    assert ((known >= low - slack) & (known <= high + slack)).all()
    assert output.values.shape == (size,)
    assert output.values.dtype == torch.float32
    assert all(part.shape == (size,) for part in output.parts.values())
    assert all(len(texts) == size for texts in output.info.values())


@settings(max_examples=100, deadline=None)
@given(rewards, batches(least=2), st.data())
def test_order_and_company_do_not_matter(reward: Reward, batch: dict[str, list[Any]], data: st.DataObject) -> None:
    size = len(batch["completion"])
    whole = reward(**batch)
    order = data.draw(st.permutations(range(size)))
    assert same(reward(**take_rows(batch, order, size)).values, whole.values[list(order)])
    row = data.draw(st.integers(0, size - 1))
    alone = reward(**take_rows(batch, [row], size))
    assert same(alone.values, whole.values[[row]])
    assert set(alone.parts) == set(whole.parts)
    others = data.draw(batches(least=size))
    changed = {name: [*column[:row], batch[name][row], *column[row + 1 : size]] for name, column in others.items()}
    assert same(reward(**changed).values[[row]], whole.values[[row]])


@settings(max_examples=75, deadline=None)
@given(rewards, batches())
def test_pickling_and_repeating_change_nothing(reward: Reward, batch: dict[str, list[Any]]) -> None:
    twin = pickle.loads(pickle.dumps(reward))
    first, again, copied = reward(**batch), reward(**batch), twin(**batch)
    assert same(first.values, again.values)
    assert same(first.values, copied.values)
    assert list(first.parts) == list(copied.parts)
    assert (twin.bounds, twin.needs, twin.part_names) == (reward.bounds, reward.needs, reward.part_names)


@settings(max_examples=100, deadline=None)
@given(rewards, batches())
def test_nan_comes_from_a_failed_grader_only(reward: Reward, batch: dict[str, list[Any]]) -> None:
    """With every grade and reference at hand nothing is NaN, whatever the policy wrote."""
    healthy = {name: [0.5 if one != one else one for one in column] for name, column in batch.items()}
    healthy["reference"] = [text or "red" for text in batch["reference"]]
    assert not reward(**healthy).values.isnan().any()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(COLUMNS), st.floats(0.1, 3)), min_size=1, max_size=4), batches())
def test_a_sum_is_nan_exactly_where_all_parts_are(
    chosen: list[tuple[str, float]], batch: dict[str, list[Any]]
) -> None:
    reward = WeightedSum([(Column(name), weight) for name, weight in chosen])
    output = reward(**batch)
    missing = torch.stack(list(output.parts.values())).isnan().all(0)
    assert output.values.isnan().tolist() == missing.tolist()
