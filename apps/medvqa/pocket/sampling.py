"""Random studies: with a finding of a kind, at a place that training knows or at one that it never sees."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from apps.medvqa.pocket.catalogue import KINDS, ORGANS, SIDES, Kind, is_held, kinds_of, places_of
from apps.medvqa.pocket.study import Finding, Study, make_study

T = TypeVar("T")

SECOND_SHARE = 0.2


class Sampler:
    """Draws studies for one example.

    Attributes:
        rng: where chance comes from.
        held: whether every study shows a held-out combination; otherwise none does.
        seed: of the pictures.
    """

    def __init__(self, rng: random.Random, held: bool, seed: int) -> None:
        self.rng = rng
        self.held = held
        self.seed = seed

    def kind(self, fits: Callable[[Kind], object] = lambda kind: True) -> Kind:
        """A kind that fits; one that has held-out places where these are wanted."""
        return self.rng.choice([one for one in KINDS if fits(one) and (one.place == "zone" or not self.held)])

    def coin(self, chance: float = 0.5) -> bool:
        """True as often as said."""
        return self.rng.random() < chance

    def place(
        self,
        kind: Kind,
        held: bool,
        fits: Callable[[str, str], object] = lambda side, zone: True,
        zone_first: bool = False,
    ) -> tuple[str, str]:
        """A side and a zone, each side equally often, or each zone; held-out ones or none of these."""
        places = [one for one in places_of(kind) if is_held(kind.organ, kind.name, *one) == held and fits(*one)]
        first = int(zone_first)
        drawn = self.rng.choice(sorted({place[first] for place in places}))
        return self.rng.choice([place for place in places if place[first] == drawn])

    def finding(self, kind: Kind, place: tuple[str, str] | None = None, *, size: int = 0, count: int = 0) -> Finding:
        """A finding of a kind; what is not given is drawn, every size equally often."""
        place = place or self.place(kind, self.held)
        if count > 1:
            sizes: Sequence[int] = kind.crowd[count - 2]
            return Finding(kind.name, *place, self.rng.choice(sizes), count)
        size = size or (self.rng.choice(kind.sizes) if kind.sizes else 0)
        counts = [1]
        if count == 0 and kind.crowd:
            counts += [number for number in (2, 3) if size in kind.crowd[number - 2]]
        return Finding(kind.name, *place, size, self.rng.choice(counts))

    def study(
        self, organ: str, first: Finding | None = None, second: float = 0.0, *, without: str = "", side: str = ""
    ) -> Study:
        """A study with a finding, or with none, and by chance with a second finding at another place.

        Args:
            organ: whose.
            first: the finding.
            second: chance of another.
            without: a kind that the second one is not.
            side: which kidney, in a normal study.
        """
        if ORGANS[organ].view and first is None:
            side = side or self.rng.choice(SIDES)
        findings = [] if first is None else [first]
        if first is not None and self.coin(second):
            findings += self._beside(organ, first, without)
        order = [kind.name for kind in kinds_of(organ)]
        findings.sort(key=lambda one: order.index(one.kind))
        return make_study(organ, tuple(findings), side=side, seed=self.seed)

    def _beside(self, organ: str, first: Finding, without: str) -> list[Finding]:
        """One of another kind, on the other side where the picture shows both, else in another zone; or none."""
        kinds = [kind for kind in kinds_of(organ) if kind.name not in (first.kind, without)]
        kind = self.rng.choice(kinds)
        view, sides = ORGANS[organ].view, ORGANS[organ].sides

        def fits(side: str, zone: str) -> bool:
            if view or not sides:
                # Hydronephrosis takes the middle of the kidney.
                apart = zone != first.zone and not {"mid pole", ""} >= {zone, first.zone}
                return side == first.side and (apart or not kind.place)
            return not side or side != first.side

        if not any(fits(*place) and not is_held(organ, kind.name, *place) for place in places_of(kind)):
            return []
        return [self.finding(kind, self.place(kind, False, fits), count=1)]
