"""The command line of medical visual question answering: `python -m apps.medvqa`."""

from __future__ import annotations

import sys
from pathlib import Path

from apps.medvqa.config import MedVqaConfig
from apps.medvqa.data_config import FORMATS
from common.cli import DEMO, EVALUATE, JSON, OPTIONAL, RESUME, TRAIN, App, Flag, Verb

RUN = "python -m apps.medvqa"

APP = App(
    name="apps.medvqa",
    summary="Medical visual question answering: train a vision-language model to look, reason and answer, with a\n"
    'reward that knows "no pneumothorax" from "pneumothorax". For research; not for clinical use.',
    config=MedVqaConfig,
    default_config=Path(__file__).resolve().parents[2] / "configs" / "medvqa" / "pocket.yaml",
    verbs=(
        Verb(
            "train",
            "SFT, then GRPO, with a before/after table on held-out questions",
            "apps.medvqa.train:run_train",
            TRAIN,
            (
                f"{RUN} train",
                f"{RUN} train --reward.recipe token_f1 --grpo.steps 50",
                f"{RUN} train --config configs/medvqa/compare-rewards.yaml",
                f"{RUN} train --resume runs/medvqa/RUN",
            ),
        ),
        Verb(
            "evaluate",
            "metrics with 95 % intervals, for the model or for a predictions file",
            "apps.medvqa.evaluate:run_evaluate",
            (
                Flag("--predictions", "file of predictions made elsewhere", OPTIONAL),
                *EVALUATE,
            ),
            (
                f"{RUN} evaluate",
                f"{RUN} evaluate --evaluate.robustness true",
                f"{RUN} evaluate --heldout.format vqa_rad --heldout.path vqa_rad --predictions answers.jsonl",
            ),
        ),
        Verb(
            "score",
            "score, parts and reason for questions, references and answers in a JSONL file",
            "apps.medvqa.score:run_score",
            (
                Flag("--pairs", "JSONL: question, reference, answer", {"required": True}),
                Flag("--out", "JSONL to write", {"required": True}),
                Flag(
                    "--recipe",
                    "the medical answer scorer, or the whole reward of the config",
                    {"choices": ["scorer", "configured"], "default": "scorer"},
                ),
                JSON,
            ),
            (f"{RUN} score --pairs pairs.jsonl --out scored.jsonl",),
        ),
        Verb(
            "audit",
            "assay the reward before money is spent on it",
            "apps.medvqa.audit:run_audit",
            (
                Flag("--rows", "questions to assay", {"type": int, "default": 200}),
                Flag("--recipes", "comma-separated recipes to compare with", OPTIONAL),
                Flag("--out", "folder of the report", OPTIONAL),
                JSON,
            ),
            (f"{RUN} audit", f"{RUN} audit --recipes token_f1,cosine,bmas"),
        ),
        Verb(
            "pairs",
            "preference pairs, right answers against wrong ones, to train a reward on",
            "apps.medvqa.pairs:run_pairs",
            (
                Flag("--out", "folder for pairs.jsonl and the pictures", {"required": True}),
                Flag("--rows", "questions to make pairs of; 0 takes all", {"type": int, "default": 400}),
                Flag("--each", "most pairs of a question", {"type": int, "default": 3}),
                JSON,
            ),
            (f"{RUN} pairs --out preferences", "python -m common.rewards train --pairs preferences/pairs.jsonl"),
        ),
        Verb(
            "prepare",
            "turn a public data set into JSONL and check pictures, rows and splits",
            "apps.medvqa.prepare:run_prepare",
            (
                Flag("--source", "folder of the data set", {"required": True}),
                Flag("--format", "its format", {"required": True, "choices": FORMATS}),
                Flag("--out", "JSONL to write", {"required": True}),
                Flag(
                    "--picture_folder",
                    "folder of its pictures, where that is elsewhere",
                    OPTIONAL,
                ),
                Flag("--split", "split to read; all of them where not given", OPTIONAL),
                Flag("--languages", "comma-separated codes to keep, such as en,zh", OPTIONAL),
                Flag("--kinds", "closed, open, or both", OPTIONAL),
                Flag("--phrase_types", "of VQA-RAD: freeform, para, frame, or all", OPTIONAL),
                Flag("--limit", "questions to keep", {"type": int, "default": None}),
                Flag(
                    "--missing_pictures",
                    "what to do with a question whose picture is absent",
                    {"choices": ["error", "drop", "keep"], "default": "drop"},
                ),
                Flag("--no_check", "do not open every picture", {"action": "store_false", "dest": "check"}),
                Flag("--drop_leaks", "leave out what is in two splits", {"action": "store_true"}),
                Flag("--copy_pictures", "copy the pictures beside the JSONL", {"action": "store_true"}),
                JSON,
            ),
            (f"{RUN} prepare --source vqa_rad --format vqa_rad --out vqa-rad.jsonl",),
        ),
        Verb(
            "pretrain",
            "make the pocket model from nothing",
            "apps.medvqa.pretrain:run_pretrain",
            (
                Flag("--out", "folder to write the assets to", {"default": "assets/medvqa"}),
                RESUME,
            ),
            (f"{RUN} pretrain --out /somewhere/assets",),
        ),
        Verb(
            "answer",
            "answer one question about a picture",
            "apps.medvqa.answer:run_answer",
            (
                Flag("question", "the question"),
                Flag("--image", "PNG, JPEG, TIFF or DICOM file; several separated by commas", {"required": True}),
                Flag(
                    "--window", "--window=centre,width of the grey values, or lung, brain, bone, soft_tissue", OPTIONAL
                ),
                Flag("--reference", "a right answer, to score against", OPTIONAL),
                JSON,
            ),
            (f'{RUN} answer --image phantom.png "What is abnormal?"',),
        ),
        Verb(
            "demo",
            "ask about pictures in the browser",
            "apps.medvqa.demo:run_demo",
            DEMO,
            (f"{RUN} demo --port 7860",),
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(APP.main())
