"""Settings of the text-to-SQL reward. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from common.config import JudgeConfig

Recipe = Literal["execution", "arctic", "sql_r1", "skyrl", "reasoning_sql", "qatch", "contrastive"]
RECIPE_NAMES: tuple[Recipe, ...] = get_args(Recipe)


@dataclass
class RewardConfig:
    """Which reward is trained on.

    Args:
        recipe: name of a composition in `apps.text2sql.rewards.RECIPES`.
        weights: overrides of the recipe's weights by part name, such as `{contrastive: 0}`; 0 leaves a part out.
        cap: `contrastive` only: the most that a wrong query can earn; a right one earns 1.
        preset: how results are compared: strict, bird, spider_testsuite, spider2 or defog.
        style: what a well-formed completion is: `pocket` (the bare query) or `reasoning` (think and answer tags).
        workers: processes that execute queries.
        encoder: `contrastive` only: folder or hub id of the sentence encoder, or "hash".
        device: device of a transformers encoder.
        judge: the LLM judge of `reasoning_sql`.
        own: a `reward:` block as `configs/rewards` has them, such as `{name: token_f1, reference: gold}`, in place of
            the recipe; see common/rewards/README.md.
    """

    recipe: Recipe = "contrastive"
    weights: dict[str, float] = field(default_factory=dict)
    cap: float = 0.3
    preset: Literal["strict", "bird", "spider_testsuite", "spider2", "defog"] = "strict"
    style: Literal["pocket", "reasoning"] = "pocket"
    workers: int = 1
    encoder: str = "assets/text2sql/encoder"
    device: str = "cpu"
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    own: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name of the recipe, or of the reward in its place."""
        return str(self.own.get("name", self.recipe))
