"""`pretrain`: the pocket diffusion model, made from nothing on pictures of the pocket world."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.config import Text3dConfig
from apps.text3d.pretrain_config import DiffusionConfig
from common.files import write_json, write_text

if TYPE_CHECKING:
    from apps.text3d.guidance.prior import DiffusionPrior
    from apps.text3d.pretraining.pictures import Pictures
    from common.stats import Interval
    from common.training.run import Run

#: Stages of the diffusion model; names in a run's log and checkpoints.
READ, DENOISE = "read", "denoise"
#: Texts that the tokenizer is trained on: their language is small.
TEXTS = 4_000
#: Splits of `pocket.combinations` that the figures are of.
TESTS = ("test_seen", "test_held")


@dataclass(frozen=True)
class Lesson:
    """What decides how the model comes out: an interrupted training goes on only where none of it has changed."""

    diffusion: DiffusionConfig
    seed: int


def run_pretrain(config: Text3dConfig) -> int:
    """Make `OUT/diffusion`, a folder that diffusers opens, with figures and a card.

    Args:
        config: the settings.

    Raises:
        Interrupted: the user stopped it; the message holds the command that goes on.
        UsageError: an interrupted training with other settings is in the way.
    """
    from common.training.run import set_threads

    set_threads(config.threads)
    make_diffusion(config, f"python -m apps.text3d {shlex.join(sys.argv[1:])}")
    return 0


def make_diffusion(config: Text3dConfig, command: str) -> Path:
    """Train, write and measure the diffusion model; returns its folder."""
    from apps.text3d.guidance.prior import load_prior, save_prior
    from apps.text3d.pretraining.diffusion import DiffusionLearner, make_prior
    from apps.text3d.pretraining.pictures import load
    from common.training.stage import drop_checkpoints, open_run, run_stage

    settings, folder = config.pretrain.diffusion, Path(config.pretrain.out) / "diffusion"
    name = f"pretrain-diffusion-seed{config.seed}-steps{settings.steps}"
    run = open_run(Path(config.runs) / name, Lesson(settings, config.seed), config.seed, command)
    pictures = load("train", settings.scenes, settings.size, config.seed)
    prior = make_prior(settings, [pictures.text(row) for row in range(min(len(pictures), TEXTS))], config.seed)
    read(config, run, pictures, prior)
    learner = DiffusionLearner(settings, pictures, prior, config.seed)
    run_stage(run, DENOISE, learner, settings.steps, config.pretrain.save_every)
    prior = learner.averaged()
    for part in (prior.unet, prior.text_encoder):
        part.half()
    save_prior(prior, folder)
    del learner, prior
    # Of the file, not of what was in memory: it is in half precision.
    measure(config, load_prior(folder, dtype="float32"), folder, command)
    for stage in (READ, DENOISE):
        drop_checkpoints(run, stage)
    return folder


def read(config: Text3dConfig, run: Run, pictures: Pictures, prior: DiffusionPrior) -> None:
    """The first stage: the text encoder alone. Its end is kept, so that a later stop does not begin it again."""
    from apps.text3d.pretraining.text import TextLearner, token_table
    from common.training.stage import run_stage, write_checkpoint

    settings = config.pretrain.diffusion
    table = token_table(pictures, prior.tokenizer, settings.tokens)
    learner = TextLearner(settings, pictures, prior.text_encoder, table, config.seed)
    run_stage(run, READ, learner, settings.text_steps, config.pretrain.save_every)
    write_checkpoint(run, READ, settings.text_steps, {"learner": learner.state(), "extra": {}})


def measure(config: Text3dConfig, prior: DiffusionPrior, folder: Path, command: str) -> dict[str, Any]:
    """Write `figures.json` and the card; returns the figures."""
    from apps.text3d.pretraining.figures import discrimination
    from apps.text3d.pretraining.pictures import load

    settings = config.pretrain.diffusion
    shares = {
        split: discrimination(prior, load(split, settings.heldout, settings.size, config.seed), config.seed)
        for split in TESTS
    }
    parts = (prior.unet, prior.text_encoder)
    parameters = sum(weight.numel() for part in parts for weight in part.parameters())
    figures = {
        "parameters": parameters,
        "discrimination": {
            split: {fact: share.to_dict() for fact, share in facts.items()} for split, facts in shares.items()
        },
    }
    write_json(folder / "figures.json", figures)
    write_text(folder / "README.md", card(config, command, parameters, shares))
    return figures


def card(config: Text3dConfig, command: str, parameters: int, shares: Mapping[str, Mapping[str, Interval]]) -> str:
    """The card that lies beside the weights."""
    settings = config.pretrain.diffusion
    facts = dict.fromkeys(fact for row in shares.values() for fact in row)
    rows = [
        f"| {split} | " + " | ".join(row[fact].text(100, 1) if fact in row else "–" for fact in facts) + " |"
        for split, row in shares.items()
    ]
    return "\n".join(
        [
            "# Pocket diffusion model of text-to-3D",
            "",
            f"A `UNet2DConditionModel` on {settings.size} × {settings.size} pixels with a `CLIPTextModel` of its own, "
            f"{parameters / 1e6:.2f} M parameters, in diffusers' layout. It knows drawn solids of eight kinds and "
            "eight colours from all sides and nothing else.",
            "",
            f"- command: `{command}`, seed {config.seed}",
            f"- {settings.text_steps:,} steps of the text encoder alone, on what {settings.text_batch_size} texts "
            "say, then "
            f"{settings.steps:,} steps of {settings.batch_size} of {settings.scenes:,} pictures",
            "",
            "How often it takes noise away better with the true text than with one of which a single fact is false, "
            "in %, 95 % interval; 50 is chance. `test_held` names combinations of colour and kind, or kinds and "
            "relation, that training never shows.",
            "",
            f"| split, {settings.heldout} pictures each | " + " | ".join(facts) + " |",
            "|---|" + "---|" * len(facts),
            *rows,
            "",
            "Figures on the pocket world are no benchmark results.",
            "",
        ]
    )
