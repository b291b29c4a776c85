"""Captioners that say what they are told to, over a tiny CLIP: for tests of the demo that need no trained weights."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from apps.captioning.beam import NBest
from apps.captioning.model import Captions
from apps.captioning.pocket.grammar import write
from apps.captioning.pocket.scene import sample_scene
from apps.captioning.workbench import INITIAL, TRAINED, Workbench
from tests.common.models.tiny_clip import tiny_clip_folder


class Scripted:
    """Says the first `beam` of its captions of every picture; `say` may change them at any time.

    Args:
        clip: what sees.
        captions: best first.
    """

    def __init__(self, clip: Any, captions: Sequence[str]) -> None:
        self.clip = clip
        self.captions = list(captions)

    def prepare(self, picture: Any) -> Tensor:
        return self.clip.prepare([picture])

    def see(self, prepared: Sequence[Tensor]) -> Tensor:
        with torch.no_grad():
            return self.clip.encode_prepared(torch.cat(list(prepared)))

    def caption(self, seen: Tensor, beam: int = 1, length_penalty: float = 0.0) -> list[NBest]:
        texts = self.captions[:beam]
        nothing = torch.zeros(len(texts), 1)
        return [NBest(Captions(nothing.long(), nothing.bool(), texts), -torch.arange(1.0, len(texts) + 1))] * len(seen)


def scripted_workbench(
    folder: Path,
    said: Mapping[str, Sequence[str]],
    corpus: Sequence[str] = (),
    feature: Callable[[Any, Sequence[str]], Tensor] = lambda clip, texts: clip.text(list(texts)),
) -> Workbench:
    """A workbench over a tiny CLIP; `said` holds captions by `INITIAL` and `TRAINED`."""
    from common.models.clip import Clip

    clip = Clip(f"local-dir:{tiny_clip_folder(folder)}")
    rng = random.Random(0)
    texts = [*corpus, *(write(sample_scene(rng), rng) for _ in range(60))]
    names = [name for name in (INITIAL, TRAINED) if name in said]
    return Workbench({name: Scripted(clip, said[name]) for name in names}, clip, texts, feature(clip, texts))
