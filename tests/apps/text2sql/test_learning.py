"""Does reinforcement teach? A few steps on one practice database must raise the share of right answers there."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.data import load_examples
from apps.text2sql.evaluate import evaluate_model, make_judge
from apps.text2sql.rewards import build_reward, gold_pool
from apps.text2sql.train import training_rows
from common.config import load
from common.models.language import load_language_model
from common.training.grpo import run_grpo
from common.training.run import Run

POCKET = Path(__file__).resolve().parents[3] / "configs" / "text2sql" / "pocket.yaml"


@pytest.mark.parametrize("recipe", ["contrastive", pytest.param("execution", marks=pytest.mark.slow)])
def test_reinforcement_raises_accuracy_on_the_questions_practised(recipe, tmp_path):
    options = ["--grpo.steps=30", "--grpo.prompts_per_step=8", "--grpo.learning_rate=5e-4", "--grpo.eval_every=0"]
    config = load(Text2SqlConfig, POCKET, [*options, f"--reward.recipe={recipe}", "--train.languages=[en]"])
    config.train.limit = 1200
    # One database, and questions of medium difficulty for the model: there is something to reinforce and to gain.
    examples = [example for example in load_examples(config.train) if example.database == "press"][:48]
    model, tokenizer = load_language_model(config.model, training=True)
    config.evaluate.samples, config.evaluate.temperature = 4, 1.0
    with make_judge(config) as judge:
        before = evaluate_model(model, tokenizer, examples, judge, config).accuracy().mean
        run = Run.create(tmp_path, "learning", {}, seed=0)
        rows = training_rows(examples, config)
        model = run_grpo(run, model, tokenizer, rows, build_reward(config.reward, gold_pool(examples)), config.grpo)
        after = evaluate_model(model, tokenizer, examples, judge, config).accuracy().mean
    assert after >= before + 0.12, f"{before:.3f} -> {after:.3f}"
