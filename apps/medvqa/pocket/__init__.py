"""Phantom studies drawn by code, with exact truth, and questions about them: phantom — not for clinical use."""

from apps.medvqa.pocket.catalogue import LABEL
from apps.medvqa.pocket.drawing.render import draw
from apps.medvqa.pocket.pairs import counterpart
from apps.medvqa.pocket.study import Finding, Study, phantom
from apps.medvqa.pocket.truth import is_right
from apps.medvqa.pocket.world import examples, load_pocket, rephrase, study_of

__all__ = [
    "LABEL",
    "Finding",
    "Study",
    "counterpart",
    "draw",
    "examples",
    "is_right",
    "load_pocket",
    "phantom",
    "rephrase",
    "study_of",
]
