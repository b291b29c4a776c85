"""The reward service behind a real web server: equal to the reward in process, closed to strangers and to giants."""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.errors import RewardError, UsageError
from common.rewards import Reward, RewardOutput
from common.rewards.image import PictureReward
from common.rewards.remote import RemoteReward
from common.rewards.text import ExactMatch, TokenF1
from common.rewards.wire import encode
from common.scale.batching import Batch, score_together
from common.scale.config import Limits, ServeConfig
from common.scale.intake import TooLarge, decode
from common.scale.serving import RewardService, fingerprint_of, in_threads, parts_of
from tests.common.rewards.reward_server import served
from tests.common.rewards.toy import Column

pytest.importorskip("uvicorn", reason="the web server of the scale extra")

TEXTS = {
    "completion": ["Paris", "paris, France", "", "Rome"],
    "reference": ["Paris", "Paris", "Paris", ["Rome", "Roma"]],
}
LIMITS = Limits(bytes=20_000, rows=8, characters=100, picture_pixels=100, pixels=250)


class Brightness(Reward):
    """Mean of a picture, as a list of Pillow pictures or a tensor."""

    name = "brightness"
    needs = ("images",)

    def score(self, **columns: Any) -> RewardOutput:
        images = columns["images"]
        if isinstance(images, torch.Tensor):
            return RewardOutput(images.mean((1, 2, 3)))
        means = [torch.nan if one is None else np.asarray(one).mean() / 255 for one in images]
        return RewardOutput(torch.tensor(means, dtype=torch.float32))


class Broken(Reward):
    """Fails on the text it is told to fail on; counts its calls."""

    name = "broken"

    def __init__(self) -> None:
        self.calls: list[int] = []

    def score(self, **columns: Any) -> RewardOutput:
        self.calls.append(len(columns["completion"]))
        if "callers fault" in columns["completion"]:
            raise RewardError("row 0: mind your columns")
        if "graders fault" in columns["completion"]:
            raise ZeroDivisionError("secret of the server")
        return RewardOutput(torch.tensor([len(text) / 100 for text in columns["completion"]]))


def mixed() -> Reward:
    return 0.7 * ExactMatch() + 0.3 * TokenF1()


@pytest.fixture(scope="module")
def text_server() -> Iterator[str]:
    with served(mixed(), limits=LIMITS) as url:
        yield url


def post(url: str, body: bytes, path: str = "/score", **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(url + path, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def ask(url: str, columns: Any) -> tuple[int, Any]:
    return post(url, json.dumps({"columns": columns}).encode())


def test_a_served_reward_is_the_reward(text_server: str) -> None:
    local, remote = mixed(), RemoteReward(text_server, rows=2)
    assert (remote.name, remote.bounds, remote.needs) == (local.name, local.bounds, local.needs)
    expected, output = local(**TEXTS), remote(**TEXTS)
    assert torch.equal(output.values, expected.values)
    assert set(output.parts) == set(expected.parts) == set(remote.part_names)
    assert all(torch.equal(output.parts[name], part) for name, part in expected.parts.items())
    assert {**output.info, "remote_error": None} == {**expected.info, "remote_error": None}


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=8))
def test_any_text_travels(text_server: str, rows: list[tuple[str, str]]) -> None:
    batch = {"completion": [one for one, _ in rows], "reference": [other for _, other in rows]}
    assert torch.equal(RemoteReward(text_server)(**batch).values.nan_to_num(9), mixed()(**batch).values.nan_to_num(9))


def test_half_a_surrogate_pair_travels(text_server: str) -> None:
    batch = {"completion": ["a \ud800"], "reference": ["a"]}
    assert torch.equal(RemoteReward(text_server)(**batch).values, mixed()(**batch).values)


def test_pictures_travel_as_they_are_scored() -> None:
    pictures = [Image.fromarray(np.full((4, 5, 3), value, np.uint8)) for value in (0, 100, 255)]
    tensor = torch.rand(3, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    with served(Brightness()) as url:
        remote = RemoteReward(url)
        local = Brightness()
        assert torch.equal(remote(images=pictures).values, local(images=pictures).values)
        assert torch.equal(remote(images=tensor).values, local(images=tensor).values), "floats are not rounded"
        assert remote(images=[pictures[0], None]).values.isnan().tolist() == [False, True]


def test_a_text_is_never_opened_as_a_picture(tmp_path: Path) -> None:
    file = tmp_path / "white.png"
    Image.new("RGB", (2, 2), "white").save(file)
    with served(Brightness()) as url:
        for column in ([str(file)], {"kind": "mapping", "columns": {str(file): ["x"]}}, 3):
            status, said = ask(url, {"images": column})
            assert (status, "png" in said["error"]["message"]) == (422, True)


def test_columns_of_pictures_are_found_inside_compositions() -> None:
    class Seen(PictureReward):
        needs = ("photo",)

        def __init__(self) -> None:
            super().__init__("none", "photo", "seen", "cpu", False)

        def score(self, **columns: Any) -> RewardOutput:
            return RewardOutput(torch.zeros(len(columns["photo"])))

    service = RewardService(0.5 * Seen() + 0.5 * ExactMatch(), "f", in_threads(Seen()))
    assert "photo" in service.picture_columns
    assert [one.name for one in parts_of(Seen())] == ["seen"]

    class Read(ExactMatch):
        def __init__(self) -> None:
            super().__init__()
            # A learned reward calls its column so.
            self.images = "scan"

    assert "scan" in RewardService(Read(), "f", in_threads(Read())).picture_columns


def test_without_the_token_nobody_is_served(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("s3cret")
    bad.write_text("s3cret2")
    with served(ExactMatch(), token="s3cret") as url:
        assert torch.equal(RemoteReward(url, token_file=good)(**TEXTS).values, ExactMatch()(**TEXTS).values)
        for file in ("", bad):
            with pytest.raises(UsageError, match="token"):
                RemoteReward(url, token_file=file)
        assert ask(url, TEXTS)[0] == 401
        assert post(url, b"{}", Authorization="Bearer s3cr\xe9t")[0] == 401
        with urllib.request.urlopen(url + "/health", timeout=20) as reply:
            assert json.load(reply) == {"status": "ok"}, "whoever watches over it needs no token"


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({"completion": ["a"] * 9, "reference": ["a"] * 9}, 413),
        ({"completion": ["a" * 101], "reference": ["a"]}, 413),
        ({"completion": ["a"], "reference": [["a" * 60, {"b": ["a" * 60]}]]}, 413),
        ({"completion": ["a"] * 8, "reference": ["a" * 30_000] * 8}, 413),
        ({"completion": ["a"] * 8, "reference": ["a" * 300_000] * 8}, 413),
        ({"completion": ["a", "b"], "reference": ["a"]}, 422),
        ({"completion": ["a"]}, 422),
        ({}, 422),
        ([], 422),
        (None, 422),
        ({"completion": "a", "reference": ["a"]}, 422),
        ({"completion": None, "reference": ["a"]}, 422),
        ({"completion": {"kind": "pickle", "rows": ["gASV"]}, "reference": ["a"]}, 422),
        ({"completion": {"kind": "tensor", "dtype": "object", "shape": [1], "data": ""}, "reference": ["a"]}, 422),
        (
            {"completion": {"kind": "tensor", "dtype": "float32", "shape": [1], "data": "AAA="}, "reference": ["a"]},
            422,
        ),
        ({"completion": {"kind": "tensor", "dtype": "uint8", "shape": [-1], "data": ""}, "reference": ["a"]}, 422),
        ({"completion": {"kind": "tensor", "dtype": "uint8", "shape": [2**40], "data": ""}, "reference": ["a"]}, 422),
    ],
)
def test_oversize_and_nonsense_are_refused(text_server: str, columns: Any, status: int) -> None:
    found, said = ask(text_server, columns)
    assert found == status
    assert said["error"]["message"]
    assert ask(text_server, TEXTS)[0] == 200, "and the server goes on"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 10_000,
        b'{"columns": {"completion": [NaN]}}',
        b'{"columns": {"step": 1e999}}',
        b"9" * 9999,
    ],
)
def test_what_is_no_json(text_server: str, body: bytes) -> None:
    assert post(text_server, body)[0] == 400


def test_what_is_no_request_of_ours(text_server: str) -> None:
    assert post(text_server, pickle.dumps({}), **{"Content-Type": "application/octet-stream"})[0] == 415
    assert post(text_server, b"{}", "/describe")[0] == 405
    assert post(text_server, b"{}", "/../etc/passwd")[0] == 404


def png(width: int, height: int) -> str:
    buffer = BytesIO()
    Image.new("L", (width, height)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([png(10, 10), png(10, 10)], None),
        ([png(11, 10)], TooLarge),
        ([png(10, 10)] * 3, TooLarge),
        ([png(10_000, 10_000)], TooLarge),
        (["!"], UsageError),
        ([3], UsageError),
        ([base64.b64encode(b"GIF89a").decode()], UsageError),
        ([png(10, 10)[:40]], UsageError),
    ],
)
def test_pictures_are_measured_before_they_are_unpacked(rows: list[Any], error: type[Exception] | None) -> None:
    columns = {"images": {"kind": "png", "rows": rows}}
    if error is None:
        assert decode(columns, LIMITS)[1] == len(rows)
        return
    with pytest.raises(error) as caught:
        decode(columns, LIMITS)
    assert type(caught.value) is error


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
columns_of_anything = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["png", "tensor", "mapping", "pickle"]) | anything,
        "rows": anything,
        "columns": anything,
        "dtype": st.sampled_from(["float32", "uint8", "object"]) | anything,
        "shape": st.lists(st.integers(-2, 2**70), max_size=9) | anything,
        "data": st.binary(max_size=16).map(lambda data: base64.b64encode(data).decode()) | anything,
    },
)


@settings(max_examples=300)
@given(st.dictionaries(st.text(max_size=4), columns_of_anything | anything, max_size=3) | anything)
def test_whatever_is_sent_is_read_or_refused(columns: Any) -> None:
    try:
        found, rows = decode(columns, LIMITS)
    except UsageError:
        return
    assert set(found) == set(columns)
    assert 0 <= rows <= LIMITS.rows


numbers = st.sampled_from(
    [torch.float32, torch.float64, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool]
)


@given(numbers, st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(0, 9))
def test_tensors_come_back_bit_for_bit(dtype: torch.dtype, shape: list[int], seed: int) -> None:
    tensor = (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 9).to(dtype)
    columns = {"state": {"x": tensor, "y": [1] * shape[0]}, "step": 3}
    found, rows = decode(json.loads(json.dumps(encode(columns))), Limits())
    assert rows == shape[0]
    assert found["step"] == 3
    assert found["state"]["x"].dtype == dtype
    assert torch.equal(found["state"]["x"], tensor)


def test_requests_are_scored_together_and_fail_apart() -> None:
    reward = Broken()
    batches = [Batch({"completion": ["a" * n]}, 1) for n in (1, 2)]
    first, second = score_together(reward, batches)
    assert isinstance(first, RewardOutput)
    assert isinstance(second, RewardOutput)
    assert reward.calls == [2]
    assert [first.values.tolist(), second.values.tolist()] == [[pytest.approx(0.01)], [pytest.approx(0.02)]]
    for fault, kind in (("callers fault", RewardError), ("graders fault", ZeroDivisionError)):
        good, bad = score_together(reward, [batches[0], Batch({"completion": [fault]}, 1)])
        assert isinstance(good, RewardOutput), "somebody else's rows are not lost with it"
        assert isinstance(bad, kind)


def test_only_like_requests_are_joined_and_groups_never() -> None:
    reward = Column("a")
    lists = Batch({"completion": ["x"], "a": [0.5]}, 1)
    tensors = Batch({"completion": ["x"], "a": torch.tensor([0.25])}, 1)
    results = score_together(reward, [lists, tensors, lists])
    assert sorted(reward.calls) == [1, 2]
    assert [float(one.values) for one in results if isinstance(one, RewardOutput)] == [0.5, 0.25, 0.5]
    reward.needs = (*reward.needs, "group")
    reward.calls.clear()
    grouped = Batch({"completion": ["x"], "a": [0.5], "group": [0]}, 1)
    score_together(reward, [grouped, grouped])
    assert reward.calls == [1, 1]
    stepped = [Batch({"completion": ["x"], "a": [0.5], "group": [0], "step": step}, 1) for step in (1, 2)]
    assert all(isinstance(one, RewardOutput) for one in score_together(reward, stepped))


def test_faults_reach_the_client_as_what_they_are() -> None:
    with served(Broken()) as url:
        remote = RemoteReward(url, retries=0)
        with pytest.raises(RewardError, match="mind your columns"):
            remote(completion=["callers fault"])
        output = remote(completion=["graders fault"])
        assert output.values.isnan().all()
        assert "HTTP 500" in output.info["remote_error"][0]
        assert "secret" not in output.info["remote_error"][0]


def test_too_many_requests_are_sent_away() -> None:
    async def crowd() -> list[int]:
        held = asyncio.Event()

        async def score(batch: Batch) -> RewardOutput:
            await held.wait()
            return RewardOutput(torch.zeros(batch.size))

        async def body() -> AsyncIterator[bytes]:
            yield b'{"columns": {"completion": ["a"], "reference": ["a"]}}'

        service = RewardService(ExactMatch(), "f", score, pending=2)
        head = {"content-type": "application/json"}
        asked = [asyncio.create_task(service.answer("POST", "/score", head, body())) for _ in range(5)]
        refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert all(one.result()[0] == 503 for one in refused)
        held.set()
        return sorted([status for status, _ in await asyncio.gather(*asked)])

    assert asyncio.run(crowd()) == [200, 200, 503, 503, 503]


def test_the_fingerprint_follows_settings_and_files(tmp_path: Path) -> None:
    file = tmp_path / "head.safetensors"
    file.write_bytes(b"1")
    first = fingerprint_of({"name": "learned", "path": str(file), "scale": 1})
    assert first == fingerprint_of({"scale": 1, "path": str(file), "name": "learned"})
    assert first != fingerprint_of({"name": "learned", "path": str(file), "scale": 2})
    file.write_bytes(b"2")
    assert first != fingerprint_of({"name": "learned", "path": str(file), "scale": 1})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_the_loopback_needs_no_token(host: str) -> None:
    ServeConfig(host=host).check()


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.0.2", "10.0.0.1", "example.org", "localhost.example.org", ""]
)
def test_any_other_address_needs_one(host: str) -> None:
    with pytest.raises(UsageError, match="--token_file"):
        ServeConfig(host=host).check()
    ServeConfig(host=host, token_file="token").check()


def test_the_command_refuses_before_it_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from common.rewards.__main__ import APP

    f1 = "configs/rewards/token-f1.yaml"
    (tmp_path / "empty").write_text("")
    for options, told in (
        ([f1, "--host", "0.0.0.0"], "--token_file"),
        ([f1, "--limits.rows", "0"], "limits.rows"),
        ([f1, "--port", "70000"], "port"),
        ([f1, "--token_file", str(tmp_path / "none")], "cannot be read"),
        ([f1, "--token_file", str(tmp_path / "empty")], "one word"),
        ([str(tmp_path / "none.yaml")], "no such file"),
    ):
        assert APP.main(["serve", *options]) == 2
        assert told in capsys.readouterr().err
