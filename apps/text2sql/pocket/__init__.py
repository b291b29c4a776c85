"""The pocket world: small databases made by code, and questions in seven languages with exact ground truth."""

from __future__ import annotations

from apps.text2sql.pocket.databases import build_databases, default_folder
from apps.text2sql.pocket.descriptions import DESCRIPTIONS
from apps.text2sql.pocket.splits import SPLITS, load_pocket
from apps.text2sql.pocket.world import (
    DATABASES,
    HELD_OUT_DATABASES,
    TRAINING_DATABASES,
)

__all__ = [
    "DATABASES",
    "DESCRIPTIONS",
    "HELD_OUT_DATABASES",
    "SPLITS",
    "TRAINING_DATABASES",
    "build_databases",
    "default_folder",
    "load_pocket",
]
