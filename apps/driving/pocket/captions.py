"""Says what a scene shows, in many wordings, and knows of every caption which scenes it is true of.

So a batch of pictures and captions has an exact table of who belongs to whom: two pictures of a clear road are no
mistake for each other's caption.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from apps.driving.pocket.facts import FACTS, NAMES
from apps.driving.pocket.wordings import CLAUSES, Clause

#: How often a caption tells one thing, two or three.
CLAUSES_TOLD = (0.45, 0.4, 0.15)
EVERYTHING = tuple((1 << len(FACTS[name])) - 1 for name in NAMES)
JOINTS = (", ", " and ", "; ", ", and ")


class Caption(NamedTuple):
    """A caption.

    Attributes:
        text: as it reads.
        masks: for each of `NAMES`, a bit for every value that it may have where the caption is true.
    """

    text: str
    masks: tuple[int, ...]


def write(facts: Mapping[str, str], rng: random.Random) -> Caption:
    """A true caption, in one of its wordings; traffic comes first more often than not."""
    true = [topic for topic, clauses in CLAUSES.items() if _true(clauses, facts)]
    number = min(rng.choices((1, 2, 3), CLAUSES_TOLD)[0], len(true))
    weights = [4.0 if topic == "traffic" else 1.0 for topic in true]
    topics: list[str] = []
    while len(topics) < number:
        topic = rng.choices(true, weights)[0]
        if topic not in topics:
            topics.append(topic)
    told = [rng.choice(_true(CLAUSES[topic], facts)) for topic in topics]
    parts = [rng.choice(clause.texts) for clause in told]
    text = parts[0] + "".join(rng.choice(JOINTS) + part for part in parts[1:])
    masks = list(EVERYTHING)
    for clause in told:
        masks = [one & other for one, other in zip(masks, masks_of(clause), strict=True)]
    return Caption(text, tuple(masks))


def truths(facts: NDArray[np.uint8], captions: Sequence[Caption]) -> NDArray[np.bool_]:
    """`(N, M)` whether each of M captions is true of each of N scenes.

    Args:
        facts: `(N, F)`, places in the values of `FACTS`.
        captions: of these or other scenes.
    """
    masks = np.array([caption.masks for caption in captions], np.uint32)
    told = masks[None] >> facts[:, None].astype(np.uint32) & 1
    return np.asarray(told.all(2))


@cache
def masks_of(clause: Clause) -> tuple[int, ...]:
    """The bits of the values with which a clause is true, for each of `NAMES`."""
    masks = dict(zip(NAMES, EVERYTHING, strict=True))
    for name, values in clause.holds:
        masks[name] = sum(1 << FACTS[name].index(value) for value in values)
    return tuple(masks[name] for name in NAMES)


def _true(clauses: Sequence[Clause], facts: Mapping[str, str]) -> list[Clause]:
    return [clause for clause in clauses if all(facts[name] in values for name, values in clause.holds)]
