"""What a GRPO step of a small Qwen2.5-VL costs against trl's own. Run with `-m benchmark`, best on an idle machine.

Times are CPU seconds of this process on one thread, the least of several steps, so that other load matters less.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from common.config import GrpoConfig
from common.models.small_vlm import SmallVlmSettings, make_small_vlm
from common.training import loop
from common.training.grpo import run_grpo
from common.training.run import Run
from tests.common.training import tiny

pytestmark = pytest.mark.benchmark

#: 1.4 million weights; 112 × 112 pixels are 16 image tokens.
SIZES = SmallVlmSettings(
    vocabulary=600,
    hidden_size=128,
    intermediate_size=384,
    layers=4,
    vision_size=96,
    vision_intermediate=192,
    vision_layers=3,
    grid=4,
    largest_grid=0,
)
STEPS, PROMPTS, GROUP, LENGTH = 6, 8, 8, 32
#: Words, so that prompts are as long as a real question and completions go on to the end.
WORDS = ["is there a nodule in the left or right lung", "which side and zone shows the finding and how large is it"]


def rows() -> Any:
    from datasets import Dataset

    def picture(number: int) -> Image.Image:
        drawn = Image.new("L", (112, 112), 10)
        drawn.paste(230, (number % 80, 2 * number % 80, number % 80 + 20, 2 * number % 80 + 20))
        return drawn

    def prompt(number: int) -> list[dict[str, str]]:
        return [{"role": "user", "content": f"{WORDS[number % 2]}? study {number}"}]

    return Dataset.from_list(
        [{"prompt": prompt(row), "images": [picture(row)], "letter": "a"} for row in range(STEPS * PROMPTS)]
    )


def counted(trainer: Any) -> list[float]:
    """CPU seconds of each step of a trainer."""
    seconds: list[float] = []
    own = trainer.training_step

    def step(*arguments: Any, **more: Any) -> Any:
        began = time.process_time()
        output = own(*arguments, **more)
        seconds.append(time.process_time() - began)
        return output

    trainer.training_step = step
    return seconds


def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    model, processor = make_small_vlm(WORDS * 50, SIZES)
    found: list[list[float]] = []
    train = loop.train

    def timed(trainer: Any, *arguments: Any) -> Any:
        found.append(counted(trainer))
        return train(trainer, *arguments)

    monkeypatch.setattr("common.training.grpo.train", timed)
    run = Run.create(tmp_path / "toy", "ours", {}, seed=1)
    run_grpo(
        run,
        model,
        processor,
        rows(),
        tiny.LetterShare(),
        GrpoConfig(
            steps=STEPS,
            prompts_per_step=PROMPTS,
            generations=GROUP,
            learning_rate=1e-4,
            max_completion_length=LENGTH,
        ),
    )
    return found[0]


def trls(tmp_path: Path) -> list[float]:
    from trl import GRPOConfig as TrlConfig
    from trl import GRPOTrainer

    model, processor = make_small_vlm(WORDS * 50, SIZES)

    def reward(completions: list[Any], **_: Any) -> list[float]:
        return [sum(c in "abcdefghijklm" for c in said[0]["content"]) / LENGTH for said in completions]

    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[reward],
        args=TrlConfig(
            output_dir=str(tmp_path / "trl"),
            max_steps=STEPS,
            per_device_train_batch_size=PROMPTS * GROUP,
            num_generations=GROUP,
            learning_rate=1e-4,
            max_completion_length=LENGTH,
            seed=1,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
        ),
        train_dataset=rows(),
        processing_class=processor,
    )
    seconds = counted(trainer)
    trainer.train()
    return seconds


def test_a_step_against_trls_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained policy: completions part at once, which is the dearest case for both."""
    theirs, mine = min(trls(tmp_path)), min(ours(tmp_path, monkeypatch))
    print(f"\n{PROMPTS} x {GROUP} completions of {LENGTH} tokens, CPU ms a step, the least of {STEPS}:")
    print(f"  trl {1000 * theirs:.0f}, ours {1000 * mine:.0f}")
    assert mine < 0.6 * theirs
