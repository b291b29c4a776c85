"""A workbench for tests of the demo: short drives, and a tiny random CLIP in place of the pocket one."""

from __future__ import annotations

from pathlib import Path

import torch

from apps.driving.config import DrivingConfig
from apps.driving.demo_sight import Sight, open_sight, pocket_words
from apps.driving.env_config import EndConfig
from apps.driving.evaluate_config import EvaluateConfig
from apps.driving.workbench import Workbench
from tests.common.models.tiny_clip import tiny_clip_folder

#: Seconds of a drive.
SHORT = 3.0


def settings(folder: Path, seconds: float = SHORT) -> DrivingConfig:
    """Settings that look for runs and for a CLIP under `folder`."""
    torch.set_num_threads(1)
    config = DrivingConfig(evaluate=EvaluateConfig(end=EndConfig(seconds=seconds)), runs=str(folder / "runs"))
    config.reward.clip.name = f"local-dir:{folder / 'clip'}"
    return config


def blind_workbench(folder: Path, seconds: float = SHORT) -> Workbench:
    """One without a CLIP."""
    config = settings(folder, seconds)
    sight, blind = open_sight(config.reward)
    assert sight is None
    return Workbench(config, None, blind)


def seeing_workbench(folder: Path, seconds: float = SHORT) -> Workbench:
    """One with a random CLIP, whose thresholds are given."""
    config = settings(folder, seconds)
    tiny_clip_folder(folder / "clip", sorted(pocket_words()))
    config.reward.thresholds.low, config.reward.thresholds.high = -0.5, 0.5
    sight, _ = open_sight(config.reward)
    assert sight is not None
    return Workbench(config, Sight(sight.clip, sight.config, pocket_words()))
