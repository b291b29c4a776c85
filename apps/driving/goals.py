"""What the driver's pictures are compared with: language goals, as VLM-RL words them and as the pocket CLIP knows
them.

Nothing heavy is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The CLIP that VLM-RL was published with, and the thresholds that belong to it and to its wording alone.
VLM_RL_CLIP = "ViT-bigG-14:laion2b_s39b_b160k"


@dataclass(frozen=True)
class Goals:
    """The texts of one wording.

    Attributes:
        positive: what the road should look like.
        negative: what must not be.
        safe: what VLM-SR, RoboCLIP and VLM-RM ask for.
        baseline: what a picture shows in any case (VLM-RM).
    """

    positive: str
    negative: str
    safe: str
    baseline: str


#: `vlm_rl` is the wording of VLM-RL's published config; `pocket` says the same in the words of the pocket world.
WORDINGS: dict[str, Goals] = {
    "vlm_rl": Goals(
        positive="The road is clear with no car accidents",
        negative="Two cars have collided with each other on the road",
        safe="A car is driving safely",
        baseline="A car",
    ),
    "pocket": Goals(
        positive="the road is clear",
        negative="two cars have collided",
        safe="the car keeps its lane and the road is clear",
        baseline="a car",
    ),
}
