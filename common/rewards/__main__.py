"""The command line of the rewards: `python -m common.rewards`."""

from __future__ import annotations

import sys

from common.cli import JSON, App, Flag, Verb
from common.scale.config import ServeConfig

RUN = "python -m common.rewards"

APP = App(
    name="common.rewards",
    summary="The catalogue of rewards and transforms: what there is, what each does, and rows scored by any of them.",
    config=None,
    default_config=None,
    verbs=(
        Verb(
            "list",
            "all rewards, transforms and pieces, a line each",
            "common.rewards.listing:run_list",
            (
                Flag("--kind", "of one kind only", {"choices": ["leaf", "composite", "transform", "piece"]}),
                JSON,
            ),
            (f"{RUN} list", f"{RUN} list --kind transform"),
        ),
        Verb(
            "describe",
            "formula, range, failure rule, source and fields of one",
            "common.rewards.listing:run_describe",
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
    ),
)

if __name__ == "__main__":
    sys.exit(APP.main())
