"""Rows a second of a served reward beside the same reward in process. Run with `-n 0 -s -m benchmark`.

Wall seconds of one run, best of the repeats. Two rewards: one that takes next to nothing, so that the way there and
back is what is measured, and one that computes for some milliseconds a row, as those with a model do. On a machine
whose cores share their arithmetic, two replicas cannot compute twice as fast; `Waiting`, which only waits (as a judge
behind an API does), shows what is left of the scaling then.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("ray.serve", reason="Ray is not installed: pip install 'touchstone-rl[scale]'")

from common.rewards.build import read
from common.rewards.remote import RemoteReward
from common.scale.config import ServeConfig
from common.scale.serve_app import build_app
from common.scale.session import on_ray
from tests.common.rewards.reward_server import served

pytestmark = pytest.mark.benchmark

REPEATS = 3
CHEAP = {"name": "token_f1"}
BUSY = {"name": "tests.common.scale.fragile:Busy", "work": 200_000}
WAITING = {"name": "tests.common.scale.fragile:Waiting", "seconds": 0.01}


def best(work: Callable[[], Any], rows: int) -> float:
    """Rows a second."""
    seconds = float("inf")
    for _ in range(REPEATS):
        begun = time.perf_counter()
        output = work()
        seconds = min(seconds, time.perf_counter() - begun)
        assert not output.values.isnan().any()
    return rows / seconds


def batch(rows: int) -> dict[str, Any]:
    return {"completion": [f"the answer is {row}" for row in range(rows)], "reference": ["the answer is 7"] * rows}


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_what_the_wire_costs_and_what_replicas_bring(tmp_path: Path) -> None:
    from ray import serve

    torch.set_num_threads(1)
    sizes = {"cheap": 4096, "busy": 256, "waiting": 256}
    files = {}
    for name, spec in {"cheap": CHEAP, "busy": BUSY, "waiting": WAITING}.items():
        files[name] = tmp_path / f"{name}.yaml"
        files[name].write_text(json.dumps({"reward": spec}))
    found: dict[str, dict[str, float]] = {name: {} for name in files}
    for name, file in files.items():
        reward, rows = read(file), batch(sizes[name])
        found[name]["in process"] = best(lambda reward=reward, rows=rows: reward(**rows), sizes[name])
        with served(read(file)) as url:
            remote = RemoteReward(url, rows=64)
            found[name]["uvicorn"] = best(lambda remote=remote, rows=rows: remote(**rows), sizes[name])
    for name, speeds in found.items():
        print(name, {one: round(speed) for one, speed in speeds.items()}, flush=True)
    with on_ray(2):
        address = port()
        serve.start(http_options={"host": "127.0.0.1", "port": address})
        try:
            for replicas in (1, 2):
                # Requests are not joined: each would wait for the others of its batch.
                config = ServeConfig(replicas=replicas, cpus=0.25, joint_rows=1, joint_wait=0.0)
                apps = [
                    serve.RunTarget(build_app(config, str(file)), name, f"/{name}") for name, file in files.items()
                ]
                serve.run_many(apps)
                for name in files:
                    rows = batch(sizes[name])
                    remote = RemoteReward(
                        f"http://127.0.0.1:{address}/{name}", rows=64 if name == "cheap" else 16, concurrency=4
                    )
                    remote(**batch(64))  # connections and imports
                    found[name][f"Serve, {replicas}"] = best(lambda r=remote, rows=rows: r(**rows), sizes[name])
                    print(name, replicas, round(found[name][f"Serve, {replicas}"]), flush=True)
        finally:
            serve.shutdown()
    for name, speeds in found.items():
        print(f"{name}: " + ", ".join(f"{one} {speed:,.0f} rows/s" for one, speed in speeds.items()))
    assert found["waiting"]["Serve, 2"] > 1.4 * found["waiting"]["Serve, 1"], "what waits scales with replicas"
    # Of what waits, because what computes is as fast as other load lets it be: 52 and 219 rows/s in one loaded run.
    assert found["waiting"]["Serve, 1"] > 0.7 * found["waiting"]["in process"], "the wire is no more than the work"
