"""Settings of `train`: prompts, and recipes to compare. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class TrainConfig:
    """The prompts that scenes are made for, one after another.

    Attributes:
        prompts: a file of them, or a published set as `FOLDER:NAME`; see `measures.prompt_sets`. Empty draws them from
            the pocket world.
        split: of the pocket world.
        count: of those drawn.
        levels: of `pocket.prompts.LEVELS` that are drawn in turn.
    """

    prompts: str = ""
    split: str = "test_held"
    count: int = 6
    levels: list[str] = field(default_factory=lambda: ["single", "several", "pair", "related", "related", "triple"])


@dataclass
class ComparisonConfig:
    """Recipes and seeds, each a run of its own; none: one run with the settings as they are.

    Attributes:
        recipes: of `comparison.RECIPES`.
        seeds: of each.
    """

    recipes: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
