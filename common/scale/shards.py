"""Pieces of a Parquet or JSONL file: planned without reading rows, read one by one, written so that none is half."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from common.errors import DataError, UsageError
from common.files import parse_jsonl, write_bytes, write_text
from common.scored_rows import to_line

Row = dict[str, Any]
#: What scoring adds to a row; fields of these names are replaced.
ADDED = ("reward", "parts", "reason")
#: Of one file.
MOST_SHARDS = 1_000_000


@dataclass(frozen=True)
class Shard:
    """Some rows of a file, one after the other.

    Attributes:
        number: from 0.
        path: the file.
        first: number of the first row from 1, of the first line in JSONL.
        rows: how many.
        offset: where its bytes begin, in JSONL.
        size: how many bytes, in JSONL.
    """

    number: int
    path: str
    first: int
    rows: int
    offset: int = 0
    size: int = 0

    @property
    def file(self) -> str:
        """Name of the scored file."""
        return f"part-{self.number:05d}{Path(self.path).suffix}"

    @property
    def mark(self) -> str:
        """Name of the file that stands beside it once it is whole."""
        return f"part-{self.number:05d}.json"


def plan(path: Path, rows: int, group: bool = False) -> list[Shard]:
    """The shards of a file, of `rows` rows each; where `group` is set, longer ones that cut no group.

    Raises:
        DataError: there is no such file, or it cannot be read.
        UsageError: it is neither Parquet nor JSONL, or rows of a group do not stand together.
    """
    if rows < 1:
        raise UsageError(f"--shard {rows}: use 1 or more")
    if not path.is_file():
        raise DataError("no such file", path=path)
    if path.suffix == ".parquet":
        return _plan_parquet(path, rows, group)
    if path.suffix == ".jsonl":
        return _plan_jsonl(path, rows, group)
    raise UsageError(f"{path}: rows are read from .parquet or .jsonl")


def read(shard: Shard) -> dict[int, Row]:
    """Rows by their number in the file.

    Raises:
        DataError: a line is no JSON object; names file and line.
    """
    path = Path(shard.path)
    if path.suffix == ".parquet":
        rows = _table(shard).to_pylist()
        return dict(enumerate(rows, start=shard.first))
    with path.open("rb") as file:
        file.seek(shard.offset)
        data = file.read(shard.size)
    try:
        text = data.decode("utf-8-sig" if shard.offset == 0 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {shard.offset + error.start})", path=path) from error
    return dict(parse_jsonl(text, path, shard.first))


def write(shard: Shard, folder: Path, given: Mapping[int, Row], scored: Mapping[int, Row]) -> None:
    """Write the shard's rows with what was found out about them, in the form they came in."""
    if Path(shard.path).suffix != ".parquet":
        write_text(folder / shard.file, "".join(to_line({**row, **scored[number]}) for number, row in given.items()))
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = _table(shard)
    table = table.drop_columns([name for name in ADDED if name in table.column_names])
    found = list(scored.values())
    # A map, so that files whose rows have different parts still have one schema.
    parts = pa.array([list(row["parts"].items()) for row in found], pa.map_(pa.string(), pa.float64()))
    table = table.append_column("reward", pa.array([row["reward"] for row in found], pa.float64()))
    table = table.append_column("parts", parts)
    table = table.append_column("reason", pa.array([row["reason"] for row in found], pa.string()))
    buffer = BytesIO()
    pq.write_table(table, buffer)
    write_bytes(folder / shard.file, buffer.getvalue())


def _table(shard: Shard) -> Any:
    """The shard's rows as a table; only the row groups that hold them are read.

    Raises:
        DataError: they cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    start, stop = shard.first - 1, shard.first - 1 + shard.rows
    try:
        with pq.ParquetFile(shard.path) as file:
            pieces, begin = [], 0
            for index in range(file.num_row_groups):
                end = begin + file.metadata.row_group(index).num_rows
                if begin < stop and end > start:
                    low = max(start, begin)
                    pieces.append(file.read_row_group(index).slice(low - begin, min(stop, end) - low))
                begin = end
            return pa.concat_tables(pieces) if pieces else file.schema_arrow.empty_table()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"rows {start + 1} to {stop} cannot be read as Parquet: {error}", path=shard.path) from error


def _plan_parquet(path: Path, rows: int, group: bool) -> list[Shard]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            total = file.metadata.num_rows
            groups = (
                file.read(["group"]).column(0).to_pylist() if group and "group" in file.schema_arrow.names else None
            )
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read as Parquet: {error}", path=path) from error
    if total > MOST_SHARDS * rows:
        raise UsageError(
            f"{path}: {total:,} rows in shards of {rows}; use a --shard of {total // MOST_SHARDS + 1} or more"
        )
    starts = _cuts(path, groups, rows) if groups is not None else list(range(0, total, rows))
    ends = [*starts[1:], total] if starts else []
    return [
        Shard(number, str(path), start + 1, end - start)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _plan_jsonl(path: Path, rows: int, group: bool) -> list[Shard]:
    at: list[tuple[int, int]] = []  # offset and line of each row
    groups: list[Any] = []
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            # As text: what is blank there is more than what is blank in bytes.
            if line.decode("utf-8", "replace").strip():
                at.append((offset, number))
                if group:
                    row = next(parse_jsonl(line.decode("utf-8-sig", "replace"), path, number))[1]
                    groups.append(row.get("group"))
            offset += len(line)
    starts = _cuts(path, groups, rows) if group else list(range(0, len(at), rows))
    ends = [*starts[1:], len(at)] if starts else []
    found = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        begin, first = at[start]
        stop = at[end][0] if end < len(at) else offset
        found.append(Shard(number, str(path), first, end - start, begin, stop - begin))
    return found


def _cuts(path: Path, groups: Sequence[Any], rows: int) -> list[int]:
    """Where shards of about `rows` rows begin, so that none begins within a group."""
    starts: list[int] = []
    ended: set[str] = set()
    for at, (before, this) in enumerate(_pairs(groups)):
        if at and this == before:
            continue
        if this in ended:
            raise UsageError(
                f"{path}: rows of group {this} do not stand together (row {at + 1}); sort the file by `group` first"
            )
        ended.add(this)
        if not starts or at - starts[-1] >= rows:
            starts.append(at)
    return starts


def _pairs(groups: Sequence[Any]) -> Iterator[tuple[str, str]]:
    before = ""
    for group in groups:
        this = repr(group)
        yield before, this
        before = this
