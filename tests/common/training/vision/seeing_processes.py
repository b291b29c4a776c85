"""What each of two processes does in `test_vision_processes.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from common.config import GrpoConfig, SftConfig
from common.files import write_json
from common.rewards.transforms import HistoryQuantile
from common.training.grpo import run_grpo
from common.training.run import Run
from common.training.sft import run_sft
from tests.common.training import tiny
from tests.common.training.vision import seeing


def norm(model: Any) -> float:
    return sum(float(parameter.detach().double().norm()) for parameter in model.parameters())


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    state = PartialState(cpu=True)
    if state.is_main_process:
        Run.create(folder / "toy", "run", {}, seed=5)
    state.wait_for_everyone()
    run = Run.resume(folder / "toy" / "run")
    taught = run_sft(
        run,
        seeing.model(),
        seeing.processor(),
        seeing.sft_rows(),
        SftConfig(steps=2, batch_size=1, learning_rate=1e-3, max_length=96),
    )
    found: dict[str, Any] = {"taught": norm(taught)}
    grpo = GrpoConfig(steps=3, prompts_per_step=2, generations=3, learning_rate=1e-3, max_completion_length=5)
    reward = HistoryQuantile(tiny.LetterShare())
    found["rewarded"] = norm(run_grpo(run, taught, seeing.processor(), seeing.grpo_rows(6), reward, grpo))
    found["scores seen"] = reward.seen.tolist()
    write_json(folder / f"{state.process_index}.json", found)
    state.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
