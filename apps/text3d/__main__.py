"""The command line of text-to-3D: `python -m apps.text3d`."""

from __future__ import annotations

import sys
from pathlib import Path

from apps.text3d.config import Text3dConfig
from apps.text3d.pretrain import PARTS
from common.cli import DEMO, JSON, OPTIONAL, RESUME, TRAIN, App, Flag, Verb

RUN = "python -m apps.text3d"

APP = App(
    name="apps.text3d",
    summary="Text-to-3D: shape a scene until its pictures show what a prompt asks for, by score distillation, CLIP\n"
    "and the answers of a vision-language model, judged by what is really where in the field (VLM3D).",
    config=Text3dConfig,
    default_config=Path(__file__).resolve().parents[2] / "configs" / "text3d" / "pocket.yaml",
    verbs=(
        Verb(
            "generate",
            "a prompt to a GLB, a PLY, a turntable and a contact sheet",
            "apps.text3d.generate:run_generate",
            (
                Flag("prompt", "what to show", {"nargs": "?", "type": str, "default": None}),
                RESUME,
                Flag("--name", "name of the run folder; date, time and prompt where not given", OPTIONAL),
                Flag("--best_of", "scenes of as many seeds, of which the best is taken", {"type": int, "default": 1}),
                Flag(
                    "--dry_run",
                    "check config, prompt and models, and take one step with tiny stand-ins",
                    {"action": "store_true"},
                ),
                JSON,
            ),
            (
                f'{RUN} generate "a red cube left of a blue sphere"',
                f'{RUN} generate "two green cones" --optimise.steps 100 --scene.kind gaussians',
                f'{RUN} generate "a red cube left of a blue sphere" --best_of 4',
                f"{RUN} generate --resume runs/text3d/RUN --optimise.steps 900",
                f'{RUN} generate "a blue chair" --config configs/text3d/vlm3d-qwen2.5-vl-7b.yaml --dry_run',
            ),
            explicit=True,
        ),
        Verb(
            "export",
            "a finished scene again, as a finer mesh or larger pictures",
            "apps.text3d.export.outputs:run_export",
            (
                Flag("run", "run folder of `generate`, or its scene.safetensors", {"type": str}),
                Flag("--out", "folder for the files", {"required": True}),
                JSON,
            ),
            (f"{RUN} export runs/text3d/RUN --out finer --export.resolution 192",),
        ),
        Verb(
            "train",
            "a scene for each prompt of a set, judged by geometry; several recipes and seeds are compared",
            "apps.text3d.train:run_train",
            TRAIN,
            (
                f"{RUN} train",
                f"{RUN} train --train.prompts ../shared/data/text_to_3d_prompts:gpteval3d --config my.yaml",
                f"{RUN} train --config configs/text3d/compare-guidances.yaml",
                f"{RUN} train --resume runs/text3d/RUN",
                f"{RUN} train --resume runs/text3d/RUN --comparison.seeds '[0,1,2]'",
            ),
            explicit=True,
        ),
        Verb(
            "evaluate",
            "geometry, a second CLIP and VLM, agreement of views, judges and Elo, with 95 % intervals",
            "apps.text3d.evaluate:run_evaluate",
            (
                Flag("--scenes", "folder of scenes: of `generate`, of `train`, or made elsewhere", {"required": True}),
                Flag(
                    "--compare",
                    "folders of other methods' scenes of the same prompts",
                    {"nargs": "+", "default": None, "metavar": "FOLDER"},
                ),
                Flag("--prompts", "prompt set that the scenes were made for, as the pool of R-precision", OPTIONAL),
                Flag("--out", "folder for evaluation.json and report.html", OPTIONAL),
                JSON,
            ),
            (
                f"{RUN} evaluate --scenes runs/text3d/RUN/scenes",
                f"{RUN} evaluate --scenes mine --compare theirs --evaluate.judge.url http://localhost:8000/v1 \\\n"
                "      --evaluate.judge.model Qwen2.5-VL-72B",
            ),
        ),
        Verb(
            "score",
            "reward, parts, reason and every question for rows of a JSONL file",
            "apps.text3d.score:run_score",
            (
                Flag("--pairs", "JSONL: prompt, image or images and, where known, azimuths", {"required": True}),
                Flag("--out", "JSONL to write", {"required": True}),
                JSON,
            ),
            (
                f"{RUN} score --pairs pairs.jsonl --out scored.jsonl",
                f"{RUN} score --pairs pairs.jsonl --out scored.jsonl --reward.vlm.model Qwen/Qwen2.5-VL-3B-Instruct",
            ),
        ),
        Verb(
            "audit",
            "assay the reward before money is spent on it",
            "apps.text3d.audit:run_audit",
            (
                Flag("--rows", "scenes of seen combinations, and as many held out", {"type": int, "default": 16}),
                Flag("--out", "folder of the report", OPTIONAL),
                JSON,
            ),
            (f"{RUN} audit", f"{RUN} audit --rows 40 --reward.vlm.spatial 0"),
        ),
        Verb(
            "demo",
            "type a prompt, watch the scene take shape, turn it, and see what judge and VLM find, in the browser",
            "apps.text3d.demo:run_demo",
            DEMO,
            (f"{RUN} demo --port 7860", f"{RUN} demo --guidance.vlm.model FOLDER --optimise.steps 200"),
        ),
        Verb(
            "pretrain",
            "make the pocket models from nothing; given again, an interrupted training goes on",
            "apps.text3d.pretrain:run_pretrain",
            (Flag("--only", "make one of them", {"choices": PARTS}),),
            (
                f"{RUN} pretrain --only vlm",
                f"{RUN} pretrain --pretrain.out my-models --pretrain.diffusion.steps 2000",
            ),
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(APP.main())
