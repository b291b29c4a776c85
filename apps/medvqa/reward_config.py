"""Settings of the medical reward. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from common.config import JudgeConfig

Recipe = Literal[
    "adaptive",
    "scorer",
    "exact_match",
    "token_f1",
    "rouge_l",
    "bmas",
    "cosine",
    "threshold",
    "judge",
    "medix",
    "armed",
    "mixed_r1",
    "shaping",
]
RECIPE_NAMES: tuple[Recipe, ...] = get_args(Recipe)


@dataclass
class SemanticConfig:
    """The encoder's similarity, and how it is re-scaled.

    Args:
        encoder: folder or hub id of a sentence encoder, or "hash", the last resort: it sees shared words only.
        device: torch device of a transformers encoder.
        rescaler: how the cosine is spread; see `common.rewards.transforms.rescale`.
        noise: difference of cosines that means nothing.
        window: cosines that a history re-scaler remembers.
        warmup: cosines that it needs before it is used.
        room: `adaptive` only: how far the similarity decides where the scorer knows none of the words.
        threshold: `threshold` and `medix` only: cosine that counts as the same; it holds for one encoder only.
    """

    encoder: str = "hash"
    device: str = "cpu"
    rescaler: Literal["none", "affine", "history_quantile", "history_sigmoid", "group_minmax"] = "affine"
    noise: float = 0.02
    window: int = 4096
    warmup: int = 64
    room: float = 0.6
    threshold: float = 0.8


@dataclass
class RewardConfig:
    """Which reward is trained on.

    Args:
        recipe: name of a composition in `apps.medvqa.rewards.RECIPES`.
        weights: overrides of a sum's weights by part name (`medix`, `armed`, `mixed_r1`, `shaping`), such as
            `{format: 0}`; 0 leaves a part out.
        form: share of the reward that a completion without the asked-for form loses (recipes of one term).
        style: the form that a completion must have: `reasoning` (think tags, then answer tags), `answer` (answer tags
            only), `either` (think tags may be left out) or `plain` (no tags).
        max_words: also asks for an answer of at most so many words; 0 does not.
        tables: `adaptive` and `scorer` only: files or folders with further medical words.
        vectors: `bmas` and `mixed_r1` only: folder of a model whose embedding table compares tokens; empty takes words
            through `semantic.encoder`.
        semantic: the encoder's similarity.
        judge: the LLM judge.
        own: a `reward:` block as `configs/rewards` has them, such as `{name: token_f1}`, in place of the recipe; it
            reads the whole completion. See common/rewards/README.md.
    """

    recipe: Recipe = "adaptive"
    weights: dict[str, float] = field(default_factory=dict)
    form: float = 0.25
    style: Literal["reasoning", "answer", "either", "plain"] = "reasoning"
    max_words: int = 0
    tables: list[str] = field(default_factory=list)
    vectors: str = ""
    semantic: SemanticConfig = field(default_factory=SemanticConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    own: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name of the recipe, or of the reward in its place."""
        return str(self.own.get("name", self.recipe))
