"""`caption`: say what pictures show, batch by batch, in the terminal or as JSON lines."""

from __future__ import annotations

import glob
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.captioning.config import CaptioningConfig
from common import ui
from common.errors import DataError, UsageError
from common.files import locate, write_jsonl
from common.training.run import set_threads

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from apps.captioning.beam import NBest
    from apps.captioning.model import Captioner
    from common.models.clip import Clip

#: The shipped pocket captioner, used where no other is named.
SHIPPED = "assets/captioning/captioner"
BATCH = 64


@dataclass(frozen=True)
class Captioned:
    """What became of one picture.

    Attributes:
        image: its file.
        found: its captions, best first; None where the picture could not be read.
        error: why not.
    """

    image: Path
    found: NBest | None = None
    error: str = ""

    @property
    def name(self) -> str:
        """The file's name as it can be printed, whatever bytes it holds."""
        return os.fsencode(self.image).decode("utf-8", "replace")

    def to_dict(self) -> dict[str, Any]:
        """A row of JSON; `score` opens its `image` and `caption`."""
        if self.found is None:
            return {"image": self.name, "error": self.error}
        texts, scores = self.found.captions.texts, self.found.scores.tolist()
        captions = [{"caption": text, "score": score} for text, score in zip(texts, scores, strict=True)]
        return {"image": self.name, **captions[0], "captions": captions}


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


def run_caption(
    config: CaptioningConfig,
    files: Sequence[str],
    beam: int = 5,
    json_output: bool = False,
    out: str | None = None,
    strict: bool = False,
) -> int:
    """Print a caption for every picture; those that cannot be read are named and left out.

    Args:
        config: the application's settings.
        files: pictures, folders (with all that lies in them) or patterns.
        beam: captions kept while searching.
        json_output: print JSON lines as they come, with the scores of all captions found.
        out: JSONL file to write the same rows to.
        strict: the exit code is 1 where a picture could not be read.

    Raises:
        UsageError: nothing fits one of `files`, or the settings are wrong.
        DataError: no picture can be read, or there is no captioner.
    """
    if beam < 1:
        raise UsageError(f"--beam must be 1 or more, not {beam}")
    if out is not None and Path(out).is_dir():
        raise UsageError(f"{out}: this is a folder; give the file to write")
    pictures = find(files)
    set_threads(config.threads)
    assistant = CaptionAssistant(config, quiet=json_output)
    rows = []
    with ui.progress("captioning", len(pictures), quiet=json_output) as bar:
        for row in caption_files(assistant, pictures, beam):
            bar.advance()
            rows.append(row)
            if json_output:
                sys.stdout.write(json.dumps(row.to_dict(), ensure_ascii=False) + "\n")
    return _finish(rows, json_output, out, strict)


def caption_files(assistant: CaptionAssistant, pictures: Sequence[Path], beam: int) -> Iterator[Captioned]:
    """Caption files in their order; no more than one large picture is in memory at once."""
    from common.pictures import load_picture, why

    for start in range(0, len(pictures), BATCH):
        batch = pictures[start : start + BATCH]
        prepared, errors = [], {}
        for path in batch:
            try:
                prepared.append(assistant.prepare(load_picture(path, assistant.clip.background)))
            except DataError as error:
                errors[path] = why(error)
        found = iter(assistant.caption(assistant.see(prepared), beam) if prepared else ())
        for path in batch:
            yield Captioned(path, error=errors[path]) if path in errors else Captioned(path, next(found))


def find(files: Sequence[str]) -> list[Path]:
    """The pictures behind names: a file is itself, a folder all pictures in it, a pattern what fits it.

    `**` in a pattern stands for any folders. Hidden files are passed over, and nothing is told twice.

    Raises:
        UsageError: there is no such file, or a folder or a pattern holds no picture; names all of these.
    """
    found: list[Path] = []
    nothing: list[str] = []
    for name in files:
        path = Path(name).expanduser()
        if path.is_dir():
            some = _inside(path)
        elif path.exists():
            some = [path]
        else:
            places = sorted(Path(place) for place in glob.glob(str(path), recursive=True))
            some = [file for place in places for file in ([] if place.is_dir() else [place])]
            some = some or [file for place in places for file in _inside(place)]
        found += some
        if not some:
            kind = "no pictures in this folder" if path.is_dir() else "no such file, and no picture fits it"
            nothing.append(f"{name}: {kind}")
    if nothing:
        raise UsageError("; ".join(nothing))
    return list(dict.fromkeys(found))


def _inside(folder: Path) -> list[Path]:
    from apps.captioning.reading.records import PICTURE_SUFFIXES

    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place) / name for name in files if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in PICTURE_SUFFIXES)


def _finish(rows: list[Captioned], json_output: bool, out: str | None, strict: bool) -> int:
    bad = [row for row in rows if row.found is None]
    if len(bad) == len(rows):
        named = "; ".join(f"{row.name}: {row.error}" for row in bad[:5])
        raise DataError(f"none of {len(rows)} pictures can be read: {named}")
    if out is not None:
        write_jsonl(out, (row.to_dict() for row in rows))
    if not json_output:
        # Long common paths would leave the captions no room.
        folder = os.path.commonpath([os.path.dirname(os.path.abspath(row.name)) for row in rows])
        shown = [
            (os.path.relpath(row.name, folder), row.found.text, float(row.found.scores[0]))
            for row in rows
            if row.found is not None
        ]
        ui.table(f"{len(shown)} pictures of {folder}", ("picture", "caption", "log-probability"), shown)
    for row in bad:
        ui.warn(f"{row.name}: {row.error}")
    if bad:
        ui.say(f"{len(bad)} of {len(rows)} pictures could not be read")
    return 1 if bad and strict else 0
