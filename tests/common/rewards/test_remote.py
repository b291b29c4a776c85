"""RemoteReward against servers on the loopback that fail in every way; the real service: tests/common/scale."""

from __future__ import annotations

import math
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from common.errors import DataError, GraderFailure, RewardError, UsageError
from common.rewards import Cached, WeightedSum
from common.rewards.adapters.trl import to_trl
from common.rewards.check import check_reward
from common.rewards.remote import PATIENCE, RemoteReward
from tests.common.rewards.reward_server import ScriptedServer, by_length, scored, scripted_server

TEXTS = ["a", "bb", "ccc", "dddd", "eeeee"]
LENGTHS = [0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


def remote(server: ScriptedServer, **settings: Any) -> RemoteReward:
    return RemoteReward(server.url, **{"rows": 2, "pause": 0.001, "retries": 2, "deadline": 20.0, **settings})


def same(values: torch.Tensor, expected: list[float]) -> bool:
    return torch.allclose(values, torch.tensor(expected), equal_nan=True)


def test_rows_come_back_in_their_order_whatever_the_requests(server: ScriptedServer) -> None:
    reward = remote(server)
    output = reward(completion=TEXTS, other=[0] * 5)
    assert same(output.values, LENGTHS)
    assert same(output.parts["half"], [one / 2 for one in LENGTHS])
    assert sorted(len(columns["completion"]) for columns in server.asked) == [1, 2, 2]
    assert all(set(columns) == {"completion"} for columns in server.asked), "only what it needs travels"
    assert output.info["remote_error"] == [""] * 5
    assert (reward.name, reward.bounds, reward.needs, reward.fingerprint) == ("served", (0, 1), ("completion",), "f1")


def test_it_keeps_the_contract(server: ScriptedServer) -> None:
    server.answer = lambda columns: scored([min(len(text), 10) / 10 for text in columns["completion"]])
    check_reward(remote(server), {"completion": TEXTS})


def test_an_empty_batch_asks_nobody(server: ScriptedServer) -> None:
    output = remote(server)(completion=[])
    assert output.values.shape == (0,)
    assert output.parts["half"].shape == (0,)
    assert server.asked == []


def test_passing_trouble_is_tried_again(server: ScriptedServer) -> None:
    left = {"a": 2, "ccc": 1}
    lock = threading.Lock()

    def answer(columns: dict[str, Any]) -> Any:
        first = columns["completion"][0]
        with lock:
            left[first] = left.get(first, 0) - 1
            if left[first] >= 0:
                return (503, {}) if first == "a" else (429, {})
        return by_length(columns)

    server.answer = answer
    assert same(remote(server)(completion=TEXTS).values, LENGTHS)
    assert len(server.asked) == 6


def test_an_outage_is_nan_counted_and_bounded(server: ScriptedServer) -> None:
    server.answer = lambda columns: (500, {"error": {"type": "ValueError", "message": "the reward failed"}})
    output = remote(server, rows=1, concurrency=1)(completion=["x"] * 40)
    assert output.values.isnan().all()
    assert output.parts["half"].isnan().all()
    assert "the reward failed" in output.info["remote_error"][0]
    assert all(output.info["remote_error"])
    assert len(server.asked) == 3 * PATIENCE, "the rest of the batch is not tried"


def test_one_lost_request_loses_its_own_rows_only(server: ScriptedServer) -> None:
    server.answer = lambda columns: (502, {}) if "ccc" in columns["completion"] else by_length(columns)
    output = remote(server)(completion=TEXTS)
    assert same(output.values, [0.1, 0.2, math.nan, math.nan, 0.5])
    assert [bool(one) for one in output.info["remote_error"]] == [False, False, True, True, False]


def test_a_lost_row_can_stop_the_run_instead(server: ScriptedServer) -> None:
    server.answer = lambda columns: (500, {})
    with pytest.raises(GraderFailure, match="2 of 2"):
        remote(server, on_failure="raise")(completion=TEXTS[:2])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (scored([0.5]), "1 numbers for 2 rows"),
        (scored([0.5, 0.5, 0.5]), "3 numbers for 2 rows"),
        ((200, {"fingerprint": "f1", "values": ["0.5", 0.1]}), "no number"),
        ((200, {"fingerprint": "f1", "values": [True, 0.1]}), "no number"),
        ((200, {"fingerprint": "f1", "values": None}), "no numbers"),
        (scored([0.5, 0.1], info={"reason": ["one"]}), "one text a row"),
        (scored([0.5, 0.1], parts={"half": [1.0]}), "1 numbers for 2 rows"),
        ((200, {"values": [0.5, 0.1]}), "fingerprint"),
        ((200, [0.5, 0.1]), "no object"),
        ((200, b"<html>"), "no JSON"),
        ((200, b"[" * 100_000), "no JSON"),
        ((302, {"to": "http://127.0.0.1:1/"}), "HTTP 302"),
    ],
)
def test_an_answer_of_another_form_is_nan(server: ScriptedServer, answer: Any, told: str) -> None:
    server.answer = lambda columns: answer
    output = remote(server)(completion=["a", "b"])
    assert output.values.isnan().all()
    assert all(told in one for one in output.info["remote_error"])


@pytest.mark.parametrize("value", [b"1.5", b"-0.1", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 400, b"null"])
def test_a_value_that_cannot_be_is_nan_in_its_row_only(server: ScriptedServer, value: bytes) -> None:
    server.answer = lambda columns: (200, b'{"fingerprint": "f1", "values": [' + value + b", 0.25]}")
    output = remote(server)(completion=["a", "b"])
    assert same(output.values, [math.nan, 0.25])
    assert ("bounds" in output.info["remote_error"][0]) == (value not in (b"NaN", b"null"))


@pytest.mark.parametrize("status", [400, 401, 403, 413, 422])
def test_the_callers_fault_raises_with_the_servers_words(server: ScriptedServer, status: int) -> None:
    server.answer = lambda columns: (status, {"error": {"type": "MissingColumn", "message": "where is `gold`?"}})
    with pytest.raises(RewardError, match="where is `gold`"):
        remote(server)(completion=TEXTS)
    assert len(server.asked) <= 3, "it is not tried again"


def test_a_reward_that_changes_in_the_middle_of_the_run_is_an_error(server: ScriptedServer) -> None:
    reward = remote(server)
    assert same(reward(completion=["a"]).values, [0.1])
    server.answer = lambda columns: scored([0.5] * len(columns["completion"]), fingerprint="f2")
    with pytest.raises(RewardError, match="changed in the middle of the run, from f1 to f2"):
        reward(completion=["a"])


def test_an_earlier_runs_fingerprint_is_kept(server: ScriptedServer) -> None:
    assert remote(server, fingerprint="f1").fingerprint == "f1"
    with pytest.raises(UsageError, match="f0"):
        remote(server, fingerprint="f0")


def test_a_silent_server_ends_at_the_deadline(server: ScriptedServer) -> None:
    release = threading.Event()

    def answer(columns: dict[str, Any]) -> Any:
        release.wait(30)
        return by_length(columns)

    server.answer = answer
    reward = remote(server, deadline=0.3, timeout=60.0, retries=50)
    begun = time.monotonic()
    output = reward(completion=TEXTS)
    took = time.monotonic() - begun
    release.set()
    assert output.values.isnan().all()
    assert took < 10, "retries share one deadline"


def test_at_most_so_many_requests_are_under_way(server: ScriptedServer) -> None:
    lock, under_way, most = threading.Lock(), 0, 0

    def answer(columns: dict[str, Any]) -> Any:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.005)
        with lock:
            under_way -= 1
        return by_length(columns)

    server.answer = answer
    remote(server, rows=1, concurrency=3)(completion=["a"] * 30)
    assert most <= 3
    assert len(server.asked) == 30


def test_a_group_is_never_cut(server: ScriptedServer) -> None:
    server.description["needs"] = ["completion", "group"]
    reward = remote(server, rows=1)
    reward(completion=TEXTS, group=torch.tensor([0, 0, 0, 1, 1]))
    assert len(server.asked) == 1
    assert server.asked[0]["group"]["kind"] == "tensor"


def test_large_requests_go_in_halves_and_a_row_too_large_is_told(server: ScriptedServer) -> None:
    server.description["limits"] = {"rows": 1024, "bytes": 1000}
    reward = remote(server, rows=64)
    texts = ["x" * 10] * 200
    assert same(reward(completion=texts).values, [1.0] * 200)
    assert len(server.asked) > 2
    with pytest.raises(RewardError, match="bytes"):
        reward(completion=["x" * 2000])


def test_the_token_is_read_from_its_file_and_stays_there(server: ScriptedServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    reward = remote(server, token_file=file)
    reward(completion=["a"])
    assert [head["Authorization"] for head in server.headers] == ["Bearer s3cret"] * 2
    assert b"s3cret" not in pickle.dumps(reward)
    file.write_text("two words")
    with pytest.raises(DataError, match="token"):
        reward(completion=["a"])
    with pytest.raises(DataError, match="cannot be read"):
        remote(server, token_file=tmp_path / "none")


def test_it_pickles(server: ScriptedServer) -> None:
    reward = pickle.loads(pickle.dumps(remote(server)))
    assert same(reward(completion=TEXTS).values, LENGTHS)
    assert len(server.headers) == 1 + 3, "it is not described a second time"


def test_in_a_sum_and_for_trl(server: ScriptedServer) -> None:
    server.answer = lambda columns: (503, {}) if "ccc" in columns["completion"] else by_length(columns)
    reward = WeightedSum({"mine": (remote(server, rows=1), 0.5), "again": (remote(server, rows=1, name="b"), 0.5)})
    functions, weights = to_trl(reward)
    scores = [one(prompts=["?"] * 3, completions=["a", "bb", "ccc"]) for one in functions]
    assert weights == [0.5, 0.5]
    assert scores[0] == [pytest.approx(0.1), pytest.approx(0.2), None]
    assert scores[1][2] is None


def test_a_cache_keeps_scores_but_no_failures_and_no_other_version(server: ScriptedServer) -> None:
    inner = remote(server, rows=1)
    reward = Cached(inner)
    server.answer = lambda columns: (500, {}) if columns["completion"] == ["bb"] else by_length(columns)
    assert same(reward(completion=["a", "bb", "a"]).values, [0.1, math.nan, 0.1])
    server.answer = by_length
    server.asked.clear()
    assert same(reward(completion=["a", "bb"]).values, [0.1, 0.2])
    assert [columns["completion"] for columns in server.asked] == [["bb"]]
    server.answer = lambda columns: scored([0.9], fingerprint="f2")
    inner.fingerprint = "f2"  # as a new run against the new version would have it
    assert same(reward(completion=["a"]).values, [0.9])


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x", "http://", "127.0.0.1:8000", "http://x:port", "http://me:pw@x", ""]
)
def test_only_http_addresses(url: str) -> None:
    with pytest.raises(UsageError, match="address"):
        RemoteReward(url)


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UsageError, match=r"no reward server answers.*serve"):
        RemoteReward(url, retries=1, pause=0.001)


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": 2},
        {"bounds": [1.0, 0.0]},
        {"bounds": [0.0, math.inf]},
        {"bounds": None},
        {"needs": [3]},
        {"name": ""},
        {"fingerprint": None},
        {"limits": {}},
    ],
)
def test_a_description_that_cannot_be(server: ScriptedServer, change: dict[str, Any]) -> None:
    server.description.update(change)
    with pytest.raises(UsageError, match="no reward server of protocol 1"):
        remote(server)


def test_a_description_that_is_refused(server: ScriptedServer) -> None:
    server.description = (401, {"error": {"type": "Unauthorised", "message": "this server wants a token"}})
    with pytest.raises(UsageError, match="wants a token"):
        remote(server)


@pytest.mark.parametrize(
    "settings",
    [{"deadline": 0}, {"timeout": -1}, {"rows": 0}, {"concurrency": 0}, {"retries": -1}, {"on_failure": "0"}],
)
def test_settings_that_cannot_be(server: ScriptedServer, settings: dict[str, Any]) -> None:
    with pytest.raises(RewardError):
        remote(server, **settings)


def test_what_cannot_be_sent_raises(server: ScriptedServer) -> None:
    for entry in (object(), {1, 2}, math.nan):
        with pytest.raises(RewardError, match="completion"):
            remote(server)(completion=[entry])
