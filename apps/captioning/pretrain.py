"""`pretrain`: the pocket models, made from nothing on the pocket world: CLIPs, GPT-2, discriminator, captioners."""

from __future__ import annotations

import logging
import random
import shlex
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.captioning.config import CaptioningConfig
from common.errors import DataError, UsageError
from common.files import locate, write_json, write_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from common.training.run import Run

logger = logging.getLogger(__name__)

PARTS = ("clip", "clip-held-out", "decoder", "discriminator", "captioner-init", "captioner")
# The second CLIP, which no reward ever uses: other pictures, words and weights.
HELD_OUT_SEED = 1000
# Steps between checkpoints of a CLIP's training: a few minutes.
SAVE_EVERY = 250


def run_pretrain(config: CaptioningConfig, out: str = "assets/captioning", only: str | None = None) -> int:
    """Make the folders of `PARTS` under `out`, each with a card that holds the command, the seed and figures.

    Raises:
        UsageError: there is no such part.
        DataError: a captioner is asked for alone, and a part that it is made of is not there.
    """
    from apps.captioning.pretraining.tokenizer import train_tokenizer
    from common.training.run import set_threads

    if only is not None and only not in PARTS:
        raise UsageError(f"--only: there is no {only!r}; choose from {', '.join(PARTS)}")
    set_threads(config.threads)
    folder, command = Path(out), f"python -m apps.captioning {shlex.join(sys.argv[1:])}"
    tokenizer = train_tokenizer(config.pretrain.vocabulary)
    for part in PARTS if only is None else (only,):
        logger.info("pretrain: %s", part)
        if part.startswith("clip"):
            figures = make_clip(config, folder / part, HELD_OUT_SEED if part == "clip-held-out" else 0)
        elif part == "decoder":
            figures = make_decoder(config, tokenizer, folder / part)
        elif part == "discriminator":
            figures = make_discriminator(config, tokenizer, folder / part)
        else:
            figures = make_captioner(config, folder, part)
        write_json(folder / part / "figures.json", figures)
        write_text(folder / part / "README.md", card(part, config, command, figures))
    return 0


def make_clip(config: CaptioningConfig, folder: Path, seed: int) -> dict[str, Any]:
    """Train and write a pocket CLIP; its figures are those of the written, float16 weights.

    An interrupted training goes on when the same command is given again.
    """
    from apps.captioning.pretraining.clip import ClipLearner, ClipTraining, clip_tokenizer, write_clip
    from apps.captioning.pretraining.clip_figures import clip_figures
    from common.models.clip import Clip
    from common.training.stage import drop_checkpoints, run_stage

    settings = ClipTraining(steps=config.pretrain.clip_steps, seed=config.seed + seed)
    tokenizer = clip_tokenizer(config.pretrain.vocabulary, settings)
    run = pretrain_run(config, f"{folder.name}-seed{settings.seed}-steps{settings.steps}", settings)
    learner = ClipLearner(settings, tokenizer)
    run_stage(run, "clip", learner, settings.steps, SAVE_EVERY)
    write_clip(learner.model.eval(), tokenizer, settings, folder)
    drop_checkpoints(run, "clip")
    return clip_figures(Clip(folder, batch_size=250))


def pretrain_run(config: CaptioningConfig, name: str, settings: Any) -> Run:
    """The run folder of one part: the one that an interrupted command left, or a new one.

    Raises:
        UsageError: the one that lies there was made with other settings.
    """
    from common.training.stage import open_run

    command = f"python -m apps.captioning {shlex.join(sys.argv[1:])}"
    return open_run(Path(config.runs) / f"pretrain-{name}", settings, settings.seed, command)


def make_decoder(config: CaptioningConfig, tokenizer: Tokenizer, folder: Path) -> dict[str, Any]:
    """Train and write the pocket GPT-2."""
    import torch

    from apps.captioning.pretraining.language import sentences, train_decoder
    from common.models.loading import without_bars

    settings = config.pretrain
    model, wrapped = train_decoder(
        tokenizer, settings.decoder_width, settings.decoder_layers, settings.decoder_steps, config.seed
    )
    with without_bars():
        model.half().save_pretrained(folder)  # type: ignore[no-untyped-call]
    wrapped.save_pretrained(folder)
    model.float()  # type: ignore[no-untyped-call]
    total = words = 0.0
    for text in sentences(random.Random("language/test"), 500):
        ids = torch.tensor([[wrapped.eos_token_id, *wrapped(text)["input_ids"], wrapped.eos_token_id]])
        with torch.no_grad():
            loss = model(ids, labels=ids).loss
        total, words = total + float(loss) * (ids.shape[1] - 1), words + ids.shape[1] - 1
    return {"parameters": sum(value.numel() for value in model.parameters()), "nats_a_token": total / words}


def make_discriminator(config: CaptioningConfig, tokenizer: Tokenizer, folder: Path) -> dict[str, Any]:
    """Train and write the pocket RoBERTa."""
    from apps.captioning.pretraining.language import train_discriminator

    settings = config.pretrain
    return dict(
        train_discriminator(tokenizer, folder, settings.discriminator_width, settings.discriminator_steps, config.seed)
    )


def make_captioner(config: CaptioningConfig, folder: Path, part: str) -> dict[str, Any]:
    """Run `train` on the parts made so far, and write what it made: the start alone, or the start reinforced.

    An interrupted training goes on when the same command is given again.
    """
    from apps.captioning.model import load_captioner
    from apps.captioning.train import train_one

    initial = part == "captioner-init"
    # The start holds the decoder it was made from, trained further.
    for needed in (name for name in PARTS[: PARTS.index(part)] if initial or name != "decoder"):
        if not locate(folder / needed).is_dir():
            raise DataError(f"the captioner needs {needed}; make it first (without --only)", path=folder / needed)
    path = "" if initial else str(folder / "captioner-init")
    config = replace(
        config,
        clip=replace(config.clip, name=f"local-dir:{folder / 'clip'}"),
        captioner=replace(config.captioner, decoder=str(folder / "decoder"), path=""),
        init=replace(config.init, path=path),
        discriminator=replace(config.discriminator, path=str(folder / "discriminator")),
        evaluate=replace(config.evaluate, second_clip=f"local-dir:{folder / 'clip-held-out'}"),
    )
    if initial:
        config.captioner.align, config.rl = False, replace(config.rl, steps=0)
        config.corpus = replace(config.corpus, limit=config.pretrain.captioner_sentences)
        steps, learning_rate = config.pretrain.captioner_steps, config.pretrain.captioner_learning_rate
        config.init = replace(config.init, steps=steps, learning_rate=learning_rate, noise=0.0)
    run = pretrain_run(config, f"{part}-seed{config.seed}", config)
    result = train_one(config, resume=run.folder, command=f"python -m apps.captioning {shlex.join(sys.argv[1:])}")
    load_captioner(run.folder / "model").half().save(folder / part)
    # What lies under the first name is gone on with; a finished run must not stand for one with other parts.
    run.folder.rename(run.folder.with_name(f"{run.folder.name}-{datetime.now():%Y%m%d-%H%M%S}"))
    measured = {"before": result.before, "after": result.after}
    if initial:
        measured = {"text-only start": result.before}
    if result.retrieval is not None:
        measured["nearest corpus sentence"] = result.retrieval
    return {when: {name: found.interval(name).to_dict() for name in found.names} for when, found in measured.items()}


WHAT = {
    "clip": "Pocket CLIP: OpenCLIP's ModifiedResNet and text transformer, trained contrastively on drawn scenes with "
    "hard negatives; no training picture shows a held-out colour and kind.",
    "clip-held-out": "A second pocket CLIP, from other pictures, words and weights. No reward uses it: where a "
    "captioner pleases the first one and not this one, it has learnt to please, not to see.",
    "decoder": "Pocket GPT-2: a language model of pocket sentences. It has seen no picture and no CLIP feature.",
    "discriminator": "Pocket RoBERTa: tells pocket sentences from damaged ones.",
    "captioner-init": "The captioner that `train` starts from: it has learnt on text alone to say a sentence from the "
    "sentence's own CLIP feature, and has seen no picture.",
    "captioner": "What `train` makes with the pocket settings and seed 0: noisy text, alignment, reinforcement.",
}


def card(part: str, config: CaptioningConfig, command: str, figures: dict[str, Any]) -> str:
    """The card that lies beside the weights."""
    rows = [f"| {name} | {value} |" for name, value in _flat(figures)]
    lines = [
        f"# {part}",
        "",
        WHAT[part],
        "",
        f"- command: `{command}` (config `configs/captioning/pocket.yaml`), seed {config.seed}",
        "",
        "| figure | value |",
        "|---|---|",
        *rows,
        "",
        "Figures on the pocket world are no benchmark results.",
        "",
    ]
    return "\n".join(lines)


def _flat(figures: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, value in figures.items():
        if isinstance(value, dict) and {"mean", "low", "high"} <= set(value):
            rows.append(
                (prefix + name, f"{value['mean']:.4g} [{value['low']:.4g}, {value['high']:.4g}] (n = {value['n']})")
            )
        elif isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}: ")
        else:
            rows.append((prefix + name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    return rows
