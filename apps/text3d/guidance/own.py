"""Any differentiable reward of the catalogue, or of the user's own, as a guidance."""

from __future__ import annotations

import torch

from apps.text3d.cameras import Cameras
from apps.text3d.scenes.base import Views
from common.errors import UsageError
from common.rewards.adapters.loss import to_loss
from common.rewards.base import Reward

#: What a reward finds of a view.
COLUMNS = ("images", "prompt", "completion", "step")


def check_columns(reward: Reward, option: str) -> None:
    """Refuse a reward that reads what a view has not.

    Raises:
        UsageError: names the option and the column.
    """
    for column in reward.needs:
        if column not in COLUMNS:
            raise UsageError(
                f"{option}: {reward.name} needs the column {column!r}, and a view has {', '.join(COLUMNS)}"
            )


class OwnReward:
    """Minus a reward's mean over the views: `images` are the views, `prompt` and `completion` the prompt of each.

    Figures: `reward`, the mean, and `unscored`, views that the grader could not score; they have no influence.

    Args:
        reward: a differentiable one.
        prompt: one text.

    Raises:
        UsageError: the reward has no gradient, or needs a column that a view has not.
    """

    def __init__(self, reward: Reward, prompt: str) -> None:
        if not reward.differentiable:
            raise UsageError(
                f"guidance.own.reward: {reward.name} has no gradient that could shape a scene. Where it has a field "
                "`differentiable` (python -m common.rewards describe NAME), set it to true; else assay it (python -m "
                "apps audit --app text3d --reward FILE) and let it choose between noises (guidance.sds.judge) or "
                "judge what other guidances shaped: generate --best_of N keeps the pictures of N seeds, which python "
                "-m common.rewards score FILE scores"
            )
        check_columns(reward, "guidance.own.reward")
        self.scored = to_loss(reward)
        self.prompt = prompt

    def loss(
        self, views: Views, cameras: Cameras, step: int, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """See `Guidance.loss`; nothing is drawn here.

        Raises:
            GraderFailure: see `common.rewards.adapters.loss.RewardLoss`.
        """
        texts = [self.prompt] * len(cameras)
        found = self.scored(images=views.rgb, prompt=texts, completion=texts, step=step)
        nothing = found.unscored == len(texts)
        loss = 0 * views.rgb.sum() if nothing else found.value.to(views.rgb)
        return loss, {"unscored": float(found.unscored), **({} if nothing else {"reward": found.reward})}
