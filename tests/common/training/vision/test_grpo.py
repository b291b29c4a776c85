"""GRPO of a Qwen-VL: rows with none, one and several pictures, and the faster step is trl's step."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from transformers import AutoProcessor, ProcessorMixin

from common.config import GrpoConfig, LanguageModelConfig, LoraConfig
from common.models.language import save_language_model
from common.models.vlm_prompt import PromptReader, VisualPrompt
from common.rewards.adapters.trl import to_trl
from common.training import grpo_step
from common.training.grpo import run_grpo
from common.training.run import last_checkpoint
from common.training.vision import grpo as vision_grpo
from common.training.vision.models import load_vlm_for_training
from tests.common.training import tiny
from tests.common.training.vision import seeing


def config(**changes: Any) -> GrpoConfig:
    settings = {"steps": 2, "prompts_per_step": 4, "generations": 4, "learning_rate": 1e-3, "max_completion_length": 6}
    return GrpoConfig(**{**settings, **changes})


def go(
    run: Any, reward: Any = None, model: Any = None, rows: Any = None, lora: LoraConfig | None = None, **changes: Any
) -> Any:
    return run_grpo(
        run,
        model if model is not None else seeing.model(),
        seeing.processor(),
        rows or seeing.grpo_rows(),
        reward or tiny.LetterShare(),
        config(**changes),
        lora=lora,
    )


def close(one: Any, other: Any) -> None:
    for (name, mine), (_, theirs) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}")


# --- what a run does and leaves behind


def test_a_run_with_mixed_rows_leaves_what_was_promised(new_run: Any) -> None:
    run, reward = new_run(), seeing.Looking()
    model = go(run, reward, steps=3, save_every=2)
    rows = run.rows("grpo")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row["time/generation"] + row["time/reward"] < row["time/step"] for row in rows)
    said = [json.loads(line) for line in (run.samples / "grpo-000003.jsonl").read_text().splitlines()]
    assert said[0]["columns"]["letter"] in "abcdefghijklmnopqrstuvwxyz"
    for columns in reward.given[-3:]:
        assert [len(images) for images in columns["images"]] == [
            "abcdefghijklmnopqrstuvwxyz".index(letter) % 3 for letter in columns["letter"]
        ]
        assert all(isinstance(message["content"], str) for prompt in columns["prompt"] for message in prompt)
        assert vision_grpo.NUMBER not in columns
    loaded, processor = load_vlm_for_training(LanguageModelConfig(path=str(run.final("grpo"))))
    assert tiny.same_weights(loaded, model)
    assert isinstance(processor, ProcessorMixin)
    checkpoint = last_checkpoint(run, "grpo")
    assert checkpoint is not None
    assert isinstance(AutoProcessor.from_pretrained(checkpoint), ProcessorMixin)


class Bright(tiny.LetterShare):
    """Letters before `n` of a bright picture, others of a dark one."""

    needs = ("completion", "bright")

    def score(self, **columns: Any) -> Any:
        output = super().score(**columns)
        said = torch.tensor([float(bool(text)) for text in columns["completion"]])
        bright = torch.tensor(columns["bright"])
        return type(output)(torch.where(bright, output.values, said - output.values))


def test_the_policy_learns_from_pictures(new_run: Any) -> None:
    """The prompt is always the same: what to say can only be seen."""
    from datasets import Dataset
    from PIL import Image

    rows = Dataset.from_list(
        [
            {
                "prompt": seeing.prompt(0),
                "images": [Image.new("L", (56, 56), 250 * (row % 2))],
                "bright": bool(row % 2),
            }
            for row in range(8)
        ]
    )
    run = new_run()
    go(run, Bright(), rows=rows, steps=25, generations=8, learning_rate=3e-3)
    rewards = [row["reward"] for row in run.rows()]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.1


def test_neighbours_that_ask_the_same_of_other_pictures_are_two_groups(new_run: Any) -> None:
    rows = [{"prompt": seeing.prompt(0), "images": [seeing.picture(number)], "letter": "a"} for number in range(4)]
    from datasets import Dataset

    reward = seeing.Looking()
    go(new_run(), reward, rows=Dataset.from_list(rows), steps=1)
    assert reward.given[-1]["group"].tolist() == [group for group in range(4) for _ in range(4)]


# --- the faster step is trl's step


def fixed(prompts: int, generations: int) -> list[list[list[int]]]:
    """Completions of unlike length; some the same."""
    generator = torch.Generator().manual_seed(prompts)
    return [
        [
            [*torch.randint(14, 270, (int(torch.randint(1, 5, (), generator=generator)),), generator=generator), 2]
            for _ in range(generations - 1)
        ]
        + [[20, 2]]
        for _ in range(prompts)
    ]


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_it_trains_as_trls_own_trainer_does(
    new_run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, beta: float
) -> None:
    """The same completions, given to trl with pictures in its own way, and to ours, which keeps them from it."""
    from trl import GRPOConfig as TrlConfig
    from trl import GRPOTrainer

    monkeypatch.setattr(grpo_step, "sample", lambda *_, n, **__: fixed(len(n), n[0]))
    run, rows, processor = new_run(), seeing.grpo_rows(8), seeing.processor()
    mine = go(run, rows=rows, beta=beta)

    def roll(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        images = [
            [b["image"] for m in p for b in m["content"] if isinstance(b, dict) and b["type"] == "image"]
            for p in prompts
        ]
        plain = [
            [{**m, "content": "".join(b.get("text", "") for b in m["content"])} for m in prompt] for prompt in prompts
        ]
        said = [one for group in fixed(len(prompts) // 4, 4) for one in group]
        read = PromptReader(processor).encode([VisualPrompt(*row) for row in zip(plain, images, strict=True)])
        return {"prompt_ids": [row.ids for row in read], "completion_ids": said, "logprobs": None}

    from common.training.grpo import prompt_order

    start = seeing.model()
    if beta:
        save_language_model(start, processor, tmp_path / "start")
        start.config._name_or_path = str(tmp_path / "start")
    functions, _ = to_trl(tiny.LetterShare())
    trainer = GRPOTrainer(
        model=start,
        reward_funcs=functions,
        args=TrlConfig(
            output_dir=str(tmp_path / "trl"),
            max_steps=2,
            per_device_train_batch_size=16,
            num_generations=4,
            learning_rate=1e-3,
            max_completion_length=6,
            beta=beta,
            seed=5,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            disable_dropout=True,
            shuffle_dataset=False,
            report_to="none",
            save_strategy="no",
            logging_steps=1,
        ),
        train_dataset=rows.select(prompt_order(8, 8, 5)),
        processing_class=processor,
        rollout_func=roll,
    )
    trainer.train()
    close(mine, trainer.model)
    for row, theirs in zip(run.rows(), trainer.state.log_history, strict=False):
        for name in ("loss", "entropy", "reward", *(["kl"] if beta else [])):
            assert row[name] == pytest.approx(theirs[name], abs=2e-4), name


class Even(tiny.LetterShare):
    """1 for an even number of characters: in some groups all earn the same."""

    def score(self, **columns: Any) -> Any:
        output = super().score(**columns)
        return type(output)(torch.tensor([float(len(text) % 2 == 0) for text in columns["completion"]]))


def test_where_nothing_can_be_shared_trls_pass_gets_the_same_pictures(
    new_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU, with mixed precision or gradient checkpointing; some micro-batches hold no picture at all."""
    settings: dict[str, Any] = {"steps": 2, "gradient_accumulation": 4, "prompts_per_step": 4}
    fast = go(new_run("fast"), Even(), **settings)
    slow = go(new_run("slow"), Even(), extra={"gradient_checkpointing": True}, **settings)
    close(fast, slow)
    monkeypatch.setattr(grpo_step, "only_full_attention", lambda model: False)
    close(fast, go(new_run("plain"), Even(), **settings))


def test_old_log_probabilities_of_several_passes_over_a_batch(new_run: Any) -> None:
    run = new_run()
    go(run, steps=4, extra={"num_iterations": 2})
    assert all(math.isfinite(row["loss"]) for row in run.rows())


# --- where trl samples


@pytest.mark.parametrize("accumulation", [1, 4])
def test_trl_samples_from_mixed_rows_too(new_run: Any, accumulation: int) -> None:
    """It fails on a row without pictures (None), and passes none of a micro-batch as a tensor of no rows."""
    rows = seeing.grpo_rows(12).to_list()
    for row in rows[::3]:
        row["images"] = None
    from datasets import Dataset, Features, Image, List

    known = seeing.grpo_rows(12).features
    rows = Dataset.from_list(rows, features=Features({**known, "images": List(Image())}))
    run, reward = new_run(), seeing.Looking()
    go(run, reward, rows=rows, steps=3, extra={"top_k": 5}, gradient_accumulation=accumulation)
    assert {len(images) for columns in reward.given for images in columns["images"]} == {0, 1, 2}
    assert all(isinstance(m["content"], str) for p in reward.given[-1]["prompt"] for m in p)
    assert len(run.rows()) == 3


def test_adapters_on_a_model_that_sees(new_run: Any) -> None:
    run, base = new_run(), seeing.model()
    model = go(run, lora=LoraConfig(rank=2, alpha=4, dropout=0.1), beta=0.1)
    assert type(model) is type(base)
    assert not tiny.same_weights(model, base)
    assert abs(run.rows()[0]["kl"]) < 1e-6
    assert isinstance(AutoProcessor.from_pretrained(run.final("grpo")), ProcessorMixin)
    name = "model.visual.blocks.0.attn.qkv.weight"
    assert not torch.equal(model.state_dict()[name], base.state_dict()[name])
