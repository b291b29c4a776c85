"""Trains the pocket CLIP of bird's-eye views: OpenCLIP's ModifiedResNet and text transformer, contrastively.

Two losses. Captions: of a batch's captions, those that are true of a picture share its probability, the exact table
says which; without it every second clear road would be taught that the other clear road's caption is wrong. Goals: of
two opposite texts the softmax that CLIP classifies with, taught the truth as a share: a danger of 0.7 is said with
seven in ten captions of the negative sort. So z follows danger, also between the extremes.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import open_clip
import torch
from torch import Tensor
from torch.nn import functional

from apps.driving.pocket.captions import truths, write
from apps.driving.pocket.facts import FACTS, NAMES
from apps.driving.pocket.moments import SIZE
from apps.driving.pocket.scenes import ASPECTS, Scenes, mirrored
from apps.driving.pocket.wordings import CLAUSES, PAIRS
from apps.driving.pretrain_config import PretrainConfig
from common.models.clip_folder import compact_tokenizer, save_clip
from common.models.clip_text import encode_text
from common.training.contrastive import ContrastiveLearner, model_config, to_input, to_tokens

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerFast

#: The pictures' own mean and deviation, near enough; written into the preprocess settings of the saved model.
MEAN, DEVIATION = (0.23, 0.26, 0.26), (0.18, 0.16, 0.16)
#: Captions that the tokenizer learns from.
READ = 6_000
#: Label smoothing of the goals: no picture is so clear that z should grow without end.
LEAST = 0.02


def clip_tokenizer(settings: PretrainConfig, scenes: Scenes) -> PreTrainedTokenizerFast:
    """The pocket CLIP's tokenizer, learnt from captions and goals."""
    rng = random.Random("driving/tokenizer")
    texts = [text for clauses in CLAUSES.values() for clause in clauses for text in clause.texts]
    texts += [text for pair in PAIRS for text in (*pair.positive, *pair.negative)]
    texts += [write(scenes.facts_at(row % len(scenes)), rng).text for row in range(READ)]
    tokenizer: PreTrainedTokenizerFast = compact_tokenizer(texts, settings.vocabulary, settings.context_length)
    return tokenizer


class ClipLearner(ContrastiveLearner):
    """The training of the pocket CLIP, step by step; see `common.training.stage`.

    Args:
        settings: size and schedule.
        tokenizer: see `clip_tokenizer`.
        scenes: to learn from.
    """

    def __init__(self, settings: PretrainConfig, tokenizer: PreTrainedTokenizerFast, scenes: Scenes) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.tokenizer, self.scenes = settings, tokenizer, scenes
        super().__init__(
            open_clip.CLIP(**model_config(settings, SIZE, len(tokenizer))),
            len(scenes),
            settings.steps,
            settings.batch_size,
            settings.learning_rate,
            settings.seed,
        )
        self.parts: dict[str, float] = {}

    def figures(self) -> dict[str, float]:
        """The two losses of the last step."""
        return self.parts

    def loss(self, rows: list[int]) -> Tensor:
        """Captions and goals; every second picture is seen in a mirror, which swaps left and right in its facts."""
        rng = random.Random(f"driving/clip/{self.settings.seed}/{self.steps}")
        pictures, facts = self.scenes.pictures(rows), self.scenes.facts[rows]
        flip = np.array([rng.random() < 0.5 for _ in rows])
        pictures[flip] = pictures[flip][:, :, ::-1]
        facts[flip] = mirrored(facts[flip])
        captions = [
            write({name: FACTS[name][value] for name, value in zip(NAMES, row, strict=True)}, rng)
            for row in facts.tolist()
        ]
        goals = [text for pair in PAIRS for text in (rng.choice(pair.positive), rng.choice(pair.negative))]
        texts = [caption.text for caption in captions] + goals
        tokens = to_tokens(self.tokenizer, texts, self.settings.context_length)
        seen = functional.normalize(self.model.encode_image(to_input(pictures, MEAN, DEVIATION)), dim=-1)
        told = functional.normalize(encode_text(self.model, tokens), dim=-1)
        logits = self.model.logit_scale.exp() * seen @ told.T
        said = _shared(logits[:, : len(rows)], torch.from_numpy(truths(facts, captions)))
        gaps = logits[:, len(rows) + 1 :: 2] - logits[:, len(rows) :: 2]
        wanted = self.scenes.dangers[rows][:, [ASPECTS.index(pair.aspect) for pair in PAIRS]]
        target = torch.from_numpy(wanted).clamp(LEAST, 1 - LEAST)
        contrast = functional.binary_cross_entropy_with_logits(gaps, target)
        self.parts = {"loss/captions": float(said.detach()), "loss/goals": float(contrast.detach())}
        return said + self.settings.goals * contrast


def _shared(logits: Tensor, true: Tensor) -> Tensor:
    """Symmetric cross-entropy where all true captions of a picture, and all pictures of a caption, share alike."""
    table = true.float()
    to_text = functional.cross_entropy(logits, table / table.sum(1, keepdim=True))
    to_picture = functional.cross_entropy(logits.T, table.T / table.T.sum(1, keepdim=True))
    return (to_text + to_picture) / 2


def write_clip(learner: ClipLearner, folder: Path) -> Path:
    """The folder that `local-dir:` loads: config, float16 weights, tokenizer and preprocess settings."""
    preprocess = {"mean": list(MEAN), "std": list(DEVIATION)}
    config = model_config(learner.settings, SIZE, len(learner.tokenizer))
    return save_clip(learner.model.eval(), learner.tokenizer, config, folder, preprocess, torch.float16)
