"""The `score` verb: reward, parts and reason for every question, reference and answer in a JSONL file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UsageError
from common.files import read_jsonl, write_text
from common.scored_rows import finite, problems, tell_unscored, to_line

if TYPE_CHECKING:
    from apps.medvqa.answers import AnswerScorer
    from apps.medvqa.config import MedVqaConfig

Row = dict[str, Any]
#: Rows between two steps of the progress bar.
_CHUNK = 256


def run_score(config: MedVqaConfig, pairs: str, out: str, recipe: str = "scorer", json_output: bool = False) -> int:
    """Score the rows of `pairs` and write them to `out` in the same order.

    A row holds `question`, `reference` (a text, or a list of right answers) and `answer`; `choices` (a list of texts)
    may stand there too. It comes back with every field it had and `reward`, `parts`, `reason`, and `veto`, the name of
    the conflict that capped the score; a field of one of these names is replaced, with a warning. A bare number counts
    as its text, true and false as yes and no. An empty answer scores 0; a row without a reference, or with fields of
    another type, gives `reward: null` and the reason.

    Args:
        config: the reward's settings.
        pairs: JSONL file to read.
        out: JSONL file to write; written whole or not at all.
        recipe: `scorer`, the medical answer scorer alone, or `configured`: the reward of `config.reward`.
        json_output: print a JSON summary instead of a table.

    Raises:
        DataError: no such file, or a line that is no JSON object; named with its line.
        UsageError: `out` is a folder.
    """
    from common import ui

    if Path(out).is_dir():
        raise UsageError(f"--out {out} is a folder; name a file")
    rows = dict(read_jsonl(Path(pairs)))
    problems = {number: problem for number, row in rows.items() if (problem := _problem(row))}
    usable = {number: row for number, row in rows.items() if number not in problems}
    scored: dict[int, Row] = {
        number: {"reward": None, "parts": {}, "reason": problem, "veto": ""} for number, problem in problems.items()
    }
    with ui.progress("scoring", len(usable), json_output) as bar:
        if recipe == "configured":
            scored |= _configured(config, usable)
        else:
            scored |= _by_scorer(config, usable, bar)
        bar(len(usable))
    lines = [{**row, **scored[number]} for number, row in rows.items()]
    _tell_replaced(rows, scored)
    write_text(out, "".join(map(to_line, lines)))
    _tell({number: scored[number] for number in rows}, out, json_output)
    return 0


def _problem(row: Row) -> str:
    """Why a row cannot be scored; empty where it can."""
    for name in ("question", "answer"):
        if not isinstance(row.get(name, ""), (str, int, float, type(None))):
            return f"{name!r} must be text, not {type(row[name]).__name__}"
    if "answer" not in row:
        return f"no field 'answer'; found: {', '.join(sorted(row)) or 'none'}"
    if "reference" not in row:
        return f"no field 'reference'; found: {', '.join(sorted(row)) or 'none'}"
    texts = row["reference"] if isinstance(row["reference"], list) else [row["reference"]]
    if not all(isinstance(text, (str, int, float)) and text == text for text in texts):
        return "'reference' must be a text or a list of texts"
    if not any(_text(text).strip() for text in texts):
        return "the reference is empty"
    choices = row.get("choices") or []
    if not (isinstance(choices, list) and all(isinstance(text, str) for text in choices)):
        return "'choices' must be a list of texts"
    return ""


def _text(value: Any) -> str:
    """A text as it is; a number as it is written, true and false as yes and no: dumps hold them bare."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else "" if value is None else f"{value}"


def _references(row: Row) -> str | list[str]:
    given = row["reference"]
    return [_text(one) for one in given] if isinstance(given, list) else _text(given)


def _by_scorer(config: MedVqaConfig, rows: Mapping[int, Row], bar: Any) -> dict[int, Row]:
    from apps.medvqa.answers import AnswerScorer

    scorer: AnswerScorer = AnswerScorer(config.reward.tables)
    scored: dict[int, Row] = {}
    for at, (number, row) in enumerate(rows.items()):
        choices = row.get("choices") or ()
        found = scorer.score(_text(row["answer"]), _references(row), _text(row.get("question")), choices)
        parts = {name: round(value, 6) for name, value in found.parts.items()}
        scored[number] = {"reward": round(found.score, 6), "parts": parts, "reason": found.reason, "veto": found.veto}
        if at % _CHUNK == 0:
            bar(at)
    return scored


def _configured(config: MedVqaConfig, rows: Mapping[int, Row]) -> dict[int, Row]:
    """By the reward that `train` pays: see `apps.medvqa.rewards`."""
    from apps.medvqa.rewards import build_reward

    if not rows:
        return {}
    output = build_reward(config.reward)(
        completion=[_text(row["answer"]) for row in rows.values()],
        reference=[_references(row) for row in rows.values()],
        question=[_text(row.get("question")) for row in rows.values()],
    )
    scored: dict[int, Row] = {}
    for at, number in enumerate(rows):
        told = {name.rpartition(".")[2]: texts[at] for name, texts in output.info.items()}
        scored[number] = {
            "reward": finite(output.values[at].item()),
            "parts": {name: finite(values[at].item()) for name, values in output.parts.items()},
            "reason": told.get("reason", ""),
            "veto": told.get("veto", ""),
        }
    return scored


def _tell_replaced(rows: Mapping[int, Row], scored: Mapping[int, Row]) -> None:
    """Warn of fields of the input that the result takes the place of, unless they are an earlier result's."""
    from common import ui

    both = {number: [name for name in scored[number] if name in row] for number, row in rows.items()}
    foreign = {number: names for number, names in both.items() if names and len(names) < len(scored[number])}
    if foreign:
        number, names = next(iter(foreign.items()))
        told = f"line {number}: {', '.join(names)}"
        ui.warn(
            f"{len(foreign)} rows have fields of the result's names, which are replaced ({told}); rename them first"
        )


def _tell(scored: Mapping[int, Row], out: str, json_output: bool) -> None:
    """The summary: how many were scored, their mean, and what vetoed the others."""
    from collections import Counter

    from common import ui
    from common.stats import bootstrap

    mean = bootstrap([math.nan if row["reward"] is None else row["reward"] for row in scored.values()])
    vetoes = Counter(row["veto"] for row in scored.values() if row["veto"])
    if json_output:
        told = {"rows": len(scored), "scored": mean.n, "reward": mean, "vetoes": vetoes}
        ui.print_json({**told, "unscored": problems(scored), "out": out})
        return
    tell_unscored(scored, out)
    table = [["reward", mean.n, mean.text(1, 3)]]
    table += [[f"vetoed: {name}", count, ""] for name, count in vetoes.most_common()]
    ui.table(f"{len(scored)} rows", ("", "rows", "mean, 95 % interval"), table, caption=f"written to {out}")
