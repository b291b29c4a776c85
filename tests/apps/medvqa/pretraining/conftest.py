"""A tiny pocket model and a few phantoms, made once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from apps.medvqa.data import Example
from apps.medvqa.pocket import load_pocket, study_of
from apps.medvqa.pretrain import shape
from apps.medvqa.pretrain_config import PretrainConfig
from apps.medvqa.pretraining.pictures import Pictures
from apps.medvqa.pretraining.truth import truth_table
from apps.medvqa.prompts import messages, target
from common.models.small_vlm import make_small_vlm
from common.training.vision.token_rows import Rows

SMALL = PretrainConfig(
    vocabulary=400,
    hidden_size=32,
    intermediate_size=48,
    layers=2,
    heads=2,
    vision_size=32,
    vision_intermediate=32,
    vision_layers=2,
    vision_heads=2,
    examples=24,
    vision_steps=4,
    vision_batch_size=6,
    language_steps=4,
    language_batch_size=2,
)


@dataclass
class Tiny:
    """A model and what it is trained on; `model` is a fresh copy for each test."""

    examples: list[Example]
    model: Any
    processor: Any
    pictures: Pictures
    rows: Rows
    truth: dict[str, torch.Tensor]


@pytest.fixture(scope="session")
def make_tiny() -> Callable[[], Tiny]:
    examples = load_pocket("demonstrations", 40, 5)
    taught = [(messages(example), target(example)) for example in examples]
    model, processor = make_small_vlm([said for _, said in taught], shape(SMALL, 0))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        # Away from the start, where all is so small that mistakes do not show.
        for weight in model.parameters():
            weight += 0.1 * torch.randn_like(weight)
    pictures = Pictures((example.pictures[0] for example in examples), processor)
    rows = Rows(taught, processor, pictures.grid)
    truth = truth_table([study_of(example) for example in examples])
    return lambda: Tiny(examples, copy.deepcopy(model), processor, pictures, rows, truth)


@pytest.fixture
def tiny(make_tiny: Callable[[], Tiny]) -> Tiny:
    return make_tiny()
