"""Settings of the optimisation of one scene; nothing heavy is imported here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from apps.text3d.scenes.config import DensifyConfig
from common.errors import UsageError


@dataclass
class ViewpointConfig:
    """From where the scene is looked at in a step: views at equal steps of azimuth, turned together at random.

    Attributes:
        views: in a step.
        elevation: degrees, drawn evenly between two bounds, one for all views of a step.
        distance: metres, likewise.
        fovy: vertical field of view in degrees, likewise.
        front: share of steps of which the first view is exactly the prompt's own, azimuth 0: relations such as "left
            of" are told from there.
    """

    views: int = 4
    elevation: list[float] = field(default_factory=lambda: [5.0, 35.0])
    distance: list[float] = field(default_factory=lambda: [3.2, 3.2])
    fovy: list[float] = field(default_factory=lambda: [40.0, 40.0])
    front: float = 0.5

    def __post_init__(self) -> None:
        # Now: bounds that reach too far would be told of by the step that happens to draw what lies there.
        for name, least, most in (("elevation", -90, 90), ("distance", 0, math.inf), ("fovy", 0, 180)):
            bounds = getattr(self, name)
            if len(bounds) != 2 or not least < bounds[0] <= bounds[1] < most:
                raise UsageError(
                    f"viewpoints.{name} {bounds}: two numbers between {least} and {most}, and the first must not be "
                    "above the second"
                )
        if self.views < 1 or not 0 <= self.front <= 1:
            raise UsageError("viewpoints.views must be 1 or more, viewpoints.front a share in [0, 1]")


@dataclass
class RegulariserConfig:
    """What keeps a scene tidy: weights, each a number or a schedule as a guidance's; see `optimisation.regularisers`.

    Attributes:
        entropy: of the pictures' opacity, which is to be 0 or 1.
        sparsity: of what is covered.
        orientation: of surfaces that are seen and face away.
        smoothness: total variation of a voxel grid.
    """

    entropy: Any = 0.0
    sparsity: Any = 0.0
    orientation: Any = 0.0
    smoothness: Any = 0.0


@dataclass
class OptimiseConfig:
    """How a scene is optimised.

    Attributes:
        steps: of the whole optimisation.
        minutes: of the wall clock that it may take, those before an interruption included; what there is then is
            exported. 0 is no bound.
        learning_rate: of the scene's geometry; colours and the rest follow (`Scene.parameter_groups`).
        size: height and width of a view in pixels: a number, or [first, last, steps from the one to the other].
        background: `white`, `black`, `random` (one colour a step), or `learned`: a colour for each direction, trained
            beside the scene and never exported; see `scenes.backgrounds.LearnedBackground`.
        background_random: share of steps in which a random colour takes the place of a learned background, so that
            nothing of the object is painted into it; 0.5 in threestudio's configurations.
        viewpoints: of a step.
        regularisers: added to the guidances.
        densify: when Gaussians are added and taken away; of scenes of Gaussians only.
        patience: steps in a row whose loss is no number before the run stops; each is skipped.
        empty_opacity: mean opacity below which a scene counts as empty.
        empty_steps: steps in a row after which an empty scene is seeded anew, once, and the second time given up.
    """

    steps: int = 800
    minutes: float = 0.0
    learning_rate: float = 0.1
    size: Any = 56
    background: Literal["white", "black", "random", "learned"] = "random"
    background_random: float = 0.5
    viewpoints: ViewpointConfig = field(default_factory=ViewpointConfig)
    regularisers: RegulariserConfig = field(default_factory=RegulariserConfig)
    densify: DensifyConfig = field(default_factory=DensifyConfig)
    patience: int = 10
    empty_opacity: float = 1e-3
    empty_steps: int = 30

    def __post_init__(self) -> None:
        if not 0 <= self.background_random <= 1:
            raise UsageError(f"optimise.background_random {self.background_random}: a share of steps, from 0 to 1")
        if min(self.patience, self.empty_steps) < 1 or self.learning_rate < 0:
            raise UsageError(
                f"optimise.patience {self.patience} and optimise.empty_steps {self.empty_steps} must be at least 1, "
                f"and optimise.learning_rate {self.learning_rate} at least 0"
            )

    def side(self, step: int) -> int:
        """Height and width of a step's views in pixels."""
        return self.size if isinstance(self.size, int) else resolution_at(step, *self.size)

    @property
    def last_side(self) -> int:
        """That of the last step."""
        return self.side(max(self.steps - 1, 0))


def resolution_at(step: int, first: int, last: int, steps: int, multiple: int = 28) -> int:
    """Side of pictures in pixels at a step: it grows by equal factors from `first` to `last`, and stays there.

    Coarse pictures come first: they are cheap, and give a scene its outline before its surface.

    Args:
        step: from 0 on.
        first: side at step 0.
        last: side from `steps` on.
        steps: until then.
        multiple: sides are the nearest multiple of this, at least one; 28 fits Qwen-VL's patches without a resize.

    Raises:
        UsageError: sides or the multiple below 1, `first` above `last`, or negative steps.
    """
    if not 1 <= first <= last or multiple < 1 or step < 0 or steps < 0:
        raise UsageError(
            f"a resolution grows from first {first}, at least 1, to last {last} over {steps} steps in multiples of "
            f"{multiple}; asked at step {step}"
        )
    share = 1.0 if step >= steps else step / steps
    side: float = first * (last / first) ** share
    return max(1, round(side / multiple)) * multiple
