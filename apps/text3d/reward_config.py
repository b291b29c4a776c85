"""Settings of the reward that `score` and `audit` use, and of the audit; nothing heavy is imported here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from common.errors import UsageError

#: Where the pocket vision-language model lies.
POCKET_VLM = "assets/text3d/vlm"


@dataclass
class RewardVlmConfig:
    """The vision-language model as a judge of pictures; its three kinds of questions are weighted apart.

    Attributes:
        semantic: weight of what things there are, how many, of which colour, and of the prompt as a whole.
        spatial: weight of how they stand to each other, as each picture's camera sees it.
        consistency: weight of whether several pictures show one scene; rows of one picture are not asked. The pocket
            model was not taught these questions.
        model: a Qwen-VL: folder or hub id.
        device: torch device, or `auto`.
        dtype: of its weights.
        form: how a question's log-odds r of the right answer become a number in [0, 1]: `log_odds`, (1 + tanh(r /
            saturation)) / 2; `probability`, the right answer's share of yes and no; `share`, 1 where r > 0.
        saturation: nats, for `log_odds`.
        batch_size: questions in one forward pass.
    """

    semantic: float = 1.0
    spatial: float = 1.0
    consistency: float = 0.0
    model: str = POCKET_VLM
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    form: Literal["log_odds", "probability", "share"] = "log_odds"
    saturation: float = 8.0
    batch_size: int = 16

    def __post_init__(self) -> None:
        for name in ("semantic", "spatial", "consistency"):
            _weight(f"vlm.{name}", getattr(self, name))
        if not 0 < self.saturation < math.inf or self.batch_size < 1:
            raise UsageError("reward.vlm.saturation must be above 0, reward.vlm.batch_size 1 or more")


@dataclass
class RewardClipConfig:
    """CLIP's cosine between prompt and pictures.

    Attributes:
        weight: of the mean cosine.
        name: OpenCLIP's model name, `hf-hub:org/name`, or `local-dir:FOLDER`.
        pretrained: OpenCLIP's tag of the weights; empty for a folder.
        device: torch device.
    """

    weight: float = 0.0
    name: str = ""
    pretrained: str = ""
    device: str = "cpu"

    def __post_init__(self) -> None:
        _weight("clip.weight", self.weight)


@dataclass
class RewardConfig:
    """What pictures are paid for, as a weighted sum; a part of weight 0 is not built.

    Attributes:
        vlm: a vision-language model's answers.
        clip: CLIP's cosine.
        batch_size: rows that `score` reads, judges and keeps together.
    """

    vlm: RewardVlmConfig = field(default_factory=RewardVlmConfig)
    clip: RewardClipConfig = field(default_factory=RewardClipConfig)
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError("reward.batch_size must be 1 or more")


@dataclass
class AuditConfig:
    """What the reward is assayed with.

    Attributes:
        views: pictures of a scene, at equal steps of azimuth from the prompt's own side on.
        size: height and width of the pictures, in pixels.
        elevation: of the cameras, in degrees.
        judged: scenes that the geometry judge looks at, as an upper line; 0 for none.
        shown: scenes whose mutations the report shows.
    """

    views: int = 2
    size: int = 112
    elevation: float = 25.0
    judged: int = 24
    shown: int = 2

    def __post_init__(self) -> None:
        if self.views < 1 or self.size < 16 or min(self.judged, self.shown) < 0:
            raise UsageError("audit.views must be 1 or more, audit.size 16 or more, the others not below 0")


def _weight(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise UsageError(f"reward.{name} must be a weight of 0 or more, not {value}")
