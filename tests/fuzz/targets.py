"""All targets by name; each is made when it is asked for, because its parser may be slow to import."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz import assets, documents, models, pictures, texts, wire
from tests.fuzz.harness import Target

TARGETS: dict[str, Callable[[], Target]] = {
    "sql": texts.sql,
    "queries": texts.queries,
    "answers": texts.answers,
    "prompts": texts.prompts,
    "pictures": pictures.pictures,
    "dicom": pictures.dicom,
    "config": documents.config,
    "json": documents.json_files,
    "text2sql-rows": documents.text2sql_rows,
    "captioning-rows": documents.captioning_rows,
    "medvqa-rows": documents.medvqa_rows,
    "driving-rows": documents.driving_rows,
    "text3d-rows": documents.text3d_rows,
    "xodr": assets.xodr,
    "leaderboard": assets.leaderboard,
    "roads": assets.roads,
    "databases": assets.databases,
    "policies": models.policies,
    "captioners": models.captioners,
    "language-models": models.language_models,
    "vision-models": models.vision_models,
    "clips": models.clips,
    "students": models.students,
    "encoders": models.encoders,
    "discriminators": models.discriminators,
    "learned-rewards": models.learned_rewards,
    "diffusion": models.diffusion,
    "requests": wire.requests,
    "completions": wire.completions,
    "replies": wire.replies,
}
