"""Draws a study: the same picture for the same study on every machine with one numpy."""

from __future__ import annotations

import numpy as np
from PIL import Image

from apps.medvqa.pocket.catalogue import LABEL
from apps.medvqa.pocket.drawing import abdomen, chest, head, leg
from apps.medvqa.pocket.drawing.canvas import Canvas, Dice, write
from apps.medvqa.pocket.study import SIZE, Study
from common.errors import UsageError

LEAST = 56  # below this no finding can be told


def draw(study: Study, size: int = SIZE) -> Image.Image:
    """The picture of a study, grey (mode L), `size` x `size` pixels; at every size the same truth.

    The patient's right is on the picture's left, as radiologists hang films; the markers L and R say so. The word
    PHANTOM stands in the pixels, the whole label in the picture's `info`.

    Raises:
        UsageError: too small for its findings.
    """
    if size < LEAST:
        raise UsageError(f"a phantom needs {LEAST} pixels or more, not {size}")
    grain = 0.022
    if study.organ == "chest":
        canvas = chest.draw(study, size)
    elif study.organ == "head":
        canvas = head.draw(study, size)
    elif study.organ == "leg":
        canvas = leg.draw(study, size)
    else:
        canvas, mask = abdomen.draw(study, size)
        speckle = Dice(study.seed, "speckle").generator.standard_normal((size, size), np.float32)
        canvas.pixels *= mask * (1 + 0.2 * speckle)
        grain = 0.008
    _mark(canvas, study)
    picture = canvas.finish(Dice(study.seed, "film"), grain)
    picture.info["label"] = LABEL
    return picture


def _mark(canvas: Canvas, study: Study) -> None:
    if study.organ == "kidney":
        write(canvas, study.side[0].upper(), (0.07, 0.1), 1.0, 2)
    elif study.organ != "gallbladder":
        height = 0.6 if study.organ == "leg" else 0.06
        write(canvas, "R", (0.03, height), 1.0)
        write(canvas, "L", (0.97, height), 1.0)
    write(canvas, "PHANTOM", (0.0, 1.0), 0.75)
