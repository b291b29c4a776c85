"""Settings of the guidances; nothing heavy is imported here.

Every weight is a number, or a schedule such as [0, 300, 1, 10000]: start step, start value, end value, end step; see
`common.schedule`. At 0 a guidance is not built, and its model is not opened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from common.errors import UsageError


@dataclass
class SdsConfig:
    """Score distillation; see `guidance.distillation`.

    Attributes:
        weight: of its loss.
        model: a diffusion model: folder in diffusers' layout or hub id.
        device: torch device, or `auto`.
        dtype: of its weights.
        form: `sds`, DreamFusion's, or `x0`, the reconstruction of MVDream and VLM3D.
        scale: of classifier-free guidance.
        t_min: earliest timestep, as a part of all, or a schedule.
        t_max: latest.
        weighting: w(t) of `sds`: `sigma2`, `uniform` or `fantasia3d`.
        rescale: part of `x0` that gets the spread of what is predicted for the text alone.
        same_timestep: one timestep for all views of a step, instead of one each.
        rows_at_once: most pictures in one pass of the UNet, where memory is short; 0 is no bound.
        negative: prompt of what should not be seen; not together with `perp_neg`.
        view_dependent: "front view" and the like are added to the prompt, by the camera.
        perp_neg: weight of the other directions' texts as Perp-Neg's negatives; 0 is none. Where not given, that is
            left to the prompt: see `guidance.front`.
        judge: a `reward:` block, with a gradient or without: of two noisy versions of a view the one that it prefers
            is followed and the other one left (DreamDPO; see `guidance.preference`). Empty is plain distillation.
        gap: least distance of the judge's two scores at which the other one is left.
    """

    weight: Any = 0.0
    model: str = ""
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    form: Literal["sds", "x0"] = "sds"
    scale: float = 30.0
    t_min: Any = 0.02
    t_max: Any = 0.98
    weighting: Literal["sigma2", "uniform", "fantasia3d"] = "sigma2"
    rescale: float = 0.5
    same_timestep: bool = False
    rows_at_once: int = 0
    negative: str = ""
    view_dependent: bool = True
    perp_neg: float | None = None
    judge: dict[str, Any] = field(default_factory=dict)
    gap: float = 0.0

    def __post_init__(self) -> None:
        if self.judge and self.form != "sds":
            raise UsageError(f"guidance.sds.judge follows preferences in the form sds, not {self.form}; set sds.form")
        if self.rows_at_once < 0 or not 0 <= self.rescale <= 1:
            raise UsageError(
                f"guidance.sds.rows_at_once {self.rows_at_once} must be at least 0, and guidance.sds.rescale "
                f"{self.rescale} from 0 to 1"
            )


@dataclass
class ClipConfig:
    """CLIP guidance of Dream Fields; see `guidance.clip`.

    Attributes:
        weight: of its loss.
        name: OpenCLIP's model name, `hf-hub:org/name`, or `local-dir:FOLDER`.
        pretrained: OpenCLIP's tag of the weights; empty for a folder.
        device: torch device.
        sparsity: weight of the empty part of the pictures.
    """

    weight: Any = 0.0
    name: str = ""
    pretrained: str = ""
    device: str = "cpu"
    sparsity: float = 0.0


@dataclass
class VlmConfig:
    """The reward of a vision-language model; see `guidance.vlm`. Its three kinds of questions are weighted apart.

    Attributes:
        semantic: weight of what things there are, how many, of which colour, and of the prompt as a whole.
        spatial: weight of how they stand to each other, as each camera sees it.
        consistency: weight of the questions about all views together: do they agree, is no front repeated. Where not
            given, that is left to the prompt: see `guidance.front`.
        model: a Qwen-VL: folder or hub id.
        device: torch device, or `auto`.
        dtype: of its weights.
        form: `log_sigmoid`, `log_odds` or `probability`.
        saturation: nats at which the log-odds saturate; 0 never, which is VLM3D's own.
        per_step: turns of each kind of question that are drawn for a step; 0 asks all of them about all views.
        at_once: most questions, each about one view or several, that are in memory at a time; 0 is all.
    """

    semantic: Any = 0.0
    spatial: Any = 0.0
    consistency: Any = None
    model: str = ""
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    form: Literal["log_sigmoid", "log_odds", "probability"] = "log_sigmoid"
    saturation: float = 8.0
    per_step: int = 0
    at_once: int = 0

    def __post_init__(self) -> None:
        if min(self.per_step, self.at_once, self.saturation) < 0:
            raise UsageError(
                f"guidance.vlm.per_step {self.per_step}, at_once {self.at_once} and saturation {self.saturation} must "
                "be at least 0"
            )


@dataclass
class OwnConfig:
    """Any differentiable reward as a guidance; see `guidance.own`.

    Attributes:
        weight: of its loss, minus the mean reward.
        reward: a `reward:` block as `configs/rewards` has them, such as `{name: clip_score, clip: FOLDER, scale: 1}`;
            it finds the rendered views as `images`, the prompt as `prompt` and as `completion`, and `step`.
    """

    weight: Any = 0.0
    reward: dict[str, Any] = field(default_factory=dict)


@dataclass
class GuidanceConfig:
    """What a scene should look like, as a weighted sum.

    Attributes:
        sds: score distillation.
        clip: CLIP.
        vlm: the vision-language model's reward.
        analytic: weight of the critic that draws a scene true to the prompt and compares with it. It knows what it
            looks for, so what it reaches is an upper bound and no text-to-3D result; outputs name it.
        own: a reward of the catalogue, or of the user's own.
    """

    sds: SdsConfig = field(default_factory=SdsConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    vlm: VlmConfig = field(default_factory=VlmConfig)
    analytic: Any = 0.0
    own: OwnConfig = field(default_factory=OwnConfig)
