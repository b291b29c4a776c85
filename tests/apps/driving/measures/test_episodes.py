"""Episodes survive a file."""

from __future__ import annotations

import json

import pytest

from apps.driving.measures.episodes import Episode, driven, one_backend
from common.errors import DataError, UsageError
from tests.apps.driving.measures.made import episode


def test_an_episode_is_the_same_after_json():
    one = episode(
        hits=[("vehicle", 12.5, 7)], track=[[1.0, 2.0, 0.1, 5.0]], vlm_rl_completion=0.5, vlm_rl_success=True
    )

    assert Episode.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert Episode.from_dict(json.loads(json.dumps(one.to_dict(track=False)))).track == ()


def test_something_else_is_refused():
    with pytest.raises(DataError, match="no episode"):
        Episode.from_dict({"case": {"town": "x"}})


def test_there_must_be_one_simulator():
    assert one_backend([episode()]) == "embedded"
    with pytest.raises(UsageError, match="nothing to measure"):
        one_backend([])


def test_driven_leaves_out_what_the_simulator_broke_off():
    kept = episode("a")
    assert driven([kept, episode("b", cause="backend lost")]) == [kept]
