"""A run that was stopped and resumed is the run that was never stopped, bit for bit, and the user is told how."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from common.config import GrpoConfig, LoraConfig, SftConfig
from common.errors import GraderFailure
from common.training.grpo import prompt_order, run_grpo
from common.training.run import Interrupted, Run, last_checkpoint
from common.training.sft import run_sft
from tests.common.training import tiny

GRPO = GrpoConfig(
    steps=9,
    prompts_per_step=4,
    generations=4,
    learning_rate=3e-3,
    max_completion_length=8,
    eval_every=2,
    save_every=4,
)
SFT = SftConfig(steps=9, batch_size=4, gradient_accumulation=2, learning_rate=3e-3, eval_every=2, save_every=4)
IGNORED = ("time/", "step_time", "alarms")


class Interrupting(tiny.Counting):
    """Does something when it is called for the n-th time."""

    def __init__(self, at: int = 0, act: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.at, self.act = at, act

    def score(self, **columns: Any) -> Any:
        output = super().score(**columns)
        if self.calls == self.at:
            self.at = 0
            self.act()
        return output


def measure(model: Any) -> dict[str, float]:
    """Draws random numbers, which must not change the training."""
    return {"exact": float(torch.rand(())), "norm": float(next(model.parameters()).norm())}


def grpo(run: Run, reward: Any, resume: bool = False, lora: LoraConfig | None = None, **changes: Any) -> Any:
    config = GrpoConfig(**{**vars(GRPO), **changes})
    model = tiny.model()
    return run_grpo(run, model, tiny.tokenizer(), tiny.grpo_rows(10), reward, config, measure, lora, resume)


def sft(run: Run, act: dict[int, Callable[[], None]], resume: bool = False, lora: LoraConfig | None = None) -> Any:
    seen = []

    def evaluate(model: Any) -> dict[str, float]:
        seen.append(1)
        act.pop(len(seen), lambda: None)()
        return measure(model)

    return run_sft(run, tiny.model(), tiny.tokenizer(), tiny.sft_rows(10), SFT, evaluate, lora, resume)


def figures(run: Run) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if not key.startswith(IGNORED)} for row in run.rows()]


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def interrupt() -> None:
    torch.rand(3)  # whatever the broken step drew must be forgotten
    raise KeyboardInterrupt


def break_grader() -> None:
    raise GraderFailure("the judge is down")


@pytest.fixture(scope="module")
def whole_grpo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Any]:
    run = Run.create(tmp_path_factory.mktemp("whole") / "toy", "grpo", {}, seed=5)
    return run, grpo(run, Interrupting())


@pytest.fixture(scope="module")
def whole_sft(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Any]:
    run = Run.create(tmp_path_factory.mktemp("whole") / "toy", "sft", {}, seed=5)
    return run, sft(run, {})


@pytest.mark.parametrize(
    ("at", "act", "error", "step"),
    [
        (3, send(signal.SIGINT), Interrupted, 3),  # in the first pass over the rows
        (6, send(signal.SIGTERM), Interrupted, 6),  # in the third
        (5, interrupt, Interrupted, 4),  # in the middle of a step, where only its beginning can be saved
        (8, break_grader, GraderFailure, 7),
        (1, interrupt, Interrupted, 0),  # before there is anything to save
    ],
)
def test_grpo_resumed_equals_uninterrupted(
    whole_grpo: tuple[Run, Any], new_run: Any, at: int, act: Callable[[], None], error: type[Exception], step: int
) -> None:
    run = new_run()
    with pytest.raises(error) as stopped:
        grpo(run, Interrupting(at, act))
    assert f"python -m apps.toy train --resume {run.folder}" in str(stopped.value)
    checkpoint = last_checkpoint(run, "grpo")
    assert (checkpoint.name if checkpoint else None) == (f"checkpoint-{step}" if step else None)
    assert not run.finished("grpo")

    resumed = Run.resume(run.folder)
    model = grpo(resumed, Interrupting(), resume=True)
    assert tiny.same_weights(model, whole_grpo[1])
    assert figures(resumed) == figures(whole_grpo[0])


def test_stopped_in_the_last_step_no_other_stage_begins(whole_grpo: tuple[Run, Any], new_run: Any) -> None:
    run = new_run()
    with pytest.raises(Interrupted, match="end of grpo; go on with"):
        grpo(run, Interrupting(9, send(signal.SIGINT)))
    assert run.finished("grpo")
    assert tiny.same_weights(grpo(run, Interrupting(), resume=True), whole_grpo[1])


@pytest.mark.parametrize(("at", "act"), [(1, send(signal.SIGINT)), (3, send(signal.SIGTERM)), (3, interrupt)])
def test_sft_resumed_equals_uninterrupted(
    whole_sft: tuple[Run, Any], new_run: Any, at: int, act: Callable[[], None]
) -> None:
    run = new_run()
    with pytest.raises(Interrupted, match="--resume"):
        sft(run, {at: act})
    resumed = Run.resume(run.folder)
    model = sft(resumed, {}, resume=True)
    assert tiny.same_weights(model, whole_sft[1])
    if act is not interrupt:  # that one broke off the measurement itself
        assert figures(resumed) == figures(whole_sft[0])


def test_a_killed_run_goes_on_from_its_last_whole_checkpoint(whole_grpo: tuple[Run, Any], new_run: Any) -> None:
    run = new_run()
    with pytest.raises(Interrupted):
        grpo(run, Interrupting(7, send(signal.SIGINT)))
    # As if the machine had gone down while checkpoint 7 was being written.
    newest = last_checkpoint(run, "grpo")
    assert newest is not None
    (newest / "complete.json").unlink()
    (newest / "model.safetensors").write_bytes(b"half")
    model = grpo(Run.resume(run.folder), Interrupting(), resume=True)
    assert tiny.same_weights(model, whole_grpo[1])
    assert [row["step"] for row in run.rows()] == list(range(1, 10))


def test_resuming_adapters(new_run: Any) -> None:
    lora = LoraConfig(rank=2, alpha=4, dropout=0.1)
    settings = {"steps": 5, "beta": 0.1, "eval_every": 0}
    whole = grpo(new_run("whole"), tiny.LetterShare(), lora=lora, **settings)
    run = new_run("stopped")
    with pytest.raises(Interrupted):
        grpo(run, Stopping(3), lora=lora, **settings)
    assert tiny.same_weights(grpo(Run.resume(run.folder), tiny.LetterShare(), True, lora, **settings), whole)
    assert (run.stage("grpo") / "adapter" / "adapter_config.json").is_file()


class Stopping(tiny.LetterShare):
    """Asks to stop in a certain step, and scores like its parent."""

    def __init__(self, step: int) -> None:
        self.step = step

    def score(self, **columns: Any) -> Any:
        if columns.get("step") == self.step - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return super().score(**columns)


def test_a_finished_stage_is_only_loaded(whole_grpo: tuple[Run, Any]) -> None:
    run, model = whole_grpo
    before = run.rows()
    assert tiny.same_weights(grpo(Run.resume(run.folder), Interrupting(), resume=True), model)
    assert run.rows() == before


def test_a_second_signal_stops_at_once(new_run: Any) -> None:
    def twice() -> None:
        send(signal.SIGINT)()
        send(signal.SIGINT)()

    run = new_run()
    with pytest.raises(Interrupted):
        grpo(run, Interrupting(3, twice))
    assert [row["step"] for row in run.rows()] == [1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_every_row_is_met_once_before_any_is_met_twice() -> None:
    order = prompt_order(7, 20, seed=1)
    assert len(order) == 20
    assert sorted(order[:7]) == sorted(order[7:14]) == list(range(7))
    assert order[:7] != order[7:14]
    assert order != prompt_order(7, 20, seed=2)


def test_a_run_is_the_same_twice(whole_grpo: tuple[Run, Any], new_run: Any, tmp_path: Path) -> None:
    assert tiny.same_weights(grpo(new_run(), Interrupting()), whole_grpo[1])
