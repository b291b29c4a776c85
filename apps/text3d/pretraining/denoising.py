"""The pocket diffusion model: a text encoder that reads, then a UNet that takes noise away as it is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.config import Text3dConfig
from apps.text3d.pretraining.cards import card, interval_table
from apps.text3d.pretraining.pictures import Pictures, load
from common.files import write_json, write_text

if TYPE_CHECKING:
    from apps.text3d.guidance.prior import DiffusionPrior
    from common.training.run import Run

#: The stages, in order; names in a run's log and checkpoints.
READ, DENOISE = "read", "denoise"
#: Texts that the tokenizer is trained on: their language is small.
TEXTS = 4_000
#: Splits of `pocket.combinations` that the figures are of.
TESTS = ("test_seen", "test_held")


def make_diffusion(config: Text3dConfig, run: Run, folder: Path, command: str, seed: int) -> None:
    """Train the model, write it in float16, and measure what was written.

    Args:
        config: `pretrain.diffusion` holds sizes and steps.
        run: holds log and checkpoints.
        folder: to write to.
        command: for the card.
        seed: of pictures, noise and weights.
    """
    from apps.text3d.guidance.prior import load_prior, save_prior
    from apps.text3d.pretraining.diffusion import DiffusionLearner, make_prior
    from common.training.stage import run_stage

    settings = config.pretrain.diffusion
    pictures = load("train", settings.scenes, settings.size, seed)
    prior = make_prior(settings, [pictures.text(row) for row in range(min(len(pictures), TEXTS))], seed)
    read(config, run, pictures, prior, seed)
    learner = DiffusionLearner(settings, pictures, prior, seed)
    run_stage(run, DENOISE, learner, settings.steps, config.pretrain.save_every)
    prior = learner.averaged()
    for part in (prior.unet, prior.text_encoder):
        part.half()
    save_prior(prior, folder)
    del learner, prior
    # Of the file, not of what was in memory: it is in half precision.
    measure(config, load_prior(folder, dtype="float32"), folder, command, seed)


def read(config: Text3dConfig, run: Run, pictures: Pictures, prior: DiffusionPrior, seed: int) -> None:
    """The first stage: the text encoder alone. Its end is kept, so that a later stop does not begin it again."""
    from apps.text3d.pretraining.text import TextLearner, token_table
    from common.training.stage import run_stage

    settings = config.pretrain.diffusion
    table = token_table(pictures, prior.tokenizer, settings.tokens)
    learner = TextLearner(settings, pictures, prior.text_encoder, table, seed)
    run_stage(run, READ, learner, settings.text_steps, config.pretrain.save_every, keep_end=True)


def measure(config: Text3dConfig, prior: DiffusionPrior, folder: Path, command: str, seed: int) -> dict[str, Any]:
    """Write `figures.json` and the card; returns the figures."""
    from apps.text3d.pretraining.figures import discrimination

    settings = config.pretrain.diffusion
    shares = {
        split: discrimination(prior, load(split, settings.heldout, settings.size, seed), seed) for split in TESTS
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
    what = (
        f"A `UNet2DConditionModel` on {settings.size} × {settings.size} pixels, {settings.fold} × {settings.fold} to "
        f"a place, with a `CLIPTextModel` of its own, {parameters / 1e6:.2f} M parameters, in diffusers' layout. It "
        "knows drawn solids of eight kinds and eight colours from all sides and nothing else."
    )
    made = [
        f"{settings.text_steps:,} steps of the text encoder alone, on what {settings.text_batch_size} texts say; then "
        f"{settings.steps:,} steps of {settings.batch_size} of {settings.scenes:,} pictures"
    ]
    told = (
        "How often it takes noise away better with the true text than with one of which a single fact is false, in %, "
        "95 % interval; 50 is chance. `test_held` names combinations of colour and kind, or kinds and relation, that "
        "training never shows."
    )
    table = interval_table(f"split, {settings.heldout} pictures each", shares)
    text = card("Pocket diffusion model of text-to-3D", what, command, seed, made, told, table)
    write_text(folder / "README.md", text)
    return figures
