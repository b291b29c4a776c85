"""Trains the pocket CLIP: OpenCLIP's ModifiedResNet and text transformer, contrastively, with hard negatives.

Without the hard negatives such a model reads captions as bags of words and cannot tell "left of" from "right of"
(measured in shared/reference/captioning.md, 5.3); they are extra columns of the picture-to-text softmax, and a sort of
mistake that the model still makes comes the more often.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.captioning.pocket.grammar import write
from apps.captioning.pocket.mutations import MUTATIONS, damage
from apps.captioning.pocket.render import SIDE, draw
from apps.captioning.pocket.scene import Scene, sample_scene
from apps.captioning.pretraining.tokenizer import sentences
from common.models.clip_text import encode_text
from common.training.contrastive import ContrastiveLearner, model_config, to_input, to_tokens
from common.ui import progress

if TYPE_CHECKING:
    from pathlib import Path

    from open_clip import CLIP
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast


@dataclass
class ClipTraining:
    """Size and schedule of a pocket CLIP.

    Args:
        width: of the ModifiedResNet's first stage; its last is 32 times as wide.
        embedding: size of the shared features.
        text_width: width of the text transformer.
        text_layers: its layers.
        context_length: longest text, in tokens.
        pictures: training pictures; none shows a held-out colour and kind.
        steps: optimiser steps.
        batch_size: pairs of a step.
        hard_negatives: captions with one wrong fact for each pair.
        stories: share of captions in the other style.
        forwards: share of the steps in which relations are told from their left or upper end only. Told from either
            end, a relation is an exclusive or of word order and word, which neither half of the model can begin to
            learn: 1,400 steps left inverted relations at 50 %.
        learning_rate: highest; it falls to 0 along a cosine.
        seed: of pictures, words and weights.
    """

    width: int = 16
    embedding: int = 128
    text_width: int = 128
    text_layers: int = 2
    context_length: int = 48
    pictures: int = 60_000
    steps: int = 3_000
    batch_size: int = 128
    hard_negatives: int = 2
    stories: float = 0.2
    forwards: float = 0.3
    learning_rate: float = 1.5e-3
    seed: int = 0


def draw_all(scenes: list[Scene], quiet: bool = False) -> np.ndarray:
    """`(N, 64, 64, 3)` uint8."""
    pictures = np.empty((len(scenes), SIDE, SIDE, 3), np.uint8)
    with progress("drawing", len(scenes), quiet) as bar:
        for number, scene in enumerate(scenes):
            pictures[number] = np.asarray(draw(scene))
            bar(number + 1)
    return pictures


# No sort of mistake is drawn less often than this against one that always fools the model.
EASIEST = 0.03
# A broken sentence is a mistake too: a captioner that is paid by this model finds out at once where it is not.
DAMAGE = "damaged"

# The pictures' own mean and deviation, near enough; written into the preprocess settings of the saved model.
MEAN, DEVIATION = (0.55, 0.54, 0.56), (0.33, 0.32, 0.33)


class ClipLearner(ContrastiveLearner):
    """The training of a pocket CLIP, step by step; see `common.training.stage`.

    Args:
        settings: size and schedule.
        tokenizer: see `clip_tokenizer`.
        quiet: no progress bar while the pictures are drawn.
    """

    def __init__(self, settings: ClipTraining, tokenizer: PreTrainedTokenizerFast, quiet: bool = False) -> None:
        import open_clip
        import torch

        torch.manual_seed(settings.seed)
        rng = random.Random(f"clip/{settings.seed}")
        self.settings, self.tokenizer = settings, tokenizer
        self.scenes = [sample_scene(rng, held=False) for _ in range(settings.pictures)]
        self.pictures = draw_all(self.scenes, quiet)
        super().__init__(
            open_clip.CLIP(**model_config(settings, SIDE, len(tokenizer))),
            settings.pictures,
            settings.steps,
            settings.batch_size,
            settings.learning_rate,
            settings.seed,
        )
        # How often each sort of mistake fools the model: a running mean.
        self.hardness = dict.fromkeys((DAMAGE, *MUTATIONS), 0.5)

    def figures(self) -> dict[str, float]:
        """How often each sort of mistake fools the model."""
        return {f"fooled/{name}": value for name, value in self.hardness.items()}

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return {**super().state(), "hardness": self.hardness}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        super().restore(state)
        self.hardness = dict(state["hardness"])

    def loss(self, rows: list[int]) -> Tensor:
        """Symmetric InfoNCE; every picture's row has the hard negatives of the whole batch as further columns."""
        import torch
        from torch.nn import functional

        settings, backwards = self.settings, _backwards(self.steps, self.settings)
        rng = random.Random(f"clip/{settings.seed}/{self.steps}")
        truths, wrongs, kinds = [], [], []
        for scene in (self.scenes[row] for row in rows):
            style = "stories" if rng.random() < settings.stories else "captions"
            seed = rng.random()

            def say(told: Scene, style: str = style, seed: float = seed) -> str:
                # The same wording for right and wrong, so that only the fact differs.
                return write(told, random.Random(seed), style, backwards)

            truths.append(say(scene))
            for kind, wrong in _wrong_captions(scene, truths[-1], say, settings.hard_negatives, self.hardness, rng):
                wrongs.append(wrong)
                kinds.append(kind)
        seen = functional.normalize(self.model.encode_image(to_input(self.pictures[rows], MEAN, DEVIATION)), dim=-1)
        tokens = to_tokens(self.tokenizer, truths + wrongs, settings.context_length)
        told = functional.normalize(encode_text(self.model, tokens), dim=-1)
        logits = self.model.logit_scale.exp() * seen @ told.T
        _update(self.hardness, kinds, logits.detach(), settings.hard_negatives)
        target = torch.arange(len(rows))
        to_text = functional.cross_entropy(logits, target)
        return (to_text + functional.cross_entropy(logits[:, : len(rows)].T, target)) / 2


def _wrong_captions(
    scene: Scene,
    truth: str,
    say: Callable[[Scene], str],
    number: int,
    hardness: dict[str, float],
    rng: random.Random,
) -> list[tuple[str, str]]:
    """Captions with one wrong fact or a broken sentence, and what is wrong with them.

    A sort of mistake that the model still makes is drawn the more often.
    """
    changed = {name: mutation(scene, rng) for name, mutation in MUTATIONS.items()}
    names = [DAMAGE, *(name for name, wrong in changed.items() if wrong is not None)]
    wrongs = []
    for name in rng.choices(names, [hardness[name] for name in names], k=number):
        other = changed.get(name)
        wrongs.append((name, damage(truth, rng) if other is None else say(other)))
    return wrongs


def _update(hardness: dict[str, float], kinds: list[str], logits: Tensor, number: int) -> None:
    """Follow, for each sort of mistake, how often the wrong caption is liked as well as the right one."""
    count = len(logits)
    for place, kind in enumerate(kinds):
        row = place // number
        fooled = float(logits[row, count + place] >= logits[row, row])
        hardness[kind] = max(EASIEST, 0.99 * hardness[kind] + 0.01 * fooled)


def _backwards(step: int, settings: ClipTraining) -> float:
    """How often relations are told from the other end: never at first, then up to half of the time."""
    start = settings.forwards * settings.steps
    return 0.5 * min(1.0, max(0.0, step - start) / max(1.0, start / 2))


def clip_tokenizer(vocabulary: int, settings: ClipTraining) -> PreTrainedTokenizerFast:
    """The pocket CLIP's tokenizer, learnt from pocket sentences of both styles.

    Args:
        vocabulary: most tokens.
        settings: for the context's length.
    """
    from common.models.clip_folder import compact_tokenizer

    tokenizer: PreTrainedTokenizerFast = compact_tokenizer(sentences(), vocabulary, settings.context_length)
    return tokenizer


def write_clip(model: CLIP, tokenizer: PreTrainedTokenizerFast, settings: ClipTraining, folder: Path) -> Path:
    """The folder that `local-dir:` loads: config, float16 weights, tokenizer and preprocess settings."""
    import torch

    from common.models.clip_folder import save_clip

    preprocess = {"mean": list(MEAN), "std": list(DEVIATION)}
    return save_clip(model, tokenizer, model_config(settings, SIDE, len(tokenizer)), folder, preprocess, torch.float16)
