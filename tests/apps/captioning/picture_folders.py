"""Miniature data sets in the published layouts, for the tests of readers and `prepare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apps.captioning.data_config import CorpusConfig
from apps.captioning.readers import read_corpus


def picture(path: Path, shade: int = 0) -> Path:
    """A small picture file; each shade is another picture."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (shade % 256, shade // 256, 90)).save(path)
    return path


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def corpus(path: Path, format: str, **settings: Any) -> list[str]:
    """What the reader of a format makes of a file."""
    return read_corpus(CorpusConfig(format=format, path=str(path), **settings))  # type: ignore[arg-type]


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    return write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def coco_content(ids: list[int], each: int = 2) -> dict[str, Any]:
    """As in captions_val2017.json."""
    return {
        "info": {"description": "COCO 2017 Dataset", "version": "1.0", "year": 2017},
        "licenses": [{"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4, "name": "Attribution License"}],
        "images": [
            {"license": 4, "file_name": f"{own:012d}.jpg", "height": 6, "width": 8, "flickr_url": "", "id": own}
            for own in ids
        ],
        "annotations": [
            {"image_id": own, "id": 100 * own + number, "caption": f"Thing {own} is seen from side {number}."}
            for number in range(each)
            for own in reversed(ids)
        ],
    }


def coco_folder(folder: Path, ids: list[int], each: int = 2, name: str = "val2017") -> Path:
    """`annotations/captions_val2017.json` beside `val2017/`."""
    write(folder / "annotations" / f"captions_{name}.json", coco_content(ids, each))
    for own in ids:
        picture(folder / name / f"{own:012d}.jpg", own)
    return folder


def karpathy_image(number: int, split: str, coco: bool = True) -> dict[str, Any]:
    """As in dataset_coco.json, or without `filepath` and `cocoid` as in dataset_flickr30k.json."""
    sentences = [
        {
            "tokens": ["thing", str(number), "from", "side", str(side)],
            "raw": f"Thing {number} from side {side}.",
            "imgid": number,
            "sentid": 5 * number + side,
        }
        for side in range(5)
    ]
    image = {
        "sentids": [5 * number + side for side in range(5)],
        "imgid": number,
        "sentences": sentences,
        "split": split,
    }
    if coco:
        return {"filepath": "val2014", "filename": f"COCO_val2014_{number:012d}.jpg", "cocoid": number, **image}
    return {**image, "filename": f"{number}.jpg"}
