"""`prepare`: turn a public data set into our JSONL, run every gold query, and say what was left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.data import Example, check_databases, limited, missing_databases, read_public, to_row
from apps.text2sql.data_config import DataConfig
from apps.text2sql.evaluate import make_judge
from apps.text2sql.execution.workers import Judge
from apps.text2sql.measures.hardness import hardness
from common import ui
from common.errors import DataError, UsageError
from common.files import write_json, write_jsonl

_CHUNK = 128


@dataclass(frozen=True)
class Problem:
    """Why an example was left out, or what to know about one that was kept.

    Attributes:
        id: of the example.
        kind: `missing_database`, `duplicate`, `no_gold` and `gold_error` are left out; `empty_gold` is kept.
        reason: the message of the database, or what the example repeats.
        sql: its gold.
        database: its database id.
        code: the failure's short name, for `gold_error`.
    """

    id: str
    kind: str
    reason: str
    sql: str
    database: str
    code: str = ""


@dataclass(frozen=True)
class Prepared:
    """What `prepare` found.

    Attributes:
        kept: examples whose gold runs, with Spider's grade filled in; an empty result is tagged `empty_gold`.
        problems: of those left out, and of kept ones with an empty result.
        read: examples in the source.
        executed: golds that ran.
        nonempty: golds that ran and returned rows.
    """

    kept: list[Example]
    problems: list[Problem]
    read: int
    executed: int
    nonempty: int

    def counts(self) -> dict[str, int]:
        """Figures for the table and the report."""
        kinds = ("missing_database", "duplicate", "no_gold", "gold_error", "empty_gold")
        found = {kind: sum(problem.kind == kind for problem in self.problems) for kind in kinds}
        return {
            "read": self.read,
            "gold runs": self.executed,
            "gold returns rows": self.nonempty,
            **{kind.replace("_", " "): count for kind, count in found.items()},
            "kept": len(self.kept),
        }


def run_prepare(
    config: Text2SqlConfig,
    source: str,
    format: str,
    out: str,
    databases: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    json_output: bool = False,
) -> int:
    """Read `source`, check every gold, write `out` and, beside it, `<out>.report.json`."""
    target = Path(out)
    if target.is_dir():
        raise UsageError(f"{target}: this is a folder; give the JSONL file to write")
    folder = local_folder(source)
    data = DataConfig(
        format=format,  # type: ignore[arg-type]
        path=str(folder),
        databases=databases or "",
        split=split or "",
        languages=list(config.heldout.languages),
        variant=config.heldout.variant,
    )
    examples = read_public(data)
    if data.languages:
        examples = [example for example in examples if example.language in data.languages]
    if limit:
        examples = limited(examples, limit)
    if not examples:
        raise DataError("no questions found; check the format and the split", path=folder)
    if len(missing_databases(examples)) == len({example.path for example in examples}):
        check_databases(examples, folder)
    with make_judge(config) as judge:
        prepared = check_golds(examples, judge, quiet=json_output)
    write_jsonl(target, (to_row(example, target.parent) for example in prepared.kept))
    report = {"source": source, "format": format, "split": split or "", **report_of(prepared)}
    report_file = target.with_name(f"{target.stem}.report.json")
    write_json(report_file, report)
    if json_output:
        ui.print_json({**report, "out": str(target)})
        return 0
    ui.table(f"{source} ({format})", ("", "questions"), list(prepared.counts().items()))
    errors = reasons(prepared)
    if errors:
        ui.table("Left out", ("why", "questions", "for example"), errors)
    ui.say(f"written to {target}; every problem is listed in {report_file}")
    return 0


def local_folder(source: str) -> Path:
    """The folder of a data set: `source` itself, or a download of the hub's data set of that name.

    Raises:
        UsageError: there is no such folder, and no hub can be reached or has such a data set.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    if path.is_absolute() or source.startswith(".") or source.count("/") != 1:
        raise UsageError(f"{path}: no such file or folder")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        ui.say(f"{source} is no local folder; asking the hub for a data set of that name")
        return Path(snapshot_download(source, repo_type="dataset"))
    except (OSError, ValueError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"{source}: no such folder, and the hub does not have it or cannot be reached: {first}"
        ) from error


def check_golds(examples: Sequence[Example], judge: Judge, quiet: bool = False) -> Prepared:
    """Run every gold behind the guards and sort the examples into kept and left out."""
    missing = missing_databases(examples)
    problems: list[Problem] = []
    waiting: list[Example] = []
    seen: dict[tuple[str, str, str], str] = {}
    for example in examples:
        key = (example.language, example.database, f"{example.question}\n{example.evidence}\n{example.sql}")
        if example.path in missing:
            problems.append(_problem(example, "missing_database", f"no file {example.path}"))
        elif not example.sql.strip():
            problems.append(_problem(example, "no_gold", "the gold query is empty"))
        else:
            first = seen.setdefault(key, example.id)
            if first != example.id:
                problems.append(_problem(example, "duplicate", f"the same question and query as {first}"))
            waiting.append(example)
    duplicates = {problem.id for problem in problems if problem.kind == "duplicate"}
    kept: list[Example] = []
    executed = nonempty = 0
    with ui.progress("running golds", total=len(waiting), quiet=quiet) as bar:
        for start in range(0, len(waiting), _CHUNK):
            part = waiting[start : start + _CHUNK]
            golds = [example.sql for example in part]
            paths, dialects = [example.path for example in part], [example.dialect for example in part]
            for example, judgement in zip(part, judge(paths, golds, golds, dialects), strict=True):
                gold = judgement.gold
                if gold is None or not gold.ok:
                    reason = gold.reason if gold is not None else judgement.reason
                    problems.append(_problem(example, "gold_error", reason, judgement.code))
                    continue
                executed += 1
                nonempty += gold.count > 0
                if example.id in duplicates:
                    continue
                kept.append(_graded(example, empty=gold.count == 0))
                if gold.count == 0:
                    problems.append(_problem(example, "empty_gold", "the gold runs and returns no rows"))
            bar.advance(len(part))
    return Prepared(kept, problems, len(examples), executed, nonempty)


def report_of(prepared: Prepared) -> dict[str, Any]:
    """Counts and every problem, as plain values."""
    return {"counts": prepared.counts(), "problems": [vars(problem) for problem in prepared.problems]}


def reasons(prepared: Prepared) -> list[tuple[str, int, str]]:
    """Why examples were left out, most frequent first, each with one example."""
    found: dict[str, list[Problem]] = {}
    for problem in prepared.problems:
        if problem.kind != "empty_gold":
            why = f"{problem.kind}: {problem.code}" if problem.code else problem.kind
            found.setdefault(why, []).append(problem)
    ranked = sorted(found.items(), key=lambda entry: -len(entry[1]))
    return [(why, len(own), f"{own[0].id}: {own[0].sql}\n{own[0].reason}") for why, own in ranked]


def _problem(example: Example, kind: str, reason: str, code: str = "") -> Problem:
    return Problem(example.id, kind, reason, example.sql, example.database, code)


def _graded(example: Example, empty: bool) -> Example:
    grade = example.hardness or hardness(example.sql, example.dialect)
    return replace(example, hardness=grade, tags=(*example.tags, "empty_gold") if empty else example.tags)
