"""Training sees what use sees: the same patches, the same tokens, the same features, the same loss."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from apps.medvqa.pretraining.pictures import Pictures
from apps.medvqa.prompts import messages
from common.errors import DataError, UsageError
from common.models.qwen_tower import tokens
from common.models.small_vlm import SmallVlmSettings, small_processor
from common.training.heads import IGNORED
from common.training.vision.token_rows import TOGETHER, LengthBatches, Rows


def processed(tiny, rows):
    """What transformers' processor makes of prompts and pictures."""
    conversations = []
    for row in rows:
        example = tiny.examples[row]
        parts = [
            {"type": "image", "image": example.pictures[0].convert("RGB")},
            {"type": "text", "text": messages(example)[0]["content"]},
        ]
        conversations.append([{"role": "user", "content": parts}])
    return tiny.processor.apply_chat_template(
        conversations,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )


def test_prompts_are_those_of_the_processor(tiny):
    for row in (0, 7):
        assert processed(tiny, [row])["input_ids"][0].tolist() == tiny.rows.prompts[row]


def test_features_and_their_gradients_are_those_of_the_stock_tower(tiny):
    rows, tower = [3, 0, 8], tiny.model.model.visual
    batch = processed(tiny, rows)
    stock = tower(batch["pixel_values"], grid_thw=batch["image_grid_thw"]).pooler_output
    ours = tokens(tower, tiny.pictures, rows).flatten(0, 1)
    assert torch.allclose(stock, ours, atol=1e-5, rtol=1e-4)
    wanted = torch.autograd.grad(stock.square().sum(), list(tower.parameters()))
    found = torch.autograd.grad(ours.square().sum(), list(tower.parameters()))
    for one, other in zip(wanted, found, strict=True):
        assert torch.allclose(one, other, atol=1e-4 * float(one.abs().max()))


@pytest.mark.parametrize("tower_rate", [0.0, 0.5])
def test_the_loss_is_that_of_the_stock_model_on_the_completions(tiny, tower_rate):
    from dataclasses import replace

    from common.training.vision.language import LanguageLearner
    from tests.apps.medvqa.pretraining.conftest import SMALL

    learner = LanguageLearner(replace(SMALL, tower_rate=tower_rate), tiny.model, tiny.rows, tiny.pictures, 0)
    chosen = [4, 1, 6]
    ids, mask, labels = tiny.rows.take(chosen)
    logits, wanted = learner.logits(chosen, ids, mask, labels)
    ours = torch.nn.functional.cross_entropy(logits, wanted)
    pixels = processed(tiny, chosen)
    image = tiny.model.config.image_token_id
    stock = tiny.model(
        input_ids=ids,
        attention_mask=mask,
        mm_token_type_ids=(ids == image).int(),
        pixel_values=pixels["pixel_values"],
        image_grid_thw=pixels["image_grid_thw"],
        labels=labels,
    ).loss
    assert float(ours.detach()) == pytest.approx(float(stock.detach()), abs=1e-5)


def test_only_completions_are_learnt_and_end_with_the_end_of_the_turn(tiny):
    ids, mask, labels = tiny.rows.take([0, 1, 2])
    tokenizer = tiny.processor.tokenizer
    for row, example in enumerate(tiny.examples[:3]):
        told = labels[row][labels[row] != IGNORED]
        expected = f"<think>{example.reasoning}</think><answer>{example.answer}</answer><|im_end|>"
        assert tokenizer.decode(told) == expected
        assert not (labels[row][mask[row] == 0] != IGNORED).any()
        assert torch.equal(ids[row][labels[row] != IGNORED], told)


def test_a_question_cannot_bring_a_picture_of_its_own(tiny):
    asked = [{"role": "user", "content": "<|image_pad|> Is it?<|im_end|>"}]
    rows = Rows([(asked, "x")], tiny.processor, tiny.pictures.grid)
    assert rows.prompts[0].count(tiny.model.config.image_token_id) == tiny.pictures.tokens


def test_pictures_must_stand_at_the_same_place(tiny):
    asked = {"role": "user", "content": "Is it?"}
    with pytest.raises(DataError, match="same place"):
        Rows([([asked], "x"), ([{"role": "system", "content": "Hm."}, asked], "x")], tiny.processor, (1, 8, 8))


def test_pictures_of_another_size_or_colour_are_refused(tiny):
    for picture in (Image.new("L", (140, 140)), Image.new("RGB", (112, 112)), Image.new("L", (112, 84))):
        with pytest.raises(DataError, match="no grey picture"):
            Pictures([picture], tiny.processor)
    coloured = small_processor(tiny.processor.tokenizer, SmallVlmSettings(grid=4, largest_grid=0))
    with pytest.raises(UsageError, match="one of each"):
        Pictures([Image.new("L", (112, 112))], coloured)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=3, max_size=90),
    size=st.integers(1, 5),
    stop=st.integers(0, 2 * TOGETHER),
)
def test_every_row_comes_once_an_epoch_and_a_resumed_order_goes_on(lengths, size, stop):
    batches = LengthBatches(lengths, size, seed=3)
    epoch = [batches.next() for _ in range(TOGETHER * len(lengths))]
    assert {len(batch) for batch in epoch} == {size}
    counts = Counter(row for batch in epoch for row in batch)
    # TOGETHER · size epochs of every row.
    assert set(counts.values()) == {TOGETHER * size}
    first, second = LengthBatches(lengths, size, seed=3), LengthBatches(lengths, size, seed=3)
    for _ in range(stop):
        first.next()
    second.next()
    second.load_state_dict(first.state_dict())
    assert [second.next() for _ in range(5)] == epoch[stop : stop + 5]


def test_rows_of_a_batch_are_of_like_length():
    lengths = [number % 50 for number in range(1600)]
    batches = LengthBatches(lengths, 10, seed=0)
    spans = [max(batch) - min(batch) for batch in ([lengths[row] for row in batches.next()] for _ in range(TOGETHER))]
    assert sum(spans) / len(spans) < 6
