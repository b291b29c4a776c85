"""Flickr8k and Flickr30k: the token files, and the two tables in which Kaggle spreads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from apps.captioning.reading.annotations import only_file
from apps.captioning.reading.records import Record, unique, unquoted
from common.errors import DataError
from common.files import text_lines

_TOKEN = re.compile(r"(?P<name>[^\t]+)#(?P<number>\d+)\t(?P<caption>.*)")
# One line of Kaggle's results.csv lacks its second bar: `2199200615.jpg| 4   A dog runs across the grass .`
_BARS = re.compile(r"(?P<name>[^|]+)\|\s*(?P<number>\d+)\s*(?:\||\s)\s*(?P<caption>.*)")
_FILES = {
    "flickr8k": ("Flickr8k.token.txt", "captions.txt", "captions.csv"),
    "flickr30k": ("results_20130124.token", "*.token", "results.csv", "captions.txt", "captions.csv"),
}
_LISTS = {
    "train": ("Flickr_8k.trainImages.txt", "train.txt"),
    "val": ("Flickr_8k.devImages.txt", "val.txt", "dev.txt"),
    "test": ("Flickr_8k.testImages.txt", "test.txt"),
}


class _Layout(NamedTuple):
    """How a captions' file is written: its columns, and how a line becomes name, caption number and caption."""

    columns: str
    parse: Callable[[str], tuple[str, str, str] | None]


def read_flickr(path: Path, split: str = "", format: str = "flickr30k") -> tuple[Path, list[Record]]:
    r"""Flickr8k (Hodosh et al. 2013) or Flickr30k (Young et al. 2014).

    Read are `name.jpg#0<TAB>caption` (`Flickr8k.token.txt`, `results_20130124.token`), `image_name| comment_number|
    comment` (Kaggle's `results.csv`) and `image,caption` or `image_name,comment_number,comment` (`captions.txt`).

    Args:
        path: the captions' file, or its folder.
        split: `train`, `val` (or `dev`), `test`: needs a list of pictures beside the captions, such as
            `Flickr_8k.trainImages.txt` or Flickr30k Entities' `train.txt`. `all` reads all. Where empty: `train` where
            there is such a list, else all. For Karpathy's splits read his file, with the format `karpathy`.
        format: `flickr8k` or `flickr30k`: names the files that are looked for in a folder.

    Returns:
        The file and a record for each picture, in the order of the captions' file.

    Raises:
        DataError: names the file, the line and the next step.
    """
    if path.is_dir():
        path = _captions_file(path, format)
    captions: dict[str, dict[str, str]] = {}
    rows: dict[str, str] = {}
    layout: _Layout | None = None
    for number, line in text_lines(path):
        if not line.strip():
            continue
        if layout is None:
            layout, header = _layout(line)
            if header:
                continue
        row = layout.parse(line)
        if row is None:
            raise DataError(f"expected the columns {layout.columns}, found {line[:60]!r}", path=path, line=number)
        name, caption_id, caption = row
        own = captions.setdefault(name, {})
        rows.setdefault(name, f"line {number}")
        caption_id = caption_id or str(len(own))
        if caption_id in own:
            raise DataError(f"caption {caption_id} of {name} stands here twice; remove one", path=path, line=number)
        own[caption_id] = caption
    if not captions:
        raise DataError("no captions found; check the format", path=path)
    kept, split = _kept(path, split)
    if kept is not None and not kept & {Path(name).stem for name in captions}:
        raise DataError(f"the list of the split {split!r} names none of these pictures; check both files", path=path)
    records = [
        Record(Path(name).stem, (name,), tuple(own.values()), rows[name], split)
        for name, own in captions.items()
        if kept is None or Path(name).stem in kept
    ]
    return path, unique(records, path)


def _captions_file(folder: Path, format: str) -> Path:
    places = [folder, *(place for place in (folder / "Flickr8k_text", folder / "flickr30k_images") if place.is_dir())]
    for place in places:
        if any(any(place.glob(pattern)) for pattern in _FILES[format]):
            return only_file(place, _FILES[format])
    return only_file(folder, _FILES[format])


def _kept(file: Path, split: str) -> tuple[set[str] | None, str]:
    """Stems of the split's pictures, None for all, and the split's name."""
    if split == "all":
        return None, ""
    wanted = "val" if split == "dev" else split or "train"
    names = _LISTS.get(wanted, (f"{wanted}.txt",))
    lists = [file.parent / name for name in names if (file.parent / name).is_file()]
    if not lists:
        if not split:
            return None, ""
        raise DataError(f"the split {split!r} needs {' or '.join(names)} beside this file; `all` reads all", path=file)
    # Entities' lists have no endings.
    return {re.sub(r"\.jpg$", "", line.strip()) for _, line in text_lines(lists[0]) if line.strip()}, wanted


def _layout(first: str) -> tuple[_Layout, bool]:
    """How to read the file's lines, by its first one, and whether that one is a header."""
    head = [column.strip().lower() for column in re.split(r"[|,\t]", first)]
    header = head[0] in ("image", "image_name", "filename", "file_name", "name")
    if "|" in first:
        return _Layout("image_name| comment_number| comment", _bars), header
    if "\t" in first:
        return _Layout("name.jpg#number, tab, caption", _token), header
    if len(head) > 2 and (header or head[1].isdigit()):
        return _Layout("image_name,comment_number,comment", _numbered_commas), header
    return _Layout("image,caption", _commas), header


def _token(line: str) -> tuple[str, str, str] | None:
    match = _TOKEN.fullmatch(line)
    return (match["name"].strip(), match["number"], match["caption"]) if match else None


def _bars(line: str) -> tuple[str, str, str] | None:
    match = _BARS.fullmatch(line)
    return (match["name"].strip(), match["number"], match["caption"]) if match else None


def _commas(line: str) -> tuple[str, str, str] | None:
    # Captions hold commas and are not always quoted: whatever follows the name is the caption.
    name, _, caption = line.partition(",")
    return (name.strip(), "", unquoted(caption)) if "," in line and name.strip() else None


def _numbered_commas(line: str) -> tuple[str, str, str] | None:
    name, number, caption = (*line.split(",", 2), "", "")[:3]
    return (name.strip(), number.strip(), unquoted(caption)) if number.strip().isdigit() and name.strip() else None
