"""Every recipe by name, on pictures and states: the contract, one batch or many, and thresholds that are nobody's."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.driving.goals import VLM_RL_CLIP, WORDINGS
from apps.driving.reward_config import RECIPE_NAMES, GoalConfig, RewardConfig, worded
from apps.driving.rewards import RECIPES, SEEING, build, configured_clip, thresholds
from common.config import load
from common.errors import RewardError, UsageError
from common.models.clip import Clip
from common.rewards.base import Reward, take_rows
from common.rewards.check import check_reward
from tests.apps.driving.states import random_states, state
from tests.common.models.tiny_clip import tiny_clip_folder

pytest.importorskip("open_clip")

ROWS = 7
TEXTS = [text for goals in WORDINGS.values() for text in vars(goals).values()]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip(tiny_clip_folder(tmp_path_factory.mktemp("clip") / "tiny", TEXTS), batch_size=3)


def config(recipe: str) -> RewardConfig:
    chosen = RewardConfig(recipe=recipe)  # type: ignore[arg-type]
    # A random CLIP's gaps lie around 0.
    chosen.thresholds.low, chosen.thresholds.high, chosen.thresholds.success = -1.0, 1.0, 0.0
    return chosen


def batch(rows: int = ROWS) -> dict[str, Any]:
    states = random_states(rows)
    states["truncated"][1::3] = 1
    pictures = torch.rand(rows, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return {"images": pictures, "state": states, "group": torch.arange(rows)}


def single(reward: Reward, columns: dict[str, Any]) -> torch.Tensor:
    rows = range(len(columns["group"]))
    return torch.cat([reward(**take_rows(columns, [row], len(rows))).values for row in rows])


def test_every_name_has_a_recipe() -> None:
    assert set(RECIPES) == set(RECIPE_NAMES)
    assert set(SEEING) < set(RECIPES)


@pytest.mark.parametrize("recipe", RECIPE_NAMES)
class TestEveryRecipe:
    def test_it_passes_the_checker(self, recipe: str, clip: Clip) -> None:
        reward = build(config(recipe), clip)
        columns = batch()
        # One state in which nothing failed, for the rewards that a picture decides only there.
        columns["state"] = {
            name: entry * 0 if name in ("terminated", "collision") else entry
            for name, entry in columns["state"].items()
        }
        check_reward(reward, columns)
        check_reward(reward, batch())

    def test_one_by_one_is_as_good_as_a_batch(self, recipe: str, clip: Clip) -> None:
        reward, columns = build(config(recipe), clip), batch()
        together = reward(**columns)
        torch.testing.assert_close(together.values, single(reward, columns), atol=1e-5, rtol=0)
        for size in (0, 1, 3):
            some = reward(**take_rows(columns, range(size), ROWS))
            torch.testing.assert_close(some.values, together.values[:size], atol=1e-5, rtol=0)
            assert set(some.parts) == set(together.parts)

    def test_another_order_changes_nothing(self, recipe: str, clip: Clip) -> None:
        columns = batch()
        order = [3, 6, 0, 5, 1, 4, 2]
        plain = build(config(recipe), clip)(**columns)
        turned = build(config(recipe), clip)(**take_rows(columns, order, ROWS))
        torch.testing.assert_close(turned.values, plain.values[order], atol=1e-5, rtol=0)

    def test_parts_have_the_names_that_were_told(self, recipe: str, clip: Clip) -> None:
        reward = build(config(recipe), clip)
        assert set(reward(**batch()).parts) == set(reward.part_names)
        assert reward.name == recipe

    def test_it_needs_pictures_only_if_it_looks(self, recipe: str, clip: Clip) -> None:
        reward = build(config(recipe), clip)
        assert ("images" in reward.needs) == (recipe in SEEING)
        assert set(reward.needs) <= {"images", "state", "group"}

    def test_a_broken_state_is_nan_or_nothing_to_it(self, recipe: str, clip: Clip) -> None:
        columns = batch()
        columns["state"] = {
            name: entry.masked_fill(torch.arange(ROWS) == 0, math.nan) if name != "step" else entry
            for name, entry in columns["state"].items()
        }
        values = build(config(recipe), clip)(**columns).values
        assert values[1:].isfinite().all()
        reads_state = recipe not in ("vlm_sr", "vlm_rm", "lord", "roboclip")
        assert bool(values[0].isnan()) == reads_state


@pytest.mark.parametrize("recipe", SEEING)
def test_uint8_and_channels_last_are_refused_and_not_guessed(recipe: str, clip: Clip) -> None:
    columns = batch()
    for wrong in ((columns["images"] * 255).byte(), columns["images"].permute(0, 2, 3, 1), columns["images"] * 255):
        with pytest.raises(UsageError, match="pictures must be"):
            build(config(recipe), clip)(**{**columns, "images": wrong})


@pytest.mark.parametrize("recipe", SEEING)
def test_broken_features_are_nan(recipe: str, clip: Clip) -> None:
    columns = {**batch(), "state": state(speed=[5.0] * ROWS, truncated=1.0)}
    features = clip.image(columns["images"])
    features[0], features[1] = 0.0, math.nan
    values = build(config(recipe), clip)(**{**columns, "images": features}).values
    assert values.isnan().tolist() == [True, True] + [False] * (ROWS - 2)


def test_swapped_goals_negate_z(clip: Clip) -> None:
    one = config("vlm_rl")
    two = replace(one, goals=GoalConfig(positive=worded(one.goals).negative, negative=worded(one.goals).positive))
    first, second = (build(each, clip)(**batch()).parts["goal.z"] for each in (one, two))
    assert first.abs().max() > 1e-4
    torch.testing.assert_close(first, -second)


def test_the_papers_weights(clip: Clip) -> None:
    weighed = config("vlm_rl")
    weighed.goals.weight_positive, weighed.goals.weight_negative = 0.3, 0.9
    parts = build(weighed, clip)(**batch()).parts
    torch.testing.assert_close(parts["goal.z"], 0.9 * parts["goal.negative"] - 0.3 * parts["goal.positive"])


def test_what_clip_sees_moves_the_reward_only_through_the_goal(clip: Clip) -> None:
    columns = {**batch(), "state": state(speed=[3.0] * ROWS)}
    assert len(set(build(config("vlm_rl"), clip)(**columns).values.tolist())) == ROWS
    assert len(set(build(config("vlm_rl_no_clip"), clip)(**columns).values.tolist())) == 1


class TestThresholds:
    def test_they_belong_to_one_model_and_one_wording(self, clip: Clip) -> None:
        for recipe in ("vlm_rl", "vlm_rl_no_synthesis", "vlm_sr"):
            with pytest.raises(UsageError, match="calibrat"):
                build(RewardConfig(recipe=recipe), clip)  # type: ignore[arg-type]

    def test_the_published_ones_go_with_the_published_model(self) -> None:
        chosen = RewardConfig()
        name, tag = VLM_RL_CLIP.split(":")
        chosen.clip.name, chosen.clip.pretrained, chosen.goals.wording = name, tag, "vlm_rl"
        assert thresholds(chosen, configured_clip(chosen)) == (0.0, 0.03)
        # Nothing is opened: that model has 2.5 billion weights.
        assert build(chosen).name == "vlm_rl"
        chosen.goals.positive = "the road is empty"
        with pytest.raises(UsageError, match="alibrate"):
            build(chosen)

    def test_half_a_pair_or_a_pair_out_of_order(self, clip: Clip) -> None:
        chosen = config("vlm_rl")
        chosen.thresholds.low = 1.0
        with pytest.raises(UsageError, match="below"):
            build(chosen, clip)
        chosen.thresholds.low = None
        with pytest.raises(UsageError, match="together"):
            build(chosen, clip)


class TestConfig:
    def test_a_wrong_recipe_is_told_the_nearest(self, clip: Clip) -> None:
        with pytest.raises(UsageError, match="vlm_rl"):
            build(config("vlmrl"), clip)
        with pytest.raises(UsageError, match="pocket"):
            worded(GoalConfig(wording="poket"))  # type: ignore[arg-type]

    def test_it_loads_from_yaml_and_options(self, tmp_path: Path) -> None:
        file = tmp_path / "reward.yaml"
        file.write_text("recipe: lord_speed\ngoals: {wording: vlm_rl}\n", encoding="utf-8")
        loaded = load(RewardConfig, file, ["--thresholds.low", "-0.02", "--thresholds.high", "0.05"])
        assert (loaded.recipe, loaded.goals.wording, loaded.thresholds.high) == ("lord_speed", "vlm_rl", 0.05)
        assert worded(loaded.goals).negative == "Two cars have collided with each other on the road"

    def test_synthesis_settings_arrive(self, clip: Clip) -> None:
        chosen = config("vlm_rl_no_clip")
        chosen.synthesis.top, chosen.penalty = 10.0, -3.0
        reward = build(chosen, clip)
        assert reward(state=state(speed=[10.0], terminated=[1.0])).values.item() == -3
        assert reward(state=state(speed=10.0)).values.item() == 1
        chosen.synthesis.sharpest = 120.0
        with pytest.raises(RewardError, match="wrong way"):
            build(chosen, clip)
