"""A step in passes: every caption once, like lengths together, and what belongs together stays so."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from apps.captioning.learning.descent import by_length

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=30)


@given(LENGTHS, st.integers(1, 12))
def test_every_row_once_and_the_short_ones_first(lengths: list[int], size: int) -> None:
    passes = by_length(torch.tensor(lengths), size)
    assert sorted(torch.cat([rows for rows, _ in passes]).tolist()) == list(range(len(lengths)))
    assert all(len(rows) <= size for rows, _ in passes)
    assert [longest for _, longest in passes] == [max(lengths[row] for row in rows) for rows, _ in passes]
    # Sorted: the longest of a pass is no longer than the shortest of the next.
    assert all(longest <= min(lengths[row] for row in rows) for (_, longest), (rows, _) in pairwise(passes))


@given(st.lists(st.integers(1, 40), min_size=2, max_size=30), st.integers(2, 12))
def test_groups_stay_together(lengths: list[int], size: int) -> None:
    lengths = lengths[: len(lengths) // 2 * 2]
    for rows, longest in by_length(torch.tensor(lengths), size, group=2):
        assert len(rows) <= max(2, size)
        assert [row // 2 * 2 for row in rows.tolist()[::2]] == rows.tolist()[::2]
        assert [row + 1 for row in rows.tolist()[::2]] == rows.tolist()[1::2]
        assert longest == max(lengths[row] for row in rows)


@given(LENGTHS)
def test_a_size_of_nothing_leaves_all_in_one_pass_and_in_order(lengths: list[int]) -> None:
    ((rows, longest),) = by_length(torch.tensor(lengths), 0)
    assert rows.tolist() == list(range(len(lengths)))
    assert longest == max(lengths)


def test_nothing_makes_no_pass() -> None:
    assert by_length(torch.tensor([], dtype=torch.long), 4) == []
    assert by_length(torch.tensor([], dtype=torch.long), 0) == []
