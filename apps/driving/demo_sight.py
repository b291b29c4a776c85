"""What the demo's CLIP makes of the pictures of a drive: features once, then z for any two goals that are typed."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from apps.driving.goals import WORDINGS
from apps.driving.reward_config import RewardConfig, worded
from common.errors import UsageError
from common.files import locate

if TYPE_CHECKING:
    from torch import Tensor

    from common.models.clip import Clip

#: Characters of a goal.
LONGEST_GOAL = 200
#: Pictures that are encoded together.
BATCH = 128
LOCAL = "local-dir:"
MAKE = "python -m apps.driving pretrain"


@dataclass(frozen=True)
class Likeness:
    """Pictures of a drive against two goals; higher z is more dangerous.

    Attributes:
        positive: what the road should look like.
        negative: what must not be.
        towards: `(N,)` cosines with `positive`, in [-1, 1].
        against: `(N,)` cosines with `negative`.
        z: `(N,)` the contrast of both.
        limits: z that is safe and z that is dangerous, where they are known for these goals.
        unheard: words that the CLIP was never taught.
    """

    positive: str
    negative: str
    towards: NDArray[np.float64]
    against: NDArray[np.float64]
    z: NDArray[np.float64]
    limits: tuple[float, float] | None = None
    unheard: tuple[str, ...] = ()

    @property
    def safety(self) -> NDArray[np.float64] | None:
        """`(N,)` VLM-RL's c, 1 safe and 0 dangerous; None without limits."""
        if self.limits is None:
            return None
        low, high = self.limits
        return np.clip((high - self.z) / (high - low), 0.0, 1.0)


class Sight:
    """A CLIP, its own goals, and what it was taught.

    Args:
        clip: that sees.
        config: goals, weights and thresholds.
        taught: lower-case words of its training; None where they are not known.
    """

    def __init__(self, clip: Clip, config: RewardConfig, taught: frozenset[str] | None = None) -> None:
        self.clip = clip
        self.config = config
        self.taught = taught
        # Browsers ask at the same time; a model on few cores serves one at a time.
        self._lock = threading.Lock()

    @property
    def own(self) -> tuple[str, str]:
        """The configured goals: positive, negative."""
        goals = worded(self.config.goals)
        return goals.positive, goals.negative

    def see(self, pictures: NDArray[np.uint8]) -> Tensor:
        """`(N, D)` features of pictures `(N, 3, H, W)`."""
        import torch

        with self._lock, torch.no_grad():
            parts = [
                self.clip.image(torch.from_numpy(pictures[start : start + BATCH]).float() / 255.0)
                for start in range(0, len(pictures), BATCH)
            ]
        return torch.cat(parts).float().cpu()

    def compare(self, seen: Tensor, positive: str, negative: str) -> Likeness:
        """Pictures against two goals.

        Args:
            seen: `(N, D)` of `see`.
            positive: what the road should look like.
            negative: what must not be.

        Raises:
            UsageError: a goal is empty or too long, or both are the same.
        """
        from common.rewards.image import functional

        positive, negative = checked(positive, "what the road should look like"), checked(negative, "what must not be")
        if positive.lower() == negative.lower():
            raise UsageError("both goals are the same, so there is nothing between them; write two different ones")
        with self._lock:
            texts = self.clip.text([positive, negative]).float().cpu()
        towards, against = (functional.cosine(seen, text) for text in texts)
        weights = (self.config.goals.weight_positive, self.config.goals.weight_negative)
        z = functional.contrast_gap(towards, against, weights)
        return Likeness(
            positive,
            negative,
            towards.double().numpy(),
            against.double().numpy(),
            z.double().numpy(),
            self._limits() if (positive, negative) == self.own else None,
            self._unheard(f"{positive} {negative}"),
        )

    def _limits(self) -> tuple[float, float] | None:
        """Thresholds belong to one model and one wording: there are some for the configured goals at most."""
        from apps.driving.rewards import thresholds

        try:
            return thresholds(self.config, self.clip)
        except UsageError:
            return None

    def _unheard(self, text: str) -> tuple[str, ...]:
        if self.taught is None:
            return ()
        return tuple(word for word in dict.fromkeys(words(text)) if word not in self.taught)


def checked(text: str, what: str) -> str:
    """A goal without blanks around it.

    Raises:
        UsageError: it is empty or too long.
    """
    text = " ".join(text.split()) if isinstance(text, str) else ""
    if not text:
        raise UsageError(f"write {what} first")
    if len(text) > LONGEST_GOAL:
        raise UsageError(f"{what}: {len(text)} characters are too many for a goal; write {LONGEST_GOAL} at most")
    return text


def words(text: str) -> list[str]:
    """Its words in lower case."""
    return re.findall(r"[^\W_]+", text.lower())


@cache
def pocket_words() -> frozenset[str]:
    """All words that the pocket CLIP was trained on."""
    from apps.driving.pocket.wordings import CLAUSES, PAIRS

    texts = [text for clauses in CLAUSES.values() for clause in clauses for text in clause.texts]
    texts += [text for pair in PAIRS for text in (*pair.positive, *pair.negative)]
    texts += [text for goals in WORDINGS.values() for text in (goals.positive, goals.negative, goals.safe)]
    return frozenset(word for text in texts for word in words(text))


def to_try() -> list[tuple[str, str]]:
    """Pairs of goals that the pocket CLIP knows, one of each kind of danger."""
    from apps.driving.pocket.wordings import PAIRS

    own = WORDINGS["pocket"]
    pairs = [(pair.positive[-1], pair.negative[-1]) for pair in PAIRS]
    return [(own.positive, own.negative), *pairs]


def calibrated(config: RewardConfig) -> RewardConfig:
    """The settings with the thresholds that lie beside a CLIP of the config's wording, where none are configured."""
    from apps.driving.pretrain_config import THRESHOLDS

    given = config.thresholds
    folder = config.clip.student or config.clip.name.removeprefix(LOCAL)
    path = locate(f"{folder}/{THRESHOLDS.get(config.goals.wording, '')}")
    if given.file or given.low is not None or not path.is_file():
        return config
    return replace(config, thresholds=replace(given, file=str(path)))


def open_sight(config: RewardConfig) -> tuple[Sight | None, str]:
    """The configured CLIP, opened; or None and why there is none, with what makes one."""
    from apps.driving.rewards import configured_clip

    name = config.clip.name
    folder = name.removeprefix(LOCAL)
    pocket = folder == RewardConfig().clip.name.removeprefix(LOCAL)
    if name.startswith(LOCAL) and not (locate(folder) / "open_clip_config.json").is_file():
        return None, f"there is no CLIP in {folder}. Make the pocket one with: {MAKE}"
    try:
        clip = configured_clip(config)
        _ = clip.dim
    except UsageError as error:
        return None, f"{error}. Make the pocket one anew with: {MAKE}" if pocket else str(error)
    return Sight(clip, calibrated(config), pocket_words() if pocket else None), ""
