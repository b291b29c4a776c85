"""The command line of the rewards: `python -m common.rewards`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

from common.cli import JSON, TRAIN, App, Flag, Verb
from common.rewards.catalogue import Kind
from common.rewards.trained.config import TrainRewardConfig
from common.scale.config import ServeConfig

RUN = "python -m common.rewards"
TRAINING = Path(__file__).resolve().parents[2] / "configs" / "rewards" / "training"

APP = App(
    name="common.rewards",
    summary="The catalogue of rewards and transforms: what there is, what each does, rows scored by any of\n"
    "them, and rewards trained on preference pairs.",
    config=None,
    default_config=None,
    verbs=(
        Verb(
            "list",
            "all rewards, transforms, pieces and functions, a line each",
            "common.rewards.catalogue.listing:run_list",
            (
                Flag("--kind", "of one kind only", {"choices": list(get_args(Kind))}),
                JSON,
            ),
            (f"{RUN} list", f"{RUN} list --kind transform"),
        ),
        Verb(
            "describe",
            "formula, range, failure rule, source and fields of one",
            "common.rewards.catalogue.listing:run_describe",
            (Flag("entry", "name in the catalogue"), JSON),
            (f"{RUN} describe token_f1",),
        ),
        Verb(
            "score",
            "reward, parts and reason for rows of a JSONL or Parquet file",
            "common.rewards.scoring:run_score",
            (
                Flag("file", "YAML file with a `reward:` block"),
                Flag("--rows", "JSONL (with --ray Parquet too): a field for each needed column", {"required": True}),
                Flag("--out", "JSONL to write; with --ray a folder", {"required": True}),
                Flag("--batch", "rows scored at once", {"type": int, "default": 64}),
                Flag("--ray", "score in several processes; the same command goes on", {"action": "store_true"}),
                Flag("--workers", "processes, with --ray", {"type": int, "default": 2}),
                Flag("--shard", "rows in a file of the folder, with --ray", {"type": int, "default": 4096}),
                Flag("--address", "of a Ray cluster, with --ray; this machine by default", {"default": ""}),
                JSON,
            ),
            (
                f"{RUN} score configs/rewards/token-f1.yaml --rows rows.jsonl --out scored.jsonl",
                f"{RUN} score configs/rewards/token-f1.yaml --rows rows.parquet --out scored --ray --workers 2",
            ),
        ),
        Verb(
            "serve",
            "a reward for other processes and machines (RemoteReward)",
            "common.scale.serve:run_serve",
            (Flag("file", "YAML file with a `reward:` block"),),
            (
                f"{RUN} serve configs/rewards/token-f1.yaml",
                f"{RUN} serve configs/rewards/token-f1.yaml --replicas 2 --host 0.0.0.0 --token_file token",
            ),
            config=ServeConfig,
        ),
        Verb(
            "train",
            "a reward from preference pairs, measured on held-out prompts beside length, chance and overlap",
            "common.rewards.trained.train:run_train",
            TRAIN,
            (
                "python -m apps.medvqa pairs --out preferences",
                f"{RUN} train --pairs preferences/pairs.jsonl",
                f"{RUN} train --pairs pairs.jsonl --backbone.path Qwen/Qwen3-0.6B --backbone.pooling last",
                f"{RUN} train --config configs/rewards/training/qwen2.5-vl-7b.yaml --pairs pairs.jsonl --dry_run",
                f"{RUN} train --resume runs/rewards/RUN",
            ),
            config=TrainRewardConfig,
            default_config=TRAINING / "pocket.yaml",
        ),
        Verb(
            "pairs",
            "scored completions into preference pairs for trl's DPOTrainer: best against worst of each prompt",
            "common.rewards.trained.pairs:run_pairs",
            (
                Flag("--scored", "JSONL: prompt, completion, and score or reward", {"required": True}),
                Flag("--out", "JSONL to write: prompt, chosen, rejected", {"required": True}),
                Flag("--margin", "least difference of the two scores", {"type": float, "default": 0.0}),
                JSON,
            ),
            (f"{RUN} pairs --scored scored.jsonl --margin 0.2 --out pairs.jsonl",),
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(APP.main())
