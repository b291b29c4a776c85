"""The training of the pocket CLIP."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from apps.driving.pretrain_config import PretrainConfig
from common.models.clip import Clip

pytest.importorskip("open_clip")

from apps.driving.pocket.wordings import PAIRS
from apps.driving.pretraining.clip import ClipLearner, _shared, clip_tokenizer, write_clip
from apps.driving.pretraining.figures import features, gap, share

SMALL = PretrainConfig(width=4, embedding=32, text_width=32, text_layers=1, batch_size=16, steps=40)


@pytest.fixture(scope="module")
def tokenizer(village):
    return clip_tokenizer(SMALL, village)


def test_a_resumed_training_equals_an_uninterrupted_one(village, tokenizer):
    whole, first, second = (ClipLearner(SMALL, tokenizer, village) for _ in range(3))
    for _ in range(4):
        whole.step()
    for _ in range(2):
        first.step()
    second.step()  # so that there is something to put back
    second.restore(first.state())
    for _ in range(2):
        second.step()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_both_losses_fall(village, tokenizer):
    learner = ClipLearner(SMALL, tokenizer, village)
    told = [learner.step() for _ in range(40)]
    for part in ("loss/captions", "loss/goals"):
        assert np.mean([one[part] for one in told[-5:]]) < np.mean([one[part] for one in told[:5]])


def test_training_changes_no_scene(village, tokenizer):
    before = village.facts.copy(), village.indices.copy()
    ClipLearner(SMALL, tokenizer, village).step()
    assert np.array_equal(before[0], village.facts)
    assert np.array_equal(before[1], village.indices)


def test_captions_that_are_true_of_several_pictures_are_no_mistake():
    logits = torch.tensor([[9.0, 9.0, -9.0], [9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    alike, alone = _shared(logits, same), _shared(logits, torch.eye(3, dtype=torch.bool))
    # Two captions that share a picture's probability cost log 2, and no more.
    assert float(alike) == pytest.approx(2 / 3 * np.log(2), abs=1e-3)
    shifted = logits + torch.tensor([[3.0, -3.0, 0.0], [-3.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    assert float(_shared(shifted, same)) > float(alike)
    assert float(_shared(shifted, torch.eye(3, dtype=torch.bool))) < float(alone)


def test_the_written_model_sees_as_the_trained_one(village, tokenizer, tmp_path):
    learner = ClipLearner(SMALL, tokenizer, village)
    learner.step()
    folder = write_clip(learner, tmp_path / "clip")
    clip = Clip(folder)
    from apps.driving.pretraining.clip import DEVIATION, MEAN
    from common.training.contrastive import to_input

    pictures = village.pictures(slice(0, 8))
    with torch.no_grad():
        inside = torch.nn.functional.normalize(learner.model.encode_image(to_input(pictures, MEAN, DEVIATION)), dim=-1)
    # float16 weights.
    assert (features(clip, pictures) - inside).abs().max() < 0.01


def test_turning_the_goals_round_turns_z_round(village, tokenizer, tmp_path):
    clip = Clip(write_clip(ClipLearner(SMALL, tokenizer, village), tmp_path / "clip"))
    pair = PAIRS[0]
    seen = features(clip, village.pictures(slice(0, 8)))
    turned = pair._replace(positive=pair.negative, negative=pair.positive)
    assert np.allclose(gap(clip, pair, seen), -gap(clip, turned, seen))


def test_the_longest_caption_fits_the_context(village, tokenizer):
    from apps.driving.pocket.captions import write

    rng = random.Random(0)
    texts = [write(village.facts_at(row % len(village)), rng).text for row in range(400)]
    goals = [text for pair in PAIRS for text in (*pair.positive, *pair.negative)]
    assert max(len(ids) for ids in tokenizer(texts + goals)["input_ids"]) <= SMALL.context_length


def test_a_share_without_exceptions_still_has_an_interval():
    none, some = share(np.zeros(60), np.repeat(np.arange(30), 2), 0), share(np.tile([0.0, 1.0], 30), np.arange(60), 0)
    assert (none.mean, none.low, none.n) == (0.0, 0.0, 60)
    assert 0.05 < none.high < 0.2
    assert some.low < 0.5 < some.high
