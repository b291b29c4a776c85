"""Episodes in pieces: order, repetition and checkpoints change nothing."""

from __future__ import annotations

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.errors import MissingColumn, RewardError
from common.rewards.episodes.memory import Episodes, any_of, look_up, whole


def take(episodes: Episodes, groups: list[int], places: list[int], ends: list[int]) -> list[int]:
    rows = torch.tensor([[100.0 * group + place] for group, place in zip(groups, places, strict=True)])
    flags = torch.zeros(len(groups), dtype=torch.bool)
    flags[ends] = True
    return episodes.take_in(torch.tensor(groups), torch.tensor(places), rows, flags)


@given(st.permutations(range(6)), st.integers(0, 6))
def test_pieces_in_any_order_make_the_same_episode(order: list[int], cut: int) -> None:
    episodes = Episodes()
    for piece in (order[:cut], order[cut:], order[:2]):
        take(episodes, [1] * len(piece), list(piece), [])
    assert episodes.places(1) == list(range(6))
    assert episodes.rows(1).flatten().tolist() == [100, 101, 102, 103, 104, 105]


def test_an_ended_episode_stays_until_a_batch_comes_without_it() -> None:
    episodes = Episodes()
    take(episodes, [1, 2], [0, 0], [])
    assert take(episodes, [1], [1], [0]) == [1]
    assert take(episodes, [1], [1], [0]) == [1]
    assert len(episodes.rows(1)) == 2
    take(episodes, [2], [1], [])
    assert 1 not in episodes
    assert len(episodes.rows(2)) == 2


def test_the_limit_drops_the_oldest_but_nothing_of_the_batch() -> None:
    episodes = Episodes(limit=2)
    take(episodes, [1, 2, 3], [0, 0, 0], [])
    assert all(group in episodes for group in (1, 2, 3))
    take(episodes, [3], [1], [])
    assert [group in episodes for group in (1, 2, 3)] == [False, True, True]
    with pytest.raises(RewardError):
        Episodes(0)


def test_a_checkpoint_in_the_middle() -> None:
    episodes = Episodes()
    take(episodes, [1, 2], [3, 0], [1])
    again = Episodes()
    again.load_state_dict(pickle.loads(pickle.dumps(episodes.state_dict())))
    for one in (episodes, again):
        take(one, [1], [4], [])
        assert one.rows(1).flatten().tolist() == [103, 104]
        assert 2 not in one


def test_columns_of_columns() -> None:
    columns = {"state": {"step": torch.tensor([1.0, 2.0]), "end": torch.tensor([0.0, 1.0])}, "late": [1, 0]}
    assert whole("r", look_up("r", columns, "state.step"), "state.step").tolist() == [1, 2]
    assert any_of("r", columns, ("state.end", "late")).tolist() == [True, True]
    for path in ("state.none", "none", "late.x"):
        with pytest.raises(MissingColumn):
            look_up("r", columns, path)
    for wrong in ([0.5], [float("nan")]):
        with pytest.raises(RewardError, match="whole"):
            whole("r", wrong, "x")
