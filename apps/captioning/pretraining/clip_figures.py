"""What a pocket CLIP can tell apart on pictures that it never saw: the ceiling of any reward made of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from apps.captioning.data import Example
from apps.captioning.pocket.grammar import write
from apps.captioning.pocket.mutations import MUTATIONS, Mutation
from apps.captioning.pocket.scene import Scene
from apps.captioning.pocket.world import load_pocket
from common.stats import bootstrap, wilson

if TYPE_CHECKING:
    from torch import Tensor

    from common.models.clip import Clip

PICTURES = 500


def clip_figures(clip: Clip) -> dict[str, Any]:
    """Retrieval and cosines on held-out pictures, each with its 95 % interval.

    Returns:
        By split (`test_seen`, `test_held`: each picture shows a colour and kind never seen together): R@1 of picture
        to text and text to picture among 500, and for each corruption of the true caption the share of pictures where
        the true one has the higher cosine (`told apart`) and the mean difference of cosines (`gap`).
    """
    return {split: _split(clip, load_pocket(split, PICTURES)) for split in ("test_seen", "test_held")}


def _split(clip: Clip, examples: list[Example]) -> dict[str, Any]:
    seen = clip.image([example.picture() for example in examples])
    true = [example.captions[0] for example in examples]
    told = clip.text(true)
    table = seen @ told.T
    own = table.diag()
    count = len(examples)
    figures: dict[str, Any] = {
        "R@1 picture to text": wilson(int((table.argmax(1).cpu() == _range(count)).sum()), count).to_dict(),
        "R@1 text to picture": wilson(int((table.argmax(0).cpu() == _range(count)).sum()), count).to_dict(),
        "cosine with the true caption": bootstrap(own.tolist()).to_dict(),
    }
    for name, mutation in MUTATIONS.items():
        figures[name] = _corruption(clip, seen, own, *_mutants(examples, mutation))
    for name, damage in DAMAGES.items():
        rng = random.Random(name)
        figures[name] = _corruption(clip, seen, own, list(range(count)), [damage(text, rng) for text in true])
    return figures


def _mutants(examples: list[Example], mutation: Mutation) -> tuple[list[int], list[str]]:
    rows, texts, rng = [], [], random.Random(0)
    for row, example in enumerate(examples):
        scene = example.scene
        changed: Scene | None = mutation(scene, rng) if scene is not None else None
        if scene is not None and changed is not None:
            rows.append(row)
            # The words that the picture's first caption was written with, so that only the fact differs.
            texts.append(write(changed, random.Random(f"words/{example.id.rsplit('-', 1)[0]}/{scene.seed}")))
    return rows, texts


def _corruption(clip: Clip, seen: Tensor, own: Tensor, rows: list[int], texts: list[str]) -> dict[str, Any]:
    cosines = (seen[rows] * clip.text(texts)).sum(1)
    gaps = own[rows] - cosines
    return {
        "told apart": wilson(int((gaps > 0).sum()), len(rows)).to_dict(),
        "gap": bootstrap(gaps.tolist()).to_dict(),
    }


def _salad(text: str, rng: random.Random) -> str:
    words = text.split()
    rng.shuffle(words)
    return " ".join(words)


DAMAGES: dict[str, Callable[[str, random.Random], str]] = {
    "word salad": _salad,
    "said twice": lambda text, _: f"{text} {text}",
    "empty": lambda text, _: "",
}


def _range(count: int) -> Tensor:
    import torch

    return torch.arange(count)
