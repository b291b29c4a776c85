"""What every reader of pictures hands on, and how the pictures' files are found."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from apps.captioning.corpus import plain
from apps.captioning.data import Example
from common import ui
from common.errors import DataError

T = TypeVar("T")

#: Endings of files that are taken for pictures, lower case.
PICTURE_SUFFIXES = frozenset(
    [
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".webp", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pnm", ".jp2", ".avif"),
    ]
)
#: Folders in which the public data sets' pictures usually lie.
_USUAL_FOLDERS = (
    *("images", "Images", "train2014", "val2014", "test2014", "train2017", "val2017", "test2017"),
    *("train", "val", "test", "validation"),
    *("flickr30k-images", "flickr30k_images", "flickr30k_images/flickr30k_images"),
    *("Flicker8k_Dataset", "Flickr8k_Dataset", "Flickr8k_Dataset/Flicker8k_Dataset"),
)
_NAMED = 5
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


@dataclass(frozen=True)
class Record:
    """One picture of an annotation file, before its own file is looked for.

    Attributes:
        id: unique in its file; the same for the same picture in each of COCO's or Flickr's files.
        names: where the picture may lie, relative to the folder of pictures, best first; or one absolute path.
        captions: as they stand there.
        row: where it stands, for messages: `row 3` (from 0) or `line 3` (from 1).
        split: of the data set, where that is known.
    """

    id: str
    names: tuple[str, ...]
    captions: tuple[str, ...]
    row: str
    split: str = ""

    def plain_captions(self) -> tuple[str, ...]:
        """The captions, each one line (see `plain`), without empty ones."""
        return tuple(caption for caption in map(plain, self.captions) if caption)


def unquoted(cell: str) -> str:
    """A cell of a table without the quotes around the whole of it; quotes inside a caption stay."""
    cell = cell.strip()
    return cell[1:-1].replace('""', '"') if _QUOTED.fullmatch(cell) else cell


def unique(records: list[Record], file: Path) -> list[Record]:
    """The records themselves.

    Raises:
        DataError: two have the same id.
    """
    seen: dict[str, str] = {}
    for record in records:
        first = seen.setdefault(record.id, record.row)
        if first is not record.row:
            raise DataError(f"{record.row}: the id {record.id!r} stands in {first} too; ids must differ", path=file)
    return records


def limited(items: Sequence[T], limit: int, seed: int = 0) -> list[T]:
    """At most `limit` items in their order (0: all): the first ones for seed 0, else a draw."""
    return [items[position] for position in sorted(_order(len(items), seed)[: limit or len(items)])]


def find_pictures(
    records: Sequence[Record],
    file: Path,
    images: str,
    limit: int = 0,
    seed: int = 0,
    bad_pictures: int = 100,
    absent: list[Record] | None = None,
) -> list[Example]:
    """Join records with their pictures' files; missing and empty files are named and left out.

    Args:
        records: of `file`.
        file: annotation file, or folder of pictures.
        images: folder of the pictures; looked for beside `file` where empty.
        limit: pictures to keep, see `limited`; no more files are looked for than needed.
        seed: which ones.
        bad_pictures: missing ones that are forgiven.
        absent: is filled with the records whose files are missing; there is no warning then.

    Raises:
        DataError: more are missing, or all are.
    """
    folders = _folders(file, images)
    found: dict[int, Example] = {}
    missing: list[str] = []
    for position in _order(len(records), seed):
        if limit and len(found) == limit:
            break
        record = records[position]
        image = _file_of(record, folders)
        if image is not None:
            found[position] = Example(id=record.id, image=image, captions=record.plain_captions())
            continue
        missing.append(f"{record.names[0]} ({record.row})")
        if absent is not None:
            absent.append(record)
        if len(missing) > bad_pictures:
            break
    named = ", ".join(missing[:_NAMED]) + (" ..." if len(missing) > _NAMED else "")
    looked = f"looked in {', '.join(str(folder) for folder in folders[:3])}" + (" ..." if len(folders) > 3 else "")
    if missing and (not found or len(missing) > bad_pictures):
        some = "every picture looked for is" if not found else f"more than {bad_pictures} pictures are"
        raise DataError(
            f"{some} missing or empty: {named}; {looked}; give their folder as `images`"
            + (", or allow more with `bad_pictures`" if found else ""),
            path=file,
        )
    if missing and absent is None:
        ui.warn(f"{file}: left out {len(missing)} pictures whose files are missing or empty: {named}")
    return [found[position] for position in sorted(found)]


def _order(size: int, seed: int) -> list[int]:
    order = list(range(size))
    if seed:
        random.Random(seed).shuffle(order)
    return order


def _folders(file: Path, images: str) -> list[Path]:
    """Existing folders to look in, the likeliest first."""
    if images:
        base = Path(images).expanduser()
        if not base.is_dir():
            raise DataError("no such folder of pictures; correct `images`", path=base)
        bases = [base]
    else:
        bases = [file, file.parent] if file.is_dir() else [file.parent, file.parent.parent]
    # `captions_train2017.json` belongs to `train2017/`
    names = ["", file.stem.rpartition("_")[2], *_USUAL_FOLDERS]
    places: Iterable[Path] = (base / name for base in bases for name in names)
    return [place for place in dict.fromkeys(places) if place.is_dir()]


def _file_of(record: Record, folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        for name in record.names:
            place = folder / name
            try:
                if place.is_file() and place.stat().st_size:
                    return place
            except (OSError, ValueError):  # a name that no file can have: too long, or with a NUL
                continue
    return None
