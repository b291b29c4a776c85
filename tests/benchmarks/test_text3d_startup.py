"""How much longer `generate` takes to start and take its first steps where every core is busy, by threads.

Run with `python -m pytest -n 0 -s -m benchmark tests/benchmarks/test_text3d_startup.py`; a few minutes. Busy are as
many processes as there are cores, each with one thread of arithmetic. Wall seconds of whole commands, the best of a few,
quiet and loaded ones in turn; what is asserted are ratios of one run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from apps.text3d.__main__ import APP
from apps.text3d.config import Text3dConfig
from common.config import load

pytestmark = pytest.mark.benchmark

REPEATS = 3
SHORT = (
    *("--optimise.steps=5", "--export.resolution=0", "--export.frames=0", "--export.size=24", "--export.views=2"),
    *("--evaluate.views=2", "--preview_every=0"),
)
BUSY = "x = 0\nwhile True:\n    x += 1"


@contextmanager
def load_on_every_core() -> Iterator[None]:
    """As many busy processes as cores."""
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
        for process in busy:
            process.wait()


def seconds(folder: Path, threads: int) -> float:
    """Of one whole command in a process of its own."""
    command = [sys.executable, "-m", "apps.text3d", "generate", "a red cube left of a blue sphere", *SHORT]
    name = f"run-{len(list(folder.iterdir()))}"
    began = time.perf_counter()
    subprocess.run(
        [*command, f"--threads={threads}", f"--runs={folder}", "--name", name],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return time.perf_counter() - began


def test_the_default_sets_one_thread_and_starts_under_load_within_twice_the_time(tmp_path: Path) -> None:
    """Case 33."""
    assert load(Text3dConfig, APP.default_config).threads == 1
    quiet, loaded = [], []
    for _ in range(REPEATS):
        quiet.append(seconds(tmp_path, 1))
        with load_on_every_core():
            loaded.append(seconds(tmp_path, 1))
    with load_on_every_core():
        own = seconds(tmp_path, torch.get_num_threads() if torch.get_num_threads() > 1 else os.cpu_count() or 1)
    ratio = min(loaded) / min(quiet)
    print(f"\nstart and 5 steps: quiet {min(quiet):.1f} s, every core busy {min(loaded):.1f} s: {ratio:.2f} times")
    print(f"with a thread for each core, every core busy: {own:.1f} s")
    assert ratio < 2
