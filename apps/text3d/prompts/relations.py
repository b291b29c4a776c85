"""When a relation is true, from where it is looked at.

Every relation but `beside` is a direction; it holds where the offset from object to subject lies within 65° of it,
does not hold from 78° on, and is undecided between. Left, right, in front and behind are the viewer's and turn with
the camera's azimuth; above, below and beside are the same from everywhere. The viewer of a prompt stands at azimuth 0:
his right is +y, nearer to him is +x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from common.errors import UsageError

#: The least cosine between offset and direction with which a relation holds, and the greatest with which it does not.
HOLDS = 0.42
FAILS = 0.2

#: From a prompt alone the offset is known to this cosine (20°) only; the sampler keeps to it.
TRUE_TO_PROMPT = math.cos(math.radians(20.0))

#: Metres between the centres of things that are beside each other: at most, and from where on they are not.
BESIDE = 1.1
APART = 1.4

#: Relations that depend on where the viewer stands.
VIEWED = ("left of", "right of", "in front of", "behind")

Vector = tuple[float, float, float]


def direction(name: str, azimuth: float = 0.0) -> Vector:
    """The world's unit vector from the object to a subject that stands ideally in the relation.

    Args:
        name: any relation but `beside`, which has none.
        azimuth: of the viewer, in degrees.
    """
    if name in ("above", "below"):
        return (0.0, 0.0, 1.0 if name == "above" else -1.0)
    if name not in VIEWED:
        raise UsageError(f"{name!r} has no direction")
    angle = math.radians(azimuth)
    sign = 1.0 if name in ("right of", "in front of") else -1.0
    if name in ("left of", "right of"):
        return (-sign * math.sin(angle), sign * math.cos(angle), 0.0)
    return (sign * math.cos(angle), sign * math.sin(angle), 0.0)


def truth(name: str, offset: Sequence[float], azimuth: float = 0.0) -> bool | None:
    """Whether a relation holds, None where that is undecided.

    Args:
        name: of the relation.
        offset: subject's place less object's place, in metres, in the world.
        azimuth: of the viewer, in degrees.
    """
    length = math.sqrt(sum(part * part for part in offset))
    if length < 1e-6:
        return None
    if name == "beside":
        level = math.hypot(offset[0], offset[1]) / length
        if level >= 0.8 and length <= BESIDE:
            return True
        return False if level <= 0.5 or length > APART else None
    toward = direction(name, azimuth)
    cosine = sum(part * axis for part, axis in zip(offset, toward, strict=True)) / length
    return True if cosine >= HOLDS else False if cosine <= FAILS else None


def expected(said: str, asked: str, azimuth: float) -> bool | None:
    """What a prompt's relation lets expect of a relation asked of a picture, None where it leaves that open.

    The offset is taken to lie anywhere within 20° of the prompt's direction, so an answer is given only where the
    whole cone agrees.

    Args:
        said: the prompt's relation, seen from azimuth 0.
        asked: the relation in question, of the same two things.
        azimuth: of the camera, in degrees.
    """
    if "beside" in (said, asked):
        # What is beside is level; what is above is not beside.
        if said == asked:
            return True
        return False if {said, asked} & {"above", "below"} else None
    cosine = sum(a * b for a, b in zip(direction(said), direction(asked, azimuth), strict=True))
    between = math.acos(max(-1.0, min(1.0, cosine)))
    cone = math.acos(TRUE_TO_PROMPT)
    if between + cone <= math.acos(HOLDS):
        return True
    return False if between - cone >= math.acos(FAILS) else None
