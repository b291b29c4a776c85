"""`train --dry_run`: what a recipe would do, checked without weights, training or a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from apps.captioning.batches import check_processes
from apps.captioning.config import CaptioningConfig
from apps.captioning.data_config import CorpusConfig, PicturesConfig
from apps.captioning.train_config import PAID
from common.errors import UsageError
from common.training import dry_run
from common.training.dry_run import Check, NotChecked, show
from common.training.workers import launched

__all__ = ["Check", "Found", "NotChecked", "check", "show"]


@dataclass
class Found:
    """What the looks know of each other's findings.

    Attributes:
        pictures: of the training set; 0 where it is not here.
        sentences: of the corpus, likewise.
        features: size of a CLIP feature.
        clip: weights of CLIP.
        captioner: weights of mapper and decoder.
        decoder: the decoder's settings.
        discriminator: weights of the discriminator.
        judge: its settings.
        processes: that were launched.
    """

    pictures: int = 0
    sentences: int = 0
    features: int = 0
    clip: int = 0
    captioner: int = 0
    decoder: Any = None
    discriminator: int = 0
    judge: Any = None
    processes: int = field(default_factory=lambda: launched().number)
    data: dict[str, Any] = field(default_factory=dict)


Look = Callable[[CaptioningConfig, Found], str]


def check(config: CaptioningConfig) -> list[Check]:
    """Look at the data, the models (on the meta device), the rewards, the batch arithmetic and the memory."""
    from apps.captioning.dry_run_models import captioner, clip, discriminator, memory

    looks: tuple[tuple[str, Look], ...] = (
        ("training pictures", lambda config, found: _pictures("train", config.train, found)),
        ("validation pictures", lambda config, found: _pictures("validation", config.validation, found)),
        ("held-out pictures", lambda config, found: _pictures("heldout", config.heldout, found)),
        ("corpus", _corpus),
        ("unpaired", _unpaired),
        ("clip", clip),
        ("captioner", captioner),
        ("discriminator", discriminator),
        ("rewards", _rewards),
        ("batches", _batches),
        ("memory", memory),
        ("run folder", lambda config, found: dry_run.folder(config.runs)),
    )
    found = Found()
    return dry_run.checks((name, partial(look, config, found)) for name, look in looks)


def _pictures(name: str, data: PicturesConfig, found: Found) -> str:
    from apps.captioning.data import load_examples

    _here(f"{name}.path", data)
    if data.images and not Path(data.images).expanduser().is_dir():
        raise NotChecked(f"{data.images}: no such folder; put the pictures there, or set {name}.images")
    examples = load_examples(data)
    found.data[name] = examples
    if name == "train":
        found.pictures = len(examples)
    captions = sum(len(example.captions) for example in examples)
    return f"{len(examples):,} pictures, {captions:,} captions"


def _corpus(config: CaptioningConfig, found: Found) -> str:
    from apps.captioning.train import read_origin

    _here("corpus.path", config.corpus)
    sentences = read_origin(config)
    found.data["corpus"] = sentences
    found.sentences = len(sentences)
    return f"{len(sentences):,} sentences, for example: {sentences[0].text[:80]}"


def _here(option: str, data: PicturesConfig | CorpusConfig) -> None:
    """Leave data alone that is not on this machine."""
    if data.format != "pocket" and data.path and not Path(data.path).expanduser().exists():
        raise NotChecked(f"{data.path}: no such file or folder; put the data set there, or set {option}")


def _unpaired(config: CaptioningConfig, found: Found) -> str:
    from apps.captioning.unpaired import check_unpaired

    if config.reward.paired:
        return "paired on purpose (reward.paired): the trainer sees the training pictures' captions"
    missing = [name for name in ("train", "validation", "heldout", "corpus") if name not in found.data]
    if missing:
        raise NotChecked(f"needs {', '.join(missing)}")
    data = found.data
    overlaps = check_unpaired([*data["train"], *data["validation"]], data["corpus"], data["heldout"])
    shares = [f"{overlap.share:.1%} of the captions of {name}" for name, overlap in overlaps.items() if overlap.share]
    chance = f"; by chance it holds {', '.join(shares)}" if shares else ""
    return f"no sentence of the corpus came with one of the pictures{chance}"


def _rewards(config: CaptioningConfig, found: Found) -> str:
    from apps.captioning.rewards import SUPERVISED, own_rewards

    if not config.rl.steps:
        return "none: rl.steps is 0, so training ends with the initialisation"
    if config.reward.own:
        return ", ".join(f"{weight:g} × {name}" for name, (_, weight) in own_rewards(config.reward).items())
    weights = config.reward.weights
    if not weights:
        raise UsageError(f"reward: every weight is 0; set one of {', '.join(PAID)}")
    supervised = [name for name in SUPERVISED if name in weights]
    if supervised and not config.reward.paired:
        raise UsageError(
            f"reward.{supervised[0]} needs the pictures' own captions: set reward.paired to true, or drop it"
        )
    ramped = config.rl.ramp_start or config.rl.ramp_steps
    if ramped and "naturalness" not in weights:
        raise UsageError("rl.ramp_start and rl.ramp_steps hand over from naturalness to the others; give it a weight")
    told = ", ".join(f"{weight:g} × {name}" for name, weight in weights.items())
    if not ramped:
        return told
    end = config.rl.ramp_start + config.rl.ramp_steps
    return (
        f"{told}; naturalness alone for {config.rl.ramp_start} steps, then the others' share rises to "
        f"{config.rl.ramp_top:g} at step {end:,}"
    )


def _batches(config: CaptioningConfig, found: Found) -> str:
    rl, init = config.rl, config.init
    if min(rl.pictures_per_step, rl.samples, init.batch_size) < 1:
        raise UsageError("rl.pictures_per_step, rl.samples and init.batch_size must be 1 or more")
    compares = rl.algorithm != "scst" or rl.baseline == "leave_one_out"
    if rl.steps and compares and rl.samples < 2:
        raise UsageError(f"rl.samples {rl.samples}: {rl.algorithm} with {rl.baseline} compares at least 2 samples")
    check_processes(config, found.processes)
    parts = []
    if steps := config.init_steps:
        rounds = _rounds(steps * init.batch_size, found.sentences)
        parts.append(f"initialisation {steps:,} steps of {init.batch_size} sentences{rounds}")
    if config.captioner.align:
        parts.append("pictures' features aligned with the corpus' features")
    if rl.steps:
        pictures = rl.steps * rl.pictures_per_step
        greedy = " and one greedy" if rl.algorithm == "scst" and rl.baseline == "greedy" else ""
        parts.append(
            f"reinforcement {rl.steps:,} steps of {rl.pictures_per_step} pictures × {rl.samples} samples{greedy}"
            f"{_rounds(pictures, found.pictures)}"
        )
    if parts and found.processes > 1:
        parts.append(f"each of {found.processes} processes takes an equal part of every step")
    return "; ".join(parts) or "nothing to do: a captioner is loaded, and init.further and rl.steps are 0"


def _rounds(taken: int, size: int) -> str:
    return f" ({taken / size:.2g} times over the data)" if size else ""
