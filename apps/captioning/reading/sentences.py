"""Sentences that come without pictures: text, JSONL, Conceptual Captions and SS1M."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from apps.captioning.corpus import NO_PICTURE, Sentence
from apps.captioning.reading.folder import captions_of
from common.errors import DataError
from common.files import read_json, read_jsonl, text_lines

_MARKS = ("<S>", "</S>", "<s>", "</s>")


def read_text(path: Path) -> Iterator[Sentence]:
    """A sentence a line; nothing is known of where they come from.

    Raises:
        DataError: names the file and the line.
    """
    for _, line in text_lines(path):
        yield Sentence(line)


def read_sentence_rows(path: Path) -> Iterator[Sentence]:
    """The suite's own JSONL: `text`, and `picture`, the id of the picture it came with, where that is known.

    The JSONL of pictures (`id`, `captions`) is read too: its captions are the corpus.

    Raises:
        DataError: names the file, the line and the next step.
    """
    for number, row in read_jsonl(path):
        texts = captions_of(row, path, number)
        if not texts and not any(name in row for name in ("text", "caption", "captions")):
            raise DataError(f"no text 'text'; the fields are: {', '.join(row) or 'none'}", path=path, line=number)
        picture = row.get("picture", row.get("id") if "image" in row else None)
        for text in texts:
            yield Sentence(text, "" if picture is None else str(picture))


def read_cc3m(path: Path) -> Iterator[Sentence]:
    r"""Conceptual Captions (Sharma et al. 2018): `Train_GCC-training.tsv`, `caption<TAB>url` without a header.

    The other order (CC12M), a header, and further columns (the labelled subset) are taken too. The sentences' pictures
    have no ids: they come from the web and are in no other data set.

    Raises:
        DataError: names the file, the line and the next step.
    """
    path = _one_file(path, ("Train_GCC-training.tsv", "*.tsv"))
    for number, line in text_lines(path):
        columns = line.split("\t")
        if not line.strip() or (number == 1 and {"caption", "url"} & {column.lower() for column in columns}):
            continue
        if len(columns) > 1 and _is_url(columns[1]):
            yield Sentence(columns[0], NO_PICTURE)
        elif len(columns) > 1 and _is_url(columns[0]):
            yield Sentence(columns[1], NO_PICTURE)
        else:
            raise DataError(
                f"expected caption, tab, url (or url, tab, caption), found {line[:60]!r}; the format `text` reads a "
                "sentence a line",
                path=path,
                line=number,
            )


def read_ss1m(path: Path) -> Iterator[Sentence]:
    """SS1M, Shutterstock descriptions (Feng et al. 2019): a JSON list of texts or of lists of tokens, or a line each.

    The marks `<S>` and `</S>` are removed. Its pickle is not read: unpickling runs whatever code a file brings.

    Raises:
        DataError: names the file, the row or the line, and the next step.
    """
    if path.suffix in (".pkl", ".pickle"):
        raise DataError(
            "pickle files are not read, because opening one runs code; turn it into a JSON list of texts first",
            path=path,
        )
    if path.suffix != ".json":
        for _, line in text_lines(path):
            yield Sentence(_unmarked(line.split(" ")), NO_PICTURE)
        return
    content = read_json(path)
    if not isinstance(content, list):
        raise DataError(f"expected a JSON list of texts, found {type(content).__name__}", path=path)
    for position, entry in enumerate(content):
        tokens = entry.split(" ") if isinstance(entry, str) else entry
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise DataError(f"row {position}: expected a text or a list of tokens", path=path)
        yield Sentence(_unmarked(tokens), NO_PICTURE)


def _unmarked(tokens: list[str]) -> str:
    return " ".join(token for token in tokens if token not in _MARKS)


def _is_url(text: str) -> bool:
    return text.strip().lower().startswith(("http://", "https://"))


def _one_file(path: Path, patterns: tuple[str, ...]) -> Path:
    if not path.is_dir():
        return path
    from apps.captioning.reading.annotations import only_file

    return only_file(path, patterns)
