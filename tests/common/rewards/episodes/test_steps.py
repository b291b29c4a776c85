"""Shaping, credit, step penalties and schedules."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.errors import MissingColumn, RewardError, UsageError
from common.rewards.adapters.trl import to_trl
from common.rewards.compose import WeightedSum
from common.rewards.episodes import DiscountedCredit, PotentialShaping, Scheduled, StepPenalty
from common.rewards.transforms import Center, GroupRank
from common.rewards.transforms import functional as transform_functional
from tests.common.rewards.toy import Column, batch

NAN = math.nan
potentials = st.lists(st.floats(-1, 1), min_size=2, max_size=8)


class TestShaping:
    def test_truth_table(self) -> None:
        reward = PotentialShaping(Column("a"), {"a": "earlier"}, gamma=0.9, ends=("over",))
        columns = batch(a=[0.5, 0.5, NAN, 0.5], earlier=[0.2, 0.2, 0.2, NAN])
        output = reward(**columns, over=torch.tensor([0, 1, 0, 0]))
        assert output.values.tolist() == pytest.approx([0.25, -0.2, NAN, NAN], nan_ok=True)
        assert output.parts["after"].tolist() == pytest.approx([0.5, 0.0, NAN, 0.5], nan_ok=True)
        assert reward.bounds == pytest.approx((-1.0, 0.9))

    @given(potentials, potentials, st.floats(0.5, 1))
    def test_no_path_between_two_states_earns_more_than_another(
        self, one: list[float], two: list[float], gamma: float
    ) -> None:
        """Discounted and summed, what is paid up to a terminal state is −Φ(s_0), whatever lies between."""
        returns = []
        for middle in (one, two):
            path = torch.tensor([0.5, *middle], dtype=torch.float64)
            terminal = torch.zeros(len(path) - 1, dtype=torch.bool)
            terminal[-1] = True
            paid = transform_functional.potential_shaping(path[:-1], path[1:], gamma, terminal)
            returns.append(float((gamma ** torch.arange(len(paid), dtype=torch.float64) * paid).sum()))
        assert returns == pytest.approx([-0.5, -0.5], abs=1e-9)

    @given(potentials)
    def test_without_ends_and_discount_it_adds_up_to_the_progress_made(self, path: list[float]) -> None:
        states = torch.tensor(path, dtype=torch.float64)
        paid = transform_functional.potential_shaping(states[:-1], states[1:], 1.0)
        assert float(paid.sum()) == pytest.approx(path[-1] - path[0], abs=1e-9)

    def test_it_says_what_is_missing_or_wrong(self) -> None:
        reward = PotentialShaping(Column("a"), {"a": "earlier"}, ends=("state.terminated",))
        with pytest.raises(MissingColumn, match="earlier"):
            reward(**batch(a=[0.5]), state={"terminated": torch.zeros(1)})
        with pytest.raises(MissingColumn, match=r"state\.terminated"):
            reward(**batch(a=[0.5], earlier=[0.2]), state={"speed": torch.zeros(1)})
        with pytest.raises(RewardError, match="gamma"):
            PotentialShaping(Column("a"), {"a": "b"}, gamma=1.1)
        with pytest.raises(RewardError, match="before"):
            PotentialShaping(Column("a"), {"b": "earlier"})
        with pytest.raises(RewardError, match="by itself"):
            PotentialShaping(GroupRank(Column("a")), {"a": "b"})


class TestCredit:
    reward = DiscountedCredit(Column("a", texts=True), 0.5, place="at", ends=("over",))

    def score(self, a: list[float], group: list[int], at: list[int], over: list[int]) -> Any:
        rest = {"group": torch.tensor(group), "at": torch.tensor(at), "over": torch.tensor(over)}
        return self.reward(**batch(a=a), **rest)

    def test_the_outcome_falls_off_towards_the_beginning(self) -> None:
        # Two episodes, mixed up; what the earlier steps scored does not matter.
        output = self.score([0.8, 0.3, 0.4, 0.9], [5, 5, 2, 5], [2, 0, 7, 1], [1, 0, 1, 0])
        assert output.values.tolist() == pytest.approx([0.8, 0.2, 0.4, 0.4])
        assert output.parts["outcome"].tolist() == pytest.approx([0.8, 0.8, 0.4, 0.8])

    def test_an_episode_without_its_end_is_not_worth_nothing(self) -> None:
        output = self.score([0.8, 0.3, 0.5], [1, 1, 2], [0, 1, 0], [0, 0, 1])
        assert output.values.tolist() == pytest.approx([NAN, NAN, 0.5], nan_ok=True)
        assert output.info["reason"] == ["the end of the episode is not in the batch"] * 2 + [""]

    def test_an_outcome_that_could_not_be_scored_is_none_for_any_step(self) -> None:
        assert self.score([0.8, NAN], [1, 1], [0, 1], [0, 1]).values.isnan().all()

    @pytest.mark.parametrize("at", [[0, 2], [1, 1]])
    def test_gaps_and_doubles_raise(self, at: list[int]) -> None:
        with pytest.raises(RewardError, match=r"episode 1 has the places"):
            self.score([0.8, 0.5], [1, 1], at, [0, 1])

    def test_no_discount_pays_every_step_the_same(self) -> None:
        assert transform_functional.discounted_credit(2.0, 3, 1.0).tolist() == [2.0, 2.0, 2.0]


class TestStepPenalty:
    @pytest.mark.parametrize(
        ("steps", "expected"), [(0, 0.0), (2, 0.0), (3, -0.1), (7, -0.5), (99, -0.5), (["a"] * 4, -0.2), ([], 0.0)]
    )
    def test_truth_table(self, steps: Any, expected: float) -> None:
        found = StepPenalty(0.1, free=2, most=0.5)(steps=[steps]).values.tolist()
        assert found == pytest.approx([expected])
        assert math.copysign(1, found[0] or 1.0) == (1 if not expected else -1), "no -0"

    @pytest.mark.parametrize("steps", [-1, NAN, None, "three"])
    def test_what_is_no_number_of_steps_raises(self, steps: Any) -> None:
        with pytest.raises(RewardError, match="row 1"):
            StepPenalty()(steps=[1, steps])


class TestScheduled:
    def test_the_weight_is_of_the_step_alone(self) -> None:
        reward = Scheduled(Column("a", bounds=(-1, 1)), (0, 2.0, 1.0, 150))
        for step, weight in [(0, 2.0), (75, 1.5), (150, 1.0), (9999, 1.0), (0, 2.0)]:
            assert reward(**batch(a=[0.5, NAN]), step=step).values.tolist() == pytest.approx(
                [0.5 * weight, NAN], nan_ok=True
            )
        assert reward.bounds == (-2.0, 2.0)
        assert reward(**batch(a=[1.0, 1.0]), step=[0, 150]).values.tolist() == [2.0, 1.0]

    def test_toolrl_pays_for_format_first(self) -> None:
        """rewards.md: format's best is 2 − t/150, the content's 2 + t/150, so that their sum stays 4."""
        reward = WeightedSum(
            {
                "format": (Scheduled(Column("a"), (0, 2.0, 1.0, 150)), 1.0),
                "content": (Scheduled(Column("b", bounds=(-1, 1)), (0, 2.0, 3.0, 150)), 1.0),
            }
        )
        for step in (0, 75, 150):
            share = step / 150
            # Well formed and wrong, badly formed and right, both.
            values = reward(**batch(a=[1.0, 0.0, 1.0], b=[-1.0, 1.0, 1.0]), step=step).values.tolist()
            assert values == pytest.approx([(2 - share) - (2 + share), 2 + share, 4.0])

    def test_trl_tells_the_step(self) -> None:
        class State:
            global_step = 150

        functions, _ = to_trl(Scheduled(Column("a"), (0, 2.0, 1.0, 150)))
        assert functions[0](prompts=["p"], completions=["x"], a=[0.5], trainer_state=State()) == [0.5]

    def test_without_a_step_or_a_schedule_it_raises(self) -> None:
        with pytest.raises(MissingColumn, match="step"):
            Scheduled(Column("a"), 1.0)(**batch(a=[0.5]))
        with pytest.raises(UsageError, match="schedule of 'a'"):
            Scheduled(Column("a"), "fast")


def test_centring_is_nothing_in_a_group_and_something_over_steps() -> None:
    """PPR's constants vanish under a group z-score; over a variable number of steps each mediocre step costs."""
    steps = torch.tensor([0.5, 0.9, 0.2])
    centred = Center(Column("a"), 0.6)(**batch(a=steps.tolist())).values
    z = transform_functional.z_scores
    assert torch.allclose(z(steps), z(centred), atol=1e-5)
    assert float(steps.sum()) > float(steps[:2].sum())
    assert float(centred.sum()) < float(centred[:2].sum())
    assert Center(Column("a", bounds=(0, 3))).bounds == (-1.5, 1.5)
