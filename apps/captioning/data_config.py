"""Settings of pictures and sentences. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

PictureFormat = Literal["pocket", "jsonl", "folder", "coco", "karpathy", "flickr30k", "flickr8k", "nocaps"]
CorpusFormat = Literal["pocket", "text", "jsonl", "coco", "karpathy", "flickr30k", "flickr8k", "cc3m", "ss1m"]
#: Data sets on disk, of pictures and of sentences.
FORMATS = tuple(dict.fromkeys(name for name in get_args(PictureFormat) + get_args(CorpusFormat) if name != "pocket"))


@dataclass
class PicturesConfig:
    """Where pictures come from.

    Args:
        format: `pocket` (drawn by code), `jsonl` (ours, see `prepare`), a `folder` of pictures, or a public data set's
            own files.
        path: annotation file, or folder; not used by `pocket`.
        images: folder of the pictures, where that is not beside `path`.
        split: name of the split; the format's own first choice where empty (pocket: `train`).
        limit: pictures to keep; 0 keeps all.
        seed: which pictures: `pocket` draws others for each seed; else a limit keeps the first ones for 0, or a draw.
        bad_pictures: pictures that may be unreadable (they are named and left out) before reading stops with an error.
    """

    format: PictureFormat = "pocket"
    path: str = ""
    images: str = ""
    split: str = ""
    limit: int = 0
    seed: int = 0
    bad_pictures: int = 100


@dataclass
class CorpusConfig:
    """Where the sentences come from that teach the language, without pictures.

    Args:
        format: `pocket` (written by code), `text` (a sentence a line), `jsonl` (ours, see `prepare`), or a public data
            set's own files.
        path: file; not used by `pocket`.
        split: name of the split; pocket: `captions` (worded as the pictures' captions are) or `stories` (in another
            style).
        clean: `none`; `sentence` (first letter, final full stop); `web` (CgT-GAN's cleaning of web sentences as well).
        dedup: keep each sentence once; where not, one that stands twice weighs twice.
        limit: sentences to keep; 0 keeps all.
        seed: which sentences: `pocket` writes others for each seed; else a limit keeps the first ones for 0, or a
            draw.
    """

    format: CorpusFormat = "pocket"
    path: str = ""
    split: str = ""
    clean: Literal["none", "sentence", "web"] = "sentence"
    dedup: bool = True
    limit: int = 0
    seed: int = 0
