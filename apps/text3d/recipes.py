"""Which guidances a comparison's recipes have; their weights are those of the settings."""

from __future__ import annotations

from copy import deepcopy

from apps.text3d.config import Text3dConfig
from common.errors import UsageError
from common.schedule import read_schedule

#: Every guidance that has a weight, as `guidance.…` names it.
TERMS = ("sds.weight", "clip.weight", "vlm.semantic", "vlm.spatial", "vlm.consistency", "analytic", "own.weight")

RECIPES: dict[str, tuple[str, ...]] = {
    "sds": ("sds.weight",),
    "sds-clip": ("sds.weight", "clip.weight"),
    "sds-vlm-semantic": ("sds.weight", "vlm.semantic"),
    "sds-vlm": ("sds.weight", "vlm.semantic", "vlm.spatial"),
    "clip": ("clip.weight",),
    "vlm": ("vlm.semantic", "vlm.spatial"),
    "analytic": ("analytic",),
    "own": ("own.weight",),
}


def with_recipe(config: Text3dConfig, recipe: str) -> Text3dConfig:
    """The settings with a recipe's guidances alone.

    Raises:
        UsageError: there is no such recipe, or a guidance of it has no weight to take.
    """
    if recipe not in RECIPES:
        raise UsageError(f"comparison.recipes: there is no {recipe!r}; choose from {', '.join(RECIPES)}")
    own = deepcopy(config)
    for term in TERMS:
        block, _, name = term.rpartition(".")
        holder = getattr(own.guidance, block) if block else own.guidance
        if term not in RECIPES[recipe]:
            setattr(holder, name, 0.0)
        elif not any(read_schedule(getattr(holder, name), f"guidance.{term}").bounds):
            raise UsageError(f"the recipe {recipe!r} needs guidance.{term}, whose weight is 0 in the settings")
    return own
