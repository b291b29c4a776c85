"""The pocket data sets: pictures with captions, and corpora of sentences that belong to no picture."""

from __future__ import annotations

import random
from itertools import islice

from apps.captioning.data import Example
from apps.captioning.pocket.grammar import STYLES, write
from apps.captioning.pocket.scene import Scene, sample_scene
from common.errors import UsageError

CAPTIONS_PER_PICTURE = 5

# Split: how many pictures by default, and whether they show a held-out colour and kind (None: half of them).
SPLITS: dict[str, tuple[int, bool | None]] = {
    "train": (4000, False),
    "validation": (400, False),
    "test": (1000, None),
    "test_seen": (500, False),
    "test_held": (500, True),
}
CORPUS_SIZE = 10_000


def load_pocket(split: str = "train", limit: int = 0, seed: int = 0) -> list[Example]:
    """The pictures of a split; every seed gives others.

    Args:
        split: `train` and `validation` (no held-out combination), `test_seen`, `test_held` (every picture shows a
            colour and a kind that no training picture shows together) or `test` (half and half).
        limit: pictures; 0 takes the split's own number.
        seed: which pictures.

    Raises:
        UsageError: there is no such split.
    """
    if split not in SPLITS:
        raise UsageError(f"pictures.split: the pocket world has no {split!r}; it has {', '.join(SPLITS)}")
    size, held = SPLITS[split]
    size = limit or size
    if held is None:
        half = (size + 1) // 2
        return load_pocket("test_held", half, seed) + load_pocket("test_seen", size - half, seed)[: size - half]
    return [_example(split, number, scene) for number, scene in enumerate(_scenes(split, held, size, seed))]


def load_pocket_corpus(style: str = "captions", limit: int = 0, seed: int = 0) -> list[str]:
    """Sentences about scenes of all combinations that were never drawn; every seed gives others.

    Args:
        style: `captions`, worded as the pictures' captions are, or `stories`, in other words.
        limit: sentences; 0 takes 10,000.
        seed: which sentences.

    Raises:
        UsageError: there is no such style.
    """
    if style not in STYLES:
        raise UsageError(f"corpus.split: the pocket world writes {' or '.join(STYLES)}, not {style!r}")
    rng = random.Random(f"corpus/{style}/{seed}")
    return [write(sample_scene(rng), rng, style) for _ in range(limit or CORPUS_SIZE)]


def _scenes(split: str, held: bool, size: int, seed: int) -> list[Scene]:
    rng = random.Random(f"pictures/{split}/{seed}")
    return list(islice((sample_scene(rng, held) for _ in range(size)), size))


def _example(split: str, number: int, scene: Scene) -> Example:
    rng = random.Random(f"words/{split}/{scene.seed}")
    captions = tuple(write(scene, rng) for _ in range(CAPTIONS_PER_PICTURE))
    return Example(f"{split}-{number:05d}", captions=captions, scene=scene)
