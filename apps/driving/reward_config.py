"""Settings of the driving rewards. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, get_args

from apps.driving.goals import WORDINGS, Goals
from common.config import JudgeConfig, nearest
from common.errors import UsageError

Recipe = Literal[
    "vlm_rl",
    "vlm_rl_no_clip",
    "vlm_rl_no_synthesis",
    "hand_written",
    "progress",
    "vlm_sr",
    "roboclip",
    "vlm_rm",
    "lord",
    "lord_speed",
    "chen",
    "asap",
    "chatscene",
    "revolve",
    "revolve_auto",
    "tirl",
    "carl",
    "roach",
]
RECIPE_NAMES: tuple[Recipe, ...] = get_args(Recipe)


@dataclass
class RewardClipConfig:
    """The frozen CLIP that sees the pictures.

    Args:
        name: OpenCLIP's model name, `hf-hub:org/name`, or `local-dir:FOLDER`.
        pretrained: OpenCLIP's tag of the weights; empty for a folder.
        device: torch device; `auto` takes a GPU where there is one.
        batch_size: pictures encoded together.
        precision: of the weights; thresholds a few hundredths apart want `fp32`.
        student: folder of a student (`pretrain --only student`), which sees in this CLIP's place, many times faster.
    """

    name: str = "local-dir:assets/driving/clip"
    pretrained: str = ""
    device: str = "auto"
    batch_size: int = 64
    precision: str = "fp32"
    student: str = ""


@dataclass
class GoalConfig:
    """The language goals.

    Args:
        wording: `pocket`, or `vlm_rl` for the paper's own texts; the texts below stand in for its entries where given.
        positive: what the road should look like.
        negative: what must not be.
        safe: what VLM-SR, RoboCLIP and VLM-RM ask for.
        baseline: what a picture shows in any case (VLM-RM).
        weight_positive: a of the paper's form, 1 in its code.
        weight_negative: b.
        alpha: strength of VLM-RM's baseline.
    """

    wording: Literal["pocket", "vlm_rl"] = "pocket"
    positive: str = ""
    negative: str = ""
    safe: str = ""
    baseline: str = ""
    weight_positive: float = 1.0
    weight_negative: float = 1.0
    alpha: float = 0.5


@dataclass
class ThresholdConfig:
    """Where z = b cos(neg) − a cos(pos) says "safe" and where "dangerous"; they belong to one CLIP and one wording.

    Args:
        file: calibration that `apps.driving.calibration` wrote; refused where CLIP or goals are others.
        low: z that is safe, in place of the file's.
        high: z that is dangerous, in place of the file's.
        success: cosine that VLM-SR asks for, in place of the file's.
    """

    file: str = ""
    low: float | None = None
    high: float | None = None
    success: float | None = None


@dataclass
class SynthesisConfig:
    """What VLM-RL's synthesis calls good driving.

    Args:
        top: speed where all is safe, in m/s (25 km/h).
        widest: metres from the lane's centre that earn nothing.
        sharpest: degrees against the route's direction that earn nothing; at most 90.
        shakiest: spread of the distances from the centre, in metres, that earns nothing.
        floor: least value of the speed reward.
    """

    top: float = 25 / 3.6
    widest: float = 3.0
    sharpest: float = 90.0
    shakiest: float = 0.4
    floor: float = -1.0


@dataclass
class IntrinsicConfig:
    """ONI's intrinsic reward on top: a language model's opinion of what happens (`common.rewards.episodes.intrinsic`).

    Args:
        mode: `none`, `retrieve` (its labels themselves), `classify` or `rank` (a small model that learns them).
        weight: of the intrinsic reward beside the recipe's.
        decay: β of the count, within an episode.
        late: what an event without a label does to its row: `nan` leaves it out, `zero` and `mean` guess.
        batch: events asked about at once.
        deadline: seconds after which fewer are asked about.
        patience: seconds after which an answer is late.
        background: ask while the driver drives on; off, every step waits, and a run can be repeated exactly.
        judge: the language model's endpoint.
    """

    mode: Literal["none", "retrieve", "classify", "rank"] = "none"
    weight: float = 0.1
    decay: float = 1.0
    late: Literal["nan", "zero", "mean"] = "nan"
    batch: int = 32
    deadline: float = 5.0
    patience: float = 60.0
    background: bool = False
    judge: JudgeConfig = field(default_factory=JudgeConfig)


@dataclass
class DecompositionConfig:
    """LaRe's return decomposition of the recipe's reward over hand-written factors; see
    `common.rewards.episodes.decomposition`.

    Args:
        on: whether it is done; for recipes that pay late (`roboclip`, `tirl`).
        draws: steps of an episode that are drawn.
        updates: gradient steps after an episode.
        warmup: episodes before it begins.
        hidden: units of the network's layers; 0 makes it linear.
        learning_rate: Adam's.
    """

    on: bool = False
    draws: int = 32
    updates: int = 50
    warmup: int = 8
    hidden: int = 64
    learning_rate: float = 3e-3


@dataclass
class RewardConfig:
    """Which reward is trained on.

    Args:
        recipe: name of a composition in `apps.driving.rewards.RECIPES`.
        penalty: value of a step that failed (`vlm_rl` and its ablations, `hand_written`); `progress` adds it.
        scale: `progress` only: what the whole route is worth.
        gamma: `progress` only: discount of the potential; 1 sums to the route completion.
        clip: the CLIP of the recipes that look at pictures.
        goals: what it is asked about.
        thresholds: `vlm_rl`, `vlm_rl_no_synthesis` and `vlm_sr` only.
        synthesis: `vlm_rl`, `vlm_rl_no_clip` and `hand_written` only.
        intrinsic: a language model's opinion on top.
        decomposition: the recipe's return, spread over the steps.
        seed: of what learns (`intrinsic`, `decomposition`).
        own: a `reward:` block as `configs/rewards` has them, in place of the recipe; it reads `state` or `images`, the
            view from above, and not `clip`'s features of it. See common/rewards/README.md.
    """

    recipe: Recipe = "vlm_rl"
    penalty: float = -10.0
    scale: float = 100.0
    gamma: float = 1.0
    clip: RewardClipConfig = field(default_factory=RewardClipConfig)
    goals: GoalConfig = field(default_factory=GoalConfig)
    thresholds: ThresholdConfig = field(default_factory=ThresholdConfig)
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    intrinsic: IntrinsicConfig = field(default_factory=IntrinsicConfig)
    decomposition: DecompositionConfig = field(default_factory=DecompositionConfig)
    seed: int = 0
    own: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name of the recipe, or of the reward in its place."""
        return str(self.own.get("name", self.recipe))

    def of(self, recipe: str) -> RewardConfig:
        """The same settings for a recipe, also where another reward stands in its place."""
        return replace(self, recipe=cast("Recipe", recipe), own={})


def worded(config: GoalConfig) -> Goals:
    """The goals with the config's own texts put in.

    Raises:
        UsageError: there is no such wording.
    """
    if config.wording not in WORDINGS:
        raise UsageError(f"unknown goals.wording {config.wording!r}{nearest(config.wording, list(WORDINGS))}")
    known = WORDINGS[config.wording]
    return Goals(
        config.positive or known.positive,
        config.negative or known.negative,
        config.safe or known.safe,
        config.baseline or known.baseline,
    )
