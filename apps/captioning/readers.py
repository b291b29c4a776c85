"""Readers of pictures and of sentences, each data set in its own layout, as a user has it on disk.

The formats themselves are in `apps.captioning.reading`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from apps.captioning.corpus import CleaningReport, Sentence, clean_sentences
from apps.captioning.data import Example
from apps.captioning.data_config import CorpusConfig, PicturesConfig
from apps.captioning.reading.annotations import read_coco, read_karpathy, read_nocaps
from apps.captioning.reading.flickr import read_flickr
from apps.captioning.reading.folder import read_folder, read_rows
from apps.captioning.reading.records import Record, find_pictures, limited
from apps.captioning.reading.sentences import read_cc3m, read_sentence_rows, read_ss1m, read_text
from common.config import nearest
from common.errors import DataError, UsageError

Reader = Callable[[Path, str], tuple[Path, list[Record]]]

#: Formats of pictures (most of them with captions).
PICTURE_FORMATS: Mapping[str, Reader] = {
    "jsonl": read_rows,
    "folder": read_folder,
    "coco": read_coco,
    "karpathy": read_karpathy,
    "flickr30k": partial(read_flickr, format="flickr30k"),
    "flickr8k": partial(read_flickr, format="flickr8k"),
    "nocaps": read_nocaps,
}
#: Formats of sentences without pictures.
SENTENCE_FORMATS: Mapping[str, Callable[[Path], Iterator[Sentence]]] = {
    "text": read_text,
    "jsonl": read_sentence_rows,
    "cc3m": read_cc3m,
    "ss1m": read_ss1m,
}


def read_pictures(config: PicturesConfig) -> list[Example]:
    """The pictures of a data set on disk, in its order; their files are looked for and not opened yet.

    Missing and empty files are named in a warning and left out, up to `config.bad_pictures`.

    Raises:
        DataError: names the file, the row and the next step; also where no picture is left.
        UsageError: the format or the path is wrong.
    """
    file, records = read_records(config.format, config.path, config.split)
    images = images_folder(config.format, file, config.images)
    examples = find_pictures(records, file, images, config.limit, config.seed, config.bad_pictures)
    if not examples:
        raise DataError("no pictures found; check the format and the split", path=file)
    return examples


def images_folder(format: str, file: Path, images: str = "") -> str:
    """Where to look for pictures: as given; beside the file for `jsonl`; empty where the places are to be tried."""
    return images or (str(file.parent) if format == "jsonl" else "")


def read_records(format: str, path: str, split: str = "") -> tuple[Path, list[Record]]:
    """The pictures that an annotation file lists, with captions; whether they exist is not looked at.

    Returns:
        The file that was read (the folder, for `folder`) and a record for each picture.

    Raises:
        DataError: names the file, the row and the next step.
        UsageError: there is no such format, or the path is empty.
    """
    if format not in PICTURE_FORMATS:
        raise UsageError(f"no format {format!r} of pictures{nearest(format, list(PICTURE_FORMATS))}")
    return PICTURE_FORMATS[format](_path(format, path, "pictures.path"), split)


def read_corpus(config: CorpusConfig) -> list[str]:
    """The sentences of a corpus on disk, cleaned.

    Raises:
        DataError: names the file, the row and the next step; also where no sentence is left.
        UsageError: the format or the path is wrong.
    """
    return [sentence.text for sentence in read_sentences(config)]


def read_sentences(config: CorpusConfig, report: CleaningReport | None = None) -> list[Sentence]:
    """As `read_corpus`, each sentence with the picture that it came with, which the unpaired guard looks at.

    Args:
        config: the corpus.
        report: is filled with what was left out and why.

    Raises:
        DataError: names the file, the row and the next step; also where no sentence is left.
        UsageError: the format or the path is wrong.
    """
    report = CleaningReport() if report is None else report
    raw = raw_sentences(config.format, config.path, config.split)
    kept = list(clean_sentences(raw, config.clean, config.dedup, config.seed, report))
    if not kept:
        dropped = ", ".join(f"{count} {reason}" for reason, count in report.dropped.items())
        why = f"of {report.read} sentences none is left ({dropped})" if report.read else "no sentences found"
        raise DataError(f"{why}; check the format, the split and `clean`", path=config.path)
    return limited(kept, config.limit, config.seed)


def raw_sentences(format: str, path: str, split: str = "") -> Iterator[Sentence]:
    """The sentences of a corpus as they stand there; captions are taken picture by picture.

    Raises:
        DataError: names the file, the row and the next step.
        UsageError: the format, the path or the split is wrong.
    """
    if format in SENTENCE_FORMATS:
        if split:
            raise UsageError(f"corpus.split: the format {format!r} has no splits; leave it empty")
        return SENTENCE_FORMATS[format](_path(format, path, "corpus.path"))
    if format not in PICTURE_FORMATS:
        known = list(dict.fromkeys([*SENTENCE_FORMATS, *PICTURE_FORMATS]))
        raise UsageError(f"no format {format!r} of sentences{nearest(format, known)}")
    _, records = PICTURE_FORMATS[format](_path(format, path, "corpus.path"), split)
    return (Sentence(caption, record.id) for record in records for caption in record.captions)


def _path(format: str, path: str, option: str) -> Path:
    if not path:
        raise UsageError(f"the format {format!r} needs {option}: the data set's file or folder")
    place = Path(path).expanduser()
    if not place.exists():
        raise DataError(f"no such file or folder; correct {option}", path=place)
    return place
