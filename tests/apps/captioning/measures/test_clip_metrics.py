from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from apps.captioning.measures.clip_metrics import clip_score, prefixed, ref_clip_score, retrieval
from common.errors import UsageError


def unit(*angles: float) -> np.ndarray:
    return np.array([[math.cos(angle), math.sin(angle)] for angle in np.radians(angles)])


def test_clip_score_is_the_clipped_cosine_times_two_and_a_half() -> None:
    pictures, captions = unit(0, 0, 0), unit(60, 120, 0) * np.array([[1.0], [2.0], [0.0]])
    assert clip_score(pictures, captions).each == pytest.approx([1.25, 0.0, 0.0])
    assert clip_score(torch.tensor(pictures), torch.tensor(captions), weight=2.0).each == pytest.approx([1.0, 0, 0])
    assert prefixed(["a dog"]) == ["A photo depicts a dog"]


def test_ref_clip_score_is_a_harmonic_mean_and_0_where_it_has_no_value() -> None:
    pictures, captions = unit(0, 0, 0), unit(60, 120, 60)
    found = ref_clip_score(pictures, captions, [unit(60, 200), unit(300), unit(240)])
    # Seen 1.25 with a reference at cosine 1; 0 and 0; 1.25 and nothing near.
    assert found.each == pytest.approx([2 * 1.25 / 2.25, 0.0, 0.0])


def test_batches_change_nothing() -> None:
    rng = np.random.default_rng(0)
    pictures, captions = rng.normal(size=(40, 8)), rng.normal(size=(40, 8))
    whole = np.array(clip_score(pictures, captions).each)
    parts = [clip_score(pictures[at : at + 7], captions[at : at + 7]).each for at in range(0, 40, 7)]
    assert whole == pytest.approx(np.concatenate(parts), abs=1e-12)


def test_retrieval_both_ways() -> None:
    pictures = unit(0, 30, 60, 90)
    captions = unit(2, 33, 91, 58)  # the last two are swapped
    found = {result.name: result.value.mean for result in retrieval(pictures, captions) if result.value is not None}
    assert found["caption_r@1"] == found["picture_r@1"] == 0.5
    assert found["caption_r@5"] == found["picture_r@10"] == 1.0
    assert found["caption_median_rank"] == 1.5


def test_the_same_caption_for_every_picture_finds_it_at_chance() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.normal(size=(50, 8))
    captions = np.tile(rng.normal(size=8), (50, 1)) + rng.normal(size=(50, 8)) * 1e-9
    found = {result.name: result.value for result in retrieval(pictures, captions)}
    assert found["caption_r@1"].mean == pytest.approx(1 / 50)
    assert found["caption_median_rank"].mean == pytest.approx(25.5)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(N, D\)"):
        clip_score(unit(0, 1), unit(0))
    with pytest.raises(UsageError, match="1 or more"):
        ref_clip_score(unit(0), unit(0), [np.zeros((0, 2))])
    with pytest.raises(UsageError, match="2 sets"):
        ref_clip_score(unit(0), unit(0), [unit(0), unit(0)])
