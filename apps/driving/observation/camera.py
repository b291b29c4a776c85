"""What a simulator's own camera saw, as VLM-RL's reward looks at it; the other views are drawn by us."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.base import Frame
from common.errors import UsageError


def picture(frame: Frame, size: int) -> NDArray[np.uint8]:
    """The right half of the camera's picture, squeezed into a square as in VLM-RL: `(3, size, size)` RGB uint8.

    Raises:
        UsageError: the simulator has no camera.
    """
    if frame.camera is None:
        raise UsageError(
            "env.picture.kind is camera, but the simulator has none; set simulator.kind to carla and "
            "simulator.carla.camera, or env.picture.kind to rgb"
        )
    half = np.ascontiguousarray(frame.camera[:, frame.camera.shape[1] // 2 :])
    square = cv2.resize(half, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(square.transpose(2, 0, 1), np.uint8)
