from __future__ import annotations

import json
from collections import Counter
from itertools import chain, islice

import pytest

from common.errors import UsageError
from common.training.sampler import CyclicSampler


def batches(sampler: CyclicSampler, count: int) -> list[list[int]]:
    return [sampler.next() for _ in range(count)]


@pytest.mark.parametrize(("size", "batch"), [(10, 3), (10, 10), (10, 1), (3, 10), (1, 4), (7, 5)])
def test_every_batch_is_full_and_every_epoch_shows_each_row_once(size: int, batch: int) -> None:
    drawn = batches(CyclicSampler(size, batch, seed=1), 4 * size)
    assert all(len(own) == batch for own in drawn)
    rows = list(chain(*drawn))
    for start in range(0, len(rows) - size + 1, size):
        assert sorted(rows[start : start + size]) == list(range(size))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    def epoch(seed: int, skipped: int = 0) -> list[int]:
        return batches(CyclicSampler(50, 50, seed), skipped + 1)[-1]

    assert epoch(0) == epoch(0)
    assert len({tuple(epoch(seed, skipped)) for seed in range(3) for skipped in range(3)}) == 9
    assert epoch(0) != list(range(50))


@pytest.mark.parametrize(("size", "batch"), [(10, 3), (10, 5), (3, 10), (1, 1)])
def test_resumed_is_the_same_as_never_stopped(size: int, batch: int) -> None:
    whole = batches(CyclicSampler(size, batch, seed=7), 30)
    for done in range(30):
        first = CyclicSampler(size, batch, seed=7)
        batches(first, done)
        state = json.loads(json.dumps(first.state_dict()))
        second = CyclicSampler(size, batch, seed=7)
        second.next()
        second.load_state_dict(state)
        assert batches(second, 30 - done) == whole[done:]
        assert second.state_dict()["epoch"] == (30 * batch - 1) // size


def test_unequal_sizes_go_side_by_side() -> None:
    pictures, corpus = CyclicSampler(7, 4, seed=0), CyclicSampler(3, 4, seed=1)
    drawn = list(islice(zip(pictures, corpus, strict=False), 21))
    assert len(drawn) == 21
    assert set(Counter(chain(*(own for own, _ in drawn))).values()) == {12}
    assert set(Counter(chain(*(own for _, own in drawn))).values()) == {28}


@pytest.mark.parametrize(("size", "batch", "seed"), [(0, 4, 0), (4, 0, 0), (4, 4, -1)])
def test_nothing_to_draw_is_an_error(size: int, batch: int, seed: int) -> None:
    with pytest.raises(UsageError, match="cannot draw batches"):
        CyclicSampler(size, batch, seed)


def test_a_state_of_other_data_is_refused() -> None:
    state = CyclicSampler(10, 3, seed=1).state_dict()
    with pytest.raises(UsageError, match=r"size 10 -> 11, seed 1 -> 2; resume with the data"):
        CyclicSampler(11, 3, seed=2).load_state_dict(state)
    for broken in ({}, {**state, "position": 11}, {**state, "epoch": "1"}):
        with pytest.raises(UsageError, match="no sampler's state"):
            CyclicSampler(10, 3, seed=1).load_state_dict(broken)
