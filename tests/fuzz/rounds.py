"""One target for as long as wanted, in the process that calls."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.fuzz.harness import Record, fuzz, save
from tests.fuzz.targets import TARGETS

ROUND = 100


def run(name: str, seconds: float, number: int, folder: Path) -> None:
    """Try one target until the time is over; a round that finds something is followed by another one."""
    folder.mkdir(parents=True, exist_ok=True)
    target, record, last = TARGETS[name](), Record(), folder / f"{name}-last"
    start, before = time.monotonic(), time.process_time()
    while (left := seconds - (time.monotonic() - start)) > 0:
        number += 1
        try:
            fuzz(target, ROUND if left > 10 else 10, number, record, last)
        except BaseException as error:  # several at once come as a group
            if isinstance(error, KeyboardInterrupt):
                raise
        saved = save(record, folder, name)
        figures = {
            "minutes": round((time.monotonic() - start) / 60, 1), "cpu_minutes": round((time.process_time() - before) / 60, 1), "inputs": record.tried, "refused": record.refused, "slowest": round(record.slowest, 2),
            "finds": sorted(record.finds), "saved": [str(path) for path in saved],
        }  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(figures, indent=1))
    last.unlink(missing_ok=True)
