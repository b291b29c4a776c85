"""How true a caption is of a pocket scene: exactly true, grammatical, and right fact by fact.

The world knows what each picture shows, so this needs no reference captions and no model. COCO's metrics hardly see
a wrong attribute in a well-worded sentence (reference, 5.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from apps.captioning.pocket.grammar import read
from apps.captioning.pocket.scene import Group, Scene

ATTRIBUTES = ("kind", "colour", "size", "texture", "count", "relation", "background")


@dataclass(frozen=True)
class SceneScore:
    """One caption against one scene.

    Attributes:
        exact: every fact is told and no false one; a relation may be told from either end.
        grammatical: it is a sentence of the grammar.
        attributes: share of right facts, by attribute; those that the scene does not have are left out. A caption
            that is no sentence tells nothing right.
        invented: it names a kind and colour that are not in the picture.
    """

    exact: bool
    grammatical: bool
    attributes: dict[str, float]
    invented: bool


def score_caption(caption: str, scene: Scene) -> SceneScore:
    """Compare what a caption tells with what a scene shows."""
    told = read(caption)
    if told is None:
        return SceneScore(False, False, dict.fromkeys(_asked(scene), 0.0), False)
    looks = {(group.kind, group.colour) for group in scene.groups}
    invented = any((group.kind, group.colour) not in looks for group in told.groups)
    return SceneScore(told == scene.facts, True, _right(told, best_order(told, scene), scene), invented)


def _asked(scene: Scene) -> list[str]:
    return [name for name in ATTRIBUTES if name != "relation" or scene.relation]


def best_order(told: Scene, scene: Scene) -> tuple[int, ...]:
    """Which told group stands for which shown one: the pairing that makes most facts right."""
    orders = permutations(range(len(told.groups)))
    return max(orders, key=lambda order: sum(_right(told, order, scene).values()))


def _right(told: Scene, order: Sequence[int], scene: Scene) -> dict[str, float]:
    """Shares of right attributes where the told groups, in this order, are taken for the shown ones."""
    groups = [told.groups[place] for place in order]
    found = {name: _share(name, groups, scene.groups) for name in ("kind", "colour", "size", "texture", "count")}
    found["background"] = float(told.background == scene.background)
    if scene.relation:
        found["relation"] = float(told.relation == scene.relation and list(order) == sorted(order))
    return found


def _share(name: str, told: Sequence[Group], shown: Sequence[Group]) -> float:
    """Right values of one attribute over the larger number of groups: too many and too few both cost."""
    right = sum(bool(getattr(one, name) == getattr(other, name)) for one, other in zip(told, shown, strict=False))
    return right / max(len(told), len(shown))
