"""Serving and bulk scoring on a Ray of this machine with two processors. Run with `-n 0 -m slow`."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("ray", reason="Ray is not installed: pip install 'touchstone-rl[scale]'")

from common.errors import RewardError, UsageError
from common.files import read_jsonl
from common.rewards.remote import RemoteReward
from common.rewards.scoring import run_score
from common.scale.config import Limits, ServeConfig
from common.scale.serve import served_on_ray
from common.scale.session import on_ray
from tests.common.scale.fragile import Fragile

pytestmark = pytest.mark.slow

ROWS = 200


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    with on_ray(2):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "token").write_text("s3cret\n")
    spec = {"reward": {"name": "tests.common.scale.fragile:Fragile", "fuse": str(folder / "fuse")}}
    (folder / "fragile.yaml").write_text(json.dumps(spec))
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    limits = Limits(rows=64, characters=200)
    config = ServeConfig(
        port=port, token_file=str(folder / "token"), replicas=2, cpus=0.5, joint_wait=0.05, limits=limits
    )
    with served_on_ray(config, str(folder / "fragile.yaml")) as address:
        yield address


def remote(url: str, folder: Path, **settings: Any) -> RemoteReward:
    return RemoteReward(url, token_file=folder / "token", **settings)


def texts() -> list[str]:
    return ["x" * (number % 90) for number in range(ROWS)]


def test_a_reward_on_ray_is_the_reward(url: str, folder: Path) -> None:
    batch = {"completion": texts()}
    output = remote(url, folder, rows=7)(**batch)
    assert torch.equal(output.values, Fragile("")(**batch).values)


def test_requests_of_many_callers_are_scored_together(url: str, folder: Path) -> None:
    output = remote(url, folder, rows=1, concurrency=16)(completion=texts())
    assert not output.values.isnan().any()
    assert float(output.parts["rows"].max()) > 1
    assert len(set(output.info["pid"])) == 2, "both replicas work"


def test_a_replica_killed_in_the_middle_of_a_batch_loses_no_row(url: str, folder: Path) -> None:
    (folder / "fuse").touch()
    batch = {"completion": [*texts(), "die"]}
    output = remote(url, folder, rows=4, retries=8, pause=0.1, deadline=120.0)(**batch)
    assert not (folder / "fuse").exists(), "a replica died"
    assert torch.equal(output.values, Fragile("")(**batch).values)


def test_strangers_and_giants_are_refused(url: str, folder: Path) -> None:
    with pytest.raises(UsageError, match="token"):
        RemoteReward(url)
    with pytest.raises(RewardError, match="200 a row"):
        remote(url, folder)(completion=["x" * 201])
    client = remote(url, folder)
    object.__setattr__(client.description, "rows", 10_000)
    client.rows = 10_000
    with pytest.raises(RewardError, match="65 rows"):
        client(completion=["x"] * 65)
    assert not client(completion=["x"]).values.isnan().any()


def test_two_clients_at_once_get_their_own_rows(url: str, folder: Path) -> None:
    client = remote(url, folder, rows=3)
    batches = [{"completion": ["y" * size] * 40} for size in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda batch: client(**batch), batches))
    for batch, output in zip(batches, found, strict=True):
        assert torch.equal(output.values, Fragile("")(**batch).values)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "give a reward"),
        ({"reward": "configs/rewards/token-f1.yaml"}, "token_file"),
        ({"reward": "configs/rewards/token-f1.yaml", "open": "true", "replica": "2"}, "replicas"),
        ({"reward": "configs/rewards/token-f1.yaml", "host": "0.0.0.0", "open": "true"}, "token_file"),
        ({"reward": "configs/rewards/history.yaml", "open": "true", "replicas": "2"}, "one replica"),
        ({"reward": "none.yaml", "open": "true"}, "no such file"),
    ],
)
def test_what_serve_run_refuses(arguments: dict[str, str], told: str) -> None:
    from common.scale.serve_app import app

    with pytest.raises(UsageError, match=told):
        app(arguments)


def test_a_worker_that_dies_loses_no_row(folder: Path, tmp_path: Path) -> None:
    rows = [{"id": number, "completion": text} for number, text in enumerate([*texts(), "die", "end"])]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reward = str(folder / "fragile.yaml")
    (folder / "fuse").unlink(missing_ok=True)
    run_score(reward, str(file), str(tmp_path / "expected.jsonl"), batch=10, json_output=True)
    (folder / "fuse").touch()
    out = tmp_path / "scored"
    run_score(reward, str(file), str(out), batch=10, ray=True, workers=2, shard=20, json_output=True)
    assert not (folder / "fuse").exists(), "a worker died"
    found = [row for part in sorted(out.glob("part-*.jsonl")) for _, row in read_jsonl(part)]
    expected = [row for _, row in read_jsonl(tmp_path / "expected.jsonl")]
    assert [(row["id"], row["reward"]) for row in found] == [(row["id"], row["reward"]) for row in expected]


def test_a_bad_row_is_named(folder: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"completion": "x" * number}) for number in range(30)]
    file, out = tmp_path / "rows.jsonl", tmp_path / "scored"
    file.write_text("\n".join([*lines[:25], '{"completion"', *lines[25:]]) + "\n")
    reward = str(folder / "fragile.yaml")
    with pytest.raises(UsageError, match=r"rows\.jsonl:26"):
        run_score(reward, str(file), str(out), ray=True, shard=10, json_output=True)
    assert len(list(out.glob("part-*.jsonl"))) < 4
