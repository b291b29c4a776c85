"""One `Example` type, a picture with what is known of it, and the ways in to pictures and sentences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

    from apps.captioning.data_config import CorpusConfig, PicturesConfig
    from apps.captioning.pocket.scene import Scene


@dataclass(frozen=True)
class Example:
    """One picture.

    Attributes:
        id: unique in its data set.
        image: the picture's file; None where the picture is drawn from `scene`.
        captions: what people (or the pocket grammar) say of it; never shown to an unpaired trainer.
        scene: the exact truth, in the pocket world only.
    """

    id: str
    image: Path | None = None
    captions: tuple[str, ...] = ()
    scene: Scene | None = None

    def picture(self) -> Image:
        """The picture, RGB.

        Raises:
            DataError: the file cannot be read as a picture; names it.
        """
        if self.scene is not None:
            from apps.captioning.pocket.render import draw

            return draw(self.scene)
        if self.image is None:
            raise DataError(f"the example {self.id!r} has neither a picture nor a scene")
        from common.pictures import load_picture

        return load_picture(self.image)


def load_examples(config: PicturesConfig) -> list[Example]:
    """The pictures that a config describes; files are not opened yet.

    Raises:
        DataError: names the file, the row and the next step.
    """
    if config.format == "pocket":
        from apps.captioning.pocket.world import load_pocket

        return load_pocket(config.split or "train", config.limit, config.seed)
    from apps.captioning.readers import read_pictures

    return read_pictures(config)


def load_corpus(config: CorpusConfig) -> list[str]:
    """The sentences that a config describes, cleaned.

    Raises:
        DataError: names the file, the row and the next step; also for an empty corpus.
    """
    if config.format == "pocket":
        from apps.captioning.pocket.world import load_pocket_corpus

        return load_pocket_corpus(config.split or "captions", config.limit, config.seed)
    from apps.captioning.readers import read_corpus

    return read_corpus(config)
