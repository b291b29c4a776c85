"""Whether a step can be shared out over processes and passes, before anything heavy is loaded."""

from __future__ import annotations

from apps.captioning.config import CaptioningConfig
from common.errors import UsageError
from common.training.workers import Workers


def check_processes(config: CaptioningConfig, processes: int) -> None:
    """Refuse a step that the processes cannot take equal slices of, and passes that cannot be.

    Raises:
        UsageError: names the setting.
    """
    rl, workers = config.rl, Workers(number=processes)
    for name, size in (
        ("init.micro_batch", config.init.micro_batch),
        ("rl.micro_batch", rl.micro_batch),
        ("discriminator.micro_batch", config.discriminator.micro_batch),
    ):
        if size < 0:
            raise UsageError(f"{name} must be 0 (all at once) or more, not {size}")
    if config.init_steps:
        workers.check_divides("init.batch_size", config.init.batch_size)
    if rl.steps:
        workers.check_divides("rl.pictures_per_step", rl.pictures_per_step)
        if rl.algorithm == "dico" and 0 < rl.micro_batch < rl.samples:
            raise UsageError(
                f"rl.micro_batch {rl.micro_batch}: dico compares a picture's captions in one pass; use rl.samples "
                f"({rl.samples}) or more"
            )
    for name, device in (("captioner.device", config.captioner.device), ("clip.device", config.clip.device)):
        if processes > 1 and ":" in device:
            raise UsageError(f"{name} {device}: each of {processes} processes has a GPU of its own; set it to auto")
