"""`python -m tests.fuzz --minutes 10 --only dicom xodr`: the same targets as in the tests, for as long as wanted.

Each target runs in a process of its own. Inputs that break it are written to `--out` with what happened.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from pathlib import Path

from tests.fuzz.rounds import run
from tests.fuzz.targets import TARGETS


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target")
    parser.add_argument("--only", nargs="+", choices=sorted(TARGETS), default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="folder of the inputs that break a target")
    parser.add_argument("--seed", type=int, default=None, help="of the first round; the clock's otherwise")
    options = parser.parse_args(arguments)
    found = 0
    for name in options.only:
        number = int(time.time()) if options.seed is None else options.seed
        told = options.out / f"{name}.json"
        told.unlink(missing_ok=True)
        process = multiprocessing.get_context("spawn").Process(
            target=run, args=(name, options.minutes * 60, number, options.out)
        )
        process.start()
        process.join()
        figures = json.loads(told.read_text()) if told.exists() else {"finds": []}
        if process.exitcode:
            figures["finds"].append(f"the process ended with code {process.exitcode}; see {name}-last")
        found += len(figures["finds"])
        print(f"{name}: {json.dumps(figures, ensure_ascii=False)}", flush=True)
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
