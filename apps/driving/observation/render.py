"""The picture that people want to see: the view from above with what the car does written on it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.base import Frame
from apps.driving.env_config import KMH

WHITE = (240, 240, 240)
BAR = (70, 200, 110)
HIT = (235, 60, 60)
DARK = (20, 20, 20)
#: Of the text, as cv2 counts it.
SIZE = 0.48


def annotate(picture: NDArray[np.uint8], frame: Frame, progress: float, offset: float) -> NDArray[np.uint8]:
    """A view `(3, H, W)` as `(H, W, 3)` with speed, pedals, offset and progress; red where a collision began."""
    image = np.ascontiguousarray(picture.transpose(1, 2, 0))
    height, width = image.shape[:2]
    ego = frame.ego
    pedals = f"throttle {ego.throttle:.2f}" if ego.throttle >= ego.brake else f"brake {ego.brake:.2f}"
    lines = (
        f"{ego.speed / KMH:4.1f} km/h  {pedals}  steer {ego.steer:+.2f}",
        f"{frame.time:5.1f} s  offset {offset:+.2f} m",
    )
    # A box and no outline: cv2 5 draws a thicker text wider, and the outline would lie beside its letters.
    longest = max(cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, SIZE, 1)[0][0] for line in lines)
    cv2.rectangle(image, (0, 0), (longest + 20, 20 * len(lines) + 8), DARK, -1)
    for number, line in enumerate(lines, 1):
        cv2.putText(image, line, (10, 20 * number), cv2.FONT_HERSHEY_SIMPLEX, SIZE, WHITE, 1, cv2.LINE_AA)
    cv2.rectangle(image, (0, height - 6), (width, height), DARK, -1)
    image[height - 6 :, : round(width * min(max(progress, 0.0), 1.0))] = BAR
    if frame.collisions:
        cv2.rectangle(image, (0, 0), (width - 1, height - 1), HIT, 6)
    return image
