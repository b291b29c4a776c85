"""What a run's own models say of a scene that they were not asked while shaping it.

The prompt in other words, of views that no step had: a reward that is earned by pictures of the prompt is earned there
too, and one that is earned by a pattern that pleases one text is not. And how much each side looks like a front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from apps.text3d.cameras import around
from apps.text3d.guidance.base import Weighted
from apps.text3d.guidance.clip import ClipGuidance
from apps.text3d.guidance.vlm import Question, VlmReward
from apps.text3d.prompts import questions as ask
from apps.text3d.prompts.prompt import Prompt
from apps.text3d.prompts.rewording import another

if TYPE_CHECKING:
    from apps.text3d.cameras import Cameras
    from apps.text3d.scenes.base import Scene

#: Views that the second wording is asked of, the prompt's own first, and those that may be fronts.
VIEWS, SIDES = 4, 8
#: Nats at which log-odds saturate, as `score` has it by default.
SATURATION = 8.0
#: CLIP's own factor of cosines before a softmax.
LOGIT_SCALE = 100.0
Critic = Callable[["Scene"], Sequence[float]]


def second_wording(prompt: Prompt, guidance: Weighted, size: int) -> Callable[[Scene], float] | None:
    """How well a scene fits its prompt in other words: the mean over the VLM's answer and CLIP's cosine.

    Args:
        prompt: that the guidances have in its own words.
        guidance: whose models are asked; those that are in it alone.
        size: height and width of the views in pixels.

    Returns:
        A function of a scene in [−0.5, 1], higher is better; the VLM's log-odds of yes are squashed into [0, 1]. None
        where neither guides.
    """
    vlm, clip = _vlm(guidance), _clip(guidance)
    if vlm is None and clip is None:
        return None
    other, cameras = replace(prompt, text=another(prompt)), around(VIEWS, size)
    front = tuple(at for at in range(VIEWS) if ask.told_from(prompt, 360 * at / VIEWS))
    question = Question(ask.whole(other).text, views=front)

    @torch.no_grad()
    def score(scene: Scene) -> float:
        views = scene.render(cameras)
        found = []
        if vlm is not None:
            reward = VlmReward(vlm.vlm, [question], words=vlm.words, opening=vlm.opening, system=vlm.system)
            odds = reward.rewards(views.rgb.to(vlm.device), reward.turns(cameras))
            found.append(float((0.5 + 0.5 * torch.tanh(odds.float() / SATURATION)).mean()))
        if clip is not None:
            text = clip.clip.text([other.text])
            found.append(float((clip.clip.image(views.rgb.to(clip.device)) * text).sum(1).mean()))
        return sum(found) / len(found)

    return score


def sides() -> list[float]:
    """Azimuths that `front_critic` looks from, in degrees."""
    return [360.0 * at / SIDES for at in range(SIDES)]


def front_critic(prompt: Prompt, guidance: Weighted, size: int) -> Critic | None:
    """How sure a run's model is that each side of a scene is a front: `SIDES` probabilities.

    The VLM is asked of each view alone; where there is none, CLIP chooses among front, side and back of the prompt.

    Args:
        prompt: of the scene.
        guidance: whose model is asked.
        size: height and width of the views in pixels.

    Returns:
        A function of a scene; None where neither guides: score distillation alone cannot be asked.
    """
    vlm, clip = _vlm(guidance), _clip(guidance)
    if vlm is None and clip is None:
        return None
    cameras = around(SIDES, size)

    @torch.no_grad()
    def scores(scene: Scene) -> list[float]:
        pictures = scene.render(cameras).rgb
        if vlm is not None:
            return _said(vlm, pictures.to(vlm.device), ask.front(prompt), cameras)
        assert clip is not None
        texts = clip.clip.text([f"{prompt.text}, {side} view" for side in ("front", "side", "back")])
        cosine = clip.clip.image(pictures.to(clip.device)) @ texts.t()
        return [float(row) for row in torch.softmax(LOGIT_SCALE * cosine.float(), 1)[:, 0]]

    return scores


def _said(vlm: VlmReward, pictures: Tensor, text: str, cameras: Cameras) -> list[float]:
    """Probabilities of yes, one view at a time: none is to be in memory that training had no room for."""
    found = []
    for row in range(len(cameras)):
        odds = vlm.vlm.yes_logit([[pictures[row]]], [text], vlm.system, vlm.opening, vlm.words)
        found.append(float(torch.sigmoid(odds.float())[0]))
    return found


def _vlm(guidance: Weighted) -> VlmReward | None:
    return next((term.guidance for term in guidance.terms.values() if isinstance(term.guidance, VlmReward)), None)


def _clip(guidance: Weighted) -> ClipGuidance | None:
    return next((term.guidance for term in guidance.terms.values() if isinstance(term.guidance, ClipGuidance)), None)
