"""What the default reward costs of a GRPO step on the pocket model. Run with `-m benchmark`, on an idle machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.data import load_examples
from apps.text2sql.rewards import build_reward, gold_pool
from apps.text2sql.train import training_rows
from common.config import load
from common.models.language import load_language_model
from common.training.grpo import run_grpo
from common.training.run import Run, set_threads

pytestmark = pytest.mark.benchmark

POCKET = Path(__file__).resolve().parents[2] / "configs" / "text2sql" / "pocket.yaml"
WARM = 4


def test_reward_is_a_small_share_of_a_step(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    config = load(Text2SqlConfig, POCKET, ["--grpo.steps=16", "--grpo.eval_every=0"])
    set_threads(config.threads)
    train = load_examples(config.train)
    run = Run.create(tmp_path, "share", {}, seed=0)
    model, tokenizer = load_language_model(config.model, training=True)
    reward = build_reward(config.reward, gold_pool(train))
    run_grpo(run, model, tokenizer, training_rows(train, config), reward, config.grpo)
    rows = run.rows("grpo")[WARM:]  # the first steps start the workers and read the schemas
    spent, whole = (sum(row[name] for row in rows) for name in ("time/reward", "time/step"))
    record_property("reward_share", round(spent / whole, 4))
    print(f"\nreward: {spent / whole:.1%} of {whole / len(rows):.2f} s, the mean of {len(rows)} steps")
    assert spent / whole <= 0.05
