"""The front door: `python -m apps` lists the applications; its verbs look at all of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from common.cli import JSON, OPTIONAL, App, Flag, Verb

RUN = "python -m apps"
BOUNDS = {"type": float, "nargs": 2, "default": None, "metavar": ("LOW", "HIGH")}

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
        Verb(
            "audit",
            "assay every application's every reward, or one of your own, and show them side by side",
            "apps.audit:run_audit",
            (
                Flag("--apps", "comma-separated; all where not given", OPTIONAL),
                Flag("--rewards", "comma-separated names of the suite's rewards; all where not given", OPTIONAL),
                Flag("--rows", "reference rows of each application", {"type": int, "default": None}),
                Flag(
                    "--reward",
                    "a reward of your own: package.module:function (trl's convention), http(s)://server, a YAML file "
                    "of configs/rewards, or a name of `python -m common.rewards list`",
                    {"nargs": "+", "default": None},
                ),
                Flag("--app", "on whose rows and mutations it is assayed", OPTIONAL),
                Flag("--columns", "what it calls a column of the application: answer=gold,…", OPTIONAL),
                Flag("--bounds", "its least and greatest value; found out where not given", BOUNDS),
                Flag("--style", "of completions for it, of the application's reward.style", {"default": ""}),
                Flag("--conversational", "hand completions over as chat messages", {"action": "store_true"}),
                Flag("--seed", "of what is drawn", {"type": int, "default": 0}),
                Flag("--out", "folder; runs/audit where not given, runs/audit-own with --reward", OPTIONAL),
                Flag("--fresh", "assay applications anew that were finished before", {"action": "store_true"}),
                JSON,
            ),
            (
                f"{RUN} audit",
                f"{RUN} audit --apps medvqa --rewards adaptive,token_f1 --rows 30",
                f"{RUN} audit --reward my_rewards:exact --app text2sql",
                f"{RUN} audit --reward configs/rewards/token-f1.yaml --app medvqa --columns reference=answer",
            ),
        ),
        Verb(
            "demo",
            "the demos of all applications as tabs of one page in the browser",
            "apps.demo:run_demo",
            (
                Flag("--port", "port to serve on", {"type": int, "default": 7860}),
                Flag("--apps", "comma-separated; all where not given", OPTIONAL),
            ),
            (f"{RUN} demo", f"{RUN} demo --apps text2sql,medvqa --port 7861"),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, the list where none is named, and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    return APP.main(arguments or ["list"])


if __name__ == "__main__":
    sys.exit(main())
