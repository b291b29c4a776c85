"""What a caption is paid for: formulas, bounds, the reward contract, and what may not be paid without pairs."""

from __future__ import annotations

import math

import pytest
import torch

from apps.captioning.aggregation import aggregate
from apps.captioning.rewards import (
    SUPERVISED,
    ClipAgg,
    ClipCos,
    Repetition,
    Usual,
    build_rewards,
    repeated_share,
)
from apps.captioning.train_config import RewardConfig
from common.errors import RewardError, UsageError
from common.rewards.check import check_reward
from common.rewards.compose import WeightedSum
from tests.apps.captioning.tiny_models import sentences
from tests.common.models.tiny_clip import tiny_clip_folder

CORPUS = sentences(30)
CAPTIONS = [*sentences(4, seed=5), "nonsense words here", "red"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    from common.models.clip import Clip

    folder = tiny_clip_folder(tmp_path_factory.mktemp("clip"), sentences(100), context_length=40)
    return Clip(f"local-dir:{folder}", batch_size=16)


@pytest.fixture(scope="module")
def keys(clip):
    return clip.text(CORPUS)


def features(count: int = 6, seed: int = 0) -> torch.Tensor:
    values = torch.randn(count, 32, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(values, dim=-1)


def batch(**more):
    return {"completion": list(CAPTIONS), "images": features(), **more}


def test_clip_cos_is_a_hundred_cosines(clip):
    found = ClipCos(clip)(**batch()).values
    expected = 100 * (clip.text(CAPTIONS) * features()).sum(1).clamp(min=0)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)
    check_reward(ClipCos(clip), batch())


@pytest.mark.parametrize("cos_weight", [0.0, 0.5, 1.0])
def test_clip_agg_is_its_formula(clip, keys, cos_weight):
    reward = ClipAgg(clip, keys, temperature=20.0, cos_weight=cos_weight)
    output = reward(**batch())
    told = clip.text(CAPTIONS)
    weights = torch.softmax(20.0 * features().double() @ keys.double().T, 1)
    target = (weights @ keys.double()).float()
    for row in range(6):
        cosine = float(target[row] @ told[row] / target[row].norm() / told[row].norm())
        difference = 1 - math.sqrt(32) * float((target[row] - told[row]).abs().mean())
        expected = 100 * (cos_weight * cosine + (1 - cos_weight) * difference)
        assert float(output.values[row]) == pytest.approx(expected, abs=1e-2)
        assert float(output.parts["cosine"][row]) == pytest.approx(cosine, abs=1e-4)
        assert float(output.parts["difference"][row]) == pytest.approx(difference, abs=1e-4)
    check_reward(reward, batch())


@pytest.mark.parametrize("top_k", [0, 5])
def test_a_target_that_is_given_is_the_one_that_would_be_computed(clip, keys, top_k):
    reward = ClipAgg(clip, keys, top_k=top_k)
    targets = reward.targets(features())
    torch.testing.assert_close(targets, aggregate(features(), keys, 100.0, top_k))
    given, computed = reward(**batch(target=targets)), reward(**batch())
    torch.testing.assert_close(given.values, computed.values)
    check_reward(reward, batch(target=targets))
    # It is used, not looked at only.
    assert not torch.allclose(reward(**batch(target=targets.flip(0))).values, given.values)


def test_clip_agg_does_not_see_the_picture_but_through_the_corpus(clip, keys):
    reward = ClipAgg(clip, keys[:1])
    values = reward(completion=["A red star."] * 6, images=features()).values
    torch.testing.assert_close(values, values[:1].expand(6))


def test_the_bounds_of_clip_agg_are_reached_and_not_passed(clip, keys):
    reward = ClipAgg(clip, keys)
    told = clip.text(CAPTIONS)
    best = reward(**batch(target=told)).values
    torch.testing.assert_close(best, torch.full((6,), 100.0), atol=1e-3, rtol=0)
    worst = reward(**batch(target=-told)).values
    assert reward.bounds == (-100, 100)
    assert (worst >= -100).all()
    # The difference is worst for vectors of equal dimensions.
    assert (worst < -70).all()


def test_an_empty_caption_scores_the_worst_with_a_reason(clip, keys):
    for reward in (ClipCos(clip), ClipAgg(clip, keys), Usual.from_corpus(CORPUS)):
        output = reward(completion=["", " \n"], images=features(2))
        assert output.values.tolist() == [reward.worst] * 2
        assert all(output.info["reason"])


def test_a_picture_that_is_not_known_is_nan(clip, keys):
    seen = features()
    seen[2] = math.nan
    for reward in (ClipCos(clip), ClipAgg(clip, keys)):
        values = reward(**batch(images=seen)).values
        assert values.isnan().tolist() == [False, False, True, False, False, False]


def test_what_clip_agg_cannot_do(clip, keys):
    with pytest.raises(UsageError, match=r"it is empty; check corpus\.path"):
        ClipAgg(clip, keys[:0])
    with pytest.raises(RewardError, match="cos_weight must lie in"):
        ClipAgg(clip, keys, cos_weight=1.5)


def test_repetition():
    assert repeated_share("a b c") == 0
    assert repeated_share("a red star a red star") == pytest.approx(1 / 4)
    assert repeated_share("no no no no no") == pytest.approx(2 / 3)
    assert repeated_share("") == repeated_share("two words") == 0
    values = Repetition()(completion=["a red star a red star", "a red star"]).values
    assert values.tolist() == [-0.25, 0]
    check_reward(Repetition(), {"completion": CAPTIONS})


def test_usual_words_follow_each_other_as_in_the_corpus():
    reward = Usual.from_corpus(["A red star.", "A blue star, on grey."])
    output = reward(completion=["A red star.", "a blue star.", "star red a.", "Red.", ""])
    assert output.values[:2].tolist() == [1, 1]
    # Of five and of three pairs only the stop at the end is usual.
    assert output.values[2:].tolist() == [pytest.approx(1 / 5), pytest.approx(1 / 3), 0]
    assert output.info["reason"][2] == "the corpus never says '< star'"
    assert output.info["reason"][0] == ""
    check_reward(Usual.from_corpus(CORPUS), {"completion": CAPTIONS})
    with pytest.raises(UsageError, match="needs the corpus"):
        Usual.from_corpus([])


def weights(**given: float) -> RewardConfig:
    return RewardConfig(**{"clip_cos": 0.0, **given})


@pytest.mark.parametrize("name", SUPERVISED)
def test_supervised_rewards_are_refused_without_pairs(clip, name):
    with pytest.raises(UsageError, match=rf"reward\.{name} compares .*; set reward\.paired to true"):
        build_rewards(weights(**{name: 1.0}), clip, references=[["A red star."]])


@pytest.mark.parametrize("name", SUPERVISED)
def test_supervised_rewards_with_pairs(clip, name):
    references = [[text, *CORPUS[:2]] for text in CAPTIONS]
    rewards = build_rewards(weights(**{name: 2.0}, paired=True), clip, references=references)
    ((reward, weight),) = rewards.values()
    assert weight == 2.0
    right = reward(completion=CAPTIONS[:4], reference=references[:4], images=features(4)).values
    wrong = reward(completion=CAPTIONS[:4], reference=[["Something else."]] * 4, images=features(4)).values
    assert (right > wrong).all()


def test_only_what_has_a_weight_is_built(clip, keys):
    config = weights(clip_cos=1.0, clip_agg=0.5, grammar=0.2, repetition=0.1)
    rewards = build_rewards(config, clip, keys, sentences=CORPUS)
    assert {name: weight for name, (_, weight) in rewards.items()} == {
        "clip_cos": 1.0,
        "clip_agg": 0.5,
        "grammar": 0.2,
        "repetition": 0.1,
    }
    assert isinstance(rewards["clip_agg"][0], ClipAgg)


def test_clip_agg_follows_its_settings(clip, keys):
    config = weights(clip_agg=1.0, temperature=7.0, cos_weight=0.25, top_k=3)
    reward = build_rewards(config, clip, keys)["clip_agg"][0]
    assert (reward.temperature, reward.cos_weight, reward.top_k) == (7.0, 0.25, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "every weight is 0; set one of clip_cos"),
        ({"clip_agg": 1.0}, "needs the corpus' features"),
        ({"naturalness": 1.0}, "no model for it"),
        ({"grammar": 1.0}, "needs the corpus' sentences"),
        ({"cider": 1.0, "paired": True}, "there are none"),
    ],
)
def test_what_is_missing_is_named(clip, given, message):
    with pytest.raises(UsageError, match=message):
        build_rewards(weights(**given), clip)


def test_as_one_reward_it_is_the_weighted_sum(clip, keys):
    config = weights(clip_cos=1.0, clip_agg=0.5)
    whole = WeightedSum(build_rewards(config, clip, keys), "caption")(**batch())
    parts = {name: reward(**batch()).values for name, (reward, _) in build_rewards(config, clip, keys).items()}
    torch.testing.assert_close(whole.values, parts["clip_cos"] + 0.5 * parts["clip_agg"])
