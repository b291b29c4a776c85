"""python -m verl.trainer.main_ppo reward.custom_reward_function.path=examples/verl_reward.py ...."""

from common.rewards.adapters.verl import to_verl
from common.rewards.text import ExactMatch, TokenF1

compute_score = to_verl(0.7 * ExactMatch() + 0.3 * TokenF1())
