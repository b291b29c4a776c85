"""Rewards of 256 transitions in one call against one by one. Run with `-m benchmark`.

Counted in CPU seconds of one thread, best of the repeats, so that other load matters less. The CLIP is a tiny random
one: with a real one its pictures are all that counts, and a batch gains what the device gains.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.driving.rewards import build
from common.models.clip import Clip
from common.rewards.base import take_rows
from tests.apps.driving.states import random_states
from tests.apps.driving.test_rewards import TEXTS, config
from tests.common.models.tiny_clip import tiny_clip_folder

pytestmark = pytest.mark.benchmark

ROWS, REPEATS = 256, 3


def seconds(work: Callable[[], Any]) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


@pytest.mark.parametrize("recipe", ["vlm_rl", "vlm_rl_no_clip", "progress", "carl"])
def test_a_batch_against_one_by_one(recipe: str, tmp_path: Path, record_property: Any) -> None:
    pytest.importorskip("open_clip")
    reward = build(config(recipe), Clip(tiny_clip_folder(tmp_path / "clip", TEXTS)))
    pictures = torch.rand(ROWS, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    columns = {"images": pictures, "state": random_states(ROWS), "group": torch.arange(ROWS)}
    rows = [take_rows(columns, [row], ROWS) for row in range(ROWS)]
    reward(**rows[0])
    together = seconds(lambda: reward(**columns))
    single = seconds(lambda: [reward(**row) for row in rows])
    record_property("ratio", single / together)
    print(f"\n{recipe}: {ROWS / together:,.0f} rows/s in a batch, {single / together:.1f} times one by one")
    assert single > together
