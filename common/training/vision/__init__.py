"""Qwen-VL models trained: SFT and GRPO through trl, and the stages that make a small one from nothing."""
