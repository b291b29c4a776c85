"""The application's settings. Nothing heavy is imported here: `--help` reads this module."""

from __future__ import annotations

from dataclasses import dataclass, field

from apps.medvqa.data_config import DataConfig
from apps.medvqa.pretrain_config import PretrainConfig
from apps.medvqa.reward_config import RewardConfig
from apps.medvqa.train_config import EvaluateConfig, PictureConfig, PromptConfig
from common.config import CompareConfig, GrpoConfig, LanguageModelConfig, SftConfig


@dataclass
class MedVqaConfig:
    """Settings of medical visual question answering.

    Args:
        model: the vision-language model that is trained, measured and asked.
        pictures: how large pictures reach it.
        train: questions to train on by reinforcement.
        demonstrations: questions with reasoning to train on by example (`sft`).
        heldout: questions to measure on; never trained on.
        reward: the reward and its parts.
        sft: supervised stage before GRPO.
        grpo: reinforcement stage.
        pretrain: the pocket model.
        evaluate: how a model is measured.
        comparison: several recipes or seeds in one command.
        prompt: what the model is shown.
        minimum_accuracy: held-out accuracy that the check asks for before GRPO may start.
        seed: seed of everything random.
        threads: CPU threads of torch; 0 leaves torch's own choice.
        runs: folder of the run folders.
    """

    model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    pictures: PictureConfig = field(default_factory=PictureConfig)
    train: DataConfig = field(default_factory=DataConfig)
    demonstrations: DataConfig = field(default_factory=DataConfig)
    heldout: DataConfig = field(default_factory=DataConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    sft: SftConfig = field(default_factory=SftConfig)
    grpo: GrpoConfig = field(default_factory=GrpoConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    comparison: CompareConfig = field(default_factory=CompareConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    minimum_accuracy: float = 0.1
    seed: int = 0
    threads: int = 1
    runs: str = "runs/medvqa"
