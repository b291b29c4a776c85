"""The folder of one run: settings, log, checkpoints, samples and alarms, all written so that a crash loses nothing."""

from __future__ import annotations

import contextlib
import math
import random
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from common.errors import TouchstoneError, UsageError
from common.files import append_jsonl, read_json, read_jsonl, write_json, write_jsonl, write_text

VERSIONED = (
    *("torch", "numpy", "transformers", "tokenizers", "datasets", "accelerate", "trl", "peft", "sqlglot"),
    *("stable-baselines3", "gymnasium"),
)
CHECKPOINT = "checkpoint-"
COMPLETE = "complete.json"


class Interrupted(TouchstoneError):
    """The user stopped a run; the message holds the command that goes on with it."""


class Run:
    """One run and its folder, `runs/<app>/<name>/`.

    Holds `config.yaml` (resolved settings; the versions and the git commit as comments, so that it can be given to
    `--config` again), `run.json` (the same facts for programs), `log.jsonl` (one line a step), `alarms.json`,
    `checkpoints/<stage>/` and `samples/`. The applications add `evaluation.json` and `report.html`.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        self.folder = folder
        self.config = dict(config)
        self.facts = dict(facts)

    @classmethod
    def create(
        cls, root: Path | str, name: str | None, config: Any, seed: int, resume_command: str | None = None
    ) -> Run:
        """Make the folder of a new run.

        Args:
            root: the application's folder, `runs/<app>`.
            name: the run's name; date and time where not given.
            config: a config dataclass, or a mapping.
            seed: seeds everything random in the run.
            resume_command: what the user types to go on; `python -m apps.<app> train --resume <folder>` if not given.

        Raises:
            UsageError: there is such a run already.
        """
        root = Path(root)
        folder = root / name if name else _unused(root / datetime.now().strftime("%Y%m%d-%H%M%S"))
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder}: there is such a run; go on with --resume {folder}, or choose another name")
        settings = plain(asdict(config) if is_dataclass(config) and not isinstance(config, type) else config)
        facts = {
            "app": root.name,
            "name": folder.name,
            "seed": seed,
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "command": shlex.join(sys.argv),
            "resume_command": resume_command
            or f"python -m apps.{root.name} train --resume {shlex.quote(str(folder))}",
            "python": sys.version.split()[0],
            "versions": versions(),
            "git_commit": git_commit(),
        }
        run = cls(folder, settings, facts)
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        run.samples.mkdir(exist_ok=True)
        write_json(folder / "run.json", facts)
        write_text(folder / "config.yaml", _yaml(settings, facts))
        return run

    @classmethod
    def open(
        cls, program: str, config: Any, name: str | None = None, resume: Path | None = None, command: str | None = None
    ) -> Run:
        """A run of an application's `train`: the one that was interrupted, or a new one in `config.runs`.

        Args:
            program: what starts the application, such as `python -m apps.medvqa`.
            config: its settings, with `runs` and `seed`.
            name: of a new run's folder; date and time where not given.
            resume: folder of the interrupted run.
            command: what a user types to go on with a new run, where that is not `PROGRAM train --resume FOLDER`.

        Raises:
            UsageError: the folder to go on with is no run's, or there is a run of that name.
        """
        if resume is not None:
            return cls.resume(resume)
        folder = Path(config.runs) / name if name else _unused(Path(config.runs) / f"{datetime.now():%Y%m%d-%H%M%S}")
        command = command or f"{program} train --resume {shlex.quote(str(folder))}"
        return cls.create(folder.parent, folder.name, config, config.seed, command)

    @classmethod
    def resume(cls, folder: Path | str) -> Run:
        """Open the folder of an earlier run.

        Raises:
            UsageError: it is not one, or its files cannot be read.
        """
        import yaml

        folder = Path(folder)
        if not (folder / "run.json").is_file():
            raise UsageError(f"{folder}: not a run's folder (it holds no run.json)")
        facts = read_json(folder / "run.json")
        try:
            config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise UsageError(f"{folder / 'config.yaml'}: cannot be read: {error}") from error
        return cls(folder, config or {}, facts)

    def change(self, config: Any, **changed: tuple[Any, Any]) -> None:
        """Take on other settings from here on, such as more steps; `run.json` keeps what they were.

        Args:
            config: the new settings, a dataclass or a mapping.
            changed: by dotted name, the value that was and the one that is now.
        """
        settings = plain(asdict(config) if is_dataclass(config) and not isinstance(config, type) else config)
        entry = {"at": datetime.now().astimezone().isoformat(timespec="seconds"), **plain(changed)}
        self.facts["changes"] = [*self.facts.get("changes", []), entry]
        self.config = settings
        write_json(self.folder / "run.json", self.facts)
        write_text(self.folder / "config.yaml", _yaml(settings, self.facts))

    @property
    def seed(self) -> int:
        """The seed of everything random in the run."""
        return int(self.facts["seed"])

    @property
    def resume_command(self) -> str:
        """What the user types to go on with the run after an interruption."""
        return str(self.facts["resume_command"])

    @property
    def checkpoints(self) -> Path:
        """Folder of the stages' checkpoints and final models."""
        return self.folder / "checkpoints"

    @property
    def samples(self) -> Path:
        """Folder of what the model said."""
        return self.folder / "samples"

    @property
    def log_file(self) -> Path:
        """One JSON object a line, one line a step."""
        return self.folder / "log.jsonl"

    @property
    def alarm_file(self) -> Path:
        """The alarms of the run, a JSON list; absent where there was none."""
        return self.folder / "alarms.json"

    def stage(self, name: str) -> Path:
        """Folder of one stage's checkpoints, such as "sft" or "grpo"."""
        return self.checkpoints / name

    def final(self, stage: str) -> Path:
        """Folder of the model that a stage ended with; it exists only once the stage is done."""
        return self.stage(stage) / "final"

    def finished(self, stage: str) -> bool:
        """Whether a stage came to its end."""
        return (self.final(stage) / "config.json").is_file()

    def log(self, step: int, stage: str = "train", **values: Any) -> dict[str, Any]:
        """Append one line to the log and return it; numbers that JSON cannot hold become null."""
        row: dict[str, Any] = plain({"stage": stage, "step": step, **values})
        append_jsonl(self.log_file, [row])
        return row

    def rows(self, stage: str | None = None) -> list[dict[str, Any]]:
        """The log so far, of all stages or of one."""
        if not self.log_file.is_file():
            return []
        return [row for _, row in read_jsonl(self.log_file) if stage is None or row.get("stage") == stage]

    def alarms(self, stage: str | None = None) -> list[dict[str, Any]]:
        """The alarms so far: kind, stage, first and last step, how often, message and figures."""
        if not self.alarm_file.is_file():
            return []
        return [alarm for alarm in read_json(self.alarm_file) if stage is None or alarm["stage"] == stage]

    def alarm(self, kind: str, stage: str, step: int, message: str, values: Mapping[str, float] | None = None) -> None:
        """Write down an alarm; one that was raised before is counted up, not repeated."""
        alarms = self.alarms()
        for alarm in alarms:
            if (alarm["kind"], alarm["stage"]) == (kind, stage):
                alarm.update(last_step=step, count=alarm["count"] + 1, message=message, values=plain(values or {}))
                break
        else:
            alarms.append(
                {
                    "kind": kind,
                    "stage": stage,
                    "step": step,
                    "last_step": step,
                    "count": 1,
                    "message": message,
                    "values": plain(values or {}),
                }
            )
        write_json(self.alarm_file, alarms)

    def save_samples(self, stage: str, step: int, rows: Iterable[Mapping[str, Any]]) -> Path:
        """Write what the model said at a step, one JSON object a line."""
        return write_jsonl(self.samples / f"{stage}-{step:06d}.jsonl", [plain({"step": step, **row}) for row in rows])

    def amend(self, stage: str, step: int, values: Mapping[str, Any]) -> None:
        """Add values to the line of a step that is in the log already."""
        rows = self.rows()
        for row in rows:
            if row.get("stage") == stage and row["step"] == step:
                row.update(plain(values))
        write_jsonl(self.log_file, rows)

    def rewind(self, stage: str, step: int) -> None:
        """Forget what a stage wrote after `step`, because those steps are about to be done again."""
        rows = self.rows()
        kept = [row for row in rows if row.get("stage") != stage or row["step"] <= step]
        if len(kept) < len(rows):
            write_jsonl(self.log_file, kept)
        alarms = self.alarms()
        kept_alarms = [alarm for alarm in alarms if alarm["stage"] != stage or alarm["step"] <= step]
        if len(kept_alarms) < len(alarms):
            write_json(self.alarm_file, kept_alarms)


def last_checkpoint(run: Run, stage: str) -> Path | None:
    """The newest checkpoint of a stage that was written to its end, or None."""
    found = [path.parent for path in run.stage(stage).glob(f"{CHECKPOINT}*/{COMPLETE}")]
    return max(found, key=checkpoint_step, default=None)


def checkpoint_step(checkpoint: Path) -> int:
    """The step that a checkpoint folder was written after."""
    return int(checkpoint.name.removeprefix(CHECKPOINT))


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def set_threads(number: int) -> None:
    """Give torch this many CPU threads; 0 leaves torch's own choice. Their number decides the last digits."""
    import torch

    if number:
        torch.set_num_threads(number)


def rng_state() -> dict[str, Any]:
    """The state of every generator that a run draws from."""
    import numpy as np
    import torch

    state = {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Put back what `rng_state` returned."""
    import numpy as np
    import torch

    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])


@contextlib.contextmanager
def undisturbed_rng() -> Iterator[None]:
    """Whatever the block draws, the run's random numbers go on as if it had not been there."""
    state = rng_state()
    try:
        yield
    finally:
        set_rng_state(state)


@cache
def versions() -> dict[str, str]:
    """Installed versions of the packages that decide a run's numbers."""
    found = {}
    for package in VERSIONED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def git_commit() -> str | None:
    """The checkout's commit, with "+changes" where files differ from it; None outside a checkout."""
    return _commit(Path(__file__).resolve().parents[2])


@cache  # a process has loaded its code once, and git takes a tenth of a second
def _commit(root: Path) -> str | None:
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+changes" if changed else "")


def plain(value: Any) -> Any:
    """A value as JSON and YAML hold it: paths as text, tuples as lists, tensors' items as numbers, NaN as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if hasattr(value, "item"):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _unused(folder: Path) -> Path:
    """`folder`, or the first of `folder-2`, `folder-3`, ... that does not exist."""
    candidate, number = folder, 2
    while candidate.exists():
        candidate, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return candidate


def _yaml(settings: Any, facts: Mapping[str, Any]) -> str:
    import yaml

    named = {"created": facts["created"], "command": facts["command"], "seed": facts["seed"]}
    named |= {"git commit": facts["git_commit"], "python": facts["python"], **facts["versions"]}
    comments = "".join(f"# {name}: {value}\n" for name, value in named.items())
    return comments + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
