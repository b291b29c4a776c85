"""Real steps of trl's GRPOTrainer on a tiny model: what a failed grader does to the advantages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from common.errors import GraderFailure
from common.rewards.adapters.trl import to_trl
from common.rewards.base import Reward, RewardOutput
from common.rewards.compose import WeightedSum

G = 4
NAN = math.nan


class Planned(Reward):
    """Gives the rows of each group of four the planned values, whatever was said."""

    def __init__(self, name: str, plan: dict[str, list[float]]) -> None:
        self.name = name
        self.plan = plan
        self.needs = ("completion", "topic")

    def score(self, **columns: Any) -> RewardOutput:
        seen: dict[str, int] = {}
        values = []
        for topic in columns["topic"]:
            at = seen[topic] = seen.get(topic, -1) + 1
            values.append(self.plan[topic][at % G])
        assert all(isinstance(text, str) for text in columns["completion"])
        return RewardOutput(torch.tensor(values), info={"reason": ["" if one == one else "down" for one in values]})


@pytest.fixture(scope="module")
def policy() -> tuple[Any, Any]:
    """A Llama of a few thousand weights and a tokenizer of single letters with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "<eos>", "<unk>", *"abcdefgh"]
    raw = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config), tokenizer


def train(
    reward: Reward,
    policy: tuple[Any, Any],
    folder: Path,
    steps: int = 1,
    aggregation: Any = "sum_then_normalize",
    **extra: Any,
) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    functions, weights = to_trl(reward, aggregation)
    rows = [{"prompt": [{"role": "user", "content": topic * 3}], "topic": topic} for topic in "ab"] * steps
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 2 * G,
        "num_generations": G,
        "max_completion_length": 4,
        "max_steps": steps,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "logging_steps": 1,
        "save_strategy": "no",
        "shuffle_dataset": False,
        "reward_weights": weights,
        "multi_objective_aggregation": aggregation,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "log_completions": True,
        **extra,
    }
    model, tokenizer = policy
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=functions,
        args=GRPOConfig(**settings),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train()
    return trainer


def advantages(trainer: Any) -> list[list[float]]:
    """Of the last step, group by group, in the order the completions were scored in."""
    values = list(trainer._logs["advantages"])[-2 * G :]
    return [values[:G], values[G:]]


def two(first: dict[str, list[float]], second: dict[str, list[float]]) -> WeightedSum:
    return WeightedSum({"exam": (Planned("exam", first), 3.0), "judge": (Planned("judge", second), 1.0)})


def standardised(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    std = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return [(value - mean) / (std + 1e-4) for value in values]


def test_a_failed_judge_takes_its_row_out_and_leaves_the_others_as_they_are(policy: Any, tmp_path: Path) -> None:
    reward = two(
        {"a": [1, 0, 0, 1], "b": [0, 1, 0, 0]},
        {"a": [1, 0.5, NAN, 0], "b": [0.5, 0.5, 0.5, 0.25]},
    )
    first, second = advantages(train(reward, policy, tmp_path))
    kept = standardised([4.0, 0.5, 3.0])
    assert first == pytest.approx([kept[0], kept[1], 0.0, kept[2]], abs=1e-3)
    assert second == pytest.approx(standardised([0.5, 3.5, 0.5, 0.25]), abs=1e-3)


def test_infinite_scores_take_their_row_out(policy: Any, tmp_path: Path) -> None:
    reward = two({"a": [1, math.inf, 0, 0], "b": [-math.inf, 1, 0, 0]}, {"a": [0.5] * 4, "b": [0.5] * 4})
    trainer = train(reward, policy, tmp_path)
    kept = standardised([1, 0, 0])
    first, second = advantages(trainer)
    assert first == pytest.approx([kept[0], 0.0, *kept[1:]], abs=1e-3)
    assert second == pytest.approx([0.0, kept[0], *kept[1:]], abs=1e-3)
    assert math.isfinite(trainer.state.log_history[0]["reward"])


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_groups_with_one_or_no_scored_row_teach_nothing(policy: Any, tmp_path: Path, scale: str) -> None:
    reward = two({"a": [NAN] * 4, "b": [NAN, 1, NAN, NAN]}, {"a": [1] * 4, "b": [0] * 4})
    trainer = train(reward, policy, tmp_path, scale_rewards=scale)
    assert advantages(trainer) == [[0.0] * 4, [0.0] * 4]
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())


def test_in_gdpo_a_failed_judge_is_neutral_and_the_exam_still_counts(policy: Any, tmp_path: Path) -> None:
    def run(judged: float) -> list[float]:
        reward = two(
            {"a": [1, 0, 0, 1], "b": [0, 1, 0, 1]},
            {"a": [1, 0.5, judged, 0], "b": [0.5, 0.5, 0.5, 0.5]},
        )
        return advantages(train(reward, policy, tmp_path, aggregation="normalize_then_sum"))[0]

    missing, at_the_mean = run(NAN), run(0.5)
    # The judge's mean over the others is 0.5, so its silence must rank the row as that grade would.
    assert missing[2] < 0
    assert [sorted(missing).index(value) for value in missing] == [
        sorted(at_the_mean).index(value) for value in at_the_mean
    ]
    worst = run(0.0)
    assert missing[2] > worst[2]


def test_components_parts_and_texts_reach_trls_logs(policy: Any, tmp_path: Path) -> None:
    reward = two({"a": [1, 0, 0, NAN], "b": [0, 1, 0, 0]}, {"a": [1, 0, 0, 0], "b": [0.5] * 4})
    trainer = train(reward, policy, tmp_path, steps=2)
    row = trainer.state.log_history[0]
    assert {"rewards/exam/mean", "rewards/judge/mean", "reward/exam/failed", "reward/judge/failed"} <= set(row)
    assert row["reward/exam/failed"] == pytest.approx(1 / 8)
    import pandas

    table = pandas.read_parquet(sorted((tmp_path / "completions").glob("*.parquet"))[-1])
    assert {"exam", "judge", "exam/reason"} <= set(table.columns)
    assert (table["exam/reason"] == "down").sum() >= 1


def test_a_dead_grader_stops_the_run_with_a_reason(policy: Any, tmp_path: Path) -> None:
    reward = two({"a": [1, 0, 0, 1], "b": [0, 1, 0, 0]}, {"a": [NAN] * 4, "b": [0.5] * 4})
    with pytest.raises(GraderFailure, match=r"20 of 40 rows \(50%\) over the last 5 steps; by part: judge 20.*down"):
        train(reward, policy, tmp_path, steps=8)
