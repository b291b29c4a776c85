"""The `score` verb: reward, parts and reason for every transition in a JSONL file."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import DataError, MissingColumn, UsageError
from common.files import read_jsonl, write_text
from common.scored_rows import finite, tell

if TYPE_CHECKING:
    from apps.driving.config import DrivingConfig
    from common.rewards.base import Reward

Row = dict[str, Any]
#: Rows in one call.
BATCH = 256


def run_score(
    config: DrivingConfig, pairs: str, out: str, recipe: str | None = None, json_output: bool = False
) -> int:
    """Score the rows of `pairs` and write them to `out` in the same order.

    A row holds `state`, the numbers of the environment's `info["state"]` or as many of them as the reward reads; where
    the reward looks at pictures, `image` (a path, absolute or relative to the file's folder: the view from above); and
    where it goes by whole episodes, `group`, the number of the row's episode. It comes back with every field it had
    and `reward`, `parts`, `reason`. An entry that is null, and a picture that cannot be read, give `reward: null` and
    the reason.

    Args:
        config: the reward's settings.
        pairs: JSONL file to read.
        out: JSONL file to write; written whole or not at all.
        recipe: in place of the configured one.
        json_output: print a JSON summary instead of a table.

    Raises:
        DataError: no such file, a line that is no JSON object, or a row without something that the reward reads; named
            with its line.
        UsageError: `out` is a folder, or the reward cannot be made.
    """
    from common import ui

    if Path(out).is_dir():
        raise UsageError(f"--out {out} is a folder; name a file")
    path = Path(pairs)
    rows = dict(read_jsonl(path))
    states = {number: _state(row, path, number) for number, row in rows.items()}
    scored: dict[int, Row] = {}
    if rows:
        from common.training.run import set_threads

        set_threads(config.threads)
        reward = _reward(config, recipe)
        numbers = list(rows)
        with ui.progress("scoring", len(rows), json_output) as bar:
            for start in range(0, len(numbers), BATCH):
                these = numbers[start : start + BATCH]
                columns = _columns(reward, {number: rows[number] for number in these}, states, path)
                scored |= _score(reward, columns, these, states, path)
                bar(start + len(these))
    write_text(out, "".join(json.dumps({**row, **scored[number]}) + "\n" for number, row in rows.items()))
    tell(scored, out, json_output)
    return 0


def _reward(config: DrivingConfig, recipe: str | None) -> Reward:
    from apps.driving.rewards import build

    chosen = config.reward if recipe is None else config.reward.of(recipe)
    return build(chosen)


def _state(row: Row, path: Path, number: int) -> dict[str, float]:
    """The numbers of a row; null is a number that is not known.

    Raises:
        DataError: they are no numbers.
    """
    state = row.get("state")
    if not isinstance(state, dict) or not state:
        found = ", ".join(sorted(row)) or "none"
        raise DataError(
            f"no field 'state' with the numbers of info[\"state\"]; found: {found}", path=path, line=number
        )
    for name, value in state.items():
        if not isinstance(value, (int, float, type(None))):
            raise DataError(f"state.{name} must be a number, not {reprlib.repr(value)}", path=path, line=number)
    try:
        return {name: math.nan if value is None else float(value) for name, value in state.items()}
    except OverflowError as error:
        raise DataError(f"a number of the field 'state' is too large: {error}", path=path, line=number) from error


def _columns(reward: Reward, rows: Mapping[int, Row], states: Mapping[int, Mapping[str, float]], path: Path) -> Row:
    """What the reward needs of these rows.

    Raises:
        DataError: a row lacks a field.
    """
    import torch

    names = dict.fromkeys(name for number in rows for name in states[number])
    whole = [name for name in names if all(name in states[number] for number in rows)]
    if not whole and "state" in reward.needs:
        first, *others = rows
        odd = next(number for number in others if not states[number].keys() >= states[first].keys())
        raise DataError(f"its 'state' lacks names of line {first}'s; no name is in all rows", path=path, line=odd)
    columns: Row = {
        "state": {name: torch.tensor([states[number][name] for number in rows], dtype=torch.float64) for name in whole}
    }
    for field, kind, what in (("image", str, "the path of a picture"), ("group", int, "the number of its episode")):
        if {"image": "images", "group": "group"}[field] not in reward.needs:
            continue
        for number, row in rows.items():
            if not isinstance(row.get(field), kind) or isinstance(row.get(field), bool):
                raise DataError(
                    f"the reward {reward.name!r} needs the field {field!r}, {what}", path=path, line=number
                )
    if "images" in reward.needs:
        # A list of paths: one that cannot be read is the row's own trouble.
        columns["images"] = [str(path.parent / row["image"]) for row in rows.values()]
    if "group" in reward.needs:
        for number, row in rows.items():
            if abs(row["group"]) >= 2**63:
                raise DataError("the number of its episode has more than 63 bits", path=path, line=number)
        columns["group"] = torch.tensor([row["group"] for row in rows.values()])
    if "step" in reward.needs:
        columns["step"] = 0
    return columns


def _score(
    reward: Reward, columns: Row, numbers: Sequence[int], states: Mapping[int, Mapping[str, float]], path: Path
) -> dict[int, Row]:
    try:
        output = reward(**columns)
    except MissingColumn as error:
        name = error.column.removeprefix("state.")
        lacking = [number for number in numbers if name not in states[number]]
        if not lacking:
            raise
        more = f" (and {len(lacking) - 1} further rows)" if len(lacking) > 1 else ""
        known = ", ".join(sorted(states[lacking[0]]))
        raise DataError(
            f"the reward {reward.name!r} needs state.{name}, which this row lacks{more}; it has {known}",
            path=path,
            line=lacking[0],
        ) from error
    values = output.values.tolist()
    parts = {name: part.tolist() for name, part in output.parts.items()}
    return {
        number: {
            "reward": finite(values[at]),
            "parts": {name: finite(part[at]) for name, part in parts.items()},
            "reason": "; ".join(dict.fromkeys(texts[at] for texts in output.info.values() if texts[at])),
        }
        for at, number in enumerate(numbers)
    }
