"""Workbenches for tests of the demo: small scenes, few steps, and an untrained VLM of the real class."""

from __future__ import annotations

from pathlib import Path

import torch

from apps.text3d.cameras import around
from apps.text3d.config import Text3dConfig
from apps.text3d.guidance.build import KINDS, asked
from apps.text3d.prompts.parser import parse
from apps.text3d.workbench import Workbench
from common.config import load
from common.models.small_vlm import make_small_vlm, save_small_vlm

POCKET = Path(__file__).resolve().parents[3] / "configs" / "text3d" / "pocket.yaml"
PROMPT = "a red cube left of a blue sphere"
STEPS = 6
SHORT = (
    *(f"--optimise.steps={STEPS}", "--optimise.size=28", "--optimise.learning_rate=0.3"),
    *("--optimise.viewpoints.views=2", "--scene.voxel.resolution=16", "--scene.voxel.march.samples=16"),
    *("--scene.gaussians.count=60", "--export.resolution=24", "--export.frames=3", "--export.size=32"),
    *("--export.views=4", "--guidance.sds.model=", "--guidance.clip.name=", "--guidance.vlm.model="),
    *("--guidance.sds.weight=0.0", "--guidance.clip.weight=0.0", "--guidance.vlm.semantic=0.0"),
    *("--guidance.vlm.spatial=0.0", "--guidance.vlm.consistency=0.0", "--guidance.analytic=1.0"),
)


def settings(*more: str) -> Text3dConfig:
    torch.set_num_threads(1)
    return load(Text3dConfig, POCKET, [*SHORT, *more])


def small_workbench(*more: str) -> Workbench:
    """One with the analytic critic alone, whatever the shipped configuration names."""
    return Workbench(settings(*more))


def vlm_folder(folder: Path) -> Path:
    """An untrained VLM that knows the words of what is asked about `PROMPT`."""
    texts = [one.text for kind in KINDS for one in asked(kind, parse(PROMPT))(around(4, 28))]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_small_vlm(*make_small_vlm([f"{text} yes no Yes No YES NO" for text in texts] * 3), folder)
    return folder
