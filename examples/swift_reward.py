"""swift rlhf --rlhf_type grpo --external_plugins examples/swift_reward.py --reward_funcs answer ..."""

from swift.rewards import orms

from common.rewards.adapters.swift import to_swift
from common.rewards.text import ExactMatch, TokenF1

orms["answer"] = to_swift(0.7 * ExactMatch() + 0.3 * TokenF1(), columns={"reference": "solution"})
