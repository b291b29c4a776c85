"""Two processes train a Qwen-VL, of which one or the other has a batch without pictures; minutes on a busy machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoProcessor, ProcessorMixin

from common.files import read_json
from tests.common.training.vision import seeing

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[4]


def test_batches_with_and_without_pictures_side_by_side(tmp_path: Path) -> None:
    """trl would gather the pictures of those processes that have some, and wait for the others for ever."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "OMP_NUM_THREADS": 1, "MASTER_ADDR": "127.0.0.1"}
    started = []
    for rank in range(2):
        place = {**shared, "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank}
        command = [sys.executable, "-m", "tests.common.training.vision.seeing_processes", str(tmp_path)]
        environment = {**os.environ, **{name: str(value) for name, value in place.items()}}
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        for process in started:
            _, said = process.communicate(timeout=300)
            assert process.returncode == 0, said[-2000:]
    finally:
        for process in started:
            process.kill()
    one, other = (read_json(tmp_path / f"{rank}.json") for rank in range(2))
    assert one == other
    assert one["taught"] != one["rewarded"]
    assert len(one["scores seen"]) == 3 * 2 * 3, "a reward that learns has seen the rows of both processes"
    assert one["taught"] != pytest.approx(sum(float(p.detach().double().norm()) for p in seeing.model().parameters()))
    final = tmp_path / "toy" / "run" / "checkpoints" / "grpo" / "final"
    assert isinstance(AutoProcessor.from_pretrained(final), ProcessorMixin)
