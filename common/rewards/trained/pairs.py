"""The verb `pairs`: scores of any reward into preference pairs, in the form that trl's DPOTrainer reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import DataError, UsageError
from common.files import read_jsonl, write_text
from common.rewards.trained.preference_pairs import to_preference_pairs
from common.scored_rows import to_line

Row = dict[str, Any]
#: Names of a row's score: our `score` verbs write `reward`.
SCORES = ("score", "reward")
#: Groups left out that are named.
NAMED = 10


@dataclass(frozen=True)
class LeftOut:
    """What made no pair.

    Attributes:
        line: in the file of scores; of a group its first.
        reason: why.
    """

    line: int
    reason: str


def run_pairs(scored: str, out: str, margin: float = 0.0, json_output: bool = False) -> int:
    """Of every prompt's completions the best against the worst, where they are at least `margin` apart.

    A row of `scored` holds `prompt` and `completion` (texts or lists of messages) and a number under `score` or
    `reward`, null or NaN where there is none; perhaps `group` (completions of one prompt share it; the prompt with its
    `images` where not given) and `images`. A row of `out` holds `prompt`, `chosen` and `rejected` in trl's standard or
    conversational form, `images`, `score_chosen` and `score_rejected`.

    Args:
        scored: JSONL file to read.
        out: JSONL file to write; written whole or not at all.
        margin: least difference of the two scores, in their own unit.
        json_output: print JSON instead of a table.

    Raises:
        DataError: a row is not as above; named with its line.
        UsageError: the margin is negative, `out` is a folder, or no pair is left.
    """
    from common import ui

    if not (math.isfinite(margin) and margin >= 0):
        raise UsageError(f"--margin {margin}: the least difference of two scores, 0 or more")
    if Path(out).is_dir():
        raise UsageError(f"--out {out} is a folder; name a file")
    rows, left = make_pairs(scored, margin)
    kinds = {reason: sum(one.reason == reason for one in left) for reason in dict.fromkeys(one.reason for one in left)}
    for one in [] if json_output else left[:NAMED]:
        ui.warn(f"{scored}:{one.line}: {one.reason}")
    if len(left) > NAMED and not json_output:
        ui.warn(f"and {len(left) - NAMED} further ones; --json names each")
    if not rows:
        told = "; ".join(f"{count} {reason}" for reason, count in kinds.items()) or "the file is empty"
        raise UsageError(f"{scored}: no pair is left ({told}); lower --margin, or sample more completions a prompt")
    write_text(out, "".join(map(to_line, rows)))
    gaps = sorted(row["score_chosen"] - row["score_rejected"] for row in rows)
    if json_output:
        told_left = [{"line": one.line, "reason": one.reason} for one in left]
        ui.print_json({"pairs": len(rows), "median_gap": gaps[len(gaps) // 2], "left_out": told_left, "out": out})
        return 0
    table = [["pairs", len(rows)], *([f"left out: {reason}", count] for reason, count in kinds.items())]
    table.append(["median difference of the two scores", gaps[len(gaps) // 2]])
    ui.table("Preference pairs", ("", ""), table, caption=f"written to {out}")
    return 0


def make_pairs(scored: Path | str, margin: float) -> tuple[list[Row], list[LeftOut]]:
    """The pairs of a file of scores, and what made none.

    Raises:
        DataError: a row is not as `run_pairs` says; named with its line.
    """
    path = Path(scored)
    lines = list(read_jsonl(path))
    groups = [_group(path, number, row) for number, row in lines]
    scores = [_score(path, number, row) for number, row in lines]
    first: dict[str, int] = {}
    for at, ((number, row), group) in enumerate(zip(lines, groups, strict=True)):
        told = lines[first.setdefault(group, at)]
        if told[1]["prompt"] != row["prompt"]:
            raise DataError(f"group {group!r:.60} has another prompt than in line {told[0]}", path=path, line=number)
    found = to_preference_pairs(scores, groups, margin)
    left = [LeftOut(lines[at][0], "a completion without a score") for at in found.unscored]
    for several, reason in (
        (found.alone, "fewer than two scored completions"),
        (found.tied, "all completions score the same"),
        (found.narrow, f"best and worst are less than {margin:g} apart"),
    ):
        left += [LeftOut(lines[first[str(group)]][0], reason) for group in several]
    rows = []
    for best, worst in found.pairs:
        row = _pair(lines[best][1], lines[worst][1], scores[best], scores[worst])
        if row["chosen"] == row["rejected"]:
            left.append(LeftOut(lines[best][0], "best and worst are the same text"))
        else:
            rows.append(row)
    return rows, sorted(left, key=lambda one: one.line)


def _pair(best: Row, worst: Row, high: float, low: float) -> Row:
    talk = not all(isinstance(text, str) for text in (best["prompt"], best["completion"], worst["completion"]))
    prompt = best["prompt"]
    return {
        "prompt": [{"role": "user", "content": prompt}] if talk and isinstance(prompt, str) else prompt,
        "chosen": _said(best["completion"], talk),
        "rejected": _said(worst["completion"], talk),
        **({"images": best["images"]} if best.get("images") else {}),
        "score_chosen": high,
        "score_rejected": low,
    }


def _said(completion: Any, talk: bool) -> Any:
    """An answer to a conversation is messages to trl."""
    return [{"role": "assistant", "content": completion}] if talk and isinstance(completion, str) else completion


def _score(path: Path, line: int, row: Row) -> float:
    name = next((name for name in SCORES if name in row), None)
    if name is None:
        raise DataError(f"no field 'score' or 'reward'; found: {', '.join(sorted(row))}", path=path, line=line)
    value = row[name]
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isinf(value):
        raise DataError(f"{name!r} must be a number or null, not {value!r:.40}", path=path, line=line)
    return float(value)


def _group(path: Path, line: int, row: Row) -> str:
    """What the completions of one prompt have in common."""
    for name in ("prompt", "completion"):
        value = row.get(name)
        if not (isinstance(value, str) or (value and _is_talk(value))):
            raise DataError(f"{name!r} must be a text or a list of messages", path=path, line=line)
    given = row["group"] if row.get("group") is not None else [row["prompt"], row.get("images")]
    return json.dumps(given, sort_keys=True)


def _is_talk(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(one, Mapping) and "content" in one for one in value)
