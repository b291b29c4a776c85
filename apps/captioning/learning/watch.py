"""What is looked at while a captioner is reinforced: its captions of validation pictures, and signs that it breaks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from apps.captioning.config import CaptioningConfig

if TYPE_CHECKING:
    from torch import Tensor

    from apps.captioning.learning.reinforce import Reinforcer
    from apps.captioning.train import Data
    from common.models.clip import Clip
    from common.training.run import Run

logger = logging.getLogger(__name__)

# A second CLIP may like captions this much less, in cosine, before its opinion counts as fallen.
SLACK = 0.01


def pleasing(measured: Sequence[tuple[float, float]]) -> bool:
    """Whether a captioner learns to please its reward and not to see.

    Args:
        measured: by time: the reward of validation captions, and their cosine under a CLIP that no reward has used.

    Returns:
        True where the reward is the highest yet while the cosine has fallen twice running, and by more than a hair.
    """
    if len(measured) < 3:
        return False
    rewards, cosines = zip(*measured, strict=True)
    falling = cosines[-1] < cosines[-2] < cosines[-3]
    return bool(falling and cosines[-1] < max(cosines) - SLACK and rewards[-1] >= max(rewards))


class Watch:
    """Measures the captioner on validation pictures, keeps the best weights, and raises alarms.

    Without `rl.select: captions` no annotated caption is looked at: the measure is the reward of greedy captions, but
    for naturalness, whose judge changes while it is trained. Where nothing else is paid, the last weights are kept.
    """

    def __init__(self, config: CaptioningConfig, run: Run, learner: Reinforcer, data: Data) -> None:
        from apps.captioning.learning.alarms import CaptionAlarms
        from apps.captioning.measures.evaluation import second_clip

        self.config, self.run, self.learner, self.data = config, run, learner, data
        self.second = second_clip(config)
        if self.second is None and config.evaluate.second_clip:
            logger.warning(
                "evaluate.second_clip: %s is not there; reward hacking is not watched for", config.evaluate.second_clip
            )
        self._seen: Tensor | None = None
        self.measured: list[tuple[float, float]] = []
        self.best: dict[str, Any] = {}
        self.best_value = float("-inf")
        self.best_step = -1
        self.alarms = CaptionAlarms()
        if learner.steps == 0:
            self._measure(0)

    def after_step(self, step: int, figures: Mapping[str, float]) -> dict[str, float]:
        """Alarms at every step; a measurement and samples where one is due."""
        for kind, message, values in self.alarms.update(figures):
            self.run.alarm(kind, "rl", step, message, values)
        judge = self.learner.judge
        if judge is not None and judge.collapsed:
            message = f"the discriminator tells everything apart (accuracy {judge.accuracy:.0%}); it teaches nothing"
            self.run.alarm("discriminator_won", "rl", step, message, {"accuracy": judge.accuracy})
        every = self.config.rl.eval_every
        if step < self.config.rl.steps and not (every and step % every == 0):
            return {}
        rows = [{**row, "picture": self.data.train.examples[row["picture"]].id} for row in self.learner.last]
        self.run.save_samples("rl", step, rows)
        return self._measure(step)

    def _measure(self, step: int) -> dict[str, float]:
        import torch

        captioner = self.learner.captioner.eval()
        with torch.no_grad():
            features = self.data.validation.features.to(captioner.device)
            texts = captioner.generate(captioner.translate(features), self.config.captioner.max_new_tokens).texts
        figures = self._values(texts)
        value = figures["validation/selected"]
        if self.second is not None:
            figures["validation/held_out_clip"] = self._second_opinion(self.second, texts)
            self.measured.append((value, figures["validation/held_out_clip"]))
            if pleasing(self.measured):
                message = "the reward rises and a CLIP that no reward has used likes the captions less"
                self.run.alarm("reward_hacking", "rl", step, message, dict(figures))
        if value > self.best_value:
            self.best_value, self.best_step = value, step
            self.best = {name: tensor.detach().clone() for name, tensor in captioner.state_dict().items()}
        return figures

    def _second_opinion(self, clip: Clip, texts: Sequence[str]) -> float:
        from apps.captioning.features import picture_features

        if self._seen is None:
            self._seen = picture_features(clip, self.data.validation.examples, quiet=True).features
        return float((clip.text(list(texts)).cpu() * self._seen).sum(1).mean())

    def _values(self, texts: Sequence[str]) -> dict[str, float]:
        columns: dict[str, Any] = {"completion": list(texts), "images": self.data.validation.features}
        if all(example.captions for example in self.data.validation.examples):
            columns["reference"] = [list(example.captions) for example in self.data.validation.examples]
        figures, parts = {}, []
        for name, (reward, weight) in self.learner.rewards.items():
            learning = name == "naturalness" and self.learner.judge is not None
            if learning or not set(reward.needs) <= set(columns):
                continue
            mean = float(reward(**columns).values.nanmean())
            figures[f"validation/{name}"] = mean
            parts.append(weight * mean)
        total = sum(parts) if parts else float("nan")
        if self.config.rl.select == "captions":
            from apps.captioning.measures.evaluation import cider

            total = cider(texts, [example.captions for example in self.data.validation.examples])
        figures["validation/selected"] = total
        return figures

    def keep_best(self) -> None:
        """Put the kept weights into the captioner, and say in the log which they are."""
        if self.config.rl.select == "last":
            return
        if self.best:
            self.learner.captioner.load_state_dict(self.best)
            self.run.amend("rl", self.config.rl.steps, {"kept_step": self.best_step})

    def state(self) -> dict[str, Any]:
        """For the checkpoints."""
        return {
            "best": self.best,
            "value": self.best_value,
            "step": self.best_step,
            "alarms": [dict(row) for row in self.alarms.rows],
            "measured": [list(pair) for pair in self.measured],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.best, self.best_value, self.best_step = dict(state["best"]), state["value"], state["step"]
        self.alarms.rows = list(state["alarms"])
        self.measured = [(reward, cosine) for reward, cosine in state["measured"]]
