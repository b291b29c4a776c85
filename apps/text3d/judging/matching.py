"""Which component is which of the things that a prompt asks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apps.text3d.judging.components import Component
from apps.text3d.prompts.prompt import Prompt, Thing
from apps.text3d.prompts.relations import truth

_ABSENT = -1


def likeness(component: Component, thing: Thing, usual: float) -> float:
    """How much a component is like a thing: 1 for the kind, 1 for the colour, ¼ for the size; in [0, 2.25].

    A colour that the prompt leaves open counts ½: better than a wrong one, less than a right one. 0 means that it is
    not this thing at all.
    """
    colour = 0.5 if thing.colour is None else float(component.colour == thing.colour)
    kind = float(component.kind == thing.kind)
    if kind == 0 and (thing.colour is None or colour == 0):
        return 0.0
    return kind + colour + 0.25 * (size_word(component.size, usual) == thing.size)


def size_word(size: float, usual: float) -> str | None:
    """The word for a size, with the borders halfway (in the logarithm) to the vocabulary's."""
    if size < 0.79 * usual:
        return "small"
    return "large" if size > 1.18 * usual else None


def match(components: Sequence[Component], prompt: Prompt, usual: float) -> list[list[int]]:
    """Assign components to things, one to each solid that is asked for.

    The assignment has the greatest total likeness; among equal ones relations decide, so that of two equal things the
    left one is what the prompt has on the left.

    Args:
        components: found.
        prompt: that asks.
        usual: metres of a thing without a size word.

    Returns:
        For each thing of the prompt the indices of its components, at most `count` of them.
    """
    from scipy.optimize import linear_sum_assignment

    slots = [index for index, thing in enumerate(prompt.objects) for _ in range(thing.count)]
    if not slots or not components:
        return [[] for _ in prompt.objects]
    table = np.array([[likeness(one, prompt.objects[slot], usual) for one in components] for slot in slots])
    rows, columns = linear_sum_assignment(-table)
    taken = [_ABSENT] * len(slots)
    for row, column in zip(rows, columns, strict=True):
        if table[row, column] > 0:
            taken[row] = int(column)
    _by_relations(taken, slots, table, components, prompt)
    groups: list[list[int]] = [[] for _ in prompt.objects]
    for slot, column in zip(slots, taken, strict=True):
        if column != _ABSENT:
            groups[slot].append(column)
    return groups


def held(name: str, first: Sequence[Component], second: Sequence[Component]) -> bool:
    """Whether a relation is true of all pairs, for the prompt's viewer; False where a side is empty."""
    answers = [
        truth(name, [a - b for a, b in zip(one.centre, other.centre, strict=True)])
        for one in first
        for other in second
    ]
    return bool(answers) and all(answer is True for answer in answers)


def _by_relations(
    taken: list[int],
    slots: list[int],
    table: np.ndarray,
    components: Sequence[Component],
    prompt: Prompt,
) -> None:
    """Exchange components between slots, and with unused ones, where likeness stays and more relations become true."""

    def holding() -> int:
        groups: list[list[Component]] = [[] for _ in prompt.objects]
        for slot, column in zip(slots, taken, strict=True):
            if column != _ABSENT:
                groups[slot].append(components[column])
        return sum(held(one.name, groups[one.subject], groups[one.object]) for one in prompt.relations)

    def alike(slot: int, column: int) -> float:
        return 0.0 if column == _ABSENT else float(table[slot, column])

    best, improved = holding(), bool(prompt.relations)
    while improved:
        improved = False
        for slot in range(len(slots)):
            for column in range(len(components)):
                if taken[slot] == column:
                    continue
                other = taken.index(column) if column in taken else None
                before = alike(slot, taken[slot]) + (alike(other, column) if other is not None else 0.0)
                after = alike(slot, column) + (alike(other, taken[slot]) if other is not None else 0.0)
                if after < before - 1e-9 or table[slot, column] == 0:
                    continue
                kept = list(taken)
                if other is not None:
                    taken[other] = taken[slot]
                taken[slot] = column
                if (now := holding()) > best:
                    best, improved = now, True
                else:
                    taken[:] = kept
