"""The words of the pocket scenes: clauses with the facts that make them true, and pairs of opposite goals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from apps.driving.goals import WORDINGS


class Clause(NamedTuple):
    """Some wordings of one thing.

    Attributes:
        texts: that say the same.
        holds: facts and the values, one of which each must have.
    """

    texts: tuple[str, ...]
    holds: tuple[tuple[str, tuple[str, ...]], ...]


def _clause(texts: Iterable[str], **holds: str | tuple[str, ...]) -> Clause:
    pairs = [(name, (values,) if isinstance(values, str) else values) for name, values in holds.items()]
    return Clause(tuple(texts), tuple(pairs))


_GAPS = {
    "far": ("far ahead", "more than 12 metres ahead", "at a safe distance"),
    "some way": ("some way ahead", "about 10 metres ahead", "6 to 12 metres ahead"),
    "near": ("near", "close ahead", "about 4 metres ahead", "less than 6 metres ahead"),
    "close": ("very close", "right in front of the car", "less than 2 metres ahead"),
}
_WHO = {
    "moving car": ("a moving car is", "another car drives"),
    "standing car": ("a standing car is", "a stopped car blocks the lane"),
    "oncoming car": ("an oncoming car is", "a car comes towards the car"),
    "crossing car": ("a crossing car is", "a car crosses the way"),
    "walker": ("a pedestrian is", "somebody is on the way on foot"),
}
_FREE = {"ahead": "nobody", "contact": "none"}
_CRASHES = ("front", "head-on", "rear", "side")

TRAFFIC: tuple[Clause, ...] = (
    _clause(
        (
            "the road is clear",
            "the road ahead is clear",
            "the road is clear with no car accidents",
            "there is nobody on the way",
            "nothing is in the way of the car",
            "the way is free",
        ),
        **_FREE,
    ),
    _clause(("a car is driving safely",), **_FREE, lane="keeps", heading="along"),
    *(
        _clause([f"{who} {where}" for who in whos for where in wheres], ahead=ahead, gap=gap, contact="none")
        for ahead, whos in _WHO.items()
        for gap, wheres in _GAPS.items()
    ),
    *(
        _clause(whos, ahead=ahead, contact="none")
        for ahead, whos in {
            "moving car": ("there is a moving car ahead", "the car follows another car"),
            "standing car": ("there is a standing car ahead", "the car stops behind a standing car"),
            "oncoming car": ("a car drives head-on at the car",),
            "crossing car": ("there is crossing traffic", "a car comes from the side"),
            "walker": ("there is a pedestrian on the road", "a pedestrian crosses the road"),
        }.items()
    ),
    _clause(
        (
            "two cars have almost collided",
            "a near miss: the cars nearly touch",
            "the cars are about to collide",
        ),
        contact="grazing",
    ),
    _clause(
        (
            "two cars have collided",
            "two cars have collided on the road",
            "two cars have collided with each other on the road",
            "there is a car accident on the road",
            "the car has hit another car",
            "the cars touch each other",
        ),
        contact=_CRASHES,
    ),
    _clause(("the car has run into the car in front", "a rear-end collision"), contact="front"),
    _clause(("a head-on collision", "the car has hit an oncoming car"), contact="head-on"),
    _clause(("another car has run into the car from behind", "the car was hit from behind"), contact="rear"),
    _clause(("a collision from the side", "the cars touch at their sides"), contact="side"),
    _clause(("the car has hit a pedestrian", "a pedestrian was run over"), contact="walker"),
)
LANE: tuple[Clause, ...] = (
    _clause(
        ("the car keeps its lane", "the car is in the middle of its lane", "the car is in its lane"), lane="keeps"
    ),
    _clause(("the car is at the left edge of its lane", "the car drifts to the left"), lane="left edge"),
    _clause(("the car is at the right edge of its lane", "the car drifts to the right"), lane="right edge"),
    _clause(
        ("the car has left its lane", "the car is off the lane", "the car is not in its lane"),
        lane=("left", "right", "off the road"),
    ),
    _clause(("the car is to the left of its lane", "the car has left its lane to the left"), lane="left"),
    _clause(("the car is to the right of its lane", "the car has left its lane to the right"), lane="right"),
    _clause(("the car has left the road", "the car is off the road", "the car is on the grass"), lane="off the road"),
)
DIRECTION: tuple[Clause, ...] = (
    _clause(("the car drives along its route", "the car drives in the right direction"), heading="along"),
    _clause(("the car is turned to the left", "the car points to the left of its route"), heading="to the left"),
    _clause(("the car is turned to the right", "the car points to the right of its route"), heading="to the right"),
    _clause(("the car stands across the road", "the car is across its lane"), heading="across"),
    _clause(("the car drives the wrong way", "the car is a wrong-way driver"), heading="wrong way"),
)
COMPANY: tuple[Clause, ...] = (
    _clause(("there are no other cars", "the car is alone on the road"), others="nobody"),
    _clause(("there is one other car", "one more car is to be seen"), others="one"),
    _clause(("there are several other cars", "there is much traffic"), others="several"),
)
PLACE: tuple[Clause, ...] = (
    _clause(("at a junction", "the car crosses a junction"), junction="yes"),
    _clause(("on a road", "the car is on a road between junctions"), junction="no"),
    _clause(("people are about", "there are pedestrians"), walkers="some"),
    _clause(("nobody is on foot", "there are no pedestrians"), walkers="nobody"),
)
CLAUSES: dict[str, tuple[Clause, ...]] = {
    "traffic": TRAFFIC,
    "lane": LANE,
    "direction": DIRECTION,
    "company": COMPANY,
    "place": PLACE,
}


class Pair(NamedTuple):
    """Opposite goals.

    Attributes:
        name: for tables.
        aspect: the danger that their contrast shall tell; see `apps.driving.pocket.scenes.ASPECTS`.
        positive: wordings of what should be.
        negative: wordings of what must not be.
    """

    name: str
    aspect: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]


_POCKET, _PAPER = WORDINGS["pocket"], WORDINGS["vlm_rl"]
#: What the goals are trained on: any positive against any negative.
PAIRS: tuple[Pair, ...] = (
    Pair(
        "collision",
        "traffic",
        (
            _PAPER.positive,
            _POCKET.positive,
            "the road is clear with no car accidents",
            "the road ahead is clear",
            "there are no car accidents on the road",
            "the way is free",
        ),
        (
            _PAPER.negative,
            _POCKET.negative,
            "two cars have collided on the road",
            "there is a car accident on the road",
            "a collision is about to happen",
            "the car hits another car",
        ),
    ),
    Pair(
        "lane",
        "lane",
        ("the car keeps its lane", "the car is in the middle of its lane", "the car is in its lane"),
        ("the car has left its lane", "the car is off the lane", "the car leaves the road"),
    ),
    Pair(
        "direction",
        "direction",
        ("the car drives in the right direction", "the car drives along its route"),
        ("the car drives the wrong way", "the car is a wrong-way driver"),
    ),
    Pair(
        "safety",
        "all",
        (_PAPER.safe, _POCKET.safe, "the car is driving safely", "all is well"),
        ("the car is in danger", "a car is driving dangerously", "this is dangerous", "the car must brake"),
    ),
)
#: Wordings that are never trained on: how far the model's language reaches.
UNHEARD: tuple[Pair, ...] = (
    Pair("collision, unheard 1", "traffic", ("no accident, the road is free",), ("a crash with another car",)),
    Pair("collision, unheard 2", "traffic", ("a free road",), ("the car crashes into another car",)),
    Pair("collision, unheard 3", "traffic", ("nothing is ahead",), ("there is an accident ahead",)),
    Pair("lane, unheard", "lane", ("the car stays in the lane",), ("the car drives beside its lane",)),
)
