"""The command line of driving: `python -m apps.driving`."""

from __future__ import annotations

import sys
from pathlib import Path

from apps.driving.config import DrivingConfig
from common.cli import DEMO, JSON, OPTIONAL, TRAIN, App, Flag, Verb

RUN = "python -m apps.driving"
POLICY = Flag(
    "--policy", "pocket, rule-based, random, a run folder or a saved policy", {"default": "pocket", "metavar": "NAME"}
)
SIMULATOR = (
    Flag(
        "--backend",
        "simulator in place of the configured one",
        {"choices": ["embedded", "carla", "auto"], "default": None},
    ),
    Flag("--host", "of the CARLA server", OPTIONAL),
    Flag("--port", "of the CARLA server", {"type": int, "default": None}),
)
#: Settings of an option that must be given.
_NEEDED = {"type": str, "required": True}

APP = App(
    name="apps.driving",
    summary="Driving with language goals as reward: the same environment on a laptop and on CARLA.\n"
    "Figures of the embedded simulator are no CARLA figures.",
    config=DrivingConfig,
    default_config=Path(__file__).resolve().parents[2] / "configs" / "driving" / "pocket.yaml",
    verbs=(
        Verb(
            "train",
            "PPO or SAC, then the driver beside a random and a rule-based one on held-out routes",
            "apps.driving.train:run_train",
            (
                *TRAIN,
                Flag(
                    "--engine",
                    "stable-baselines3, or RLlib with its environments in Ray's workers",
                    {"choices": ["sb3", "rllib"], "default": None},
                ),
            ),
            (
                f"{RUN} train",
                f"{RUN} train --engine rllib --learn.environments 2",
                f"{RUN} train --reward.recipe progress --control.steps 50000",
                f"{RUN} train --config configs/driving/compare-rewards.yaml",
                f"{RUN} train --resume runs/driving/RUN",
            ),
        ),
        Verb(
            "evaluate",
            "the field's figures with 95 % intervals on fixed routes, with trajectories and films",
            "apps.driving.evaluate:run_evaluate",
            (
                Flag(
                    "--policy",
                    "pocket, rule-based, random, a run folder or a saved policy; several with commas between them",
                    {"default": "pocket", "metavar": "NAMES"},
                ),
                Flag("--compare", "another policy, or an evaluation.json: paired test", OPTIONAL),
                Flag("--out", "folder for evaluation.json, report.html and every episode", OPTIONAL),
                *SIMULATOR,
                JSON,
            ),
            (
                f"{RUN} evaluate --policy rule-based,random --out evaluation",
                f"{RUN} evaluate --policy runs/driving/RUN --compare rule-based --evaluate.vehicles [20]",
            ),
        ),
        Verb(
            "drive",
            "drive one route and watch",
            "apps.driving.drive:run_drive",
            (
                POLICY,
                *SIMULATOR,
                Flag("--town", "map to drive on", OPTIONAL),
                Flag("--route", "name of a fixed route of it", OPTIONAL),
                Flag("--vehicles", "other cars", {"type": int, "default": 10}),
                Flag("--walkers", "people on foot", {"type": int, "default": 0}),
                Flag("--record", "film to write: .mp4 or .gif", {**OPTIONAL, "metavar": "FILE"}),
                Flag(
                    "--parts",
                    "recipe of the reward whose parts are shown",
                    {**OPTIONAL, "metavar": "RECIPE"},
                ),
                JSON,
            ),
            (
                f"{RUN} drive --town village --record drive.gif",
                f"{RUN} drive --policy runs/driving/RUN --backend carla --host 127.0.0.1 --port 2000 --town Town02",
            ),
        ),
        Verb(
            "score",
            "reward, parts and reason for transitions in a JSONL file",
            "apps.driving.score:run_score",
            (
                Flag("--pairs", "JSONL with state and, where the reward looks, image", _NEEDED),
                Flag("--out", "JSONL to write: each row with reward, parts and reason", _NEEDED),
                Flag("--recipe", "reward recipe in place of the configured one", {**OPTIONAL, "metavar": "NAME"}),
                JSON,
            ),
            (f"{RUN} score --pairs steps.jsonl --out scored.jsonl --recipe vlm_rl_no_clip",),
        ),
        Verb(
            "audit",
            "what would this reward teach: wrong ways to drive, and whole drives against the driving score",
            "apps.driving.audit:run_audit",
            (
                Flag("--rows", "scenes that acts are played in", {"type": int, "default": 60}),
                Flag("--drives", "routes that every driver drives", {"type": int, "default": 8}),
                Flag(
                    "--recipes",
                    "recipes to compare with, with commas; all that need no picture where not given",
                    {**OPTIONAL, "metavar": "NAMES"},
                ),
                Flag("--out", "folder of audit.json, report.html and kills.png", {**OPTIONAL, "metavar": "FOLDER"}),
                JSON,
            ),
            (f"{RUN} audit", f"{RUN} audit --reward.recipe progress --recipes carl,roach --out audit"),
        ),
        Verb(
            "prepare",
            "make road networks of OpenDRIVE maps, check them, plan fixed routes, read leaderboard routes",
            "apps.driving.prepare:run_prepare",
            (
                Flag(
                    "--source",
                    "an .xodr or .npz, a folder of them, a CARLA release, or a leaderboard route XML",
                    {**_NEEDED, "metavar": "PATH"},
                ),
                Flag("--out", "folder to write to", {**_NEEDED, "metavar": "FOLDER"}),
                Flag("--routes", "fixed routes to plan on each map", {"type": int, "default": 0}),
                Flag("--shortest", "metres of the shortest", {"type": float, "default": 150.0}),
                Flag("--longest", "metres of the longest", {"type": float, "default": 400.0}),
                JSON,
            ),
            (
                f"{RUN} prepare --source CARLA_0.9.16 --out maps --routes 10",
                f"{RUN} prepare --source routes_training.xml --out routes --env.routes.folders [maps]",
            ),
        ),
        Verb(
            "pretrain",
            "make the pocket CLIP of bird's-eye views from nothing, and a small, fast student of it",
            "apps.driving.pretrain:run_pretrain",
            (Flag("--only", "make one of them: clip, student", OPTIONAL),),
            (
                f"{RUN} pretrain",
                f"{RUN} pretrain --only student --pretrain.student.pictures frames --pretrain.out mine",
            ),
        ),
        Verb(
            "demo",
            "watch a drive with the reward's parts under it, and type other language goals, in the browser",
            "apps.driving.demo:run_demo",
            DEMO,
            (f"{RUN} demo --port 7860", f"{RUN} demo --reward.recipe roach --evaluate.end.seconds 60"),
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(APP.main())
