"""What the tower is taught: a study's exact truth as class numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from apps.medvqa.pocket.catalogue import KINDS, LARGEST, ORGANS, SIDES, kinds_of, places_of
from apps.medvqa.pocket.study import Study
from common.training.heads import IGNORED

if TYPE_CHECKING:
    from torch import Tensor

    from common.training.heads import Heads

#: Organ, side and zone of every place where a finding can be, once.
PLACES = tuple(dict.fromkeys((kind.organ, *place) for kind in KINDS for place in places_of(kind) if any(place)))

#: Name of each figure: how many rows of it a picture has, and its classes. Of every kind of finding: whether it is
#: there, its size, how many there are. Of every place: nothing, or which of the organ's kinds. Of the picture: the
#: organ, and which kidney.
FIGURES = {
    "kind": (len(KINDS), 2),
    "size": (len(KINDS), max(len(kind.sizes) for kind in KINDS)),
    "count": (len(KINDS), LARGEST),
    "place": (len(PLACES), 1 + max(len(kinds_of(organ)) for organ in ORGANS)),
    "organ": (1, len(ORGANS)),
    "view": (1, len(SIDES)),
}


def truth_heads(width: int, seed: int) -> Heads:
    """What reads all figures from image tokens.

    What is at a place is read in one way for all places of an organ: a kind is to look the same wherever it is.
    """
    import torch

    from common.training.heads import Heads

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Heads(width, FIGURES, {"place": [list(ORGANS).index(organ) for organ, _, _ in PLACES]})


def truth_table(studies: Sequence[Study]) -> dict[str, Tensor]:
    """Class numbers of studies.

    Returns:
        For each of `FIGURES` a `(N, rows)` table. `kind` and `place` are told of the organ's own kinds and places,
        `size` and `count` of findings that are there and have them, `view` of kidneys.
    """
    import torch

    table = {name: torch.full((len(studies), rows), IGNORED) for name, (rows, _) in FIGURES.items()}
    organs = list(ORGANS)
    for row, study in enumerate(studies):
        table["organ"][row] = organs.index(study.organ)
        table["view"][row] = _index(SIDES, study.side)
        names = [kind.name for kind in kinds_of(study.organ)]
        taken = {(finding.side, finding.zone): 1 + names.index(finding.kind) for finding in study.findings}
        for column, (organ, side, zone) in enumerate(PLACES):
            if organ == study.organ:
                table["place"][row, column] = taken.get((side, zone), 0)
        for column, kind in enumerate(KINDS):
            if kind.organ != study.organ:
                continue
            finding = study.find(kind.name)
            table["kind"][row, column] = int(finding is not None)
            if finding is not None:
                table["size"][row, column] = _index(kind.sizes, finding.size_mm)
                table["count"][row, column] = finding.count - 1 if kind.crowd else IGNORED
    return table


def _index(values: Sequence[object], value: object) -> int:
    return values.index(value) if value in values else IGNORED
