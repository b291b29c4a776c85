"""The application's settings. Nothing heavy is imported here: `--help` reads this module."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from apps.text2sql.data_config import DataConfig, PromptConfig
from apps.text2sql.reward_config import RewardConfig
from common.config import CompareConfig, GrpoConfig, LanguageModelConfig, SftConfig


@dataclass
class EvaluateConfig:
    """How a model is measured.

    Args:
        batch_size: prompts decoded together.
        max_new_tokens: longest answer, in tokens.
        samples: answers sampled for each question; 1 decodes greedily.
        temperature: sampling temperature where samples > 1.
        presets: result comparisons to report.
        seconds: time limit of one query.
    """

    batch_size: int = 64
    max_new_tokens: int = 256
    samples: int = 1
    temperature: float = 0.8
    presets: list[str] = field(default_factory=lambda: ["strict", "bird", "spider_testsuite", "spider2", "defog"])
    seconds: float = 5.0


@dataclass
class PretrainConfig:
    """The pocket model, made from nothing by `pretrain`.

    Args:
        architecture: class of the language model.
        vocabulary: tokens, the 256 bytes included.
        hidden_size: width.
        intermediate_size: width of the feed-forward layers.
        layers: transformer blocks.
        heads: attention heads.
        examples: training examples, all languages together.
        sft: how it is trained.
        encoder_steps: steps of the contrastive encoder's training.
    """

    architecture: Literal["qwen2", "llama"] = "qwen2"
    vocabulary: int = 2048
    hidden_size: int = 160
    intermediate_size: int = 448
    layers: int = 4
    heads: int = 4
    examples: int = 56_000
    sft: SftConfig = field(default_factory=SftConfig)
    encoder_steps: int = 1200


@dataclass
class Text2SqlConfig:
    """Settings of text-to-SQL.

    Args:
        model: the language model that is trained, measured and asked.
        train: questions to train on.
        heldout: questions to measure on; never trained on.
        reward: the reward and its parts.
        sft: supervised stage before GRPO.
        grpo: reinforcement stage.
        pretrain: the pocket model.
        evaluate: how a model is measured.
        comparison: several recipes or seeds in one command.
        prompt: what the model is shown.
        minimum_accuracy: held-out execution accuracy that the SFT check asks for before GRPO may start.
        seed: seed of everything random.
        threads: CPU threads of torch; 0 leaves torch's own choice.
        runs: folder of the run folders.
    """

    model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    train: DataConfig = field(default_factory=DataConfig)
    heldout: DataConfig = field(default_factory=DataConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    sft: SftConfig = field(default_factory=SftConfig)
    grpo: GrpoConfig = field(default_factory=GrpoConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    comparison: CompareConfig = field(default_factory=CompareConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    minimum_accuracy: float = 0.05
    seed: int = 0
    threads: int = 1
    runs: str = "runs/text2sql"
