"""What CLIP-agg's targets, the rewards and the captioner cost. Run with `-m benchmark`, best on an idle machine.

Times are CPU seconds of this process on one thread, so that other load on the machine matters less. Memory is the
peak of a process of its own (`VmHWM`, set back before) above what was resident when the work began, the corpus' pages,
which are mapped from disk and the system's to drop, included in the latter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from apps.captioning.aggregation import aggregate
from apps.captioning.rewards import ClipAgg, ClipCos
from common.models.clip import Clip
from tests.apps.captioning.tiny import new_tiny_captioner
from tests.apps.captioning.tiny_models import sentences, tiny_config

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).resolve().parents[2]
TEMPERATURE = 100.0

MEASURE = """
import json, sys, time
import numpy as np, torch
from apps.captioning.aggregation import aggregate

torch.set_num_threads(1)
path, rows, pictures, whole = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "whole"
keys = np.load(path, mmap_mode="r")[:rows]
queries = torch.nn.functional.normalize(torch.randn(pictures, keys.shape[1]))
aggregate(queries[:2], keys[:100])
keys.sum()  # its pages are resident from here on

def resident(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))

with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak starts again at what is resident now
before, began = resident("VmRSS"), time.process_time()
if whole:
    torch.softmax(100.0 * queries @ torch.from_numpy(keys.copy()).T, 1) @ torch.from_numpy(keys.copy())
else:
    aggregate(queries, keys)
seconds = time.process_time() - began
print(json.dumps({"megabytes": (resident("VmHWM") - before) / 1024, "seconds": seconds}))
"""


def units(rows: int, width: int, seed: int = 0) -> Tensor:
    drawn = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1)


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """CPU seconds of the fastest run; the first is not counted."""
    work()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="reads memory from /proc")
def test_targets_in_memory_that_does_not_grow(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    pictures, width, sizes = 256, 64, (150_000, 300_000, 600_000)
    corpus = np.lib.format.open_memmap(tmp_path / "corpus.npy", "w+", np.float32, (max(sizes), width))
    for start in range(0, max(sizes), 50_000):
        corpus[start : start + 50_000] = units(50_000, width, start).numpy()
    corpus.flush()

    def measured(rows: int, form: str) -> dict[str, float]:
        command = [sys.executable, "-c", MEASURE, str(tmp_path / "corpus.npy"), str(rows), str(pictures), form]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    streamed = [measured(rows, "streamed") for rows in sizes]
    whole = [measured(rows, "whole") for rows in sizes]
    print(f"\n{pictures} pictures, {width} dimensions; sentences: streamed MB (and CPU s) | whole softmax MB")
    for rows, one, other in zip(sizes, streamed, whole, strict=True):
        record_property(f"streamed_megabytes_{rows}", round(one["megabytes"]))
        record_property(f"streamed_seconds_{rows}", round(one["seconds"], 2))
        print(f"{rows:8,}: {one['megabytes']:6.0f} MB ({one['seconds']:.2f} s) | {other['megabytes']:6.0f} MB")
    # The allocator may keep a freed chunk of 16 MB, or two, whatever the corpus' size.
    assert streamed[-1]["megabytes"] <= 1.25 * streamed[0]["megabytes"], "flat in the size of the corpus"
    assert whole[-1]["megabytes"] >= 3 * whole[0]["megabytes"], "what it is compared with grows"
    assert 3.0 <= streamed[-1]["seconds"] / streamed[0]["seconds"] <= 5.3, "four times the corpus, four times the work"


def published(queries: Tensor, keys: Tensor) -> Tensor:
    """The published way, picture by picture: weights over the whole corpus in float64, kept as float16.

    Written from its description (float64, no maximum subtracted); the corpus is converted once, not for each picture.
    """
    corpus = keys.double()
    targets = []
    for query in queries.double():
        weights = (TEMPERATURE * (corpus @ query)).exp()
        targets.append(((weights / weights.sum()) @ corpus).half())
    return torch.stack(targets)


def test_targets_against_the_published_loop(record_property: pytest.RecordProperty) -> None:
    for pictures, rows, width in ((64, 50_000, 512), (256, 50_000, 128)):
        queries, keys = units(pictures, width, 1), units(rows, width)
        torch.testing.assert_close(aggregate(queries, keys), published(queries, keys).float(), atol=1e-3, rtol=1e-2)
        ours = seconds(lambda q=queries, k=keys: aggregate(q, k))
        theirs = seconds(lambda q=queries, k=keys: published(q, k), 1)
        record_property(f"ratio_{pictures}x{rows}x{width}", round(theirs / ours, 1))
        print(
            f"\n{pictures} pictures × {rows:,} sentences × {width}: {ours:.2f} s streamed, {theirs:.2f} s picture by "
            f"picture in float64: {theirs / ours:.1f} times"
        )
        assert theirs / ours >= 2


def test_the_reward_of_a_caption(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    """32 pictures, 8 captions of each, as in a step of training; features and targets are there already."""
    pocket = ROOT / "assets/captioning/clip"
    folder = pocket if pocket.is_dir() else Path(tiny_config(tmp_path).clip.name.removeprefix("local-dir:"))
    clip = Clip(folder, batch_size=256)
    features = units(32, clip.dim).repeat_interleave(8, 0)
    captions = sentences(256)
    corpus = clip.text(sentences(10_000, 1))
    agg = ClipAgg(clip, corpus)
    columns = {"completion": captions, "images": features}
    targets = agg.targets(features)
    print(
        f"\nCLIP {folder.name}{'' if pocket.is_dir() else ' (tiny, random)'}, corpus of {len(corpus):,}; ms a caption"
    )
    for name, work in {
        "clip_cos": lambda: ClipCos(clip)(**columns),
        "clip_agg, target known": lambda: agg(**columns, target=targets),
        "clip_agg, target made": lambda: agg(**columns),
    }.items():
        spent = 1000 * seconds(work) / len(captions)
        record_property(f"ms_a_caption: {name}", round(spent, 3))
        print(f"{name}: {spent:.3f}")
        assert spent < 20


def test_captions_by_batch_size(record_property: pytest.RecordProperty) -> None:
    captioner, longest = new_tiny_captioner(), 20
    features = units(256, 32)
    print("\nGreedy captions of a tiny captioner (width 32, two layers), a CPU second; tokens in brackets")
    rates = {}
    for size in (1, 8, 64, 256):
        count = min(256, 16 * size)
        parts = features[:count].split(size)
        spent = seconds(lambda parts=parts: [captioner.generate(part, longest) for part in parts])
        tokens = sum(int(captioner.generate(part, longest).lengths.sum()) for part in parts)
        rates[size] = count / spent
        record_property(f"captions_a_second_{size}", round(rates[size]))
        print(f"batch {size:3}: {rates[size]:7.0f} ({tokens / spent:.0f})")
    assert rates[8] > 2 * rates[1]
    assert rates[64] > rates[8]
    whole = [text for part in features.split(64) for text in captioner.generate(part, longest).texts]
    single = [captioner.generate(feature[None], longest).texts[0] for feature in features[:64]]
    assert whole[:64] == single, "a batch changes no caption"
