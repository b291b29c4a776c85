"""A stopped and resumed run of a Qwen-VL is the run that was never stopped, bit for bit."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoProcessor, ProcessorMixin

from common.config import GrpoConfig, LoraConfig, SftConfig
from common.training import loop
from common.training.grpo import run_grpo
from common.training.run import Interrupted, Run, last_checkpoint
from common.training.sft import run_sft
from tests.common.training import tiny
from tests.common.training.vision import seeing

GRPO = GrpoConfig(
    steps=5,
    prompts_per_step=3,
    generations=3,
    learning_rate=1e-3,
    max_completion_length=5,
    eval_every=2,
    save_every=2,
)
SFT = SftConfig(steps=5, batch_size=3, learning_rate=1e-3, eval_every=2, save_every=2, max_length=96)
LORA = LoraConfig(rank=2, alpha=4, dropout=0.1)


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of garbage, which takes a third of so short a run."""
    monkeypatch.setattr(loop, "settled_heap", contextlib.nullcontext)


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


def stop() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def break_off() -> None:
    torch.rand(3)  # whatever the broken step drew must be forgotten
    raise KeyboardInterrupt


def measure(model: Any) -> dict[str, float]:
    """Draws random numbers, which must not change the training."""
    return {"exact": float(torch.rand(())), "norm": float(next(model.parameters()).norm())}


def grpo(run: Run, reward: Any, resume: bool = False, lora: LoraConfig | None = None) -> Any:
    rows = seeing.grpo_rows(7)
    return run_grpo(run, seeing.model(), seeing.processor(), rows, reward, GRPO, measure, lora, resume)


def sft(run: Run, act: dict[int, Callable[[], None]], resume: bool = False) -> Any:
    seen = []

    def evaluate(model: Any) -> dict[str, float]:
        seen.append(1)
        act.pop(len(seen), lambda: None)()
        return measure(model)

    return run_sft(run, seeing.model(), seeing.processor(), seeing.sft_rows(7), SFT, evaluate, None, resume)


def figures(run: Run) -> list[dict[str, Any]]:
    return [
        {key: row[key] for key in row if not key.startswith(("time/", "step_time", "alarms"))} for row in run.rows()
    ]


@pytest.mark.parametrize(("at", "act", "step", "lora"), [(3, stop, 3, LORA), (4, break_off, 3, None)])
def test_grpo_resumed_equals_uninterrupted(
    new_run: Any, at: int, act: Callable[[], None], step: int, lora: LoraConfig | None
) -> None:
    whole = new_run("whole")
    expected = grpo(whole, Interrupting(), lora=lora)
    run = new_run("stopped")
    with pytest.raises(Interrupted, match="--resume"):
        grpo(run, Interrupting(at, act), lora=lora)
    checkpoint = last_checkpoint(run, "grpo")
    assert checkpoint is not None
    assert checkpoint.name == f"checkpoint-{step}"
    assert isinstance(AutoProcessor.from_pretrained(checkpoint), ProcessorMixin)
    resumed = Run.resume(run.folder)
    model = grpo(resumed, Interrupting(), True, lora)
    assert tiny.same_weights(model, expected)
    assert figures(resumed) == figures(whole)
    # A stage that is done is only loaded.
    assert tiny.same_weights(grpo(Run.resume(run.folder), Interrupting(), True, lora), expected)


def test_sft_resumed_equals_uninterrupted(new_run: Any) -> None:
    whole, run = new_run("whole"), new_run("stopped")
    expected = sft(whole, {})
    with pytest.raises(Interrupted, match="--resume"):
        sft(run, {1: stop})
    resumed = Run.resume(run.folder)
    assert tiny.same_weights(sft(resumed, {}, resume=True), expected)
    assert figures(resumed) == figures(whole)
    assert tiny.same_weights(sft(Run.resume(run.folder), {}, resume=True), expected)


def test_weights_are_saved_under_other_names(tmp_path: Path) -> None:
    """The trap itself: transformers' Trainer looks for the model's names, not strictly, and would load nothing."""
    model = seeing.model()
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert set(model.load_state_dict(saved, strict=False).unexpected_keys) == set(saved)
