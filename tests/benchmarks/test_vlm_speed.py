"""What a tensor picture's way into a Qwen-VL costs against the stock processor's. Run with `-m benchmark`.

Times are CPU seconds of this process on one thread, the least of several rounds, so that other load matters less.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import Qwen2VLImageProcessor

from common.models.vlm_input import Preprocess

pytestmark = pytest.mark.benchmark

#: Pictures in a batch, height and width: rendered views, a photograph, and pictures that are not resized.
CASES = [(8, 256, 256), (2, 768, 1024), (8, 252, 252)]


def seconds(works: dict[str, Callable[[], Any]], rounds: int = 12) -> dict[str, float]:
    """The least time of each, taken in turn."""
    least = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            began = time.process_time()
            work()
            least[name] = min(least[name], time.process_time() - began)
    return least


@pytest.mark.parametrize("case", CASES)
def test_preprocess_against_the_stock_processor(case: tuple[int, int, int]) -> None:
    number, height, width = case
    processor = Qwen2VLImageProcessor()
    preprocess = Preprocess.of(processor)
    pixels = torch.randint(0, 256, (number, 3, height, width), dtype=torch.uint8)
    pictures = pixels.float() / 255
    images = [Image.fromarray(each.permute(1, 2, 0).numpy()) for each in pixels]
    leaf = pictures.clone().requires_grad_()
    floats = {"do_rescale": False, "return_tensors": "pt"}
    works: dict[str, Callable[[], Any]] = {
        "stock, the same float tensor": lambda: processor(images=list(pictures), **floats),
        "stock, Pillow pictures": lambda: processor(images=images, return_tensors="pt"),
        "ours": lambda: preprocess(pictures),
        "ours, 8 bits": lambda: replace(preprocess, eight_bits=True)(pictures),
        "ours, Pillow pictures": lambda: preprocess.of_images(images),
        "ours, there and back": lambda: preprocess(leaf)[0].sum().backward(),
    }
    taken = seconds(works)
    print(f"\n{number} pictures of {height} x {width}, ms each:")
    for name, time_ in taken.items():
        print(f"  {name:30} {1000 * time_ / number:7.3f}")
    # The same kernels do the work: what differs is noise.
    assert taken["ours"] < 1.5 * taken["stock, the same float tensor"]
