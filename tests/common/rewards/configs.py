"""Runs the examples of `configs/rewards`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from common.rewards.base import Reward, RewardOutput
from common.rewards.build import Example, build, read_block, read_example
from tests.common.rewards.judge_server import JudgeServer, chat, judge_server

FILES = sorted(
    file
    for file in (Path(__file__).resolve().parents[3] / "configs" / "rewards").glob("*.yaml")
    if not file.name.startswith("train")  # what a reward is trained with
)


def columns_of(example: Example) -> dict[str, Any]:
    """An example's columns as a trainer passes them."""
    columns = dict(example.columns)
    if "group" in columns:
        columns["group"] = torch.tensor(columns["group"])
    if "state" in columns:
        columns["state"] = {key: torch.tensor(value) for key, value in columns["state"].items()}
    return columns


def at(server: JudgeServer, spec: Any, replies: dict[str, str]) -> Any:
    """The spec with every endpoint turned to a server that gives the example's replies."""

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        question = str(body["messages"][-1]["content"])
        found = [reply for key, reply in replies.items() if key in question]
        return chat(found[0]) if found else (400, {})

    server.answer = answer
    if isinstance(spec, dict):
        turned = {key: at(server, value, replies) for key, value in spec.items()}
        return {**turned, "url": server.url} if spec.get("name") == "endpoint" else turned
    return [at(server, value, replies) for value in spec] if isinstance(spec, list) else spec


def tried(file: Path) -> tuple[RewardOutput, Example]:
    """What a file's reward gives its example."""
    example = read_example(file)
    with judge_server() as server:
        reward: Reward = build(at(server, read_block(file, "reward"), dict(example.replies)))
        return reward(**columns_of(example)), example
