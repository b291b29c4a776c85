"""JSON annotation files: COCO captions, NoCaps, and Karpathy's splits of COCO, Flickr30k and Flickr8k."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from apps.captioning.reading.records import Record, unique
from common.errors import DataError
from common.files import read_json


def read_coco(path: Path, split: str = "") -> tuple[Path, list[Record]]:
    """COCO captions (Chen et al. 2015): `captions_train2017.json` with `images` and `annotations`.

    `image_info_test2017.json`, which has no annotations, is read too.

    Args:
        path: the JSON file, or the folder that holds it or its `annotations/`.
        split: `train`, `val2014`, ...: which file of a folder; `train` where empty.

    Returns:
        The file and a record for each picture, in the order of `images`.

    Raises:
        DataError: names the file, the row and the next step.
    """
    if path.is_dir():
        path = _coco_file(path, split or "train")
    elif split and split not in path.stem:
        raise DataError(f"this file is not of the split {split!r}; leave `split` empty, or give the folder", path=path)
    content = _object(path, "images")
    return path, _coco_records(content, path)


def read_nocaps(path: Path, split: str = "") -> tuple[Path, list[Record]]:
    """NoCaps (Agrawal et al. 2019): `nocaps_val_4500_captions.json`, as COCO's with a `domain` for each picture.

    Args:
        path: the JSON file, or its folder.
        split: `in-domain`, `near-domain` or `out-domain`; all where empty.

    Raises:
        DataError: names the file, the row and the next step.
    """
    if path.is_dir():
        path = only_file(path, ("nocaps_val_4500_captions.json", "nocaps_val*.json", "nocaps_*.json"))
    content = _object(path, "images")
    records = _coco_records(content, path)
    if not split:
        return path, records
    domains = [str(image.get("domain", "")) for image in content["images"]]
    kept = [record for record, domain in zip(records, domains, strict=True) if domain == split]
    return path, _some(kept, split, domains, path)


def read_karpathy(path: Path, split: str = "") -> tuple[Path, list[Record]]:
    """Karpathy's split files (Karpathy & Fei-Fei 2015): `dataset_coco.json`, `dataset_flickr30k.json`, ...

    Args:
        path: the JSON file, or a folder that holds one of them.
        split: `train`, `restval`, `val`, `test`, or several of them joined with `+`; `train` where empty. COCO is
            usually trained on `train+restval` (113,287 pictures). `all` reads all.

    Raises:
        DataError: names the file, the row and the next step.
    """
    if path.is_dir():
        path = only_file(path, ("dataset.json", "dataset_*.json"))
    images = _rows(_object(path, "images"), "images", path)
    splits = [_field(image, "split", str, row, path) for row, image in images]
    wanted = set(splits) if split == "all" else set((split or "train").split("+"))
    for name in sorted(wanted - set(splits)):
        _some([], name, splits, path)
    records = []
    for (row, image), own in zip(images, splits, strict=True):
        if own not in wanted:
            continue
        name = _field(image, "filename", str, row, path)
        folder = image.get("filepath")
        sentences = _field(image, "sentences", list, row, path)
        captions = []
        for number, entry in enumerate(sentences):
            if not isinstance(entry, dict) or not isinstance(entry.get("raw"), str):
                raise DataError(f"{row}, sentence {number}: no text `raw`", path=path)
            captions.append(entry["raw"])
        names = (name,) if not isinstance(folder, str) or not folder else (f"{folder}/{name}", name)
        records.append(Record(_karpathy_id(image, name), names, tuple(captions), row, own))
    return path, unique(records, path)


def only_file(folder: Path, patterns: Sequence[str]) -> Path:
    """The one file in `folder` or its `annotations/` that fits the first pattern that any fits.

    Raises:
        DataError: none fits, or several do.
    """
    for pattern in patterns:
        found = sorted([*folder.glob(pattern), *folder.glob(f"annotations/{pattern}")])
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise DataError(f"several files fit {pattern}: {names}; give one of them as the path", path=folder)
        if found:
            return found[0]
    raise DataError(f"no file {' or '.join(patterns)} here or in annotations/; give the file itself", path=folder)


def _coco_file(folder: Path, split: str) -> Path:
    return only_file(
        folder, (f"captions_{split}.json", f"captions_{split}*.json", f"image_info_{split}*.json", f"{split}.json")
    )


def _coco_records(content: Mapping[str, Any], file: Path) -> list[Record]:
    captions: dict[str, list[str]] = {}
    images: list[tuple[str, str, str]] = []
    for row, image in _rows(content, "images", file):
        images.append((_id(image, "id", row, file), _field(image, "file_name", str, row, file), row))
        captions.setdefault(images[-1][0], [])
    if "annotations" in content:
        for row, entry in _rows(content, "annotations", file):
            own = _id(entry, "image_id", f"annotations {row}", file)
            caption = _field(entry, "caption", str, f"annotations {row}", file)
            if own not in captions:
                raise DataError(
                    f"annotations {row}: `images` has no picture {own!r}; remove one or add the other", path=file
                )
            captions[own].append(caption)
    records = [Record(own, (name,), tuple(captions[own]), row) for own, name, row in images]
    return unique(records, file)


def _karpathy_id(image: Mapping[str, Any], name: str) -> str:
    """COCO's own number where there is one, so that both kinds of files name a picture alike; else as Flickr's."""
    return str(image["cocoid"]) if isinstance(image.get("cocoid"), (int, str)) else PurePosixPath(name).stem


def _object(file: Path, key: str) -> Mapping[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise DataError(f"expected a JSON object with {key!r}, found {type(content).__name__}", path=file)
    if not isinstance(content.get(key), list):
        raise DataError(
            f"has no list {key!r}; its keys are: {', '.join(content) or 'none'}; check the format", path=file
        )
    return content


def _rows(content: Mapping[str, Any], key: str, file: Path) -> list[tuple[str, Mapping[str, Any]]]:
    entries = content[key]
    if not isinstance(entries, list):
        raise DataError(f"{key!r} is no list but {type(entries).__name__}", path=file)
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DataError(f"{key} row {position}: expected an object, found {type(entry).__name__}", path=file)
    return [(f"row {position}", entry) for position, entry in enumerate(entries)]


def _field(row: Mapping[str, Any], name: str, kind: type, where: str, file: Path) -> Any:
    value = row.get(name)
    if not isinstance(value, kind) or (value == "" and name != "caption"):
        wanted = "text" if kind is str else "list"
        raise DataError(f"{where} has no {wanted} {name!r}; its fields are: {', '.join(row) or 'none'}", path=file)
    return value


def _id(row: Mapping[str, Any], name: str, where: str, file: Path) -> str:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
        raise DataError(f"{where} has no number {name!r}; its fields are: {', '.join(row) or 'none'}", path=file)
    return str(value)


def _some(records: list[Record], split: str, splits: Sequence[str], file: Path) -> list[Record]:
    if not records:
        counts = Counter(splits)
        present = ", ".join(f"{name} ({count})" for name, count in counts.items() if name) or "none"
        raise DataError(f"no split {split!r}; the file has {present}", path=file)
    return records
