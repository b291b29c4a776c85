"""Runs the examples of `configs/rewards`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from common.rewards.base import RewardOutput
from common.rewards.build import Example, build, read_block, read_example
from common.rewards.catalogue.listing import names_in
from common.rewards.text import TokenF1
from tests.common.rewards.judge_server import chat, judge_server
from tests.common.rewards.reward_server import served

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


@contextmanager
def on_the_loopback(file: Path) -> Iterator[Any]:
    """A file's `reward:` block: its judges give the example's replies, and its server serves token F1."""
    spec = read_block(file, "reward")
    with ExitStack() as stack:
        places = {"endpoint": _judge(stack, dict(read_example(file).replies))}
        if "remote" in names_in(dict(spec)):
            places["remote"] = stack.enter_context(served(TokenF1()))
        yield _placed(spec, places)


def tried(file: Path) -> tuple[RewardOutput, Example]:
    """What a file's reward gives its example."""
    example = read_example(file)
    with on_the_loopback(file) as spec:
        return build(spec)(**columns_of(example)), example


def _judge(stack: ExitStack, replies: dict[str, str]) -> str:
    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        question = str(body["messages"][-1]["content"])
        found = [reply for key, reply in replies.items() if key in question]
        return chat(found[0]) if found else (400, {})

    server = stack.enter_context(judge_server())
    server.answer = answer
    return server.url


def _placed(spec: Any, places: dict[str, str]) -> Any:
    if isinstance(spec, dict):
        placed = {key: _placed(value, places) for key, value in spec.items()}
        return {**placed, "url": places[spec["name"]]} if spec.get("name") in places else placed
    return [_placed(value, places) for value in spec] if isinstance(spec, list) else spec
