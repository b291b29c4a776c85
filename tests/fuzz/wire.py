"""Targets that read what comes over a wire: requests to a reward server, its answers, and replies of judges."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from tests.fuzz.harness import Target
from tests.fuzz.mutations import documents, texts
from tests.fuzz.pictures import _bombs

#: Rewards of `configs/rewards` that need no model and ask nobody.
REWARDS = (
    "anls", "box-iou", "caption-texts", "chatr1", "cider-d", "co-reward", "code-repair", "discounted-credit", "exact-match", "group-minmax",
    "groups", "instructions", "length-window", "mixed-r1-chart", "mm-r5", "numeric-match", "pagellm", "ppr", "repetition", "reseek",
    "self-critical", "shaping-explanations", "tearag", "token-f1", "toolrl", "toolrl-schedule",
)  # fmt: skip


SAID = [
    "<think>It is the capital.</think><answer>Paris</answer>", "in 1990, 5 m", '[{"name": "add", "parameters": {"a": 1, "b": [2]}}]',
    "<tool_call>{\"name\": \"add\", \"parameters\": {}}</tool_call>", "[0.1, 0.2, 0.5, 0.9]", "<bbox>10 20 30 40</bbox>", "[1] > [2] > [3]",
    "--- a\n+++ b\n@@ -1 +1 @@\n-What?\n+Paris\n", "<<<<<<< SEARCH\nWhat?\n=======\nParis\n>>>>>>> REPLACE", "A dog runs. A dog runs.",
    "\\boxed{\\frac{1}{2}}", "1,234.5 %", "(B)",
]  # fmt: skip
WORDS = [
    "<think>", "</think>", "<answer>", "</answer>", "<tool_call>", "</tool_call>", "{", "}", "[", "]", ",", ":", '"name"', "@@", "\n", "[1]", ">", "Paris",
    "9e999", "1/0", "1e-400", "%", "-", "[[[[" * 300, "{\"a\":" * 400, "<answer>" * 500, "a b " * 2000, "\n" * 3000,
]  # fmt: skip


def requests() -> Target:
    """The service takes them in, and a reward scores what is left of them."""
    from common.rewards.build import read
    from common.scale.config import Limits
    from common.scale.serving import RewardService, in_threads

    logging.getLogger("common.scale.batching").setLevel(logging.CRITICAL)
    rewards = [read(Path(f"configs/rewards/{name}.yaml")) for name in REWARDS]
    limits = Limits(rows=8, characters=5000, picture_pixels=10_000, pixels=20_000)
    services = [RewardService(reward, "f", in_threads(reward), limits=limits) for reward in rewards]
    head = {"content-type": "application/json"}

    async def chunks(body: bytes) -> AsyncIterator[bytes]:
        yield body

    def parse(value: tuple[int, bytes]) -> None:
        number, body = value
        status, said = asyncio.run(services[number].answer("POST", "/score", head, chunks(body)))
        text = json.dumps(said, allow_nan=False)
        # 500: rows of a kind that the reward does not take; the server outlives it and says nothing of itself.
        assert status in (200, 400, 413, 422) or (status == 500 and "the reward failed" in text), text[:300]

    columns = _columns()
    asked = [{name: columns[name] for name in (*reward.needs, "images")} for reward in rewards]
    scored = [st.tuples(st.just(at), documents({"columns": one})) for at, one in enumerate(asked)]
    bomb = st.sampled_from(_bombs()).map(lambda png: {"kind": "png", "rows": [base64.b64encode(png).decode()]})
    bombs = bomb.map(lambda images: (0, json.dumps({"columns": {"images": images}}).encode()))
    return Target(st.one_of(*scored, bombs), parse, (), examples=40)


def completions() -> Target:
    """Whatever a policy says is scored: within the reward's bounds, or not at all."""
    from common.errors import RewardError
    from common.rewards.build import read

    rewards = [read(Path(f"configs/rewards/{name}.yaml")) for name in REWARDS]
    columns = _columns()

    def parse(value: tuple[int, list[str]]) -> None:
        number, said = value
        reward = rewards[number]
        given = {name: columns[name] for name in reward.needs} | {"completion": said}
        if reward.name == "diff":
            given["reference"] = ["Paris", "5"]
        if "twin" in given:
            given["twin"] = torch.tensor([1, 0])
        if "group" in given:
            given |= {
                "group": torch.zeros(2, dtype=torch.long),
                "state": {"step": torch.arange(2), "done": torch.ones(2)},
            }
        try:
            values = reward(**given).values
        except RewardError:  # these columns are not for every reward
            return
        low, high = reward.bounds
        assert all(one.isnan() or low - 1e-4 <= one <= high + 1e-4 for one in values), (reward.name, values)

    text = texts(SAID, WORDS)
    return Target(
        st.tuples(st.integers(0, len(rewards) - 1), st.lists(text, min_size=2, max_size=2)),
        parse,
        (),
        examples=40,
    )


def replies() -> Target:
    """What a server says of itself and of rows, and what a judge says."""
    from common.config import JudgeConfig
    from common.rewards.judges.client import parse_score
    from common.rewards.judges.layout import read_plan
    from common.rewards.judges.picture_client import PictureJudge
    from common.rewards.judges.rubric import VerdictClient
    from common.rewards.remote import _description
    from common.rewards.text.structured import read_calls, structured_match
    from common.rewards.wire import from_answer
    from tests.common.rewards.reward_server import DESCRIPTION

    answer = {"fingerprint": "f", "values": [0.5, None], "parts": {"half": [1, 2.0]}, "info": {"reason": ["", "x"]}}
    inner = ({"score": 1}, {"layout": 2}, {"verdicts": {"a": "yes"}})
    verdicts = [json.loads(_as_reply(json.dumps(one).encode())) for one in inner]
    endpoint = JudgeConfig(url="http://127.0.0.1:1/v1", model="m")
    pictures = PictureJudge(endpoint, "", {"layout": (0, 1, 2)})
    rubric = VerdictClient(endpoint, "")
    question = json.dumps({"criteria": [{"id": "a", "choices": ["no", "yes"]}]})
    asked = [{"name": "add", "parameters": {"a": 1, "b": [2, {"c": None}]}}]
    right = read_calls(asked) or []

    def parse(value: tuple[int, bytes]) -> None:
        which, body = value
        try:
            read = json.loads(body)
        except (ValueError, RecursionError):
            return
        if which == 0:
            with contextlib.suppress(ValueError):  # which the client tells with the server's name, as below
                assert len(from_answer(read, 2, (0.0, 1.0))[0].values) == 2
        elif which == 1:
            with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
                _description(read)
        elif which == 2:
            score = parse_score(read, 2.0)
            assert isinstance(score, str) or 0 <= score <= 1
            assert isinstance(pictures.parse(read), (dict, str))
            assert isinstance(rubric.answer(question, read), (dict, str))
        elif which == 3:
            assert read_plan(read) is None or len(read_plan(json.dumps(read)) or ()) == 2
        else:
            calls = read_calls(read)
            assert calls is None or 0 <= structured_match(calls, right).total <= 1

    documented = [documents(one) for one in (answer, DESCRIPTION, *verdicts)]
    plans, called = documents([{"name": "a dog", "box": [0, 0.1, 1, 0.5]}]), documents(asked)
    content = st.one_of(*documented[2:], *(documents(one).map(_as_reply) for one in inner))
    kinds = enumerate((*documented[:2], content, plans, called))
    inputs = st.one_of(*(st.tuples(st.just(which), inputs) for which, inputs in kinds))
    return Target(inputs, parse, (), examples=60)


def _as_reply(content: bytes) -> bytes:
    """A chat completion that says this."""
    return json.dumps({"choices": [{"message": {"content": content.decode("utf-8", "replace")}}]}).encode()


def _columns() -> dict[str, Any]:
    from PIL import Image

    png = BytesIO()
    Image.new("RGB", (3, 2)).save(png, "PNG")
    return {
        "completion": ["<think>a</think><answer>Paris</answer>", "in 1990, 5 m"],
        "reference": ["Paris", ["5", "5 m"]],
        **{name: ["What?", "b"] for name in ("prompt", "question", "rewrite", "source", "twin", "answer", "greedy", "reasoning")},
        "choices": [["Paris", "Rome"], ["5", "6"]],
        "language": ["en", "de"],
        "relevance": [[1, 0], [0.5]],
        "results": [["a", "b"], ["c"]],
        "wanted": [["a", "b"], ["b"]],
        "similarity": [[0.5], [1, 0.2]],
        "steps": [["a"], ["b", "c"]],
        "group": _tensor(np.array([0, 0])),
        "state": {"kind": "mapping", "columns": {"time": _tensor(np.array([0, 1])), "done": _tensor(np.array([0.0, 1.0]))}},
        "images": {"kind": "png", "rows": [base64.b64encode(png.getvalue()).decode(), None]},
        "step": 3,
    }  # fmt: skip


def _tensor(values: np.ndarray) -> dict[str, Any]:
    data = base64.b64encode(values.tobytes()).decode()
    return {"kind": "tensor", "dtype": str(values.dtype), "shape": list(values.shape), "data": data}
