"""`ask`: one question about one database, answered in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.text2sql.assistant import Answer, Assistant, ModelAssistant, inspect_database
from apps.text2sql.config import Text2SqlConfig
from common import ui
from common.errors import TouchstoneError

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Execution


def run_ask(
    config: Text2SqlConfig,
    question: str,
    database: str,
    samples: int = 5,
    json_output: bool = False,
) -> int:
    """Print the query, its result, and a warning where the samples disagree.

    Args:
        config: the application's settings.
        question: in any language the model knows.
        database: SQLite or DuckDB file, or a PostgreSQL or MySQL URL.
        samples: answers to compare.
        json_output: print JSON instead.

    Raises:
        UsageError: the question is empty, or the database cannot be read.
        TouchstoneError: the model wrote no query, or none that runs.
    """
    from apps.text2sql.execution.database import Limits
    from apps.text2sql.execution.workers import Judge
    from common.training.run import set_threads

    set_threads(config.threads)
    inspect_database(database)
    with Judge(workers=1, limits=Limits(seconds=config.evaluate.seconds)) as judge:
        assistant = ModelAssistant(config, judge, samples)
        answer = _ask(assistant, question, database, json_output)
    return show(answer, json_output)


def _ask(assistant: Assistant, question: str, database: str, quiet: bool) -> Answer:
    with ui.progress("thinking", quiet=quiet):
        return assistant.ask(question, database)


def show(answer: Answer, json_output: bool = False) -> int:
    """Print an answer; the exit code.

    Raises:
        TouchstoneError: there is no query, or none that runs.
    """
    if json_output:
        ui.print_json(to_dict(answer))
        return 0 if answer.best is not None and answer.best.execution.ok else 1
    best = answer.best
    if best is None:
        raise TouchstoneError(f"the model wrote no query; it said: {answer.completion[:300]!r}")
    ui.sql(best.sql)
    execution = best.execution
    if not execution.ok:
        raise TouchstoneError(f"the query does not run ({execution.status}): {execution.reason}")
    ui.table(
        "", execution.columns, [[cell(value) for value in row] for row in execution.rows], row_note(best.execution)
    )
    if answer.warning:
        ui.warn(answer.warning)
        for other in answer.candidates[1:]:
            ui.say(f"  {other.votes} of {answer.samples}: {' '.join(other.sql.split())}")
    return 0


def to_dict(answer: Answer) -> dict[str, Any]:
    """An answer for programs; bytes become hexadecimal text."""
    best = answer.best
    found: dict[str, Any] = {
        "question": answer.question,
        "sql": best.sql if best is not None else None,
        "status": best.execution.status if best is not None else "no_sql",
        "reason": best.execution.reason if best is not None else "",
        "columns": list(best.execution.columns) if best is not None else [],
        "rows": [[plain(value) for value in row] for row in best.execution.rows] if best is not None else [],
        "row_count": best.execution.count if best is not None else 0,
        "seconds": best.execution.seconds if best is not None else None,
        "samples": answer.samples,
        "votes": best.votes if best is not None else 0,
        "agrees": answer.agrees,
        "warning": answer.warning,
        "others": [
            {"sql": other.sql, "votes": other.votes, "status": other.execution.status}
            for other in answer.candidates[1:]
        ],
    }
    return found


def plain(value: Any) -> Any:
    """A cell as JSON holds it."""
    return value.hex() if isinstance(value, bytes) else value


def cell(value: Any, longest: int = 200) -> Any:
    """A cell as people read it: numbers as they are, long text cut, NULL by its name."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        value = f"x'{value[: longest // 2].hex()}'"
    if isinstance(value, str) and len(value) > longest:
        return value[: longest - 1] + "…"
    return value


def row_note(execution: Execution) -> str:
    """`3 rows`, or how many of them are shown."""
    shown, count = len(execution.rows), max(execution.count, len(execution.rows))
    if shown < count:
        return f"{shown} of {count:,} rows"
    return f"{count} row{'' if count == 1 else 's'}"
