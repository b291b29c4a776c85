"""The front door: `python -m apps` lists the applications; its verbs look at all of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from common.cli import JSON, App, Flag, Verb

RUN = "python -m apps"

APP = App(
    name="apps",
    summary="Five applications, each trained with rewards that measure meaning, and what looks at all of them.\n"
    "Without a verb, lists them; those of one application: python -m apps.text2sql --help",
    config=None,
    default_config=None,
    verbs=(
        Verb(
            "list",
            "the applications, and whether each can run here (as without a verb)",
            "apps.suite:run_list",
            (JSON,),
            (RUN, f"{RUN} list --json"),
        ),
        Verb(
            "doctor",
            "look at this machine, and say what will work, what will not, and what mends it",
            "apps.doctor:run_doctor",
            (
                Flag("--seconds", "time for whatever has to be waited for", {"type": float, "default": 2.0}),
                Flag("--carla", "address of a CARLA server", {"default": "127.0.0.1:2000"}),
                JSON,
            ),
            (f"{RUN} doctor",),
        ),
        Verb(
            "table",
            "collect the evaluations of all runs, compare two, write a leaderboard",
            "apps.table:run_table",
            (
                Flag("runs", "runs' folders, or folders that hold them; without any, `runs`", {"nargs": "*"}),
                Flag("--compare", "two runs: paired tests", {"nargs": 2, "default": None, "metavar": "RUN"}),
                Flag("--out", "HTML page to write; none where empty", {"default": "runs/leaderboard.html"}),
                JSON,
            ),
            (f"{RUN} table", f"{RUN} table --compare runs/text2sql/A runs/text2sql/B"),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, the list where none is named, and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    return APP.main(arguments or ["list"])


if __name__ == "__main__":
    sys.exit(main())
