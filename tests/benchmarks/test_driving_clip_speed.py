"""What the pocket CLIP costs in the training loop. Run with `-m benchmark`, best on an idle machine.

Times are CPU seconds of this process on one thread.
"""

from __future__ import annotations

import time

import pytest
import torch

from common.files import locate
from common.models.clip import Clip

pytestmark = pytest.mark.benchmark

FOLDER = "assets/driving/clip"


def pictures_a_second(clip: Clip, batch: int, seconds: float = 1.5) -> float:
    pictures = torch.rand(batch, 3, 64, 64)
    clip.image(pictures)
    began, done = time.process_time(), 0
    while time.process_time() - began < seconds:
        clip.image(pictures)
        done += batch
    return done / (time.process_time() - began)


def test_a_batch_is_cheaper_than_one_by_one():
    if not locate(f"{FOLDER}/open_clip_config.json").is_file():
        pytest.skip("no pocket CLIP in this checkout")
    torch.set_num_threads(1)
    clip = Clip(f"local-dir:{FOLDER}")
    with torch.inference_mode():
        speeds = {batch: pictures_a_second(clip, batch) for batch in (1, 8, 32, 128)}
    print("pictures a second of CPU time:", {batch: round(speed) for batch, speed in speeds.items()})
    assert speeds[32] > 2 * speeds[1]
