"""Does reinforcement teach? A few steps on one kind of question must raise the share of right answers there."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.medvqa.config import MedVqaConfig
from apps.medvqa.data import load_examples
from apps.medvqa.evaluate import answers_of
from apps.medvqa.models import open_model
from apps.medvqa.pocket import is_right
from apps.medvqa.rewards import build_reward
from apps.medvqa.train import training_rows
from common.config import load
from common.training.grpo import run_grpo
from common.training.run import Run

POCKET = Path(__file__).resolve().parents[3] / "configs" / "medvqa" / "pocket.yaml"


@pytest.mark.parametrize("recipe", ["adaptive", pytest.param("exact_match", marks=pytest.mark.slow)])
def test_reinforcement_raises_accuracy_on_the_questions_practised(recipe, tmp_path):
    options = ["--grpo.steps=28", "--grpo.prompts_per_step=8", "--grpo.learning_rate=5e-4", "--grpo.eval_every=0"]
    config = load(MedVqaConfig, POCKET, [*options, f"--reward.recipe={recipe}", "--train.limit=600"])
    examples = [one for one in load_examples(config.train) if one.question_type in ("size", "count")][:48]
    model, processor = open_model(config, training=True)

    def share() -> float:
        said = answers_of(model, processor, examples, config)
        from apps.medvqa.answers import extract

        return sum(is_right(one, extract(text).text) for one, text in zip(examples, said, strict=True)) / len(examples)

    before = share()
    run = Run.create(tmp_path, "learning", {}, seed=0)
    model = run_grpo(run, model, processor, training_rows(examples, config), build_reward(config.reward), config.grpo)
    after = share()
    assert after >= before + 0.1, f"{before:.3f} -> {after:.3f}"
