"""The command line of text-to-SQL: `python -m apps.text2sql`."""

from __future__ import annotations

import sys
from pathlib import Path

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.data_config import FORMATS
from common.cli import DEMO, EVALUATE, JSON, OPTIONAL, RESUME, TRAIN, App, Flag, Verb

RUN = "python -m apps.text2sql"

APP = App(
    name="apps.text2sql",
    summary="Text-to-SQL in seven languages: train a model to answer questions about databases, with a reward that\n"
    "executes its queries safely and cannot be bought with a lucky, broken or destructive one.",
    config=Text2SqlConfig,
    default_config=Path(__file__).resolve().parents[2] / "configs" / "text2sql" / "pocket.yaml",
    verbs=(
        Verb(
            "train",
            "SFT, then GRPO, with a before/after table on held-out questions",
            "apps.text2sql.train:run_train",
            TRAIN,
            (
                f"{RUN} train",
                f"{RUN} train --reward.recipe execution --grpo.steps 50",
                f"{RUN} train --config configs/text2sql/compare-rewards.yaml",
                f"{RUN} train --resume runs/text2sql/RUN",
            ),
        ),
        Verb(
            "evaluate",
            "metrics with 95 % intervals, for the model or for a predictions file",
            "apps.text2sql.evaluate:run_evaluate",
            (
                Flag("--predictions", "file of predictions made elsewhere", OPTIONAL),
                Flag("--format", "its format", {"choices": ["spider", "bird", "jsonl"]}),
                *EVALUATE,
            ),
            (
                f"{RUN} evaluate",
                f"{RUN} evaluate --model.path runs/text2sql/RUN/model",
                f"{RUN} evaluate --heldout.format spider --heldout.path spider --predictions predictions.txt",
            ),
        ),
        Verb(
            "score",
            "verdict, reward, parts and reason for rows of a JSONL file",
            "apps.text2sql.score:run_score",
            (
                Flag("--pairs", "JSONL: gold, pred and setup (a script) or database (a path)", {"required": True}),
                Flag("--out", "JSONL to write", {"required": True}),
                Flag("--preset", "result comparison", {"default": "strict"}),
                JSON,
            ),
            (f"{RUN} score --pairs pairs.jsonl --out scored.jsonl --preset bird",),
        ),
        Verb(
            "audit",
            "assay the reward before money is spent on it",
            "apps.text2sql.audit:run_audit",
            (
                Flag("--rows", "questions to assay", {"type": int, "default": 140}),
                Flag("--out", "folder of the report", OPTIONAL),
                JSON,
            ),
            (f"{RUN} audit", f"{RUN} audit --reward.recipe reasoning_sql"),
        ),
        Verb(
            "prepare",
            "turn a public data set into JSONL and check every gold query",
            "apps.text2sql.prepare:run_prepare",
            (
                Flag("--source", "folder or hub id of the data set", {"required": True}),
                Flag("--format", "its format", {"required": True, "choices": FORMATS}),
                Flag("--out", "JSONL to write", {"required": True}),
                Flag("--databases", "folder of its databases, where that is elsewhere", OPTIONAL),
                Flag("--split", "split to read", OPTIONAL),
                Flag("--limit", "rows to read", {"type": int, "default": None}),
                JSON,
            ),
            (f"{RUN} prepare --source spider --format spider --split dev --out spider-dev.jsonl",),
        ),
        Verb(
            "pretrain",
            "make the pocket model and its encoder from nothing",
            "apps.text2sql.pretrain:run_pretrain",
            (
                Flag("--out", "folder to write the assets to", {"default": "assets/text2sql"}),
                RESUME,
                Flag(
                    "--only",
                    "make one of the two",
                    {"choices": ["model", "encoder"]},
                ),
            ),
            (f"{RUN} pretrain --out /somewhere/assets",),
        ),
        Verb(
            "ask",
            "answer one question about a database",
            "apps.text2sql.ask:run_ask",
            (
                Flag("question", "the question, in any language the model knows"),
                Flag("--database", "SQLite or DuckDB file, or a PostgreSQL or MySQL URL", {"required": True}),
                Flag("--samples", "answers to compare; 1 does not compare", {"type": int, "default": 5}),
                JSON,
            ),
            (f'{RUN} ask "How many singers are there?" --database music.sqlite',),
        ),
        Verb(
            "demo",
            "ask, see and edit queries in the browser",
            "apps.text2sql.demo:run_demo",
            DEMO,
            (f"{RUN} demo --port 7860",),
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(APP.main())
