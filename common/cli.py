"""The command line of every application: `python -m apps.<app> VERB [--config FILE] [--dotted.option VALUE ...]`.

An application lists its verbs; a verb's module is imported only when the verb runs, so `--help` stays quick.
Exit codes: 0 done, 1 a run failed, 2 wrong usage or input, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.config import add_config, nearest, parse, typed
from common.errors import MissingDependency, TouchstoneError, UsageError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


@dataclass(frozen=True)
class Flag:
    """One option of a verb that is no setting of the config file.

    Attributes:
        name: `--pairs`, or `question` for a positional argument.
        help: one line.
        settings: handed on to `add_argument`: type, default, choices, action, required, nargs.
        alone: where it is given no setting may be typed beside it, for it brings them; not of an `explicit` verb.
    """

    name: str
    help: str
    settings: dict[str, Any] = field(default_factory=dict)
    alone: bool = False


#: Settings of an option that is a text and may be left out.
OPTIONAL: dict[str, Any] = {"type": str, "default": None}
#: Packages whose absence is a mistake of ours, and those that are not called as they are imported.
OURS = frozenset({"apps", "common"})
PACKAGES = {"cv2": "opencv-python-headless", "stable_baselines3": "stable-baselines3", "PIL": "pillow"}
_SETTINGS = " [--config FILE] [--dotted.option VALUE ...]"
JSON = Flag("--json", "print JSON instead of tables", {"action": "store_true", "dest": "json_output"})
RESUME = Flag("--resume", "run folder to go on with", {**OPTIONAL, "metavar": "RUN"})
#: What `train` and `demo` take in every application.
TRAIN = (
    replace(RESUME, alone=True),
    Flag("--name", "name of the run folder; the date and time where not given", OPTIONAL),
    Flag("--dry_run", "check settings, data and models without training", {"action": "store_true"}),
    JSON,
)
DEMO = (
    Flag("--port", "port to serve on", {"type": int, "default": 7860}),
    Flag("--share", "make a public link", {"action": "store_true"}),
)
#: What `evaluate` takes, behind its own.
EVALUATE = (
    Flag("--compare", "evaluation.json of another run: paired test", OPTIONAL),
    Flag("--out", "folder for evaluation.json and report.html", OPTIONAL),
    JSON,
)


@dataclass
class _NoSettings:
    """The settings of a verb that has none."""


@dataclass(frozen=True)
class Verb:
    """One thing an application does.

    Attributes:
        name: as typed.
        help: one line, shown in the list of verbs.
        target: `module:function`; called as `function(config, **flags)`, or as `function(**flags)` where there is no
            config; its int result is the exit code.
        flags: the verb's own options.
        examples: whole commands, shown under `--help`.
        explicit: also hand over as `given` the settings that were typed, such as `["--seed", "7"]`: `--config` and
            dotted options, without the default file. A verb that goes on with an earlier run has that run's settings,
            and must know what the user wants changed.
    """

    name: str
    help: str
    target: str
    flags: tuple[Flag, ...] = ()
    examples: tuple[str, ...] = ()
    explicit: bool = False
    config: type | None = None
    default_config: Path | None = None


@dataclass(frozen=True)
class App:
    """An application's command line.

    Attributes:
        name: module name, e.g. `apps.text2sql`.
        summary: a paragraph for `--help`.
        config: the dataclass of its settings; None where its verbs have flags only, or settings of their own.
        default_config: YAML file used where `--config` is not given.
        verbs: in the order shown.
    """

    name: str
    summary: str
    config: type | None
    default_config: Path | None
    verbs: tuple[Verb, ...]

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run one command and return its exit code; expected errors are one readable line on stderr."""
        arguments = list(sys.argv[1:] if arguments is None else arguments)
        try:
            return self._run(arguments)
        except TouchstoneError as error:
            _say(f"error: {error}", sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            _say("interrupted", sys.stderr)
            return 130
        except BrokenPipeError:  # `--help | head`: the reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except OSError as error:  # a folder that is not there, no right to write, a full disk
            where = f"{error.filename}: " if error.filename else ""
            _say(f"error: {where}{error.strerror or error}", sys.stderr)
            return TouchstoneError.exit_code

    def _run(self, arguments: list[str]) -> int:
        if not arguments or arguments[0] in ("-h", "--help", "help"):
            _say(self.help(), sys.stdout)
            return 0 if arguments else UsageError.exit_code
        verbs = {verb.name: verb for verb in self.verbs}
        if arguments[0] not in verbs:
            raise UsageError(f"unknown verb {arguments[0]!r}{nearest(arguments[0], list(verbs))}")
        return self._run_verb(verbs[arguments[0]], arguments[1:])

    def _run_verb(self, verb: Verb, arguments: list[str]) -> int:
        kind = verb.config or self.config
        default = verb.default_config if verb.config else self.default_config
        parser = self._parser(verb, kind)
        if "-h" in arguments or "--help" in arguments:
            parser.print_help()
            # Last, because that is where the reader's eye is when a long page has scrolled by.
            _say("\n".join(["", "examples:", *(f"  {example}" for example in verb.examples)]), sys.stdout)
            return 0
        given = typed(kind, arguments) if kind else []
        if default and not any(argument.split("=", 1)[0] == "--config" for argument in arguments):
            arguments = ["--config", str(default), *arguments]
        config: Any
        config, flags = parse(parser, kind or _NoSettings, arguments)
        if verb.explicit:
            flags["given"] = given
        elif given and any(flag.alone and flags[flag.name.strip("-")] is not None for flag in verb.flags):
            raise UsageError(f"--resume goes on with the run's own settings; leave out {' '.join(given)}")
        module, function = verb.target.split(":")
        try:
            run = getattr(importlib.import_module(module), function)
            result = run(config, **flags) if kind else run(**flags)
        except ModuleNotFoundError as error:
            package = (error.name or "").split(".")[0]
            if not package or package in OURS:
                raise
            raise MissingDependency(PACKAGES.get(package, package), self.name.rsplit(".", 1)[-1]) from error
        return int(result or 0)

    def _parser(self, verb: Verb, kind: type | None) -> ArgumentParser:
        from jsonargparse import ArgumentParser

        command = f"python -m {self.name} {verb.name}"
        parser = ArgumentParser(
            prog=command,
            usage=f"{command} [options]{_SETTINGS if kind else ''}",
            description=verb.help,
            exit_on_error=False,
            default_env=False,
        )
        for flag in verb.flags:
            parser.add_argument(flag.name, help=flag.help, **flag.settings)
        if kind:
            add_config(parser, kind)
        return parser

    def help(self) -> str:
        """The application's help page: what it does and its verbs."""
        width = max(len(verb.name) for verb in self.verbs) + 2
        default = f"With no --config, {self.default_config} is used. " if self.default_config else ""
        lines = [
            f"usage: python -m {self.name} VERB{_SETTINGS if self.config else ' [options]'}",
            "",
            self.summary,
            "",
            "verbs:",
            *(f"  {verb.name:<{width}}{verb.help}" for verb in self.verbs),
            "",
            f"{default}Options of a verb: python -m {self.name} VERB --help",
        ]
        return "\n".join(lines)


def _say(text: str, stream: Any) -> None:
    stream.write(text + "\n")
