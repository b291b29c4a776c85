"""CIDEr-D of 5,000 captions with five references each, against pycocoevalcap. Run with `-m benchmark`.

Counted in CPU seconds of one thread, best of the repeats, so that other load matters less. Both get tokenised texts.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.ptb import tokenize
from common.rewards.text import CiderD
from common.rewards.text.cider import DocumentFrequency, corpus_cider_d

pytestmark = pytest.mark.benchmark

PICTURES, REPEATS = 5000, 3


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    best, result = float("inf"), None
    for _ in range(REPEATS):
        gc.collect()
        started = time.process_time()
        result = work()
        best = min(best, time.process_time() - started)
    return best, result


@pytest.fixture(scope="module")
def captions(shared: Path) -> list[str]:
    lines = (shared / "data/flickr8k_text/Flickr8k.token.txt").read_text("utf-8").splitlines()
    return [line.split("\t")[1] for line in lines[: 5 * PICTURES]]


def test_cider_d_as_a_reward(captions: list[str], record_property: Any) -> None:
    theirs = pytest.importorskip("pycocoevalcap.cider.cider").Cider()
    texts = [" ".join(tokenize(caption)) for caption in captions]
    references = [texts[5 * at : 5 * at + 5] for at in range(PICTURES)]
    # Half a right beginning with another end, half the caption of another picture: scores of every size.
    completions = [
        f"{' '.join(references[at][0].split()[:6])} {' '.join(texts[(at * 7 + 3) % len(texts)].split()[-4:])}"
        if at % 2
        else texts[(at * 35 + 5) % len(texts)]
        for at in range(PICTURES)
    ]
    gts, res = dict(enumerate(references)), {at: [text] for at, text in enumerate(completions)}
    slow, (_, expected) = seconds(lambda: theirs.compute_score(gts, res))
    cold, found = seconds(
        lambda: corpus_cider_d(
            [text.split() for text in completions], [[one.split() for one in right] for right in references]
        )
    )
    reward = CiderD(DocumentFrequency.from_references(references, tokenizer="blanks"))
    reward(completion=completions, reference=references)  # the first epoch prepares the references
    warm, output = seconds(lambda: reward(completion=completions, reference=references))
    assert found == pytest.approx(expected, abs=1e-9)
    assert output.values.numpy() == pytest.approx(expected, abs=1e-5)
    assert 0.2 < np.mean(expected) < 5
    figures = {"pycocoevalcap": slow, "cold": cold, "warm": warm, "cold_ratio": slow / cold, "warm_ratio": slow / warm}
    for name, value in figures.items():
        record_property(name, round(value, 3))
    print(
        f"\nCIDEr-D, {PICTURES} captions x 5 references: pycocoevalcap {slow:.2f} s; ours with references prepared "
        f"{warm:.2f} s ({slow / warm:.1f}x), everything from nothing {cold:.2f} s ({slow / cold:.1f}x)"
    )
    assert slow / warm >= 5


def test_tokenizer(captions: list[str]) -> None:
    def cut() -> None:
        tokenize.cache_clear()
        for caption in captions:
            tokenize(caption)

    took, _ = seconds(cut)
    print(f"\ntokenizer: {1e6 * took / len(captions):.1f} µs a caption, {len(captions) / took:.0f} captions/s")
    assert took / len(captions) < 1e-4
