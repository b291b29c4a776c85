"""Where the time of a run went."""

from __future__ import annotations

import pytest

from apps.text3d.optimisation.timing import REST, time_shares


def test_shares_are_of_the_whole_step_and_add_up() -> None:
    rows = [
        {"step": 1, "time/step": 2.0, "seconds": 1.0, "sds.share": 0.75, "vlm.semantic.share": 0.25},
        # A guidance whose weight was 0 was not asked; a step that was skipped has no figures.
        {"step": 2, "time/step": 2.0, "seconds": 0.5, "sds.share": 1.0},
        {"step": 3, "time/step": 1.0},
        {"step": 3, "stage": "another"},
    ]
    told = time_shares(rows)
    assert told["seconds_per_step"] == pytest.approx(5 / 3)
    assert told["shares"] == pytest.approx({"sds": 1.25 / 5, "vlm.semantic": 0.25 / 5, REST: 3.5 / 5})
    assert time_shares([]) == {"seconds_per_step": None, "shares": {}}
