"""What the `score` verbs share: rows with rewards as lines of JSON, and the summary of all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
#: Rows that could not be scored and are named; the file holds the reason of each.
NAMED = 10


def finite(value: float) -> float | None:
    """A number for JSON, which knows neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def to_line(row: Row) -> str:
    """A row as a line that can be written as UTF-8, whatever is in its fields."""
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Half a surrogate pair in a field that is passed through; escaped it can be written.
        text = json.dumps(row)
    return text + "\n"


def tell_unscored(scored: Mapping[int, Row], out: str, where: str = "line ") -> None:
    """Warn of the rows without a reward, the first `NAMED` of them by `where` and their number."""
    from common import ui

    unscored = {number: row["reason"] for number, row in scored.items() if row["reward"] is None}
    for number, reason in list(unscored.items())[:NAMED]:
        ui.warn(f"{where}{number}: {reason}")
    if len(unscored) > NAMED:
        ui.warn(f"and {len(unscored) - NAMED} further rows; {out} holds the reason of each")


def tell(
    scored: Mapping[int, Row],
    out: str,
    json_output: bool,
    where: str = "line ",
    missing: str = "not scored",
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print how many rows were scored, and the means of reward and parts with their 95 % intervals.

    Args:
        scored: rows with `reward`, `parts` and `reason`, by their number in the input; None is what nobody scored.
        out: where they were written.
        json_output: print JSON instead of warnings and a table.
        where: what stands before a row's number.
        missing: heads the column of how many have no value.
        more: further entries of the JSON.
    """
    from common import ui
    from common.stats import bootstrap

    names = list(dict.fromkeys(name for row in scored.values() for name in row["parts"]))
    columns = {"reward": [row["reward"] for row in scored.values()]}
    columns |= {name: [row["parts"].get(name) for row in scored.values()] for name in names}
    means = {
        name: bootstrap([math.nan if value is None else value for value in values]) for name, values in columns.items()
    }
    if json_output:
        ui.print_json(
            {
                "rows": len(scored),
                "scored": means["reward"].n,
                **(more or {}),
                "reward": means["reward"],
                "parts": {name: means[name] for name in names},
                "unscored": problems(scored),
                "out": str(out),
            }
        )
        return
    tell_unscored(scored, out, where)
    rows = [[name, mean.n, len(scored) - mean.n, mean.text(1, 3)] for name, mean in means.items()]
    headers = ("", "scored", missing, "mean, 95 % interval")
    ui.table(f"{len(scored)} rows", headers, rows, caption=f"written to {out}")


def problems(scored: Mapping[int, Row]) -> list[dict[str, Any]]:
    """The rows without a reward, with the reason, for JSON."""
    return [{"line": number, "problem": row["reason"]} for number, row in scored.items() if row["reward"] is None]
