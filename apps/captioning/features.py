"""CLIP features of pictures and sentences, each computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from apps.captioning.data import Example
from common.errors import DataError, UsageError
from common.files import locate
from common.pictures import check_limit
from common.ui import progress

if TYPE_CHECKING:
    from PIL.Image import Image

    from apps.captioning.model_config import ClipConfig
    from common.models.clip import Clip

# Vectors of captions that are kept: a policy says the same thing often.
REMEMBERED = 50_000
FOLDER = "local-dir:"


@dataclass(frozen=True)
class Pictures:
    """Pictures that could be read.

    Attributes:
        examples: `(N,)`.
        features: `(N, D)` float32 of length 1.
        bad: the others, each with its reason.
    """

    examples: list[Example]
    features: Tensor
    bad: list[tuple[str, str]]


def open_clip_model(config: ClipConfig) -> Clip:
    """The CLIP of a config; its texts are remembered, because a policy says the same thing often."""
    from apps.captioning.model import torch_device
    from common.models.clip import Clip

    folder = config.name.removeprefix(FOLDER)
    if config.name.startswith(FOLDER) and not locate(folder).is_dir():
        raise UsageError(
            f"clip.name: there is no folder {folder}; `python -m apps.captioning pretrain` makes the pocket models"
        )
    device = str(torch_device(config.device))
    return Clip(config.name, config.pretrained or None, device, batch_size=config.batch_size, remember=REMEMBERED)


def picture_features(
    clip: Clip, examples: Sequence[Example], cache: str = "", bad_pictures: int | None = None, quiet: bool = False
) -> Pictures:
    """Features of pictures; files that cannot be read are named and left out.

    Args:
        clip: the model.
        examples: the pictures.
        cache: folder that keeps the features of files; empty keeps none. Drawn scenes are never kept.
        bad_pictures: how many may be unreadable; None: any number.
        quiet: no progress bar.

    Raises:
        DataError: more pictures are unreadable than may be, or all of them.
    """
    if cache and examples and all(example.image is not None for example in examples):
        from common.models.feature_cache import FeatureCache

        with progress("looking at pictures", len(examples), quiet) as bar:
            paths = [example.image for example in examples if example.image is not None]
            found = FeatureCache(cache).images(clip, paths, lambda done, _: bar(done), bad_pictures)
        kept = [examples[row] for row in found.kept]
        return _some(Pictures(kept, torch.from_numpy(found.values.copy()), found.bad))
    kept, bad, vectors = [], [], []
    with progress("looking at pictures", len(examples), quiet) as bar:
        for start in range(0, len(examples), clip.batch_size):
            opened: list[Image] = []
            for example in examples[start : start + clip.batch_size]:
                try:
                    opened.append(example.picture())
                    kept.append(example)
                except DataError as error:
                    bad.append((example.id, str(error)))
            if opened:
                vectors.append(clip.image(opened).cpu())
            bar(min(start + clip.batch_size, len(examples)))
    check_limit(bad, bad_pictures)
    return _some(Pictures(kept, torch.cat(vectors) if vectors else torch.empty(0, clip.dim), bad))


def corpus_features(clip: Clip, texts: Sequence[str], cache: str = "", quiet: bool = False) -> Tensor:
    """`(N, D)` features of a corpus; with a cache they stay on disk and are mapped into memory."""
    with progress("reading the corpus", len(texts), quiet) as bar:
        if cache:
            from common.models.feature_cache import FeatureCache

            return torch.from_numpy(FeatureCache(cache).texts(clip, texts, lambda done, _: bar(done)))
        vectors = []
        for start in range(0, len(texts), clip.batch_size):
            vectors.append(clip.text(texts[start : start + clip.batch_size]).cpu())
            bar(min(start + clip.batch_size, len(texts)))
    return torch.cat(vectors) if vectors else torch.empty(0, clip.dim)


def _some(pictures: Pictures) -> Pictures:
    if not pictures.examples:
        first = f"; the first: {pictures.bad[0][0]}: {pictures.bad[0][1]}" if pictures.bad else ""
        raise DataError(f"no picture could be read{first}")
    return pictures
