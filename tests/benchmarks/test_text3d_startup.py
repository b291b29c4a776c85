"""How much longer `generate` takes to start and take its first steps where every core is busy.

Run with `python -m pytest -n 0 -s -m benchmark tests/benchmarks/test_text3d_startup.py`; a few minutes. Busy are as
many processes as there are cores, each with one thread of arithmetic. Wall seconds of whole commands, the best of a
few, quiet and loaded ones in turn; what is asserted is a ratio of one run. A yardstick, a process that only counts,
tells what any process loses to such a load; where the machine was busy before, that is more than a half.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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
YARDSTICK = "x = 0\nwhile x < 40_000_000:\n    x += 1"
#: Twice the time, where one process more than there are cores would fairly get two thirds of a core of two.
WORSE = 4 / 3


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


def seconds(*command: str, most: float = 300) -> float:
    """Of one whole command in a process of its own; infinite where that is more than `most`."""
    began = time.perf_counter()
    try:
        subprocess.run([sys.executable, *command], check=True, capture_output=True, timeout=most)
    except subprocess.TimeoutExpired:
        return math.inf
    return time.perf_counter() - began


def test_the_default_sets_one_thread_and_starts_under_load_within_twice_the_time(tmp_path: Path) -> None:
    """Case 33."""
    assert load(Text3dConfig, APP.default_config).threads == 1
    command = ("-m", "apps.text3d", "generate", "a red cube left of a blue sphere", *SHORT, f"--runs={tmp_path}")
    took: dict[str, list[float]] = {name: [] for name in ("quiet", "loaded", "counting", "counting, loaded")}
    for number in range(REPEATS):
        took["quiet"].append(seconds(*command, f"--name=quiet-{number}"))
        took["counting"].append(seconds("-c", YARDSTICK))
        with load_on_every_core():
            took["loaded"].append(seconds(*command, f"--name=loaded-{number}"))
            took["counting, loaded"].append(seconds("-c", YARDSTICK))
    quiet, loaded, counting, slowed = (min(each) for each in took.values())
    ratio, fair = loaded / quiet, slowed / counting
    print(f"\nstart and 5 steps: {quiet:.1f} s, every core busy {loaded:.1f} s: {ratio:.2f} times")
    print(f"a process that only counts: {fair:.2f} times")
    with load_on_every_core():
        many = seconds(*command, "--name=many", f"--threads={os.cpu_count()}", most=3 * loaded)
    print(f"with a thread for each core, every core busy: {many:.1f} s (given up after {3 * loaded:.0f})")
    assert ratio < 2 or ratio < WORSE * fair
