"""The behaviour cases and reproduced defects of the driving reference that are the rewards' to get right, by number.

Those of the environment (routes, hills, teleports) are tested with it: a reward sees the numbers that it makes.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from apps.driving.parts.factors import events
from apps.driving.reward_config import RECIPE_NAMES, RewardConfig
from apps.driving.rewards import build
from common.errors import UsageError
from common.models.clip import Clip
from common.rewards.base import Reward, take_rows
from tests.apps.driving.states import TOP, random_states, state
from tests.apps.driving.test_rewards import TEXTS, batch, config
from tests.common.models.tiny_clip import tiny_clip_folder

pytest.importorskip("open_clip")

BLIND = ("vlm_rl_no_clip", "hand_written", "progress", "chen", "asap", "chatscene", "revolve", "revolve_auto", "tirl")
BLIND = (*BLIND, "carl", "roach")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip(tiny_clip_folder(tmp_path_factory.mktemp("clip") / "tiny", TEXTS), batch_size=3)


def made(recipe: str, clip: Clip, **settings: Any) -> Reward:
    chosen = config(recipe)
    for name, value in settings.items():
        setattr(chosen, name, value)
    return build(chosen, clip, annotator=approve)


def approve(questions: Sequence[str]) -> dict[str, float | str]:
    return {one: 0.0 if "collides" in one else 1.0 for one in questions}


@pytest.mark.parametrize("recipe", BLIND)
class TestStates:
    def test_5_the_wrong_way_earns_no_more_than_standing(self, recipe: str, clip: Clip) -> None:
        reward = made(recipe, clip)
        rows = state(speed=TOP, heading=[math.radians(one) for one in (132, 150, 180)], progress_change=0, distance=0)
        still = reward(state=state(speed=0.0, progress_change=0.0, distance=0.0)).values.item()
        assert (reward(state=rows).values <= still + 1e-6).all()

    def test_6_reverse_earns_no_more_than_standing(self, recipe: str, clip: Clip) -> None:
        reward = made(recipe, clip)
        rows = state(speed=[-TOP, -3.0, -1.0], progress_change=0.0, distance=0.0)
        still = reward(state=state(speed=0.0, progress_change=0.0, distance=0.0)).values.item()
        assert (reward(state=rows).values <= still + 1e-6).all()

    def test_7_a_standing_car_has_a_value(self, recipe: str, clip: Clip) -> None:
        assert made(recipe, clip)(state=state(speed=[0.0], offset_std=0.0, step=1.0)).values.isfinite().all()

    def test_9_off_the_route_frozen_progress_pays_nothing(self, recipe: str, clip: Clip) -> None:
        reward = made(recipe, clip)
        gone = state(offset=[30.0], off_route=1.0, progress_change=0.0, distance=0.0)
        on = state(offset=[0.0], progress_change=0.004, distance=0.7)
        assert reward(state=gone).values.item() <= reward(state=on).values.item()

    def test_12_no_return_grows_with_the_square_of_the_way(self, recipe: str, clip: Clip) -> None:
        reward = made(recipe, clip)

        def driven(steps: int) -> float:
            change = torch.full((steps,), 1 / steps)
            rows = state(speed=[5.0] * steps, progress_change=change.tolist(), progress=change.cumsum(0).tolist())
            return float(reward(state=rows).values.sum())

        assert abs(driven(200)) <= 2 * abs(driven(100)) + 1e-4


@pytest.mark.parametrize("recipe", RECIPE_NAMES)
def test_31_bounds_and_parts_are_finite_at_the_far_ends(recipe: str, clip: Clip) -> None:
    rows = state(
        speed=[0.0, 1e3, -1e3, 5.0, 5.0, 0.0],
        offset=[0.0, 0.0, 0.0, math.inf, -math.inf, 1e30],
        offset_std=[0.0, 1e3, 0.0, 0.0, 1e30, 0.0],
        hazard=[0.0, math.inf, 1e3, 0.0, 0.0, 0.0],
        truncated=1.0,
    )
    reward = made(recipe, clip)
    output = reward(images=torch.rand(6, 3, 32, 32), state=rows, group=torch.arange(6))
    low, high = reward.bounds
    assert ((output.values >= low - 1e-3) & (output.values <= high + 1e-3)).all()
    assert all(part.isfinite().all() for part in output.parts.values())


def test_35_an_annotator_that_is_late_makes_no_zeros(clip: Clip) -> None:
    chosen = config("progress")
    chosen.intrinsic.mode, chosen.intrinsic.background = "retrieve", True
    chosen.intrinsic.batch, chosen.intrinsic.deadline = 1000, 0.0
    free = threading.Event()

    def slow(questions: Sequence[str]) -> dict[str, float | str]:
        free.wait(10)
        return approve(questions)

    reward, rows = build(chosen, clip, slow), {"state": random_states(6), "group": torch.zeros(6)}
    first = reward(**rows, step=0)
    assert first.values.isnan().all()
    assert set(first.info["label"]) == {"not labelled yet"}
    reward(**rows, step=1)
    free.set()
    for step in range(2, 1000):
        if not reward(**rows, step=step).values.isnan().any():
            break
        threading.Event().wait(0.01)
    assert reward(**rows, step=1000).values.isfinite().all()


@pytest.mark.parametrize("recipe", [name for name in RECIPE_NAMES if name != "roboclip"])
def test_36_the_same_frames_twice_score_the_same(recipe: str, clip: Clip) -> None:
    reward, columns = made(recipe, clip), batch()
    first = reward(**columns, step=1).values
    other = take_rows(batch(), [3, 1], 7)
    reward(**{**other, "images": other["images"].flip(0)}, step=2)
    assert torch.equal(reward(**columns, step=3).values, first)


def test_37_what_a_model_says_is_never_run(clip: Clip, tmp_path: Any) -> None:
    bait = tmp_path / "bait"
    code = f"__import__('pathlib').Path({str(bait)!r}).touch()"
    chosen = config("progress")
    chosen.intrinsic.mode = "retrieve"
    reward = build(chosen, clip, lambda questions: dict.fromkeys(questions, code))
    output = reward(state=random_states(3), group=torch.zeros(3), step=0)
    assert output.values.isnan().all()
    assert not bait.exists()


class TestTransforms:
    @pytest.mark.parametrize("mode", ["retrieve", "classify", "rank"])
    def test_an_opinion_on_top_of_a_recipe(self, clip: Clip, mode: Any) -> None:
        chosen = config("vlm_rl")
        chosen.intrinsic.mode, chosen.intrinsic.weight, chosen.intrinsic.late = mode, 0.5, "zero"
        reward = build(chosen, clip, approve)
        columns = batch()
        plain = made("vlm_rl", clip)(**columns).values
        for step in range(3):
            output = reward(**columns, step=step)
        torch.testing.assert_close(output.parts["external"], plain)
        torch.testing.assert_close(output.values, plain + 0.5 * output.parts["intrinsic"])
        assert set(output.parts) == set(reward.part_names)

    def test_it_needs_somebody_to_ask(self, clip: Clip) -> None:
        chosen = config("progress")
        chosen.intrinsic.mode = "classify"
        with pytest.raises(UsageError, match=r"judge\.url"):
            build(chosen, clip)

    def test_38_a_sparse_reward_is_spread_and_sums_to_its_return(self, clip: Clip) -> None:
        chosen = RewardConfig("tirl")
        chosen.decomposition.on, chosen.decomposition.warmup, chosen.decomposition.hidden = True, 4, 0
        chosen.decomposition.learning_rate, chosen.decomposition.draws, chosen.decomposition.updates = 0.03, 64, 8
        reward = build(chosen, clip)

        def episode(number: int, length: int) -> dict[str, Any]:
            rows = random_states(length, seed=number)
            rows["terminated"], rows["success"] = torch.zeros(length), torch.zeros(length)
            rows["collision"] = (torch.arange(length) == length - 1).float() * (number % 2)
            rows["terminated"][-1] = 1
            return {"state": rows, "group": torch.full((length,), number)}

        for number in range(100):
            reward(**episode(number, 1 if number % 5 == 0 else 12), step=number)
        sums = [float(reward(**episode(number, 12)).values.sum()) for number in range(200, 220)]
        odd, even = sums[1::2], sums[::2]
        assert sum(odd) / 10 == pytest.approx(-1, abs=0.5)
        assert sum(even) / 10 == pytest.approx(0, abs=0.5)

    def test_events_name_what_the_annotator_is_asked_about(self, clip: Clip) -> None:
        asked: list[str] = []

        def annotator(questions: Sequence[str]) -> dict[str, float | str]:
            asked.extend(questions)
            return approve(questions)

        chosen = config("tirl")
        chosen.intrinsic.mode = "retrieve"
        rows = random_states(50)
        build(chosen, clip, annotator)(state=rows, group=torch.zeros(50), step=0)
        assert sorted(asked) == sorted(set(events(rows)))
