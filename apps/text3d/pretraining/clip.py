"""The pocket CLIP: OpenCLIP's ModifiedResNet and text transformer, contrastively, with hard negatives.

Without the hard negatives such a model reads prompts as bags of words (measured in shared/reference/captioning.md,
5.3); they are extra columns of the picture-to-text softmax.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from apps.text3d.auditing.mutations import PROMPTS
from apps.text3d.config import Text3dConfig
from apps.text3d.pretrain_config import ClipPretrainConfig
from apps.text3d.pretraining.cards import card, interval_table
from apps.text3d.pretraining.faults import Shown
from apps.text3d.pretraining.figures import FACTS
from apps.text3d.pretraining.pictures import Pictures, load
from apps.text3d.prompts.questions import told_from
from common.files import write_json, write_text
from common.stats import Interval, wilson
from common.training.contrastive import ContrastiveLearner, model_config, to_tokens

if TYPE_CHECKING:
    from common.models.clip import Clip
    from common.training.run import Run

STAGE = "clip"
#: Mean and deviation of the pictures' channels, near enough, of 1; written into the preprocess settings.
MEAN, DEVIATION = (0.6, 0.6, 0.6), (0.3, 0.3, 0.3)
#: Prompts that the tokenizer is trained on.
READ = 4_000
#: Wrong prompts that are false of the picture; one that only says less is not.
_WRONG = [name for name in PROMPTS if name != "dropped_object"]


class ClipLearner(ContrastiveLearner):
    """The training of a pocket CLIP, step by step; see `common.training.stage`.

    Args:
        config: size and schedule.
        pictures: to learn from.
        tokenizer: of the texts.
        seed: of weights, order, places and wrong prompts.
    """

    def __init__(self, config: ClipPretrainConfig, pictures: Pictures, tokenizer: Any, seed: int) -> None:
        import open_clip

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = open_clip.CLIP(**model_config(config, config.size, len(tokenizer)))
        super().__init__(model, len(pictures), config.steps, config.batch_size, config.learning_rate, seed)
        self.config, self.pictures, self.tokenizer, self.seed = config, pictures, tokenizer, seed
        self.shown = Shown(pictures, seed)

    def loss(self, rows: list[int]) -> Tensor:
        """Symmetric InfoNCE; every picture's row has the wrong prompts of the whole batch as further columns."""
        from common.models.clip_text import encode_text

        rng = random.Random(f"clip {self.seed} {self.steps}")
        told = [self._told(row, rng) for row in rows]
        wrong = [text for row in rows for text in self._wrong(row, rng)]
        tokens = to_tokens(self.tokenizer, told + wrong, self.config.context_length)
        pixels = (self.shown.shown(rows) - MEAN[0]) / DEVIATION[0]
        seen = functional.normalize(self.model.encode_image(pixels), dim=-1)
        texts = functional.normalize(encode_text(self.model, tokens), dim=-1)
        logits = self.model.logit_scale.exp() * seen @ texts.T
        target = torch.arange(len(rows))
        to_picture = functional.cross_entropy(logits[:, : len(rows)].T, target)
        return (functional.cross_entropy(logits, target) + to_picture) / 2

    def _told(self, row: int, rng: random.Random) -> str:
        """The prompt; from sides where left may be right, always with the side."""
        world = self.pictures.worlds[row]
        plain = told_from(world.prompt, self.pictures.azimuths[row]) and rng.random() < 0.6
        return world.prompt.text if plain else self.pictures.text(row)

    def _wrong(self, row: int, rng: random.Random) -> list[str]:
        made = [PROMPTS[name](self.pictures.worlds[row].prompt, rng) for name in _WRONG]
        found = [one.text for one in made if one is not None]
        return [
            text if rng.random() < 0.6 else f"{text}, {self.pictures.view(row)}"
            for text in rng.sample(found, min(self.config.hard_negatives, len(found)))
        ]


def make_clip(config: Text3dConfig, run: Run, folder: Path, command: str, seed: int) -> None:
    """Train the model, write it in float16, and measure what was written.

    Args:
        config: `pretrain.clip` holds sizes and steps.
        run: holds log and checkpoints.
        folder: to write to.
        command: for the card.
        seed: of pictures, words and weights.
    """
    from common.models.clip_folder import compact_tokenizer, save_clip
    from common.training.stage import run_stage

    settings = config.pretrain.clip
    pictures = load("train", settings.scenes, settings.size, seed)
    texts = [pictures.text(row) for row in range(min(len(pictures), READ))]
    tokenizer = compact_tokenizer(texts, settings.vocabulary, settings.context_length)
    learner = ClipLearner(settings, pictures, tokenizer, seed)
    run_stage(run, STAGE, learner, settings.steps, config.pretrain.save_every)
    preprocess = {"mean": list(MEAN), "std": list(DEVIATION)}
    model = learner.model.eval()
    save_clip(
        model, tokenizer, model_config(settings, settings.size, len(tokenizer)), folder, preprocess, torch.float16
    )
    measure(config, folder, command, seed)


def measure(config: Text3dConfig, folder: Path, command: str, seed: int) -> dict[str, Any]:
    """Write `figures.json` and the card; returns the figures."""
    from common.models.clip import Clip

    settings = config.pretrain.clip
    clip = Clip(folder, batch_size=100)
    found = {
        split: told_apart(clip, load(split, settings.heldout, settings.size, config.seed), config.seed)
        for split in ("test_seen", "test_held")
    }
    figures = {name: {fact: share.to_dict() for fact, share in row.items()} for name, row in found.items()}
    write_json(folder / "figures.json", figures)
    what = (
        "OpenCLIP's ModifiedResNet and text transformer. It knows drawn solids of eight kinds and eight colours from "
        "all sides and nothing else."
    )
    made = [
        f"{settings.steps:,} steps of {settings.batch_size} of {settings.scenes:,} pictures, each beside up to "
        f"{settings.hard_negatives} prompts of which one fact is false; six in ten pictures blurred, foggy and noisy"
    ]
    told = (
        f"`R@1`: how often the picture's own text is the nearest of all {settings.heldout}. The others: how often the "
        "true text is nearer than one of which a single fact is false, 50 is chance. In %, 95 % interval. `test_held` "
        "names combinations of colour and kind, or kinds and relation, that training never shows."
    )
    table = interval_table(f"split, {settings.heldout} pictures each", found)
    write_text(folder / "README.md", card("Pocket CLIP of text-to-3D", what, command, seed, made, told, table))
    return figures


def told_apart(clip: Clip, pictures: Pictures, seed: int) -> dict[str, Interval]:
    """How often the true text, which names the side, is nearest of all, and nearer than one with a false fact."""
    rng = random.Random(seed)
    seen = clip.image(Shown(pictures, seed, faults=False).shown(range(len(pictures))))
    texts = [pictures.text(row) for row in range(len(pictures))]
    table = seen @ clip.text(texts).T
    nearest = table.argmax(1).tolist()
    first = sum(texts[place] == texts[row] for row, place in enumerate(nearest))
    found = {"R@1": wilson(first, len(texts))}
    for fact, name in FACTS.items():
        made = [PROMPTS[name](world.prompt, rng) for world in pictures.worlds]
        rows = [row for row, one in enumerate(made) if one is not None]
        false = [f"{one.text}, {pictures.view(row)}" for row, one in enumerate(made) if one is not None]
        cosines = (seen[rows] * clip.text(false)).sum(1)
        found[fact] = wilson(int((table.diag()[rows] > cosines).sum()), len(rows))
    return found
