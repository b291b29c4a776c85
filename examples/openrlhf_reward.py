"""python -m openrlhf.cli.train_ppo_ray --reward.remote_url examples/openrlhf_reward.py ..."""

from common.rewards.adapters.openrlhf import to_openrlhf
from common.rewards.text import ExactMatch, TokenF1

reward_func = to_openrlhf(0.7 * ExactMatch() + 0.3 * TokenF1())
