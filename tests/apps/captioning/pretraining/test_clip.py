import pytest
import torch

from apps.captioning.pocket.mutations import MUTATIONS
from apps.captioning.pocket.scene import HELD_PAIRS
from apps.captioning.pretraining.clip import DAMAGE, ClipLearner, ClipTraining, _backwards
from apps.captioning.pretraining.tokenizer import sentences
from common.models.clip_folder import compact_tokenizer

SMALL = ClipTraining(width=4, embedding=32, text_width=32, text_layers=1, pictures=40, batch_size=8, steps=6)


@pytest.fixture(scope="module")
def tokenizer():
    return compact_tokenizer(sentences(200), 400, SMALL.context_length)


def test_a_resumed_training_equals_an_uninterrupted_one(tokenizer):
    whole, first, second = (ClipLearner(SMALL, tokenizer, quiet=True) for _ in range(3))
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
    assert whole.hardness == second.hardness


def test_no_training_picture_shows_a_held_out_pair(tokenizer):
    learner = ClipLearner(SMALL, tokenizer, quiet=True)
    shown = {(group.colour, group.kind) for scene in learner.scenes for group in scene.groups}
    assert not shown & HELD_PAIRS


def test_every_sort_of_mistake_is_followed(tokenizer):
    learner = ClipLearner(SMALL, tokenizer, quiet=True)
    figures = learner.step()
    assert {name.removeprefix("fooled/") for name in figures if name.startswith("fooled/")} == {DAMAGE, *MUTATIONS}
    assert any(value != 0.5 for value in learner.hardness.values())


def test_relations_are_told_forwards_first():
    settings = ClipTraining(steps=1000, forwards=0.3)
    shares = [_backwards(step, settings) for step in (0, 299, 300, 375, 450, 999)]
    assert shares == [0.0, 0.0, 0.0, 0.25, 0.5, 0.5]
