"""Re-scalers: monotone, blind to company and order, quiet about noise, and the same after a restart."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import RewardError, UsageError
from common.models.text import HashEncoder
from common.rewards.base import Reward
from common.rewards.check import check_reward
from common.rewards.text import EncoderSimilarity
from common.rewards.transforms.history import History, HistoryQuantile, HistorySigmoid
from common.rewards.transforms.rescale import (
    RESCALERS,
    AffineBaseline,
    GroupMinMax,
    Threshold,
    baseline,
    rescaler,
)
from tests.common.rewards.toy import Column

NAN = math.nan
TEXTS = ("a red apple", "the tax office", "seven tall ships")


def filled(make: Callable[..., History], past: list[float], noise: float = 0.0, **settings_: Any) -> History:
    """A history that has seen `past` in step 0 and stands in step 1."""
    reward = make(Column("a", bounds=(-1.0, 1.0)), noise=noise, warmup=1, **settings_)
    score(reward, past, step=0)
    score(reward, [], step=1)
    return reward


def score(reward: Reward, values: list[float], step: int | None = None, group: list[int] | None = None) -> list[float]:
    columns: dict[str, Any] = {"completion": ["x"] * len(values), "a": values}
    if step is not None:
        columns["step"] = step
    columns["group"] = torch.tensor([0] * len(values) if group is None else group)
    return reward(**columns).values.tolist()


def makers() -> list[tuple[str, Callable[[float], Reward]]]:
    """Every re-scaler of a plain column in [-1, 1], by the noise it is told about."""
    past = [0.80 + 0.002 * n for n in range(100)]
    return [
        ("affine", lambda noise: AffineBaseline(Column("a", bounds=(-1.0, 1.0)), low=0.8)),
        ("threshold", lambda noise: Threshold(Column("a", bounds=(-1.0, 1.0)), 0.8)),
        ("history_quantile", lambda noise: filled(HistoryQuantile, past, noise)),
        ("history_sigmoid", lambda noise: filled(HistorySigmoid, past, noise)),
        ("group_minmax", lambda noise: GroupMinMax(Column("a", bounds=(-1.0, 1.0)), noise)),
    ]


each = pytest.mark.parametrize("make", [make for _, make in makers()], ids=[name for name, _ in makers()])
cosines = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8)
noises = st.sampled_from([0.0, 0.02, 0.5])


@each
@settings(max_examples=60, deadline=None)
@given(cosines, noises)
def test_monotone_and_within_bounds(make: Callable[[float], Reward], values: list[float], noise: float) -> None:
    found = score(make(noise), values)
    assert all(0.0 <= one <= 1.0 for one in found)
    for left, one in zip(values, found, strict=True):
        for right, other in zip(values, found, strict=True):
            assert one <= other or left > right
            assert one == other or left != right, "equal inputs give equal outputs"


@each
@settings(max_examples=30, deadline=None)
@given(st.floats(-1, 1, width=32), st.integers(2, 6), noises)
def test_a_group_of_equal_inputs_has_no_advantage(
    make: Callable[[float], Reward], value: float, size: int, noise: float
) -> None:
    assert len(set(score(make(noise), [value] * size))) == 1


@each
def test_nan_stays_nan_and_changes_nobody_elses_value(make: Callable[[float], Reward]) -> None:
    values = score(make(0.02), [0.9, NAN, 0.85, 0.95])
    assert math.isnan(values[1])
    assert [values[0], *values[2:]] == score(make(0.02), [0.9, 0.85, 0.95])


@pytest.mark.parametrize("kind", [HistoryQuantile, HistorySigmoid])
class TestHistory:
    def test_a_step_is_scored_by_what_was_known_before_it(self, kind: type[History]) -> None:
        reward = kind(Column("a"), low=0.0, high=1.0, warmup=3, noise=0.0)
        assert score(reward, [0.2, 0.5, 0.8], step=0) == pytest.approx([0.2, 0.5, 0.8]), "warming up: the frozen map"
        assert score(reward, [0.2], step=0) == pytest.approx([0.2]), "the same step does not feed on itself"
        later = score(reward, [0.2, 0.5, 0.8], step=1)
        assert later != pytest.approx([0.2, 0.5, 0.8], abs=0.02)
        assert later == score(reward, [0.2, 0.5, 0.8], step=1)

    def test_company_and_order_do_not_matter(self, kind: type[History]) -> None:
        reward = filled(kind, [0.1 * n for n in range(10)])
        values = [0.3, 0.9, 0.55, 0.1]
        whole = score(reward, values, step=1)
        assert [score(reward, [one], step=1)[0] for one in values] == whole
        assert score(reward, values[::-1], step=1) == whole[::-1]

    def test_an_evaluation_teaches_it_nothing(self, kind: type[History]) -> None:
        reward = filled(kind, [0.1 * n for n in range(10)])
        before = reward.state_dict()
        score(reward, [0.99] * 50)
        after = reward.state_dict()
        assert before["step"] == after["step"]
        assert before["seen"].tolist() == after["seen"].tolist()
        assert before["pending"].tolist() == after["pending"].tolist()

    def test_resumed_equals_uninterrupted(self, kind: type[History]) -> None:
        steps = [[0.1, 0.2, 0.6], [0.5, NAN, 0.9], [0.3, 0.3, 0.4], [0.8, 0.1, 0.2]]
        whole = kind(Column("a"), warmup=2, window=5)
        expected = [score(whole, values, step=step) for step, values in enumerate(steps)]
        first = kind(Column("a"), warmup=2, window=5)
        found = [score(first, values, step=step) for step, values in enumerate(steps[:2])]
        saved = first.state_dict()
        score(first, [0.0] * 9, step=7)
        second = kind(Column("a"), warmup=2, window=5)
        second.load_state_dict(saved)
        found += [score(second, values, step=step + 2) for step, values in enumerate(steps[2:])]
        assert torch.equal(torch.tensor(found).nan_to_num(-1), torch.tensor(expected).nan_to_num(-1))
        assert score(pickle.loads(pickle.dumps(second)), [0.4], step=4) == score(whole, [0.4], step=4)

    def test_the_state_can_be_loaded_as_weights_only(self, kind: type[History], tmp_path: Any) -> None:
        reward = filled(kind, [0.1, 0.2])
        torch.save(reward.state_dict(), tmp_path / "state.pt")
        again = kind(Column("a", bounds=(-1.0, 1.0)), warmup=1)
        again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        assert score(again, [0.17]) == score(reward, [0.17])

    def test_processes_come_to_the_same_history(self, kind: type[History]) -> None:
        ranks = [kind(Column("a"), warmup=2) for _ in range(2)]
        halves = [[0.1, 0.9], [0.4, 0.5]]
        for reward, half in zip(ranks, halves, strict=True):
            score(reward, half, step=0)
        pending = [reward.pending for reward in ranks]
        for reward in ranks:
            reward.synchronise(lambda _: pending)
        alone = kind(Column("a"), warmup=2)
        score(alone, halves[0] + halves[1], step=0)
        expected = score(alone, [0.3, 0.7], step=1)
        assert [score(reward, [0.3, 0.7], step=1) for reward in ranks] == [expected] * 2
        ranks[0].synchronise(lambda own: [own, torch.zeros(0, dtype=torch.float64)])
        assert len(ranks[0].seen) == 6

    def test_the_oldest_scores_are_dropped(self, kind: type[History]) -> None:
        reward = kind(Column("a"), warmup=1, window=3)
        for step, value in enumerate([0.1, 0.2, 0.3, 0.4, 0.5]):
            score(reward, [value], step=step)
        assert reward.seen.tolist() == pytest.approx([0.2, 0.3, 0.4])

    def test_a_history_without_spread_is_a_step(self, kind: type[History]) -> None:
        assert score(filled(kind, [0.5] * 9), [0.4, 0.5, 0.6]) == [0.0, 0.5, 1.0]

    def test_settings_that_cannot_be(self, kind: type[History]) -> None:
        for wrong in ({"low": 1.0, "high": 0.5}, {"noise": -1.0}, {"warmup": 0}, {"warmup": 9, "window": 4}):
            with pytest.raises(RewardError):
                kind(Column("a"), **wrong)


def test_quantiles_map_to_the_ends() -> None:
    reward = filled(HistoryQuantile, [n / 100 for n in range(101)])
    assert score(reward, [0.0, 0.05, 0.5, 0.95, 1.0]) == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0], abs=1e-6)


def test_the_sigmoid_is_that_of_the_z_score() -> None:
    past = [0.2, 0.4, 0.6, 0.8]
    deviation = float(torch.tensor(past).std(correction=0))
    expected = 1 / (1 + math.exp(-2 * 0.1 / deviation))
    assert score(filled(HistorySigmoid, past), [0.6])[0] == pytest.approx(expected, abs=1e-6)


def test_noise_is_not_inflated() -> None:
    """Cosines between .900 and .902 after a run of the like: differences that mean nothing stay small, or none."""
    past = [0.900 + 0.00002 * n for n in range(100)]
    group = [0.9001, 0.9010, 0.9019]
    for kind in (HistoryQuantile, HistorySigmoid):
        loud, quiet = score(filled(kind, past), group), score(filled(kind, past, noise=0.02), group)
        assert loud[-1] - loud[0] > 0.5
        assert quiet[-1] - quiet[0] < 0.1
    assert score(GroupMinMax(Column("a")), group) == [0.0, pytest.approx(0.5, abs=1e-3), 1.0]
    assert score(GroupMinMax(Column("a"), noise=0.02), group) == [0.5] * 3


def test_groups_are_placed_apart() -> None:
    reward = GroupMinMax(Column("a"))
    values = [0.2, 0.7, 0.4, 0.8, 0.6, 0.9]
    found = score(reward, values, group=[5, 2, 5, 2, 5, 2])
    assert found == pytest.approx([0.0, 0.0, 0.5, 0.5, 1.0, 1.0], abs=1e-6)
    assert "group" in reward.needs


def test_the_dead_band_of_a_group_opens_without_a_jump() -> None:
    reward = GroupMinMax(Column("a"), noise=0.1)
    spreads = [0.09, 0.1, 0.101, 0.2, 0.9]
    widths = [(lambda pair: pair[1] - pair[0])(score(reward, [0.05, 0.05 + spread])) for spread in spreads]
    assert widths[0] == 0.0
    assert widths[1] < 0.01
    assert widths[2] < 0.02
    assert widths[3] == pytest.approx(0.5, abs=1e-5)
    assert widths[4] > 0.85


def test_affine_takes_the_encoders_own_baseline() -> None:
    class Narrow:
        dim = 2

        def encode(self, texts: Any) -> torch.Tensor:
            angles = torch.tensor([0.1 * (len(text) % 5) for text in texts])
            return torch.stack([angles.cos(), angles.sin()], 1)

    low = baseline(Narrow(), TEXTS)
    assert 0.9 < low < 1.0
    reward = AffineBaseline(EncoderSimilarity(Narrow()), TEXTS)
    output = reward(completion=["abcde", "ab"], reference=["vwxyz", "vwxyz"])
    assert output.values[0] == 1.0
    assert output.values[1] == pytest.approx(max(0.0, (math.cos(0.2) - low) / (1 - low)), abs=1e-5)
    with pytest.raises(RewardError, match="baseline"):
        AffineBaseline(Column("a"), TEXTS)
    with pytest.raises(RewardError):
        AffineBaseline(EncoderSimilarity("hash"), ["one"])


@pytest.mark.parametrize("name", RESCALERS)
def test_every_named_rescaler_passes_the_check(name: str) -> None:
    reward = rescaler(name, EncoderSimilarity("hash"), TEXTS, noise=0.01)
    check_reward(
        reward,
        {
            "completion": ["a red apple", "a green apple", "nothing", "taxes"],
            "reference": ["a red apple"] * 3 + [""],
            "group": torch.tensor([0, 0, 1, 1]),
        },
    )


def test_an_unknown_rescaler_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="history_sigmoid"):
        rescaler("history_sigmoide", EncoderSimilarity("hash"), TEXTS)


def test_threshold() -> None:
    assert score(Threshold(Column("a"), 0.8), [0.79, 0.81]) == [0.0, 1.0]


def test_the_baseline_of_a_hashing_encoder_is_low() -> None:
    assert baseline(HashEncoder(), TEXTS) < 0.2
