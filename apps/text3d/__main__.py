"""The command line of text-to-3D: `python -m apps.text3d`."""

from __future__ import annotations

import sys
from pathlib import Path

from apps.text3d.config import Text3dConfig
from common.cli import JSON, OPTIONAL, App, Flag, Verb

RUN = "python -m apps.text3d"
PARTS = ("diffusion", "vlm", "vlm-held-out", "clip", "clip-held-out")

APP = App(
    name="apps.text3d",
    summary="Text-to-3D: shape a scene until its pictures show what a prompt asks for.\n"
    "In work: so far by the analytic critic alone, an upper bound and no text-to-3D result.",
    config=Text3dConfig,
    default_config=Path(__file__).resolve().parents[2] / "configs" / "text3d" / "pocket.yaml",
    verbs=(
        Verb(
            "generate",
            "a prompt to a GLB, a PLY, a turntable and a contact sheet",
            "apps.text3d.generate:run_generate",
            (
                Flag("prompt", "what to show", {"nargs": "?", "type": str, "default": None}),
                Flag("--resume", "run folder to go on with", {**OPTIONAL, "metavar": "RUN"}),
                Flag("--name", "name of the run folder; date, time and prompt where not given", OPTIONAL),
                JSON,
            ),
            (
                f'{RUN} generate "a red cube left of a blue sphere"',
                f'{RUN} generate "two green cones" --optimise.steps 100 --scene.kind gaussians',
                f"{RUN} generate --resume runs/text3d/RUN",
            ),
        ),
        Verb(
            "pretrain",
            "make the pocket models from nothing; given again, an interrupted training goes on",
            "apps.text3d.pretrain:run_pretrain",
            (Flag("--only", "make one of them", {**OPTIONAL, "choices": PARTS}),),
            (
                f"{RUN} pretrain --only vlm",
                f"{RUN} pretrain --pretrain.out my-models --pretrain.diffusion.steps 2000",
            ),
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(APP.main())
