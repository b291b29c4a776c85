"""The command line of captioning: `python -m apps.captioning`."""

from __future__ import annotations

import sys
from pathlib import Path

from apps.captioning.config import CaptioningConfig
from apps.captioning.data_config import FORMATS
from common.cli import DEMO, EVALUATE, JSON, OPTIONAL, TRAIN, App, Flag, Verb

RUN = "python -m apps.captioning"

APP = App(
    name="apps.captioning",
    summary="Image captioning without paired data: a captioner learns to speak from sentences alone and to say what\n"
    "it sees from CLIP's rewards, measured against what such rewards can be talked into (CgT-GAN).",
    config=CaptioningConfig,
    default_config=Path(__file__).resolve().parents[2] / "configs" / "captioning" / "pocket.yaml",
    verbs=(
        Verb(
            "train",
            "text-only initialisation, then reinforcement, with a before/after table on held-out pictures",
            "apps.captioning.train:run_train",
            TRAIN,
            (
                f"{RUN} train",
                f"{RUN} train --reward.clip_cos 0 --reward.clip_agg 1 --rl.steps 50",
                f"{RUN} train --config configs/captioning/cgtgan-coco-vitl14.yaml --dry_run",
                f"{RUN} train --resume runs/captioning/RUN",
            ),
        ),
        Verb(
            "evaluate",
            "metrics with 95 % intervals, for the captioner or for captions made elsewhere",
            "apps.captioning.evaluate:run_evaluate",
            (
                Flag("--predictions", "captions made elsewhere: a COCO result file, or JSONL", OPTIONAL),
                Flag("--references", "COCO annotations to compare them with; `heldout` where not given", OPTIONAL),
                *EVALUATE,
            ),
            (
                f"{RUN} evaluate",
                f"{RUN} evaluate --captioner.path runs/captioning/RUN/model --evaluate.beam 5",
                f"{RUN} evaluate --predictions results.json --references captions_val2014.json",
            ),
        ),
        Verb(
            "score",
            "reward, parts and reason for rows of a JSONL file",
            "apps.captioning.score:run_score",
            (
                Flag("--pairs", "JSONL: image, caption and, where known, references", {"required": True}),
                Flag("--out", "JSONL to write", {"required": True}),
                JSON,
            ),
            (f"{RUN} score --pairs pairs.jsonl --out scored.jsonl --reward.clip_agg 1",),
        ),
        Verb(
            "audit",
            "assay the reward before money is spent on it",
            "apps.captioning.audit:run_audit",
            (
                Flag("--rows", "pictures to assay", {"type": int, "default": 140}),
                Flag("--out", "folder of the report", OPTIONAL),
                JSON,
            ),
            (f"{RUN} audit", f"{RUN} audit --reward.clip_cos 0 --reward.clip_agg 1"),
        ),
        Verb(
            "prepare",
            "turn a public data set into JSONL, open every picture, and say what was left out and why",
            "apps.captioning.prepare:run_prepare",
            (
                Flag("--source", "file or folder of the data set", {"required": True}),
                Flag("--format", "its format", {"required": True, "choices": FORMATS}),
                Flag("--out", "JSONL to write", OPTIONAL),
                Flag("--images", "folder of the pictures, where that is not beside the source", OPTIONAL),
                Flag("--split", "split to read", OPTIONAL),
                Flag("--corpus_out", "corpus to write, of captions whose pictures are left out of --out", OPTIONAL),
                Flag("--clean", "of sentences", {"choices": ["none", "sentence", "web"]}),
                Flag("--limit", "pictures or sentences to take", {"type": int, "default": None}),
                JSON,
            ),
            (
                f"{RUN} prepare --source dataset_coco.json --format karpathy --split train+restval --images coco \\\n"
                "      --out pictures.jsonl --corpus_out corpus.jsonl",
                f"{RUN} prepare --source Train_GCC-training.tsv --format cc3m --out corpus.txt",
                f"{RUN} prepare --source photos --format folder --out photos.jsonl",
            ),
        ),
        Verb(
            "pretrain",
            "make the pocket CLIPs, language model, discriminator and captioners from nothing",
            "apps.captioning.pretrain:run_pretrain",
            (
                Flag("--out", "folder to write the assets to", {"default": "assets/captioning"}),
                Flag("--only", "make one of them", OPTIONAL),
            ),
            (f"{RUN} pretrain --out /somewhere/assets",),
        ),
        Verb(
            "caption",
            "say what pictures show",
            "apps.captioning.caption:run_caption",
            (
                Flag("files", "pictures, folders of pictures, or patterns such as 'photos/**/*.jpg'", {"nargs": "+"}),
                Flag("--beam", "captions kept while searching; 1 decodes greedily", {"type": int, "default": 5}),
                Flag("--out", "JSONL to write: image, caption, score and the other captions found", OPTIONAL),
                Flag("--strict", "exit with 1 where a picture could not be read", {"action": "store_true"}),
                Flag("--json", "print JSON lines instead of a table", {"action": "store_true", "dest": "json_output"}),
            ),
            (
                f"{RUN} caption photo.jpg",
                f"{RUN} caption photos --beam 3 --out captions.jsonl",
                f"{RUN} caption 'photos/**/*.png' --json --captioner.path runs/captioning/RUN/model",
            ),
        ),
        Verb(
            "demo",
            "draw or upload a picture, see captions, rewards and the sentences it attends to in the browser",
            "apps.captioning.demo:run_demo",
            DEMO,
            (f"{RUN} demo --port 7860",),
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(APP.main())
