"""Says what pictures show: what `caption`, `evaluate` and the demo have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.captioning.config import CaptioningConfig
from common.files import locate

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from apps.captioning.beam import NBest
    from apps.captioning.model import Captioner
    from common.models.clip import Clip

#: The shipped pocket captioner, used where no other is named.
SHIPPED = "assets/captioning/captioner"
#: Pictures captioned together.
BATCH = 64


class CaptionAssistant:
    """Says what pictures show: a CLIP that sees and a captioner that speaks.

    Args:
        config: its `clip`, `captioner` and, for DeCap's projection, `corpus`.
        clip: an opened CLIP; the config's where not given.
        path: folder of the captioner; the config's where not given, and the shipped one where that is empty.
        corpus: `(N, D)` features of the corpus; computed from the config's where they are needed and not given.
        quiet: no progress bars.

    Raises:
        DataError: there is no whole captioner in the folder.
        UsageError: the CLIP cannot be opened, or the captioner was trained on features of another size.
    """

    def __init__(
        self,
        config: CaptioningConfig,
        clip: Clip | None = None,
        path: str | Path | None = None,
        corpus: Tensor | None = None,
        quiet: bool = False,
    ) -> None:
        from apps.captioning.features import open_clip_model
        from apps.captioning.model import load_captioner

        self.config = config
        self.path = captioner_path(config) if path is None else Path(path)
        self.captioner: Captioner = load_captioner(self.path, config.captioner.device)
        self.clip = open_clip_model(config.clip) if clip is None else clip
        self._corpus = corpus
        self._quiet = quiet
        self.captioner.check_clip(self.clip.name, self.clip.dim, self.path)

    def prepare(self, picture: Image) -> Tensor:
        """A picture as CLIP takes it, `(1, 3, H, W)`: small, so that many fit in memory where large ones do not."""
        return self.clip.prepare([picture])

    def see(self, prepared: Sequence[Tensor]) -> Tensor:
        """`(B, D)` features of length 1, on the CPU, of prepared pictures."""
        import torch

        with torch.no_grad():
            return self.clip.encode_prepared(torch.cat(list(prepared))).cpu()

    def features(self, seen: Tensor) -> Tensor:
        """What the captioner is told of pictures seen: their features where sentences' features lie.

        Args:
            seen: `(B, D)` picture features of length 1.

        Returns:
            `(B, D)` of length 1: with `captioner.projection` the mean of the corpus' text features under attention
            from the picture (DeCap, Li et al. 2023), else as the captioner was aligned (`Captioner.translate`).
        """
        temperature = self.config.captioner.projection
        if temperature <= 0 or not len(seen):
            return self.captioner.translate(seen.to(self.captioner.device))
        from apps.captioning.aggregation import project

        return project(seen, self.corpus(), temperature)

    def corpus(self) -> Tensor:
        """`(N, D)` features of the configured corpus, computed once."""
        if self._corpus is None:
            from apps.captioning.data import load_corpus
            from apps.captioning.features import corpus_features

            texts = load_corpus(self.config.corpus)
            self._corpus = corpus_features(self.clip, texts, self.config.clip.cache, self._quiet)
        return self._corpus

    def caption(self, seen: Tensor, beam: int = 1, length_penalty: float = 0.0) -> list[NBest]:
        """Captions of pictures seen, best first; see `beam_search`.

        Args:
            seen: `(B, D)` picture features of length 1; any number, taken batch by batch.
            beam: captions kept while searching; 1 decodes greedily.
            length_penalty: see `beam_search`.
        """
        from apps.captioning.beam import beam_search

        longest = self.config.captioner.max_new_tokens
        found: list[NBest] = []
        for start in range(0, len(seen), BATCH):
            told = self.features(seen[start : start + BATCH]).to(self.captioner.device)
            found += beam_search(self.captioner, told, longest, beam, length_penalty)
        return found


def captioner_path(config: CaptioningConfig) -> Path:
    """Folder of the configured captioner; the shipped one where none is named."""
    return locate(config.captioner.path or SHIPPED)
