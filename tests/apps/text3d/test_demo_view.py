"""What the demo shows: escaped texts, bars on the right side, a curve that stays light."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np

from apps.text3d import demo_view
from apps.text3d.demo_answers import SceneAnswer
from apps.text3d.generate import learner_of
from apps.text3d.judging.geometry import judge
from apps.text3d.prompts.parser import parse
from apps.text3d.workbench import Moment
from tests.apps.text3d.demo_parts import settings

HOSTILE = "<img src=x onerror=alert(1)>"


def test_hostile_texts_are_escaped_everywhere():
    verdict = replace(
        judge(learner_of(settings(), parse("a red cube")).scene, parse("a red cube"), 16), reasons=(HOSTILE,)
    )
    answer = SceneAnswer(HOSTILE, HOSTILE, True, ((HOSTILE, 1.0),))
    moment = Moment(1, 2, HOSTILE, np.zeros((4, 8, 8, 3), np.uint8), ((1, 2.0),))
    pages = [
        demo_view.judged_html(verdict),
        demo_view.asked_html([answer], ""),
        demo_view.asked_html([], HOSTILE),
        demo_view.moment_html(moment),
        demo_view.made_html(None, moment, HOSTILE),
        demo_view.notice(HOSTILE, HOSTILE, HOSTILE),
        demo_view.empty_html(HOSTILE),
    ]
    for page in pages:
        assert "&lt;img src=x" in page
        assert "<img src=x" not in page


def test_bars_stand_on_the_side_of_right_and_wrong():
    told = [
        SceneAnswer("spatial", "left?", True, (("0°", 3.0), ("90°", -1.0))),
        SceneAnswer("spatial", "right?", False, (("0°", -9.0),)),
    ]
    page = demo_view.asked_html(told, "")
    assert re.findall(r'class="bar( wrong)?" style="left:([\d.]+)%;width:([\d.]+)%"', page) == [
        ("", "50.0", "8.3"),
        (" wrong", "0.0", "50.0"),
    ]
    assert "right in 1 of 3 answers" in page
    assert "+1.00" in page
    assert 'title="0°: +3.00; 90°: -1.00"' in page


def test_the_curve_is_light_and_tells_first_and_last_loss():
    page = demo_view.loss_html([(step, 100.0 / step) for step in range(1, 2001)])
    assert "loss from 100 to 0.05" in page
    assert len(page) < 12_000
    assert demo_view.loss_html([(1, 1.0)]) == ""
    assert demo_view.loss_html([(1, 1.0), (2, math.nan)]) == ""
    assert "NaN" not in demo_view.loss_html([(1, 1.0), (2, 1.0)])
