"""The `score` verb: a verdict, a reward and its parts for every pair of queries in a JSONL file."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlglot.dialects.dialect import Dialect

from apps.text2sql.execution.database import Limits
from apps.text2sql.execution.workers import Judge
from apps.text2sql.verdicts.verdict import Judgement, Verdict, find_preset
from common.errors import DataError, MissingDependency
from common.files import parse_json, write_text
from common.scored_rows import finite, to_line

if TYPE_CHECKING:
    from apps.text2sql.config import Text2SqlConfig

_SETUP_SECONDS = 60.0
_ABSTAIN = (Verdict.CORRECT_EMPTY, Verdict.AMBIGUOUS, Verdict.GOLD_ERROR)
Row = dict[str, Any]


def run_score(config: Text2SqlConfig, pairs: str, out: str, preset: str = "strict", json_output: bool = False) -> int:
    """Judge the pairs in `pairs` and write them to `out` in the same order.

    A row holds `gold`, `pred` and either `setup` (an SQL script that builds the database) or `database` (a path or
    URL); `dialect` where it is not the database's own. It comes back with every field it had and `verdict`, `reward`
    (null where nothing can be said), `parts` and `reason`. The reward is the configured recipe's where the row has the
    columns that recipe needs (such as `question`); otherwise 1 for a right query and 0 for any other.

    A row that cannot be used comes back with a null verdict and the reason; a line that is no JSON object cannot come
    back. Both are reported by line number, and neither stops anything else.

    Args:
        config: limits and reward.
        pairs: JSONL file to read.
        out: JSONL file to write.
        preset: how results are compared.
        json_output: print a JSON summary instead of a table.

    Raises:
        DataError: no such file.
        UsageError: unknown preset.
    """
    from common import ui

    find_preset(preset)
    problems: dict[int, str] = {}
    rows = _read(Path(pairs), problems)
    with tempfile.TemporaryDirectory(prefix="touchstone-") as folder:
        databases = _databases(rows, Path(folder), problems)
        usable = [number for number in rows if number in databases]
        scored = _score(config, preset, {number: rows[number] for number in usable}, databases)
    lines = []
    for number, row in rows.items():
        if number in problems:
            reason = f"line {number}: {problems[number]}"
            lines.append({**row, "verdict": None, "reward": None, "parts": {}, "reason": reason})
        else:
            lines.append({**row, **scored[number]})
    write_text(out, "".join(map(to_line, lines)))
    for number, problem in sorted(problems.items()):
        ui.warn(f"line {number}: {problem}")
    counts = Counter(line["verdict"] for line in lines if line["verdict"] is not None)
    if json_output:
        unread = [{"line": number, "problem": problem} for number, problem in sorted(problems.items())]
        ui.print_json(
            {"rows": len(lines), "preset": preset, "verdicts": dict(counts), "unread": unread, "out": str(out)}
        )
    else:
        known = [(verdict.value, counts[verdict.value]) for verdict in Verdict if counts[verdict.value]]
        ui.table(f"{len(lines)} rows, preset {preset}", ["verdict", "rows"], known, caption=f"written to {out}")
    return 0


def _read(path: Path, problems: dict[int, str]) -> dict[int, Row]:
    """Rows by line number; lines that are no JSON object go to `problems`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=path) from error
    rows: dict[int, Row] = {}
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line.decode("utf-8"))
        except ValueError as error:
            problems[number] = f"not JSON: {error}"
            continue
        if not isinstance(row, dict):
            problems[number] = f"expected a JSON object, found {type(row).__name__}"
            continue
        rows[number] = row
        problem = _problem(row)
        if problem:
            problems[number] = problem
    return rows


def _problem(row: Row) -> str:
    for name in ("gold", "pred"):
        if name not in row:
            return f"no field {name!r}"
        # A model that said nothing is judged, a gold that says nothing is not.
        if not isinstance(row[name], str) and not (name == "pred" and row[name] is None):
            return f"{name!r} must be text, not {type(row[name]).__name__}"
    given = [name for name in ("setup", "database") if row.get(name) is not None]
    if len(given) != 1:
        return "needs one of 'setup' and 'database'" + (", not both" if given else "")
    if not isinstance(row[given[0]], str):
        return f"{given[0]!r} must be text"
    if not isinstance(row.get("dialect") or "", str):
        return "'dialect' must be text"
    return ""


def _databases(rows: Mapping[int, Row], folder: Path, problems: dict[int, str]) -> dict[int, str]:
    """The database of each usable row; each distinct setup is built once."""
    built: dict[tuple[str, str], str | DataError | MissingDependency] = {}
    found: dict[int, str] = {}
    for number, row in rows.items():
        if number in problems:
            continue
        dialect = row.get("dialect") or ""
        if dialect and not _is_dialect(dialect):
            problems[number] = f"unknown dialect {dialect!r}"
        elif row.get("setup") is None:
            found[number] = row["database"]
        else:
            key = (row["setup"], dialect if dialect == "duckdb" else "sqlite")
            if key not in built:
                try:
                    built[key] = build(key[0], folder / f"{len(built)}.{key[1]}")
                except (DataError, MissingDependency) as error:
                    built[key] = error
            outcome = built[key]
            if isinstance(outcome, str):
                found[number] = outcome
            else:
                problems[number] = str(outcome)
    return found


def _is_dialect(name: str) -> bool:
    try:
        Dialect.get_or_raise(name)
    except ValueError:
        return False
    return True


def build(script: str, path: Path) -> str:
    """Build a database from a script, in DuckDB where the file is called `.duckdb`, else in SQLite.

    The script may write that database and nothing else.

    Returns:
        The path.

    Raises:
        DataError: the script fails or runs for more than a minute.
    """
    if path.suffix == ".duckdb":
        return _build_duckdb(script, path)
    connection = sqlite3.connect(path, isolation_level=None)
    with closing(connection):
        connection.execute("PRAGMA synchronous = off")
        deadline = time.monotonic() + _SETUP_SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        connection.set_authorizer(_no_other_file)
        try:
            connection.executescript(script)
            if connection.in_transaction:
                connection.execute("COMMIT")
        except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError) as error:
            raise DataError(f"setup fails: {error}") from error
    return str(path)


def _no_other_file(action: int, *_: Any) -> int:
    attach, detach = 24, 25  # VACUUM INTO asks for the first, too
    return sqlite3.SQLITE_DENY if action in (attach, detach) else sqlite3.SQLITE_OK


def _build_duckdb(script: str, path: Path) -> str:
    try:
        import duckdb
    except ImportError as error:
        raise MissingDependency("duckdb", "text2sql") from error
    try:
        with duckdb.connect(str(path), config={"enable_external_access": "false"}) as connection:
            connection.execute(script)
    except duckdb.Error as error:
        raise DataError(f"setup fails: {error}") from error
    return str(path)


def _score(
    config: Text2SqlConfig, preset: str, rows: Mapping[int, Row], databases: Mapping[int, str]
) -> dict[int, Row]:
    limits = Limits(seconds=config.evaluate.seconds)
    numbers = list(rows)
    preds = [rows[number]["pred"] or "" for number in numbers]
    with Judge(config.reward.workers, limits, preset) as judge:
        judgements = judge(
            [databases[number] for number in numbers],
            [rows[number]["gold"] for number in numbers],
            preds,
            [rows[number].get("dialect") or None for number in numbers],
        )
    scored = {}
    for number, judgement in zip(numbers, judgements, strict=True):
        reward, parts = execution_reward(judgement)
        scored[number] = {
            "verdict": judgement.verdict.value,
            "reward": reward,
            "parts": parts,
            "reason": _reason(judgement),
        }
    asked = [number for number in numbers if isinstance(rows[number].get("question"), str)]
    if asked:
        for number, (reward, parts) in zip(asked, _recipe(config, preset, rows, databases, asked), strict=True):
            scored[number] |= {"reward": reward, "parts": parts}
    return scored


def execution_reward(judgement: Judgement) -> tuple[float | None, dict[str, float | None]]:
    """1 for a right query, 0 for any other, None where the verdict says nothing; with the overlap as parts."""
    value = None if judgement.verdict in _ABSTAIN else float(judgement.verdict is Verdict.CORRECT)
    parts: dict[str, float | None] = {"execution": value}
    shared = judgement.overlap
    if shared is not None and value is not None:
        parts |= {
            "cell_precision": shared.cell_precision,
            "cell_recall": shared.cell_recall,
            "tuple_cardinality": shared.tuple_cardinality,
            "soft_f1": shared.soft_f1,
        }
    return value, parts


def _recipe(
    config: Text2SqlConfig,
    preset: str,
    rows: Mapping[int, Row],
    databases: Mapping[int, str],
    numbers: Sequence[int],
) -> list[tuple[float | None, dict[str, float | None]]]:
    """The configured recipe's rewards for rows that have a question."""
    from apps.text2sql.rewards import build_reward

    reward = build_reward(replace(config.reward, preset=preset))  # type: ignore[arg-type]
    columns: dict[str, Callable[[int], Any]] = {
        "completion": lambda number: rows[number]["pred"] or "",
        "question": lambda number: rows[number]["question"],
        "language": lambda number: rows[number].get("language") or "en",
        "database": lambda number: databases[number],
        "gold": lambda number: rows[number]["gold"],
        "dialect": lambda number: rows[number].get("dialect") or "sqlite",
    }
    output = reward(**{name: [value(number) for number in numbers] for name, value in columns.items()})
    parts = {name: values.tolist() for name, values in output.parts.items()}
    return [
        (finite(value), {name: finite(values[index]) for name, values in parts.items()})
        for index, value in enumerate(output.values.tolist())
    ]


def _reason(judgement: Judgement) -> str:
    flags = f" [{', '.join(sorted(judgement.flags))}]" if judgement.flags else ""
    text = f"{judgement.code}: {judgement.reason}" if judgement.code else ""
    return (text + flags).strip().encode("utf-8", "replace").decode("utf-8")
