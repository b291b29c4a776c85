"""Where the time of a run went: to each guidance, and to the scene's rendering, its way back and all the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: What is no guidance's: rendering, the scene's backward pass, the optimiser, previews and the judge.
REST = "scene and the rest"


def time_shares(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the rows of a run's log.

    Returns:
        `seconds_per_step`, the mean, None without steps; `shares` by guidance, and of the rest, which add up to 1.
    """
    steps, whole = 0, 0.0
    spent: dict[str, float] = {}
    for row in rows:
        if not isinstance(row.get("time/step"), (int, float)):
            continue
        steps, whole = steps + 1, whole + row["time/step"]
        for key, share in row.items():
            name, dot, last = key.rpartition(".")
            if dot and last == "share" and isinstance(share, (int, float)):
                spent[name] = spent.get(name, 0.0) + share * (row.get("seconds") or 0.0)
    if not steps or whole <= 0:
        return {"seconds_per_step": None, "shares": {}}
    shares = {name: seconds / whole for name, seconds in spent.items()}
    return {"seconds_per_step": whole / steps, "shares": shares | {REST: max(0.0, 1 - sum(shares.values()))}}
