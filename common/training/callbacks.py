"""What happens around a trainer's steps: log, held-out metric, samples, alarms, progress, checkpoints, clean stop."""

from __future__ import annotations

import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

import torch
from transformers import TrainerCallback

from common.files import write_json
from common.models.language import Saved, evaluating
from common.training.alarms import AlarmMonitor
from common.training.plain_state import read_tensors
from common.training.run import (
    COMPLETE,
    Run,
    checkpoint_step,
    rng_state,
    seed_everything,
    set_rng_state,
    undisturbed_rng,
)

logger = logging.getLogger(__name__)

Evaluate = Callable[[Any], Mapping[str, float]]
HELD_OUT = "heldout/"
STATE = "reward_state.pt"


@runtime_checkable
class Stateful(Protocol):
    """A reward whose scores depend on what it has seen; its state goes into the checkpoints."""

    def state_dict(self) -> Mapping[str, Any]:
        """Tensors, numbers, texts, lists and dictionaries only."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""


@runtime_checkable
class Shared(Protocol):
    """A stateful reward whose state must be the same in all processes."""

    def synchronise(self, gather: Callable[[Any], list[Any]]) -> None:
        """Take in what all processes saw; see `common.rewards.transforms.history.Remembering.synchronise`."""


class StopRequest:
    """Whether the user asked to stop. The first Ctrl-C waits for the end of the step, a second one does not."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM for the block; in a thread other than the main one signals cannot be had."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        logger.warning("stopping at the end of this step, with a checkpoint; once more to stop at once")


class RunCallback(TrainerCallback):
    """Ties a trainer to a run's folder.

    Args:
        run: where everything is written.
        stage: the trainer's name in the run, "sft" or "grpo".
        monitor: raises the alarms; its `gold` is set to the first value that `evaluate` returns.
        evaluate: measures the model on held-out data; the first value is the metric, higher is better.
        eval_every: steps between measurements; 0 for none.
        save_every: steps between checkpoints; 0 for none before the end.
        figures: further figures of the step that just ended.
        samples: what the model said in the step that just ended, as rows for the samples file.
        sample_every: steps between samples files; 0 for none.
        state: a stateful reward, or None.
        processor: a processor's files for the checkpoints, in place of those that trl writes; or None.
    """

    def __init__(
        self,
        run: Run,
        stage: str,
        *,
        monitor: AlarmMonitor | None = None,
        evaluate: Evaluate | None = None,
        eval_every: int = 0,
        save_every: int = 0,
        figures: Callable[[], Mapping[str, float]] | None = None,
        samples: Callable[[Any], list[dict[str, Any]]] | None = None,
        sample_every: int = 0,
        state: Stateful | None = None,
        processor: Saved | None = None,
    ) -> None:
        self.run = run
        self.stage = stage
        self.monitor = monitor or AlarmMonitor()
        self.evaluate = evaluate
        self.eval_every = eval_every
        self.save_every = save_every
        self.figures = figures
        self.samples = samples
        self.sample_every = sample_every
        self.reward_state = state
        self.processor = processor
        self.stop = StopRequest()
        self.progress = Progress(stage)
        self.pending: dict[str, Any] = {}
        self.began = time.perf_counter()
        # Everything that a checkpoint made now would need; None while an optimiser step is half done.
        self.snapshot: dict[str, Any] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read the log of the steps done before, so that alarms and bar go on where they stopped."""
        self._catch_up(state, kwargs["model"])
        for row in self.run.rows(self.stage):
            self._name_gold(row)
            self.monitor.update(row["step"], row)
        self.progress.start(state.global_step, state.max_steps)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remember the random state: a step that is broken off is done again from here."""
        self.began = time.perf_counter()
        self._remember(state)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """From here to the end of the step the weights are neither the old nor the new ones."""
        self.snapshot = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Share what the reward has seen, measure, keep samples, and decide on saving and stopping."""
        self._share(args.world_size)
        self._remember(state)
        self.pending = {"time/step": time.perf_counter() - self.began}
        if self.figures is not None:
            self.pending.update(self.figures())
        step, model = state.global_step, kwargs["model"]
        if _due(step, self.eval_every) and self.evaluate is not None and not self.stop.asked:
            self._measure(step, model)
        if self.samples is not None and (_due(step, self.sample_every) or step == 1):
            with undisturbed_rng():
                rows = self.samples(model)
            if state.is_world_process_zero:
                self.run.save_samples(self.stage, step, rows)
        if _due(step, self.save_every) and step < state.max_steps:
            control.should_save = True
        if self.stop.asked and step < state.max_steps:
            control.should_save = True
            control.should_training_stop = True

    def _share(self, processes: int) -> None:
        """Make what a reward has learnt the same in all processes, which scored other rows each."""
        if processes > 1 and isinstance(self.reward_state, Shared):
            from accelerate.utils import gather_object

            self.reward_state.synchronise(lambda seen: gather_object([seen]))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Write the step's line, once the alarms have seen it."""
        if not logs or "loss" not in logs or not state.is_world_process_zero:
            return
        row = {**logs, **self.pending}
        alarms = self.monitor.update(state.global_step, row)
        for alarm in alarms:
            logger.warning("step %d: %s", alarm.step, alarm.message)
            self.progress.say(f"step {alarm.step}: {alarm.message}")
            self.run.alarm(alarm.kind, self.stage, alarm.step, alarm.message, alarm.values)
        if alarms:
            row["alarms"] = [alarm.kind for alarm in alarms]
        self.run.log(state.global_step, self.stage, **row)
        self.progress.update(state.global_step, row)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Add the reward's state, the processor, and last the mark that tells a whole checkpoint from a broken one."""
        if not state.is_world_process_zero:
            return
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self.reward_state is not None:
            torch.save(dict(self.reward_state.state_dict()), checkpoint / STATE)
        if self.processor is not None:
            self.processor.save_pretrained(checkpoint)
        write_json(checkpoint / COMPLETE, {"stage": self.stage, "step": state.global_step, "of": state.max_steps})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the bar away."""
        self.progress.close()

    def restore(self, checkpoint: Path) -> None:
        """Make log, alarms and reward what they were when `checkpoint` was written."""
        self.run.rewind(self.stage, checkpoint_step(checkpoint))
        if self.reward_state is not None and (checkpoint / STATE).is_file():
            self.reward_state.load_state_dict(read_tensors(checkpoint / STATE))

    def go_back(self, state: Any) -> bool:
        """Undo what the step in progress drew and scored; False where its update had already begun."""
        if self.snapshot is None or state.global_step == 0:
            return False
        set_rng_state(self.snapshot["rng"])
        state.num_input_tokens_seen = self.snapshot["tokens"]
        if self.reward_state is not None:
            self.reward_state.load_state_dict(self.snapshot["reward"])
        return True

    def _remember(self, state: Any) -> None:
        self.snapshot = {"rng": rng_state(), "tokens": state.num_input_tokens_seen}
        if self.reward_state is not None:
            self.snapshot["reward"] = dict(self.reward_state.state_dict())

    def _catch_up(self, state: Any, model: Any) -> None:
        """Measure what the user did not wait for when the run was stopped at this step."""
        step, rows = state.global_step, self.run.rows(self.stage)
        if not rows or rows[-1]["step"] != step or any(name.startswith(HELD_OUT) for name in rows[-1]):
            return
        if _due(step, self.eval_every) and self.evaluate is not None:
            self._measure(step, model)
            if state.is_world_process_zero:
                self.run.amend(self.stage, step, self.pending)

    def _measure(self, step: int, model: Any) -> None:
        assert self.evaluate is not None
        began = time.perf_counter()
        with evaluating(model), undisturbed_rng(), torch.no_grad():
            # Its own draws: the same whether it is done in passing or caught up with after resuming.
            seed_everything(self.run.seed + step)
            measured = self.evaluate(model)
        self.pending.update({HELD_OUT + name: float(value) for name, value in measured.items()})
        self.pending["time/heldout"] = time.perf_counter() - began
        self._name_gold(self.pending)

    def _name_gold(self, row: Mapping[str, Any]) -> None:
        if self.monitor.gold is None:
            self.monitor.gold = next((name for name in row if name.startswith(HELD_OUT)), None)


class Progress:
    """A bar with live figures on a terminal; elsewhere a log line now and then."""

    SHOWN = ("reward", "loss", "groups/flat", "entropy")

    def __init__(self, title: str) -> None:
        self.title = title
        self.bar: Any = None
        self.task: Any = None
        self.total = 0

    def start(self, step: int, total: int) -> None:
        """Show the bar, where somebody can see it."""
        self.total = total
        if not (sys.stdout.isatty() and sys.stderr.isatty()):
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True),
        )
        self.task = self.bar.add_task(self.title, total=total, completed=step, figures="")
        self.bar.start()

    def update(self, step: int, row: Mapping[str, Any]) -> None:
        """Move on to a step."""
        held_out = [name for name in row if name.startswith(HELD_OUT)][:1]
        names = [name for name in (*self.SHOWN, *held_out) if isinstance(row.get(name), float)]
        figures = "  ".join(f"{name.rsplit('/', 1)[-1]} {row[name]:.3f}" for name in names)
        if self.bar is not None:
            self.bar.update(self.task, completed=step, figures=f"{row['time/step']:.2f} s/step  {figures}")
        elif _due(step, max(1, self.total // 10)):
            logger.info("%s %d/%d  %.2f s/step  %s", self.title, step, self.total, row["time/step"], figures)

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        from rich.text import Text

        if self.bar is not None:
            self.bar.console.print(Text(message, style="yellow"), soft_wrap=True)

    def close(self) -> None:
        """Remove the bar; nothing happens where there is none."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """The entries that are numbers."""
    return {name: value for name, value in values.items() if math.isfinite(value)}
