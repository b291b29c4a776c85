"""`pretrain`: the pocket models, made from nothing on pictures of the pocket world."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.config import Text3dConfig

if TYPE_CHECKING:
    from common.training.run import Run

#: The pocket models, in the order in which they are made. Those that are held out reward nothing: where a scene
#: pleases the first and not them, it has learnt to please.
PARTS = ("diffusion", "vlm", "vlm-held-out", "clip", "clip-held-out")
#: Added to the seed of those that are held out: other pictures, words and weights.
HELD_OUT_SEED = 1_000

Make = Callable[[Text3dConfig, "Run", Path, str, int], None]


@dataclass(frozen=True)
class Lesson:
    """What decides how a model comes out: an interrupted training goes on only where none of it has changed."""

    settings: Any
    seed: int


def run_pretrain(config: Text3dConfig, only: str | None = None) -> int:
    """Make the models of `PARTS`, each a folder in `OUT` that its own library opens, with figures and a card.

    Args:
        config: the settings.
        only: make this one.

    Raises:
        Interrupted: the user stopped it; the message holds the command that goes on.
        UsageError: an interrupted training with other settings is in the way.
    """
    from common.training.run import set_threads

    set_threads(config.threads)
    for part in PARTS if only is None else (only,):
        make_part(config, part, f"python -m apps.text3d {shlex.join(sys.argv[1:])}")
    return 0


def make_part(config: Text3dConfig, part: str, command: str) -> Path:
    """Train, write and measure one of `PARTS`; returns its folder."""
    from common.training.stage import drop_checkpoints, open_run

    make, settings, stages = _recipe(config, part)
    seed = config.seed + HELD_OUT_SEED * part.endswith("held-out")
    folder = Path(config.pretrain.out) / part
    name = f"pretrain-{part}-seed{seed}"
    run = open_run(Path(config.runs) / name, Lesson(settings, seed), seed, command)
    make(config, run, folder, command, seed)
    for stage in stages:
        drop_checkpoints(run, stage)
    return folder


def _recipe(config: Text3dConfig, part: str) -> tuple[Make, Any, tuple[str, ...]]:
    """What makes a part, its settings, and its stages."""
    if part == "diffusion":
        from apps.text3d.pretraining import denoising

        return denoising.make_diffusion, config.pretrain.diffusion, (denoising.READ, denoising.DENOISE)
    if part.startswith("vlm"):
        from apps.text3d.pretraining import vlm

        return vlm.make_vlm, config.pretrain.vlm, (vlm.SEE, vlm.SAY)
    from apps.text3d.pretraining import clip

    return clip.make_clip, config.pretrain.clip, (clip.STAGE,)
