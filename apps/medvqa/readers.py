"""Readers of data sets, each in its own layout, as a user has it on disk; the formats are in `apps.medvqa.reading`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from apps.medvqa.data import Example, limited, wanted
from apps.medvqa.data_config import DataConfig
from apps.medvqa.reading.choices import read_omni_med_vqa, read_pmc_vqa
from apps.medvqa.reading.image_clef import read_vqa_med_2019, read_vqa_med_2021
from apps.medvqa.reading.pathology import read_path_vqa
from apps.medvqa.reading.pictures import PictureFolder
from apps.medvqa.reading.radiology import read_slake, read_vqa_rad
from apps.medvqa.reading.records import Problem, Reading, Row
from apps.medvqa.reading.rows import read_rows
from common import ui
from common.config import nearest
from common.errors import DataError, UsageError

Reader = Callable[[Path, str, DataConfig], Reading]

FORMATS: Mapping[str, Reader] = {
    "jsonl": read_rows,
    "vqa_rad": read_vqa_rad,
    "slake": read_slake,
    "path_vqa": read_path_vqa,
    "vqa_med_2019": read_vqa_med_2019,
    "vqa_med_2021": read_vqa_med_2021,
    "pmc_vqa": read_pmc_vqa,
    "omni_med_vqa": read_omni_med_vqa,
}
_NAMED = 3


@dataclass(frozen=True)
class DataSet:
    """What a config asks for of a data set on disk.

    Attributes:
        examples: with the places of their pictures, which are not opened yet.
        problems: of rows left out, and of some that were kept.
        read: rows in the files.
        passed_over: rows that the config does not ask for, by reason.
    """

    examples: list[Example]
    problems: list[Problem]
    read: int
    passed_over: Counter[str]


def read_examples(config: DataConfig) -> list[Example]:
    """The questions that a config asks for, in the data set's order; rows left out are counted in a warning.

    Raises:
        DataError: names the file, the row and the next step; also where no question is left.
        UsageError: the format, the path or the split is wrong.
    """
    found = read_data_set(config)
    lost = Counter(problem.kind for problem in found.problems if not problem.kept)
    if lost:
        reasons = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in lost.most_common())
        ui.warn(
            f"{config.path}: left out {lost.total()} of {found.read} rows: {reasons}; `prepare` lists each of them"
        )
    return found.examples


def read_data_set(config: DataConfig) -> DataSet:
    """As `read_examples`, with every row that was left out or passed over.

    Raises:
        DataError: names the file, the row and the next step; also where no question is left.
        UsageError: the format, the path or the split is wrong.
    """
    if config.format not in FORMATS:
        raise UsageError(f"no format {config.format!r} on disk{nearest(config.format, list(FORMATS))}")
    if not config.path:
        raise UsageError(f"the format {config.format!r} needs data.path: the data set's folder or file")
    path = Path(config.path).expanduser()
    if not path.exists():
        raise DataError("no such file or folder; correct data.path, or download the data set first", path=path)
    reading = FORMATS[config.format](path, config.split, config)
    rows: list[Row] = []
    for row in reading.rows:
        if wanted(row.example, config):
            rows.append(row)
        else:
            reading.passed_over[f"{row.example.kind} question in {row.example.language!r}"] += 1
    examples = attach_pictures(rows, reading, config)
    kept = limited(examples, config.limit, config.seed)
    if len(kept) < len(examples):
        reading.passed_over["limit"] += len(examples) - len(kept)
    if not kept:
        raise DataError(f"no questions are left of {reading.read} rows; {_why_none(reading, config.split)}", path=path)
    ids = {example.id for example in kept}
    problems = [problem for problem in reading.problems if not problem.kept or problem.id in ids]
    return DataSet(kept, problems, reading.read, reading.passed_over)


def attach_pictures(rows: list[Row], reading: Reading, config: DataConfig) -> list[Example]:
    """Join questions with their pictures' files; what happens to those that lack one, the config says.

    Raises:
        DataError: a picture is missing and the config says that this is an error, or all are.
    """
    find = cache(_finder(reading, config))
    examples: list[Example] = []
    missing: list[Problem] = []
    for row in rows:
        own = row.example
        found = [find(name, own.split) for name in row.names]
        files = tuple(place for place in found if isinstance(place, Path))
        reasons = [place for place in found if isinstance(place, str)]
        if not reasons:
            examples.append(replace(own, pictures=(*own.pictures, *files)))
            continue
        kind = "without_picture" if config.missing_pictures == "keep" else "missing_picture"
        missing.append(Problem(own.id, kind, reasons[0], row.where))
        if config.missing_pictures == "keep":
            examples.append(own)
    if missing and (config.missing_pictures == "error" or not examples):
        named = "; ".join(f"{problem.where}: {problem.reason}" for problem in missing[:_NAMED])
        raise DataError(
            f"{len(missing)} of {len(rows)} questions lack their pictures: {named}{' ...' * (len(missing) > _NAMED)}; "
            "give the pictures' folder as `pictures`, or have `missing_pictures` drop these questions or keep them "
            "without pictures",
            path=config.path,
        )
    reading.problems += missing
    return examples


def _finder(reading: Reading, config: DataConfig) -> Callable[[str, str], Path | str]:
    """Finds a picture's file by its name and split, or says why there is none."""
    root = Path(config.pictures).expanduser() if config.pictures else reading.root
    if config.pictures and not root.is_dir():
        raise DataError("no such folder of pictures; correct `pictures`", path=root)
    folders: list[PictureFolder] = []

    def find(name: str, split: str) -> Path | str:
        place = root / name
        try:
            if place.is_file() and place.stat().st_size:
                return place
            # Our own rows say where their pictures are; other data sets' folders are laid out anew by every mirror.
            if config.format == "jsonl" and not config.pictures:
                return f"no picture {place}, or an empty one"
            if not folders:
                folders.append(PictureFolder(root))
            return folders[0].find(name, split)
        except DataError as error:
            return str(error)
        except (OSError, ValueError) as error:  # a name that no file can have: too long, or with a NUL
            return f"no file can be called {name!r}: {error}"

    return find


def _why_none(reading: Reading, split: str) -> str:
    lost = Counter(problem.kind for problem in reading.problems if not problem.kept)
    reasons = [f"{count} {name}" for name, count in (lost + reading.passed_over).most_common()]
    if split and any(reason.startswith("split ") for reason in reading.passed_over):
        reasons[-1] += f"; split {split!r} is asked for, an empty `split` takes all"
    return f"the others: {', '.join(reasons)}" if reasons else "check the format and the split"
