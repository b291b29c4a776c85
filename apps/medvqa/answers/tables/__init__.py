"""The tables of medical words, and the reader of their form: tab-separated, a header line, `#` comments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.errors import DataError

TABLES = Path(__file__).parent


def listed(words: str) -> list[str]:
    """The words of a text that is a list."""
    return words.split()


def read_table(path: Path | str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a table as dictionaries; columns at the end of a row may be left out.

    Raises:
        DataError: the file cannot be read, lacks a column, or a row has too many; names the file and the line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"this table of words cannot be read: {error}", path=path) from error
    header: list[str] | None = None
    rows: list[dict[str, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if header is None:
            header = cells
            missing = [column for column in columns if column not in header]
            if missing:
                raise DataError(f"this table lacks the column {missing[0]!r}", path=path, line=number)
            continue
        if len(cells) > len(header):
            raise DataError(f"{len(cells)} cells under {len(header)} column names", path=path, line=number)
        rows.append(dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=True)))
    return rows
