"""Careless annotators: demonstrations as people write them who name sides as they see them on the screen.

On a film the patient's right is on the picture's left. Captions that say the viewer's side instead are a known flaw of
collected data. A model that is taught by such demonstrations takes the side for a matter of chance: what it sees is
right, and what it says of the side is as often wrong as its annotators were. That is what a reward can mend and more
demonstrations of the same kind cannot.
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


def annotated(example: Example, viewers: float, seed: int = 0) -> Example:
    """The demonstration by an annotator who names the viewer's side with a chance of `viewers`, always the same."""
    careless = random.Random(f"annotator/{seed}/{example.id}").random() < viewers
    return viewers_side(example) if careless else example


def _swapped(match: re.Match[str]) -> str:
    return _OTHER[match[1]]
