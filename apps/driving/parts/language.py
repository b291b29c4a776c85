"""Published rewards that are a picture's likeness to a text, beside VLM-RL's: VLM-SR, RoboCLIP, LORD, LORD-Speed.

VLM-RM is `common.rewards.image.GoalBaseline`. None of them reads how a step ended, as none of the papers does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from apps.driving.parts import functional
from apps.driving.parts.signals import missing, read
from common.errors import RewardError
from common.rewards.base import RewardOutput
from common.rewards.episodes.memory import Episodes, any_of, look_up, whole
from common.rewards.image import PictureReward
from common.rewards.image import functional as image_functional

if TYPE_CHECKING:
    from common.models.clip import Clip


class Likeness(PictureReward):
    """What these rewards share: the cosine of each picture and one text.

    A picture whose vector is zeros or no number is NaN with a reason.

    Args:
        clip: name or folder of a CLIP (opened on first use), or a `Clip`.
        goal: the text.
        name: the reward's name.
        pictures: column of pictures or their features; see `PictureReward`.
        device: torch device of a CLIP given by name.

    Raises:
        RewardError: the text is empty.
    """

    def __init__(
        self, clip: str | Path | Clip, goal: str, name: str, pictures: str = "images", device: str = "cpu"
    ) -> None:
        super().__init__(clip, pictures, name, device, differentiable=False)
        if not goal.strip():
            raise RewardError(f"reward {name!r} needs a text to compare pictures with")
        self.goal = goal
        self.needs = (pictures,)

    def vectors(self, columns: Mapping[str, Any], reasons: list[str]) -> Tensor:
        """`(B, dim)` unit vectors of the pictures on the CPU; NaN where there is none."""
        seen = self.picture_vectors(columns[self.pictures], reasons).detach().float().cpu()
        length = seen.norm(dim=1, keepdim=True)
        return torch.where(length > 0, seen / length.clamp(min=torch.finfo(seen.dtype).tiny), math.nan)

    def cosines(self, columns: Mapping[str, Any], reasons: list[str]) -> Tensor:
        """`(B,)` cosines with the goal, in [−1, 1]."""
        goal = self.goal_vector(self.goal).detach().cpu()
        return image_functional.cosine(self.vectors(columns, reasons), goal).clamp(-1, 1)


class VlmSr(Likeness):
    r"""VLM-SR: +1 where the picture's cosine with the goal is above a threshold, else −1 (arXiv 2312.09187's form).

    Range {−1, 1}, higher is better. Part: `cosine`. A threshold holds for one CLIP and one text only: calibrate it
    (`apps.driving.calibration`); VLM-RL's comparison has 0.32 for its own.

    Args:
        threshold: cosine that must be passed.
    """

    bounds = (-1.0, 1.0)
    part_names = ("cosine",)

    def __init__(
        self, clip: str | Path | Clip, goal: str, threshold: float, name: str = "vlm_sr", **where: Any
    ) -> None:
        super().__init__(clip, goal, name, **where)
        if not -1 <= threshold < 1:
            raise RewardError(f"reward {name!r}: a threshold of {threshold} would make all pictures the same")
        self.threshold = threshold

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`."""
        reasons = [""] * len(columns[self.pictures])
        cosines = self.cosines(columns, reasons)
        values = torch.where(cosines.isnan(), math.nan, torch.where(cosines > self.threshold, 1.0, -1.0))
        return self.judged(values, reasons, {"cosine": cosines})


class Lord(Likeness):
    r"""LORD (WACV 2025): :math:`1 - \cos(o, l_{neg})`, far from what must not be. Range [0, 2], higher is better.

    With `top` LORD-Speed, VLM-RL's comparator: plus :math:`1 - |v - v_{top}| / v_{top}`, v along the route, at least
    −1; the wrong way and the reverse gear earn nothing by it. Range [−1, 3]. Parts: `goal` and, with `top`, `speed`.

    Args:
        top: speed in m/s that is wanted (20 km/h in the comparison); None leaves it out.
    """

    def __init__(
        self, clip: str | Path | Clip, goal: str, top: float | None = None, name: str = "lord", **where: Any
    ) -> None:
        super().__init__(clip, goal, name, **where)
        if top is not None and not 0 < top < math.inf:
            raise RewardError(f"reward {name!r}: a speed of {top} m/s cannot be wanted")
        self.top = top
        self.bounds = (0.0, 2.0) if top is None else (-1.0, 3.0)
        self.needs = (self.pictures,) if top is None else (self.pictures, "state")
        self.part_names = ("goal",) if top is None else ("goal", "speed")

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`."""
        reasons = [""] * len(columns[self.pictures])
        goal = 1 - self.cosines(columns, reasons)
        if self.top is None:
            return self.judged(goal, reasons, {"goal": goal})
        state = read(self.name, columns["state"], ("speed", "heading"))
        reasons = [own or other for own, other in zip(missing(state)[1], reasons, strict=True)]
        pace = functional.along(state["speed"], state["heading"])
        speed = functional.target_speed(pace, torch.ones_like(pace), self.top).float()
        return self.judged(goal + speed, reasons, {"goal": goal, "speed": speed})


class RoboClip(Likeness):
    r"""RoboCLIP (NeurIPS 2023): one likeness of the whole episode's video to a text, paid with its last step.

    .. math:: R_T = \cos\Bigl(\tfrac1T \sum_t \hat\phi(o_t),\ \phi(l)\Bigr), \qquad R_t = 0 \text{ before}

    As published the video's vector comes from S3D, which is not part of this suite: here it is the mean of CLIP's unit
    vectors of the frames. (What VLM-RL's comparison calls RoboCLIP is the cosine of every frame, in every step.)

    Range [−1, 1], higher is better. Needs `group`, the number of each row's episode, never used for another one; an
    episode may come in pieces, in any order, beside others, and a piece that comes twice counts once. Parts: `cosine`
    (of the frame) and `frames` (of the episode, known so far). Frames without a vector are left out of the mean; where
    none has one the last step is NaN with a reason.

    Args:
        place: column of a row's place in its episode.
        ends: columns of which one is above 0 in an episode's last row.
        limit: episodes remembered.
    """

    bounds = (-1.0, 1.0)
    part_names = ("cosine", "frames")

    def __init__(
        self,
        clip: str | Path | Clip,
        goal: str,
        place: str = "state.step",
        ends: tuple[str, ...] = ("state.terminated", "state.truncated"),
        limit: int = 256,
        name: str = "roboclip",
        **where: Any,
    ) -> None:
        super().__init__(clip, goal, name, **where)
        self.place = place
        self.ends = ends
        self.episodes = Episodes(limit)
        self.needs = (self.pictures, "group", *dict.fromkeys(path.split(".")[0] for path in (place, *ends)))

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`."""
        reasons = [""] * len(columns[self.pictures])
        groups = whole(self.name, columns["group"], "group")
        places = whole(self.name, look_up(self.name, columns, self.place), self.place)
        ends = any_of(self.name, columns, self.ends)
        seen = self.vectors(columns, reasons)
        self.episodes.take_in(groups, places, seen, ends)
        goal = self.goal_vector(self.goal).detach().cpu()
        values, frames = torch.zeros(len(seen)), torch.zeros(len(seen))
        for group in dict.fromkeys(groups.tolist()):
            known = self.episodes.rows(group)
            known = known[known.isfinite().all(1)].double()
            frames[groups == group] = float(len(known))
            for row in (ends & (groups == group)).nonzero().flatten().tolist():
                if len(known):
                    values[row] = image_functional.cosine(known.mean(0)[None], goal).clamp(-1, 1)
                    reasons[row] = ""
                else:
                    values[row] = math.nan
                    reasons[row] = reasons[row] or "no frame of the episode has a vector"
        cosines = image_functional.cosine(seen, goal)
        return self.judged(values, reasons, {"cosine": cosines, "frames": frames})

    def state_dict(self) -> dict[str, Any]:
        """The episodes under way, for a checkpoint."""
        return self.episodes.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.episodes.load_state_dict(state)
