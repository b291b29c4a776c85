"""What is written on the picture that people look at."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from apps.driving.backends.base import NOBODY, Collision, Frame, Kind
from apps.driving.observation.render import BAR, DARK, HIT, WHITE, annotate
from tests.apps.driving.observation.scenes import ego

BACK = (90, 140, 200)


def shown(progress=0.5, offset=0.0, hits=(), size=512, **more):
    picture = np.empty((3, size, size), np.uint8)
    picture[:] = np.array(BACK, np.uint8)[:, None, None]
    kept = picture.copy()
    found = annotate(picture, Frame(0, 12.3, ego(**more), NOBODY, hits), progress, offset)
    assert (picture == kept).all()
    return found


def where(image, colour):
    return (image == colour).all(2)


def test_it_is_an_upright_picture_with_a_text_in_a_dark_box():
    image = shown(speed=7.0, throttle=0.4)
    assert image.shape == (512, 512, 3)
    box = ~where(image, BACK)[:-6]
    rows, columns = np.nonzero(box)
    # One filled rectangle at the corner: no letter has an outline that lies beside it.
    assert box[: rows.max() + 1, : columns.max() + 1].all()
    assert rows.max() < 60
    letters = np.argwhere(where(image, WHITE))
    assert len(letters) > 100
    assert letters.min(0) == pytest.approx((8, 10), abs=6)
    assert letters[:, 0].max() < rows.max() - 2
    assert letters[:, 1].max() < columns.max() - 2
    assert tuple(image[2, 2]) == DARK


def test_the_bar_is_as_long_as_the_progress():
    for progress in (0.0, 0.25, 1.0):
        bar = where(shown(progress), BAR)[-3]
        assert bar.sum() == pytest.approx(512 * progress, abs=2)
    assert where(shown(1.7), BAR)[-3].all()
    assert not where(shown(-1.0), BAR).any()


def test_a_collision_puts_a_frame_round_the_picture():
    image = shown(hits=(Collision(0, 1, Kind.VEHICLE, 3.0),))
    for edge in (image[200, 0], image[200, -1], image[0, 500], image[-1, 200]):
        assert tuple(edge) == HIT
    assert not where(shown(), HIT).any()


def test_the_text_tells_speed_pedals_and_offset(monkeypatch):
    said = []
    monkeypatch.setattr(cv2, "putText", lambda image, text, *rest: said.append(text))
    shown(speed=7.0, throttle=0.4, steer=-0.25, offset=1.5)
    shown(speed=0.0, brake=0.8)
    assert said[0] == "25.2 km/h  throttle 0.40  steer -0.25"
    assert said[1] == " 12.3 s  offset +1.50 m"
    assert "brake 0.80" in said[2]


def test_a_small_picture_is_written_on_too():
    assert shown(size=64).shape == (64, 64, 3)
