"""The VLM reward: how sure a vision-language model is that the views are what the prompt asks for.

VLM3D (arXiv 2511.14271) asks one question about all views at once. Here any number of questions is asked, each with
its own answer, weight and views, so that what is wrong can be weighted and logged apart.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from apps.text3d.cameras import Cameras
from apps.text3d.guidance.base import with_gradient
from apps.text3d.scenes.base import Views
from common.errors import UsageError

if TYPE_CHECKING:
    from common.models.vlm import VisionLanguageModel
    from common.models.vlm_input import Preprocess
    from common.models.vlm_prompt import Words

log = logging.getLogger(__name__)

FORMS = ("log_sigmoid", "log_odds", "probability")


@dataclass(frozen=True)
class Question:
    """A question to be answered with yes or no.

    Attributes:
        text: as the model reads it.
        expected: whether yes is right.
        weight: among the questions.
        views: rows of the views that it is asked about; None is all.
        together: one turn shows all its views ("do these views show one object?"); else each view is asked alone.
        name: under which the log tells its answer, such as "colour" or "relation"; equal names are averaged.
    """

    text: str
    expected: bool = True
    weight: float = 1.0
    views: tuple[int, ...] | None = None
    together: bool = False
    name: str = "question"


#: Questions for a batch of cameras: left and right depend on where a camera stands, above and below do not.
Questions = Sequence[Question] | Callable[[Cameras], Sequence[Question]]


@dataclass(frozen=True)
class _Turn:
    """One turn of a conversation: a question and the views that it shows."""

    question: Question
    views: tuple[int, ...]
    weight: float


class VlmReward:
    r"""The log-odds of a vision-language model's answers as a loss.

    With :math:`r = \log p(yes) - \log p(no)`, turned round where no is right, and the questions' weights:

    * "log_sigmoid": the mean of :math:`-\log\sigma(r)`, the cross-entropy of the right answer. It stops pulling where
      an answer is sure, so that no question is driven on at the cost of the others. Range [0, ∞).
    * "log_odds": the mean of :math:`-c \tanh(r / c)`, which saturates at ±c; with `saturation` 0 it is −r, VLM3D's own
      reward, which never stops pulling and so rewards adversarial patterns without end. Range [−c, c].
    * "probability": the mean of p(wrong) − p(right), VLM3D's option. Range [−1, 1].

    A question that is asked of each view alone counts once: its weight is shared among its views. Views of sides that
    are no multiples of the model's token are resized, with gradient, by `common.models.vlm_input.Preprocess`.

    Figures: `reward`, weighted mean of r; `right`, weighted part of answers that are right; `NAME`, mean of r for each
    question's name; `side`, height in pixels as the model sees it; `tokens`, image tokens of a view.

    Args:
        vlm: a Qwen-VL; frozen weights.
        questions: the same in every step, or a function of the cameras.
        form: see above.
        saturation: c, in nats; for "log_odds".
        words: what yes and no are called; one word or several each.
        opening: text that the answer has begun with, where the model was taught that.
        system: a system message.
        per_step: turns that are drawn for a step, each as likely as the others; 0 has all of them. The weight is
            shared out among those that are drawn, so a few point where all do in the mean, nearly, at a part of the
            cost.
        seed: of what is drawn.
        at_once: most turns whose graph is kept at a time; memory is that of so many, and views are encoded anew for
            each part. 0 is all.
        checked: sizes of views that this model was tried with; shared among rewards, what is said of a size is said
            once.

    Raises:
        UsageError: an unknown form, or a negative saturation.
    """

    def __init__(
        self,
        vlm: VisionLanguageModel,
        questions: Questions,
        form: Literal["log_sigmoid", "log_odds", "probability"] = "log_sigmoid",
        saturation: float = 8.0,
        words: tuple[Words, Words] = ("yes", "no"),
        opening: str = "",
        system: str | None = None,
        per_step: int = 0,
        seed: int = 0,
        at_once: int = 0,
        checked: set[tuple[int, int]] | None = None,
    ) -> None:
        if form not in FORMS:
            raise UsageError(f"form {form!r}: use {', '.join(FORMS)}")
        if saturation < 0:
            raise UsageError(f"saturation {saturation}: use 0 (none) or more")
        self.vlm = vlm
        self.questions = questions
        self.form = form
        self.saturation = saturation
        self.words = words
        self.opening = opening
        self.system = system
        self.per_step = per_step
        self.generator = torch.Generator().manual_seed(seed)
        self.at_once = at_once
        self.checked = set() if checked is None else checked

    @property
    def device(self) -> torch.device:
        """Where the views must be."""
        return torch.device(self.vlm.model.device)

    def loss(
        self, views: Views, cameras: Cameras, step: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Guidance.loss`; `generator` is not used, as the turns of a step are drawn from one of its own.

        Without questions for these cameras it is 0.

        Raises:
            UsageError: see `turns`, `check_scale` and `VisionLanguageModel.yes_logit`.
        """
        turns = self._drawn(self.turns(cameras))
        if not turns:
            return 0 * views.rgb.sum(), {}
        self._check_size(views.rgb)
        total = sum(turn.weight for turn in turns)
        weights = torch.tensor([turn.weight / total for turn in turns], device=views.rgb.device)
        size = self.at_once or len(turns)
        if len(turns) <= size or not views.rgb.requires_grad:
            reward = self.rewards(views.rgb, turns)
            loss = (weights.to(reward) * self._loss(reward)).sum().to(views.rgb.dtype)
        else:
            loss, reward = self._in_parts(views, turns, weights, size)
        return loss, self._figures(turns, reward.detach(), weights.to(reward), views.rgb)

    def _in_parts(self, views: Views, turns: list[_Turn], weights: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """The same loss and rewards, some turns at a time, each of whose graphs is gone before the next."""
        pictures = views.rgb.detach().requires_grad_()
        gradient, value = torch.zeros_like(pictures), pictures.new_zeros(())
        rewards = []
        for start in range(0, len(turns), size):
            part = slice(start, start + size)
            reward = self.rewards(pictures, turns[part])
            loss = (weights[part].to(reward) * self._loss(reward)).sum().to(pictures.dtype)
            gradient += torch.autograd.grad(loss, pictures)[0]
            value += loss.detach()
            rewards.append(reward.detach())
        return with_gradient(value, views, {"rgb": gradient}), torch.cat(rewards)

    def state_dict(self) -> dict[str, Any]:
        """The generator of what is drawn."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self.generator.set_state(state["generator"])

    def _drawn(self, turns: list[_Turn]) -> list[_Turn]:
        if not 0 < self.per_step < len(turns):
            return turns
        chosen = torch.randperm(len(turns), generator=self.generator)[: self.per_step]
        return [turns[at] for at in sorted(chosen.tolist())]

    def rewards(self, pictures: Tensor, turns: Sequence[_Turn]) -> Tensor:
        """`(N,)` log-odds of the right answer in each turn, with gradient to `(B, 3, H, W)` pictures in [0, 1]."""
        # The same object for the same view: the model encodes it once, however many questions are asked about it.
        each = pictures.unbind(0)
        shown = [[each[row] for row in turn.views] for turn in turns]
        texts = [turn.question.text for turn in turns]
        odds = self.vlm.yes_logit(shown, texts, self.system, self.opening, self.words)
        return odds * odds.new_tensor([1.0 if turn.question.expected else -1.0 for turn in turns])

    def turns(self, cameras: Cameras) -> list[_Turn]:
        """What is asked about views of these cameras.

        Raises:
            UsageError: a question has no text, a weight below 0, or asks about a view that is not there.
        """
        asked = self.questions(cameras) if callable(self.questions) else self.questions
        turns: list[_Turn] = []
        for question in asked:
            rows = tuple(range(len(cameras))) if question.views is None else question.views
            if not question.text.strip() or not 0 <= question.weight < math.inf:
                raise UsageError(f"a question needs a text and a weight of 0 or more: {question}")
            if any(not 0 <= row < len(cameras) for row in rows):
                raise UsageError(f"question {question.text!r} asks about views {rows} of {len(cameras)}")
            if not rows or question.weight == 0:
                continue
            groups = [rows] if question.together else [(row,) for row in rows]
            turns += [_Turn(question, group, question.weight / len(groups)) for group in groups]
        return turns

    def _loss(self, reward: Tensor) -> Tensor:
        if self.form == "log_sigmoid":
            return -functional.logsigmoid(reward)
        if self.form == "probability":
            return -torch.tanh(reward / 2)  # = p(wrong) − p(right)
        return -self.saturation * torch.tanh(reward / self.saturation) if self.saturation else -reward

    def _figures(self, turns: Sequence[_Turn], reward: Tensor, weights: Tensor, pictures: Tensor) -> dict[str, float]:
        named: dict[str, list[float]] = defaultdict(list)
        for turn, value in zip(turns, reward.tolist(), strict=True):
            named[turn.question.name].append(value)
        size = pictures.shape[-2:]
        return {
            "reward": float((weights * reward).sum()),
            "right": float((weights * (reward > 0)).sum()),
            "side": float(self.vlm.preprocess.resized(*size)[0]),
            "tokens": float(self.vlm.preprocess.tokens(*size)),
            **{name: sum(values) / len(values) for name, values in named.items()},
        }

    def _check_size(self, pictures: Tensor) -> None:
        """Once for each size of the views: their scale, and whether the model sees enough of them."""
        height, width = pictures.shape[-2:]
        if (height, width) in self.checked:
            return
        self.checked.add((height, width))
        preprocess = self.vlm.preprocess
        check_scale(preprocess, pictures.detach())
        seen = preprocess.resized(height, width)
        if (height, width) != seen:
            small = min(height, width) < preprocess.patch * preprocess.merge * 2
            log.log(
                logging.WARNING if small else logging.INFO,
                "views of %d×%d pixels are resized to %d×%d (%d tokens) for the VLM%s",
                *(height, width, *seen, preprocess.tokens(height, width)),
                ", which blows them up without showing more: render larger ones" if small else "",
            )


def check_scale(preprocess: Preprocess, pictures: Tensor) -> None:
    """Refuse a preprocess that divides pictures in [0, 1] by 255 once more: a dark picture, without any error.

    Raises:
        UsageError: pictures that are not black become patches that are.
    """
    patches, _ = preprocess(pictures)
    plain = pictures.float().mean((0, 2, 3)).cpu()
    mean, deviation = torch.tensor(preprocess.mean), torch.tensor(preprocess.deviation)
    black, wanted = float((-mean / deviation).mean()), float(((plain - mean) / deviation).mean())
    found = float(patches.float().mean())
    # In half way to black or nearer: resizing and rounding move a mean by much less.
    if wanted - black > 0.1 and found < black + 0.5 * (wanted - black):
        raise UsageError(
            f"the views' mean is {float(plain.mean()):.3f} of 1, and the VLM's input is as dark as {found:.2f} (black "
            f"is {black:.2f}): something divides by 255 twice. Pictures go in as they are, in [0, 1]"
        )
