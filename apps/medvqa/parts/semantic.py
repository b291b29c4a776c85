"""The encoder's similarity of an answer, re-scaled as the config says."""

from __future__ import annotations

from apps.medvqa.reward_config import SemanticConfig
from common.rewards.base import Reward
from common.rewards.text import EncoderSimilarity
from common.rewards.transforms import rescaler

#: Short answers that have nothing to do with each other: their mean cosine is an encoder's baseline.
UNRELATED = (
    "pneumonia",
    "left lower lobe",
    "3 cm",
    "chest x-ray",
    "liver",
    "yes",
    "no fracture",
    "mild",
    "axial",
    "hyperdense",
    "the aorta",
    "two nodules",
    "appendicitis",
    "T2 weighted",
    "haemorrhage",
    "calcification",
    "breast",
    "not seen",
)


def similarity(config: SemanticConfig) -> Reward:
    """The similarity of `completion` to the references; nothing is opened before the first batch.

    Raises:
        UsageError: there is no such re-scaler.
    """
    plain = EncoderSimilarity(config.encoder, device=config.device)
    return rescaler(config.rescaler, plain, UNRELATED, config.noise, config.window, config.warmup)
