from __future__ import annotations

from typing import Any

import pytest
import torch

from common.errors import RewardError
from common.rewards.adapters.trl import to_trl
from common.rewards.compose import Product, WeightedSum
from common.rewards.state import KeepsState, StatefulSum, kept_state, stateful_parts, with_state
from common.rewards.transforms import Affine, HistoryQuantile, RunningNormalize
from common.training.callbacks import Shared, Stateful
from tests.common.rewards.toy import Column


def made() -> WeightedSum:
    quantile = HistoryQuantile(Column("a"), warmup=2)
    return WeightedSum({"plain": (Column("b"), 0.5), "deep": (Affine(quantile, 0.5, 0.1), 2.0)})


def batch(step: int) -> dict[str, Any]:
    return {"completion": ["x", "y"], "a": [0.1 * step, 0.9], "b": [0.0, 1.0], "step": step}


def test_state_is_found_wherever_it_lies() -> None:
    assert [path for path, _ in stateful_parts(made())] == ["deep.a"]
    assert not isinstance(made(), Stateful), "a plain sum does not look stateful, and is checked as such"


def test_a_trainer_finds_saves_and_restores_it() -> None:
    reward = with_state(made())
    assert isinstance(reward, Stateful)
    assert isinstance(reward, WeightedSum)
    for step in range(3):
        reward(**batch(step))
    state = reward.state_dict()
    expected = reward(**batch(3)).values
    twin = with_state(made())
    twin.load_state_dict(state)  # type: ignore[attr-defined]
    assert torch.equal(twin(**batch(3)).values, expected)
    assert not torch.equal(with_state(made())(**batch(3)).values, expected)


def test_values_weights_and_parts_are_the_sums() -> None:
    plain, kept = made(), with_state(made())
    assert kept.bounds == plain.bounds
    assert kept.name == plain.name
    assert torch.equal(plain(**batch(0)).values, kept(**batch(0)).values)
    assert to_trl(kept)[1] == [0.5, 2.0]


def test_state_of_another_reward_is_refused() -> None:
    reward = with_state(made())
    with pytest.raises(RewardError, match=r"deep\.a"):
        reward.load_state_dict({"other": {}})  # type: ignore[attr-defined]


def test_processes_share_what_they_saw() -> None:
    reward = with_state(made())
    assert isinstance(reward, StatefulSum)
    reward(**batch(0))
    reward.synchronise(lambda own: [own, own + 0.01])
    (_, part), *_ = stateful_parts(reward)
    assert len(part.seen) == 4


def test_nothing_is_wrapped_without_need() -> None:
    plain = WeightedSum([(Column("a"), 1.0)])
    assert with_state(plain) is plain
    own = HistoryQuantile(Column("a"))
    assert with_state(own) is own
    assert not isinstance(own, KeepsState)
    with pytest.raises(RewardError, match="sum"):
        with_state(Affine(HistoryQuantile(Column("a"))))


def test_a_product_keeps_state_too() -> None:
    reward = with_state(Product([HistoryQuantile(Column("a")), Column("b")], "both"))
    assert isinstance(reward, Stateful)
    assert reward.name == "both"
    assert set(reward.state_dict()) == {"a"}


def nested() -> HistoryQuantile:
    return HistoryQuantile(RunningNormalize(Column("a"), warmup=2), warmup=2)


@pytest.mark.parametrize("make", [made, nested, lambda: Affine(HistoryQuantile(Column("a"), warmup=2))])
def test_a_trainer_keeps_and_shares_the_state_of_any_composition(make: Any) -> None:
    reward, twin = make(), make()
    for step in range(3):
        reward(**batch(step))
    kept = kept_state(reward)
    assert isinstance(kept, Stateful)
    assert isinstance(kept, Shared)
    kept_state(twin).load_state_dict(kept.state_dict())
    assert torch.equal(twin(**batch(3)).values, reward(**batch(3)).values)
    assert all(len(part.pending) for _, part in stateful_parts(reward))
    kept.synchronise(lambda own: [own, own])
    assert not any(len(part.pending) for _, part in stateful_parts(reward))


def test_what_keeps_its_own_state_stands_for_itself() -> None:
    alone, whole = HistoryQuantile(Column("a")), with_state(made())
    assert kept_state(alone) is alone
    assert kept_state(whole) is whole
    assert kept_state(Column("a")) is None
