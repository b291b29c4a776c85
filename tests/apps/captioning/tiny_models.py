"""Random models of the pocket's classes, made by the tests that need them."""

from __future__ import annotations

import random
from pathlib import Path

from apps.captioning.config import CaptioningConfig
from apps.captioning.pocket.grammar import write
from apps.captioning.pocket.scene import sample_scene
from tests.common.models.tiny_clip import tiny_clip_folder


def sentences(count: int, seed: int = 0) -> list[str]:
    """Sentences of the pocket grammar."""
    rng = random.Random(seed)
    return [write(sample_scene(rng), rng) for _ in range(count)]


def tiny_config(folder: Path, runs: Path | None = None) -> CaptioningConfig:
    """Settings of the pocket world with a random CLIP, which is made in `folder` where it is not there yet."""
    if not (folder / "clip").is_dir():
        tiny_clip_folder(folder / "clip", sentences(200), context_length=40)
    config = CaptioningConfig(runs=str(runs or folder / "runs"))
    config.clip.name = f"local-dir:{folder / 'clip'}"
    config.clip.device, config.clip.batch_size = "cpu", 16
    config.discriminator.path = str(folder / "discriminator")
    config.corpus.limit = 200
    return config
