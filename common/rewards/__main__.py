"""The command line of the rewards: `python -m common.rewards`."""

from __future__ import annotations

import sys
from typing import get_args

from common.cli import JSON, App, Flag, Verb
from common.rewards.catalogue import Kind

RUN = "python -m common.rewards"

APP = App(
    name="common.rewards",
    summary="The catalogue of rewards and transforms: what there is, what each does, and rows scored by any of them.",
    config=None,
    default_config=None,
    verbs=(
        Verb(
            "list",
            "all rewards, transforms, pieces and functions, a line each",
            "common.rewards.listing:run_list",
            (
                Flag("--kind", "of one kind only", {"choices": list(get_args(Kind))}),
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
            "reward, parts and reason for rows of a JSONL file",
            "common.rewards.scoring:run_score",
            (
                Flag("file", "YAML file with a `reward:` block"),
                Flag("--rows", "JSONL: a field for each column that the reward needs", {"required": True}),
                Flag("--out", "JSONL to write", {"required": True}),
                Flag("--batch", "rows scored at once", {"type": int, "default": 64}),
                JSON,
            ),
            (f"{RUN} score configs/rewards/token-f1.yaml --rows rows.jsonl --out scored.jsonl",),
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(APP.main())
