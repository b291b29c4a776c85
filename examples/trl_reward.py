"""A reward of ours in trl's own trainer, with the shipped pocket model: python examples/trl_reward.py."""

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from common.rewards.adapters.trl import to_trl
from common.rewards.text import ExactMatch, TokenF1

functions, weights = to_trl(0.7 * ExactMatch() + 0.3 * TokenF1())
rows = Dataset.from_dict({"prompt": ["how many singers?", "all cities"], "reference": ["SELECT COUNT(*)", "SELECT"]})
settings = GRPOConfig(reward_weights=weights, max_completion_length=16, max_steps=2, logging_steps=1, bf16=False)
GRPOTrainer("assets/text2sql/model", functions, settings, train_dataset=rows).train()
