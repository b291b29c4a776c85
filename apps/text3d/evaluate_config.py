"""Settings of `evaluate`; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from common.config import JudgeConfig
from common.errors import UsageError

#: GPTEval3D's criteria in the order of its configuration.
CRITERIA = ("alignment", "plausibility", "coherency", "texture", "geometry", "overall")


@dataclass
class SecondClipConfig:
    """A CLIP that guided no scene; without a name nothing is measured with it.

    Attributes:
        name: OpenCLIP's model name, `hf-hub:org/name`, or `local-dir:FOLDER`.
        pretrained: OpenCLIP's tag of the weights; empty for a folder.
        device: torch device.
        rank: k of R-precision@k, beside @1.
    """

    name: str = ""
    pretrained: str = ""
    device: str = "cpu"
    rank: int = 5

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise UsageError(f"evaluate.clip.rank {self.rank}: use 1 or more")


@dataclass
class SecondVlmConfig:
    """A vision-language model that guided no scene; without a model no question is asked.

    Attributes:
        model: a Qwen-VL: folder or hub id.
        device: torch device, or `auto`.
        dtype: of its weights.
        views: that it is asked about, spread evenly, the prompt's own first.
    """

    model: str = ""
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    views: int = 4

    def __post_init__(self) -> None:
        if self.views < 1:
            raise UsageError(f"evaluate.vlm.views {self.views}: use 1 or more")


@dataclass
class EvaluateConfig:
    """What finished scenes are measured with.

    Attributes:
        views: that `generate` writes into a run's folder, at equal steps of azimuth, the prompt's own first.
        clip: a second CLIP.
        vlm: a second vision-language model.
        judge: any OpenAI-compatible endpoint whose model sees pictures; without an address nobody is asked.
        marks: let the judge give every scene T3Bench's marks.
        rubric: let the judge give every scene GoT-R1's rubric marks and judge its layout by drawn boxes.
        shown: views of a scene that the judge sees, spread evenly.
        criteria: of pairwise comparisons (`--compare`).
        resamples: of the intervals of ratings.
    """

    views: int = 12
    clip: SecondClipConfig = field(default_factory=SecondClipConfig)
    vlm: SecondVlmConfig = field(default_factory=SecondVlmConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    marks: bool = True
    rubric: bool = False
    shown: int = 4
    criteria: list[str] = field(default_factory=lambda: list(CRITERIA))
    resamples: int = 1000

    def __post_init__(self) -> None:
        if min(self.views, self.shown, self.resamples) < 1:
            raise UsageError("evaluate.views, evaluate.shown and evaluate.resamples must be 1 or more")
        unknown = [name for name in self.criteria if name not in CRITERIA]
        if unknown or not self.criteria or len(set(self.criteria)) < len(self.criteria):
            raise UsageError(f"evaluate.criteria {self.criteria}: use some of {', '.join(CRITERIA)}, each once")
