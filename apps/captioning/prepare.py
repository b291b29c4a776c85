"""`prepare`: turn a public data set into our JSONL, open every picture, and say what was left out and why."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.captioning.config import CaptioningConfig
from apps.captioning.corpus import Clean, CleaningReport, Sentence, clean_sentences
from apps.captioning.data import Example
from apps.captioning.readers import PICTURE_FORMATS, images_folder, raw_sentences, read_records
from apps.captioning.reading.records import Record, find_pictures, limited
from apps.captioning.unpaired import split_unpaired
from common import ui
from common.config import nearest
from common.errors import DataError, UsageError
from common.files import write_json, write_jsonl, write_text

_NAMED = 5
_WEB_FORMATS = ("cc3m", "ss1m")
_CLEANINGS: tuple[Clean, ...] = ("none", "sentence", "web")


@dataclass(frozen=True)
class Problem:
    """Why a picture was left out, or what to know about one that was kept.

    Attributes:
        id: of the picture.
        kind: `missing` (no file, or an empty one) and `unreadable` are left out; `duplicate` (the same bytes as
            another, which benchmarks' own files hold too) and `no_captions` (where others have some) are kept.
        reason: the decoder's message, or what the picture repeats.
        file: the picture's file, or its name.
    """

    id: str
    kind: str
    reason: str
    file: str


@dataclass(frozen=True)
class Prepared:
    """What `prepare` found.

    Attributes:
        kept: pictures that can be opened.
        problems: of those left out, and of some that were kept.
        read: pictures of the source.
        empty: captions that were empty.
    """

    kept: list[Example]
    problems: list[Problem]
    read: int
    empty: int

    def counts(self) -> dict[str, int]:
        """Figures for the table and the report."""
        found = {
            kind: sum(problem.kind == kind for problem in self.problems)
            for kind in ("missing", "unreadable", "duplicate")
        }
        return {
            "read": self.read,
            **found,
            "no captions": sum(not example.captions for example in self.kept),
            "kept": len(self.kept),
            "captions": sum(len(example.captions) for example in self.kept),
            "empty captions": self.empty,
        }


def run_prepare(
    config: CaptioningConfig,
    source: str,
    format: str,
    out: str | None,
    images: str | None = None,
    split: str | None = None,
    corpus_out: str | None = None,
    limit: int | None = None,
    json_output: bool = False,
    clean: str | None = None,
    seed: int | None = None,
) -> int:
    """Read `source`, check it, write `out` and, beside it, `<out>.report.json`.

    A data set of pictures becomes JSONL rows `id`, `image`, `captions`. With `corpus_out` it is split in two: `out`
    gets one half of the pictures, `corpus_out` the captions of the other half (In-UIC), whose files are not looked at.
    With `corpus_out` and no `out`, all captions become the corpus. A data set of sentences becomes a corpus, in `out`.

    A corpus that ends in `.jsonl` keeps the id of the picture of each sentence, which the unpaired guard goes by; any
    other is a sentence a line.

    Args:
        config: the application's settings.
        source: the data set's file or folder.
        format: one of `readers.PICTURE_FORMATS` or `readers.SENTENCE_FORMATS`.
        out: file to write.
        images: folder of the pictures, where it is not beside `source`.
        split: of the data set.
        corpus_out: file for the sentences.
        limit: pictures (before the split in two) or sentences to take.
        json_output: print the report as JSON.
        clean: of the sentences: `none`, `sentence` or `web`; if not given, `web` for cc3m and ss1m, else `sentence`.
        seed: which pictures `limit` takes (0: the first) and how they are split in two; the config's where not given.

    Raises:
        DataError: names the file, the row and the next step; also for too many bad pictures.
        UsageError: the options do not go together.
    """
    seed = config.seed if seed is None else seed
    cleaning = _checked(format, out, corpus_out, images, clean)
    report: dict[str, Any] = {"source": source, "format": format, "split": split or ""}
    prepared: Prepared | None = None
    sentences: Iterable[Sentence]
    pictures_out, sentences_out = (out, corpus_out) if format in PICTURE_FORMATS else (None, out)
    if format in PICTURE_FORMATS:
        file, records = read_records(format, source, split or "")
        sentences = ()
        if corpus_out:
            records = limited(records, limit or 0, seed)
            sentences = [Sentence(caption, record.id) for record in records for caption in record.captions]
        if corpus_out and out:
            records, sentences = _halves(records, seed)
        if pictures_out:
            folder = images_folder(format, file, images or "")
            bad = config.train.bad_pictures
            prepared = check_pictures(records, file, folder, bad, limit or 0, seed, quiet=json_output)
            write_jsonl(pictures_out, (to_row(example, Path(pictures_out).parent) for example in prepared.kept))
            report["counts"] = prepared.counts()
            report["problems"] = [vars(problem) for problem in prepared.problems]
    else:
        sentences = raw_sentences(format, source, split or "")
    if sentences_out:
        corpus = CleaningReport()
        kept = list(clean_sentences(sentences, cleaning, config.corpus.dedup, seed, corpus))
        if format not in PICTURE_FORMATS:
            kept = limited(kept, limit or 0, seed)
        if not kept:
            raise DataError(f"none of {corpus.read} sentences is left; check the format and --clean", path=source)
        write_corpus(sentences_out, kept)
        report["corpus"] = {**corpus.counts(), "written": len(kept)}
    written = [name for name in (pictures_out, sentences_out) if name]
    report_file = Path(written[0]).with_name(f"{Path(written[0]).stem}.report.json")
    write_json(report_file, report)
    if json_output:
        ui.print_json({**report, "out": out, "corpus_out": corpus_out})
        return 0
    _show(report, prepared, f"{source} ({format})")
    ui.say(f"written to {' and '.join(written)}; every problem is listed in {report_file}")
    return 0


def check_pictures(
    records: Sequence[Record],
    file: Path,
    images: str,
    bad_pictures: int = 100,
    limit: int = 0,
    seed: int = 0,
    quiet: bool = False,
) -> Prepared:
    """Find and open every picture; those that cannot be opened are named and left out.

    Args:
        records: what the annotation file lists.
        file: the annotation file.
        images: folder of the pictures; looked for beside `file` where empty.
        bad_pictures: missing and unreadable ones together that are forgiven.
        limit: pictures to take, 0 for all.
        seed: which ones, see `limited`.
        quiet: no progress bar.

    Raises:
        DataError: more are bad, or all are; names the first ones.
    """
    absent: list[Record] = []
    examples = find_pictures(records, file, images, limit, seed, bad_pictures, absent)
    problems = [
        Problem(record.id, "missing", f"no file, or an empty one ({record.row})", record.names[0]) for record in absent
    ]
    bad = [f"{problem.file}: {problem.reason}" for problem in problems]
    some_captions = any(record.captions for record in records)
    kept: list[Example] = []
    seen: dict[bytes, str] = {}
    with ui.progress("opening pictures", total=len(examples), quiet=quiet) as bar:
        for example in examples:
            bar.advance()
            name = str(example.image)
            try:
                example.picture()
            except DataError as error:
                problems.append(Problem(example.id, "unreadable", str(error), name))
                bad.append(str(error))
                if len(bad) > bad_pictures:
                    break
                continue
            kept.append(example)
            first = seen.setdefault(_digest(example), example.id)
            if first != example.id:
                problems.append(Problem(example.id, "duplicate", f"the same file content as {first}", name))
            if some_captions and not example.captions:
                problems.append(Problem(example.id, "no_captions", "the picture has no captions", name))
    if bad and (len(bad) > bad_pictures or not kept):
        named = "; ".join(bad[:_NAMED]) + (" ..." if len(bad) > _NAMED else "")
        some = f"more than {bad_pictures} pictures are bad" if kept else "no picture can be opened"
        raise DataError(f"{some}: {named}; repair them, or allow more with --train.bad_pictures", path=file)
    chosen = {example.id for example in examples}
    captions = [caption for record in records if record.id in chosen for caption in record.captions]
    empty = len(captions) - sum(len(example.captions) for example in examples)
    return Prepared(kept, problems, len(examples) + len(absent), empty)


def to_row(example: Example, folder: Path) -> dict[str, Any]:
    """A picture as a row of our JSONL, its file relative to `folder`."""
    assert example.image is not None
    image = os.path.relpath(example.image.absolute(), folder.absolute())
    return {"id": example.id, "image": Path(image).as_posix(), "captions": list(example.captions)}


def write_corpus(path: Path | str, sentences: Sequence[Sentence]) -> Path:
    """Write `.jsonl` rows `text` and, where known, `picture`; a sentence a line where the name ends otherwise."""
    if Path(path).suffix != ".jsonl":
        return write_text(path, "".join(f"{own.text}\n" for own in sentences))
    rows = ({"text": own.text, **({"picture": own.picture} if own.picture else {})} for own in sentences)
    return write_jsonl(path, rows)


def _checked(format: str, out: str | None, corpus_out: str | None, images: str | None, clean: str | None) -> Clean:
    """How to clean the sentences; raises where the options do not go together."""
    for target in (out, corpus_out):
        if target and Path(target).is_dir():
            raise UsageError(f"{target}: this is a folder; give the file to write")
    if out and corpus_out and Path(out).resolve() == Path(corpus_out).resolve():
        raise UsageError(f"{out}: --out and --corpus_out are one file; give two")
    if format in PICTURE_FORMATS:
        if not out and not corpus_out:
            raise UsageError("give --out for the pictures, --corpus_out for a corpus of their captions, or both")
    elif corpus_out or images or not out:
        raise UsageError(f"the format {format!r} holds sentences and no pictures: give --out, and no other file")
    wanted = clean or ("web" if format in _WEB_FORMATS else "sentence")
    for name in _CLEANINGS:
        if name == wanted:
            return name
    raise UsageError(f"--clean: there is no {wanted!r}{nearest(wanted, _CLEANINGS)}")


def _halves(records: Sequence[Record], seed: int) -> tuple[list[Record], list[Sentence]]:
    """One half of the pictures, and the captions of the other half."""
    chosen, sentences = split_unpaired([Example(record.id, captions=record.captions) for record in records], seed)
    ids = {example.id for example in chosen}
    return [record for record in records if record.id in ids], sentences


def _digest(example: Example) -> bytes:
    assert example.image is not None
    return hashlib.blake2b(example.image.read_bytes(), digest_size=16).digest()


def _show(report: dict[str, Any], prepared: Prepared | None, title: str) -> None:
    if prepared is not None:
        ui.table(title, ("", "pictures"), list(prepared.counts().items()))
        found: dict[str, list[Problem]] = {}
        for problem in prepared.problems:
            found.setdefault(problem.kind, []).append(problem)
        rows = [(kind, len(own), f"{own[0].id}: {own[0].reason}") for kind, own in found.items()]
        if rows:
            ui.table("What to know", ("why", "pictures", "for example"), rows)
    if "corpus" in report:
        ui.table(f"Sentences of {title}", ("", "sentences"), list(report["corpus"].items()))
