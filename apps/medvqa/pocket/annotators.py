"""Careless annotators: demonstrations as people write them, who name the viewer's side or leave out where.

Two known flaws of collected data. On a film the patient's right is on the picture's left, and captions often say the
viewer's side instead; and answers are often shorter than what was asked for: a finding without its place and size, a
place without its side. A model that is taught by such demonstrations sees what is there and does not say it. That is
what a reward can mend and more demonstrations of the same kind cannot.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace

from apps.medvqa.data import Example

#: Organs whose sides are turned round in the picture; a kidney's picture has one side, which its marker tells.
TURNED = frozenset({"chest", "head", "leg"})
_OTHER = {"left": "right", "right": "left"}
_EXPLAINED = re.compile(r"on the (left|right) of the image: the patient's (?:left|right)")
_SIDE = re.compile(r"\b(left|right)\b(?! of the image)")
_DETAIL = re.compile(r" (?:in|on) the (?:(?! and |, ).)+|\b\d+ mm (?=[a-z])|\b(?:left|right) (?=[a-z])")


def viewers_side(example: Example) -> Example:
    """The demonstration with the viewer's left and right; unchanged where its answer names no side of a film."""
    if example.tags["organ"] not in TURNED or example.kind != "open" or not _SIDE.search(example.answer):
        return example
    reasoning = _EXPLAINED.sub(r"on the \1 of the image", example.reasoning)
    return replace(
        example,
        answer=_SIDE.sub(_swapped, example.answer),
        reasoning=_SIDE.sub(_swapped, reasoning),
        tags={**example.tags, "annotator": "viewer"},
    )


def terse(example: Example) -> Example:
    """The demonstration without the side, the place and the size beside what its answer names; its reasoning stays."""
    short = _DETAIL.sub("", example.answer)
    if example.kind != "open" or short == example.answer:
        return example
    return replace(example, answer=short, tags={**example.tags, "annotator": "terse"})


def annotated(example: Example, viewers: float, hurried: float, seed: int = 0) -> Example:
    """The demonstration as its annotator wrote it, always the same one.

    Args:
        example: the true demonstration.
        viewers: the chance of an annotator who names the viewer's side, in [0, 1].
        hurried: the chance of one who is terse.
        seed: which annotators.
    """
    draws = random.Random(f"annotator/{seed}/{example.id}")
    if draws.random() < viewers:
        example = viewers_side(example)
    return terse(example) if draws.random() < hurried else example


def _swapped(match: re.Match[str]) -> str:
    return _OTHER[match[1]]
