"""`prepare`: turn a public data set into our JSONL, open every picture, look for leaks, say what was left out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from apps.medvqa.data import Example, to_row
from apps.medvqa.data_config import FORMATS, DataConfig
from apps.medvqa.fingerprints import key_of, take_fingerprints
from apps.medvqa.leaks import Leak, drop_leaks, find_leaks, leak_rows
from apps.medvqa.readers import DataSet, read_data_set
from apps.medvqa.reading.records import KEPT, Problem
from common import ui
from common.errors import DataError, UsageError
from common.files import write_bytes, write_json, write_jsonl

#: Fields that questions are counted by.
_COUNTED = ("split", "kind", "question_type", "modality", "organ", "language")
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}


@dataclass(frozen=True)
class Prepared:
    """What `prepare` found.

    Attributes:
        kept: questions to write.
        problems: of rows left out, and of some that were kept.
        leaks: what stands in more than one split, before any of it was dropped.
        read: rows of the source.
        passed_over: rows that were not asked for, by reason.
    """

    kept: list[Example]
    problems: list[Problem]
    leaks: list[Leak]
    read: int
    passed_over: Counter[str]

    def counts(self) -> dict[str, int]:
        """Figures for the table and the report: every row that was read is not asked for, left out, or kept."""
        ids = {example.id for example in self.kept}
        found = Counter(problem.kind for problem in self.problems if not problem.kept or problem.id in ids)
        return {
            "rows read": self.read,
            **{f"not asked for: {reason}": count for reason, count in self.passed_over.items()},
            **{f"left out: {kind.replace('_', ' ')}": found[kind] for kind in found if kind not in KEPT},
            "questions kept": len(self.kept),
            **{f"of them {kind.replace('_', ' ')}": found[kind] for kind in found if kind in KEPT},
            "pictures": len({key_of(source) for example in self.kept for source in example.pictures}),
        }

    def tables(self) -> dict[str, dict[str, int]]:
        """How many questions are kept by split, kind, type, modality, organ and language."""
        return {
            name: dict(Counter(getattr(example, name) or "not known" for example in self.kept).most_common())
            for name in _COUNTED
        }


def run_prepare(
    config: object,
    source: str,
    format: str,
    out: str,
    picture_folder: str | None = None,
    split: str | None = None,
    languages: str | None = None,
    kinds: str | None = None,
    phrase_types: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    missing_pictures: str = "drop",
    check: bool = True,
    drop_leaks: bool = False,
    copy_pictures: bool = False,
    json_output: bool = False,
) -> int:
    """Read `source`, check it, write `out` and, beside it, `<out>.report.json`.

    Args:
        config: the application's settings; the verb takes what it needs from its own options.
        source: the data set's folder or file.
        format: one of `data_config.FORMATS`.
        out: JSONL to write.
        picture_folder: folder of the pictures, where it is not `source`.
        split: of the data set; all of them where not given, which the search for leaks needs.
        languages: comma between them; all where not given.
        kinds: `closed` or `open`; both where not given.
        phrase_types: of VQA-RAD, comma between them, or `all`; freeform and para where not given.
        limit: questions to take.
        seed: which ones, see `data.limited`.
        missing_pictures: `error`, `drop` or `keep`, see `DataConfig`.
        check: open every picture; those that cannot be read take their questions with them. Leaks are found by study
            only where not.
        drop_leaks: leave out the questions of pictures that stand in a better protected split too (see `drop_leaks`).
        copy_pictures: copy the pictures into `<out>_pictures/`; else the rows name them where they lie. Pictures that
            lie inside the data set's own tables are always written there.
        json_output: print the report as JSON.

    Raises:
        DataError: names the file, the row and the next step.
        UsageError: an option is wrong.
    """
    target = Path(out)
    if target.is_dir():
        raise UsageError(f"{target}: this is a folder; give the JSONL file to write")
    if missing_pictures not in ("error", "drop", "keep"):
        raise UsageError(f"--missing_pictures: there is no {missing_pictures!r}; use error, drop or keep")
    if format not in FORMATS:
        raise UsageError(f"--format: there is no {format!r}; use one of {', '.join(FORMATS)}")
    data = DataConfig(
        format=format,
        path=source,
        pictures=picture_folder or "",
        split=split or "",
        languages=_listed(languages),
        kinds=_listed(kinds),
        missing_pictures=cast(Any, missing_pictures),
        limit=limit or 0,
        seed=seed,
    )
    if phrase_types:
        data.phrase_types = [] if phrase_types == "all" else _listed(phrase_types)
    prepared = check_pictures(read_data_set(data), check, drop_leaks, quiet=json_output)
    if not prepared.kept:
        raise DataError(f"no question is left of {prepared.read} rows: {_reasons(prepared.problems)}", path=source)
    written = place_pictures(prepared.kept, target, copy_pictures)
    write_jsonl(target, (to_row(example, target.parent) for example in written))
    report = {"source": source, "format": format, "split": split or "", "checked": check, **report_of(prepared)}
    report_file = target.with_name(f"{target.stem}.report.json")
    write_json(report_file, report)
    if json_output:
        ui.print_json({**report, "out": str(target)})
        return 0
    _show(prepared, f"{source} ({format})", split or "", check)
    ui.say(f"written to {target}; every problem and every leak is listed in {report_file}")
    return 0


def check_pictures(found: DataSet, check: bool = True, without_leaks: bool = False, quiet: bool = False) -> Prepared:
    """Open every picture, leave out the questions whose pictures cannot be read, and look for leaks.

    Args:
        found: questions with the places of their pictures.
        check: open the pictures; nothing is opened where not.
        without_leaks: leave out leaking questions too.
        quiet: no progress bar.
    """
    prints, unreadable = take_fingerprints(found.examples, quiet) if check else ({}, {})
    problems = list(found.problems)
    kept: list[Example] = []
    for example in found.examples:
        bad = [unreadable[key_of(source)] for source in example.pictures if key_of(source) in unreadable]
        if bad:
            place = ", ".join(str(source) for source in example.pictures if isinstance(source, (str, Path)))
            problems.append(Problem(example.id, "unreadable_picture", bad[0], place))
        else:
            kept.append(example)
    leaks = find_leaks(kept, prints)
    if without_leaks:
        by_id = {example.id: example for example in kept}
        kept, dropped = drop_leaks(kept, leaks)
        for id, leak in dropped.items():
            others = " and ".join(split for split in leak.examples if split != by_id[id].split)
            reason = f"in {others} too ({leak.kind}): {leak.names[0]}"
            problems.append(Problem(id, "leak", reason, by_id[id].split))
    return Prepared(kept, problems, leaks, found.read, found.passed_over)


def place_pictures(examples: Sequence[Example], target: Path, copy: bool) -> list[Example]:
    """Examples whose pictures are files: those that are none are written beside `target`, and all are where `copy`.

    A copy is called by its name and content, so that two pictures of one name are two files.
    """
    folder = target.with_name(f"{target.stem}_pictures")
    placed: dict[Hashable, Path] = {}
    for source in (source for example in examples for source in example.pictures):
        key = key_of(source)
        if key in placed:
            continue
        if isinstance(source, (str, Path)) and not copy:
            placed[key] = Path(source)
            continue
        data = source if isinstance(source, bytes) else Path(str(source)).read_bytes()
        digest = hashlib.blake2b(data, digest_size=8).hexdigest()
        file = Path("" if isinstance(source, bytes) else str(source))
        placed[key] = folder / f"{file.stem}{'-' * bool(file.stem)}{digest}{file.suffix or _suffix(data)}"
        write_bytes(placed[key], data)
    return [
        replace(example, pictures=tuple(placed[key_of(source)] for source in example.pictures)) for example in examples
    ]


def report_of(prepared: Prepared) -> dict[str, Any]:
    """Counts, every problem and every leak, as plain values."""
    return {
        "counts": prepared.counts(),
        **{f"by {name.replace('_', ' ')}": counts for name, counts in prepared.tables().items()},
        "leak summary": [
            dict(zip(("kind", "splits", "found", "questions", "example"), row, strict=True))
            for row in leak_rows(prepared.leaks)
        ],
        "problems": [vars(problem) for problem in prepared.problems],
        "leaks": [vars(leak) for leak in prepared.leaks],
    }


def _suffix(data: bytes) -> str:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(data)) as image:
            return _SUFFIXES.get(image.format or "", f".{(image.format or 'bin').lower()}")
    except UnidentifiedImageError:
        return ".bin"


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _reasons(problems: Sequence[Problem]) -> str:
    found: dict[str, list[Problem]] = {}
    for problem in problems:
        found.setdefault(problem.kind, []).append(problem)
    return "; ".join(f"{len(own)} {kind}, such as {own[0].where}: {own[0].reason}" for kind, own in found.items())


def _show(prepared: Prepared, title: str, split: str, checked: bool) -> None:
    ui.table(title, ("", "count"), list(prepared.counts().items()))
    tables = {name.replace("_", " "): counts for name, counts in prepared.tables().items()}
    rows = [(name, value, count) for name, counts in tables.items() for value, count in counts.items()]
    ui.table("Questions", ("by", "", "questions"), rows)
    found: dict[str, list[Problem]] = {}
    for problem in prepared.problems:
        found.setdefault(problem.kind, []).append(problem)
    if found:
        examples = [(kind, len(own), f"{own[0].where}: {own[0].reason}") for kind, own in found.items()]
        ui.table("What to know", ("why", "rows", "for example"), examples)
    if prepared.leaks:
        columns = ("same", "splits", "how many", "questions", "for example")
        ui.table("In more than one split", columns, leak_rows(prepared.leaks))
    elif split or len(prepared.tables()["split"]) < 2:
        ui.say("one split only: there is nothing to compare it with for leaks")
    else:
        ui.say("no study" + (" and no picture" if checked else "") + " is in more than one split")
