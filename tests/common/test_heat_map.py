"""The picture of audits: every figure stands in its cell."""

from __future__ import annotations

import math

from common.heat_map import Line, heat_map
from common.stats import Interval


def test_heat_map_shows_every_figure() -> None:
    none = Interval(math.nan, math.nan, math.nan, 0)
    lines = [
        Line("side", "left ↔ right", [Interval(0.5, 0.25, 0.75, 12), none]),
        Line("side", "both", [Interval(1.0, 0.9, 1.0, 30), Interval(0.0, 0.0, 0.1, 30)]),
    ]
    figure = heat_map(lines, ["ours", "other"], strong="ours", title="Kill rates")
    (axes,) = figure.axes
    written = [text.get_text() for text in axes.texts]
    assert written == ["side", "50", "25–75", "–", "100", "90–100", "0", "0–10"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["left ↔ right (n 12)", "both (n 30)"]
    assert [label.get_fontweight() for label in axes.get_xticklabels()] == ["bold", "normal"]
    faces = [patch.get_facecolor() for patch in axes.patches]
    assert len(set(faces)) == 4, "a half, nothing to show, all and none"
    inks = {text.get_color() for text in axes.texts if text.get_text() not in ("side",)}
    assert "black" not in inks, "a report turns black into the page's text colour, which a cell's text must not follow"
