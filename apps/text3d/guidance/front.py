"""What keeps a thing with a front from showing it on every side (Janus), unless the settings say otherwise.

Texts that depend on the view are on for every prompt. Two things more cost time, and are left to the prompt where the
settings name no weight: Perp-Neg's negatives, and the VLM's questions about all views together. They are on where the
prompt may be about a thing with a front, and the model is none of the pocket's, which know neither such words nor such
questions.
"""

from __future__ import annotations

from copy import deepcopy

from apps.text3d.guidance.provenance import says_pocket, used
from apps.text3d.guidance_config import GuidanceConfig
from apps.text3d.prompts.prompt import Prompt

#: Weight of Perp-Neg's negatives where it is left to the prompt: the back is held against the front in full.
PERP_NEG = 1.0


def may_have_front(prompt: Prompt) -> bool:
    """Whether a prompt may be about something that has a front.

    The solids of the vocabulary have none, as they look alike from everywhere; of any other word nobody here knows.
    """
    return not prompt.understood


def real(model: str) -> bool:
    """Whether a model is named, and is none of the pocket's."""
    return bool(model) and not says_pocket(model)


def settled(config: GuidanceConfig, prompt: Prompt) -> GuidanceConfig:
    """The settings with every weight that was left to the prompt; those that were given stay as they are."""
    found = deepcopy(config)
    sds, vlm, front = found.sds, found.vlm, may_have_front(prompt)
    if sds.perp_neg is None:
        # Its negatives are texts of directions, and take the place of a negative prompt.
        wanted = front and sds.view_dependent and not sds.negative and real(sds.model)
        sds.perp_neg = PERP_NEG if wanted else 0.0
    if vlm.consistency is None:
        asked = vlm.semantic if used(vlm.semantic, "guidance.vlm.semantic") else vlm.spatial
        vlm.consistency = asked if front and real(vlm.model) else 0.0
    return found
