"""What a vision-language model answers about a finished scene: each question apart, with how sure it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from apps.text3d.guidance_config import GuidanceConfig
from common.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from apps.text3d.config import Text3dConfig
    from apps.text3d.guidance.build import Models
    from apps.text3d.guidance.vlm import VlmReward
    from apps.text3d.prompts.prompt import Prompt
    from apps.text3d.scenes.base import Scene

#: Answers in one go: so many turns of a conversation are in memory at once.
TURNS = 16
#: Where a question stands that is asked about all views at once.
TOGETHER = "all views"


@dataclass(frozen=True)
class SceneAnswer:
    """One question and what the model answered about each view.

    Attributes:
        kind: `semantic`, `spatial` or `consistency`, as its weight is called.
        text: as the model reads it.
        expected: whether yes is right.
        odds: for every view that it was asked about, where that view is seen from and the log-odds of the right
            answer in nats: above 0 the model is right.
    """

    kind: str
    text: str
    expected: bool
    odds: tuple[tuple[str, float], ...]

    @property
    def mean(self) -> float:
        """Mean log-odds of the right answer, in nats."""
        return sum(value for _, value in self.odds) / len(self.odds)

    @property
    def right(self) -> int:
        """In how many views the model is right."""
        return sum(value > 0 for _, value in self.odds)


def every_reward(config: Text3dConfig, prompt: Prompt, models: Models | None = None) -> dict[str, VlmReward]:
    """The rewards by kind of question, as for a run in which every kind has a weight; they share one model.

    Args:
        config: the settings.
        prompt: that is asked about.
        models: that are open already; more are added.

    Raises:
        UsageError: no model is named.
    """
    from apps.text3d.guidance.build import build
    from apps.text3d.guidance.vlm import VlmReward

    if not config.guidance.vlm.model:
        raise UsageError("no vision-language model is named; name a folder or a hub id with --guidance.vlm.model")
    every = replace(config.guidance.vlm, semantic=1.0, spatial=1.0, consistency=1.0)
    terms = build(GuidanceConfig(vlm=every), prompt, config.seed, models).terms
    found = {name.removeprefix("vlm."): term.guidance for name, term in terms.items()}
    return {kind: reward for kind, reward in found.items() if isinstance(reward, VlmReward)}


def answers(scene: Scene, rewards: Mapping[str, VlmReward], config: Text3dConfig) -> list[SceneAnswer]:
    """Ask everything that the rewards ask, of views all around a scene.

    Views are `config.export.views` at equal steps of azimuth, the prompt's own side first, as large as those that the
    scene was shaped by. Left and right are asked as each view shows them, so the expected answer may differ by view;
    then the question stands there twice.

    Args:
        scene: finished.
        rewards: see `every_reward`.
        config: the settings.

    Raises:
        UsageError: the model cannot be opened.
    """
    import torch

    from apps.text3d.cameras import around

    size, views = config.optimise.size, config.export.views
    cameras = around(views, size if isinstance(size, int) else int(size[1]))
    places = [f"{360 * view // views}°" for view in range(views)]
    found: dict[tuple[str, str, bool], list[tuple[str, float]]] = {}
    with torch.no_grad():
        pictures = scene.render(cameras).rgb
        for kind, reward in rewards.items():
            turns = reward.turns(cameras)
            for turn, odds in zip(turns, _odds(reward, pictures, turns), strict=True):
                place = TOGETHER if turn.question.together else places[turn.views[0]]
                found.setdefault((kind, turn.question.text, turn.question.expected), []).append((place, odds))
    return [SceneAnswer(*key, tuple(odds)) for key, odds in found.items()]


def _odds(reward: VlmReward, pictures: Tensor, turns: Sequence[Any]) -> Iterator[float]:
    for begin in range(0, len(turns), TURNS):
        yield from reward.rewards(pictures, turns[begin : begin + TURNS]).tolist()
