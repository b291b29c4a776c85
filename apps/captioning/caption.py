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

from apps.captioning.assistant import BATCH, CaptionAssistant
from apps.captioning.config import CaptioningConfig
from common import ui
from common.errors import DataError, UsageError
from common.files import write_jsonl
from common.training.run import set_threads

if TYPE_CHECKING:
    from apps.captioning.beam import NBest


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
