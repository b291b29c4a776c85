"""One stage of a run: steps with a log, checkpoints from which it goes on bit for bit, and a clean stop on Ctrl-C."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from common.errors import DataError, TouchstoneError, UsageError
from common.files import write_bytes
from common.training.callbacks import Progress, StopRequest
from common.training.plain_state import read_tensors
from common.training.run import Interrupted, Run, plain
from common.training.workers import ALONE, Workers

KEPT = 2


class Learner(Protocol):
    """Something that learns step by step."""

    steps: int

    def step(self) -> dict[str, float]:
        """One step; returns its figures."""

    def state(self) -> dict[str, Any]:
        """Tensors, numbers, texts, lists and dictionaries only; that of the main process is kept."""

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""


def run_stage(
    run: Run,
    stage: str,
    learner: Learner,
    steps: int,
    save_every: int = 0,
    after_step: Callable[[int, dict[str, float]], dict[str, float]] | None = None,
    extra: Callable[[], dict[str, Any]] | None = None,
    restore_extra: Callable[[Mapping[str, Any]], None] | None = None,
    workers: Workers = ALONE,
    enough: Callable[[], bool] | None = None,
    keep_end: bool = False,
) -> None:
    """Take a learner to its last step, from the newest checkpoint where there is one.

    Args:
        run: the run's folder.
        stage: name of the stage in log and checkpoints.
        learner: what learns.
        steps: last step.
        save_every: steps between checkpoints; 0 saves only where the stage is stopped.
        after_step: called with the step and its figures; what it returns is logged too.
        extra: further state for the checkpoints.
        restore_extra: takes it back.
        workers: the processes. All come here and do every step; the main process alone writes, and calls `after_step`,
            `extra` and `restore_extra`.
        enough: asked before every step; where it says so, the stage ends early as if that had been its last step.
            Several processes must all hear the same.
        keep_end: write a checkpoint of the last step too, where another stage follows or more steps may be asked for.

    Raises:
        Interrupted: the user stopped the run; a checkpoint of the last whole step is saved, unless he would not wait
            for its end.
        MainFailed: another process than the main one, which failed while it worked alone.
        TouchstoneError: what the learner raised; the message says how to go on.
    """
    stop, bar = StopRequest(), Progress(stage)
    newest = workers.agreed(lambda: newest_checkpoint(run, stage))
    if newest is not None:
        state = read_checkpoint(newest)
        learner.restore(state["learner"])
        if restore_extra is not None and workers.main:
            restore_extra(state["extra"])
    workers.main_only(lambda: run.rewind(stage, learner.steps))
    saved = learner.steps

    def save() -> None:
        nonlocal saved
        # Made by every process: each has random numbers of its own.
        state = learner.state()
        workers.main_only(
            lambda: write_checkpoint(
                run, stage, learner.steps, {"learner": state, "extra": extra() if extra is not None else {}}
            )
        )
        saved = learner.steps

    def note(figures: dict[str, float], began: float) -> None:
        if after_step is not None:
            figures |= after_step(learner.steps, figures)
        figures["time/step"] = time.perf_counter() - began
        run.log(learner.steps, stage, **figures)
        bar.update(learner.steps, figures)

    if workers.main:
        bar.start(learner.steps, steps)
    try:
        with stop.listening():
            while learner.steps < steps and not (enough is not None and enough()):
                began = time.perf_counter()
                figures = learner.step()
                workers.main_only(partial(note, figures, began))
                # After the last step too: another stage would begin. Whoever was asked, all stop at the same step.
                if any(workers.gather(stop.asked)):
                    save()
                    raise Interrupted(_way_on(run, stage, learner.steps, steps, saved, "stopped"))
                if save_every and learner.steps % save_every == 0 and learner.steps < steps:
                    save()
            if saved < learner.steps and (keep_end or learner.steps < steps):
                save()  # whoever asks for more later goes on from here
    except KeyboardInterrupt as error:
        raise Interrupted(_way_on(run, stage, learner.steps, steps, saved, "stopped")) from error
    except Interrupted:
        raise
    except TouchstoneError as error:
        if workers.main:
            run.alarm("failed", stage, learner.steps, str(error))
        error.args = (f"{error}\n{_way_on(run, stage, learner.steps, steps, saved, 'stopped')}",)
        raise
    finally:
        bar.close()


def open_run(folder: Path, settings: Any, seed: int, command: str) -> Run:
    """The run folder that an interrupted command left, or a new one: given again, the command goes on.

    Args:
        folder: of the run, `runs/<app>/<name>`.
        settings: dataclass of all that decides the result.
        seed: seeds everything random in the run.
        command: that goes on with it.

    Raises:
        UsageError: the run that lies there was made with other settings.
    """
    if not (folder / "run.json").is_file():
        return Run.create(folder.parent, folder.name, settings, seed, command)
    run = Run.resume(folder)
    if run.config != plain(asdict(settings)):
        raise UsageError(f"{folder}: an interrupted training with other settings; remove it to begin anew")
    return run


def newest_checkpoint(run: Run, stage: str) -> Path | None:
    """The newest checkpoint file of a stage; files appear whole or not at all."""
    return max(run.stage(stage).glob("checkpoint-*.pt"), default=None)


def write_checkpoint(run: Run, stage: str, step: int, state: Mapping[str, Any]) -> Path:
    """Write a checkpoint, then remove all but the two newest.

    Raises:
        OSError: it could not be written; the earlier ones are still there.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    path = write_bytes(run.stage(stage) / f"checkpoint-{step:06d}.pt", buffer.getvalue())
    for old in sorted(run.stage(stage).glob("checkpoint-*.pt"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Tensors and plain values of a checkpoint; nothing in it is executed.

    Raises:
        DataError: the file is damaged; names it and the way on.
    """
    state = read_tensors(path)
    if not isinstance(state, dict) or not {"learner", "extra"} <= set(state):
        raise DataError("no checkpoint of a stage; delete it to go on from the one before", path=path)
    return state


def drop_checkpoints(run: Run, stage: str) -> None:
    """Remove the checkpoints of a finished stage."""
    for path in run.stage(stage).glob("checkpoint-*.pt"):
        path.unlink(missing_ok=True)


def _way_on(run: Run, stage: str, step: int, steps: int, saved: int, what: str) -> str:
    at = f"{what} at step {step} of {steps} ({stage})"
    if newest_checkpoint(run, stage) is None:
        return f"{at}, with nothing of this stage saved yet; begin it again with:\n  {run.resume_command}"
    lost = f" ({step - saved} steps later than the checkpoint)" if step > saved else ""
    return f"{at}{lost}; go on with:\n  {run.resume_command}"
