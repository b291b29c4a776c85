"""Reinforcement on pictures without captions: sample, pay, and make what was paid above its baseline likelier."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from apps.captioning.learning.advantages import extremes, ramp, rate
from apps.captioning.learning.descent import descend, random_state, restore_random
from apps.captioning.learning.figures import Heard, Pay, best_and_worst, describe
from apps.captioning.learning.initialise import PATIENCE, noisy, text_losses
from apps.captioning.learning.naturalness import Naturalness
from apps.captioning.learning.policy import policy_losses, worth
from apps.captioning.model import Captioner, Captions
from apps.captioning.train_config import RlConfig
from common.errors import GraderFailure, TouchstoneError, UsageError
from common.rewards.base import Reward
from common.rewards.state import stateful_parts
from common.training.sampler import CyclicSampler
from common.training.workers import ALONE, Workers

# Share of captions that no grader could score, above which a run stops after `PATIENCE` steps in a row.
MOST_UNSCORED = 0.2


@dataclass(frozen=True)
class Material:
    """What a captioner may learn from.

    Attributes:
        features: `(P, D)` of pictures.
        columns: further per-picture columns for the rewards: CLIP-agg targets `(P, D)`, references where paired.
        corpus: sentences that belong to no picture.
        corpus_features: `(N, D)` of the sentences.
    """

    features: Tensor
    columns: Mapping[str, Any]
    corpus: Sequence[str]
    corpus_features: Tensor


class Reinforcer:
    """One run of the reinforcement, step by step; everything random and everything learnt is in its `state`.

    Args:
        captioner: what learns; initialised.
        config: the settings.
        rewards: by name, with their weights.
        material: pictures and sentences.
        longest: tokens of a caption, at most.
        seed: of order and samples.
        judge: the discriminator, where naturalness is paid.
        workers: the processes; the order is the same in all, the samples are not.

    Raises:
        UsageError: samples are to be compared, and there is one of each picture, or not all of them are kept; or a
            step cannot be shared out.
    """

    def __init__(
        self,
        captioner: Captioner,
        config: RlConfig,
        rewards: Mapping[str, tuple[Reward, float]],
        material: Material,
        longest: int,
        seed: int,
        judge: Naturalness | None = None,
        workers: Workers = ALONE,
    ) -> None:
        if config.keep < 0 or config.keep == 1:
            raise UsageError(f"rl.keep must be 0 (all) or 2 or more, not {config.keep}")
        if config.keep and config.algorithm == "dico":
            raise UsageError("rl.algorithm dico compares all samples of a picture: rl.keep must be 0")
        if config.algorithm != "scst" and config.samples < 2:
            raise UsageError(f"rl.algorithm {config.algorithm} compares samples: rl.samples must be 2 or more")
        if config.baseline == "leave_one_out" and config.algorithm == "scst" and config.samples < 2:
            raise UsageError("rl.baseline leave_one_out compares samples: rl.samples must be 2 or more")
        workers.check_divides("rl.pictures_per_step", config.pictures_per_step)
        workers.share(captioner)
        self.workers = workers
        self.captioner, self.config, self.rewards, self.material = captioner, config, dict(rewards), material
        self.longest, self.judge = longest, judge
        self.learning = {
            f"{name} {path}": part for name, (one, _) in rewards.items() for path, part in stateful_parts(one)
        }
        self.pictures = CyclicSampler(len(material.features), config.pictures_per_step, seed)
        self.sentences = CyclicSampler(max(len(material.corpus), 1), config.pictures_per_step * 2, seed + 1)
        self.generator = torch.Generator().manual_seed(workers.seed(seed))
        self.optimizer = torch.optim.AdamW(
            captioner.parameters(), config.learning_rate, weight_decay=config.weight_decay, eps=1e-8
        )
        needs_reference = config.beta > 0 or config.algorithm == "dico"
        self.reference = deepcopy(captioner).eval().requires_grad_(False) if needs_reference else None
        self.steps = 0
        self.bad_steps = 0
        self.unscored_steps = 0
        self.last: list[dict[str, Any]] = []

    def weights(self, step: int) -> dict[str, float]:
        """Each reward's weight at a step: the config's, the published ramp, and the gate on an untrained judge."""
        share = ramp(step, self.config.ramp_start, self.config.ramp_steps, self.config.ramp_top)
        ramped = bool(self.config.ramp_start or self.config.ramp_steps)
        weights = {}
        for name, (_, weight) in self.rewards.items():
            if ramped:
                weight *= (1 - share) if name == "naturalness" else share
            if name == "naturalness" and self.judge is not None and not self.judge.trusted:
                weight = 0.0
            weights[name] = weight
        return weights

    def step(self) -> dict[str, float]:
        """One optimiser step; returns its figures.

        Raises:
            GraderFailure: more than 20 % of the rows could not be scored for five steps in a row.
            TouchstoneError: no usable gradient for five steps in a row.
        """
        config, workers, began = self.config, self.workers, time.perf_counter()
        rows = self.pictures.next()
        own = workers.slice(rows)
        seen = self.captioner.translate(self.material.features[own].to(self.captioner.device))
        self.captioner.eval()
        repeated = seen.repeat_interleave(config.samples, 0)
        sampled = self.captioner.generate(repeated, self.longest, config.temperature, self.generator)
        greedy = None
        if config.baseline == "greedy" and config.algorithm == "scst":
            greedy = self.captioner.generate(seen, self.longest)
        said = time.perf_counter()
        # The whole step's, so that every process scales advantages and counts what could not be scored alike.
        pay = Pay.joined(workers.gather(self._pay(own, sampled, greedy)))
        figures = self._check_scored(pay.unscored)
        for part in self.learning.values():
            if hasattr(part, "synchronise"):
                part.synchronise(workers.gather)
        paid = time.perf_counter()
        sentence_rows = workers.slice(self.sentences.next()) if self.material.corpus else []
        figures |= self._judge(sampled, sentence_rows)
        weights = self.weights(self.steps)
        figures |= self._learn(seen, sampled, worth(config, pay, weights), sentence_rows)
        heard = Heard.joined(workers.gather(Heard.of(sampled, self.captioner)))
        figures |= describe(heard, pay, weights)
        figures |= {
            "time/generation": said - began,
            "time/reward": paid - said,
            "time/step": time.perf_counter() - began,
        }
        full = {name: weight for name, (_, weight) in self.rewards.items()}
        self.last = best_and_worst(rows, heard.texts, pay, full)
        self.steps += 1
        return figures

    def _pay(self, rows: list[int], sampled: Captions, greedy: Captions | None) -> Pay:
        """Every reward of this process' captions."""
        count, size = len(rows), self.config.samples
        texts = sampled.texts + (greedy.texts if greedy is not None else [])
        order = [row for row in rows for _ in range(size)] + (list(rows) if greedy is not None else [])
        columns = {name: rows_of(column, order) for name, column in self.material.columns.items()}
        columns |= {"completion": texts, "images": self.material.features[order], "step": self.steps}
        found = {name: reward(**columns).values.detach().cpu() for name, (reward, _) in self.rewards.items()}
        return Pay(
            {name: values[: count * size].view(count, size) for name, values in found.items()},
            {name: values[count * size :] for name, values in found.items()},
            torch.stack([~values.isfinite() for values in found.values()]).all(0),
        )

    def _learn(self, seen: Tensor, sampled: Captions, whole: Tensor, sentence_rows: list[int]) -> dict[str, float]:
        """One optimiser step of the captioner; `whole` is what moves each caption of the step."""
        config = self.config
        columns = extremes(whole, config.keep)
        whole = whole.gather(1, columns)
        own_columns = self.workers.slice(columns)
        kept = (torch.arange(len(seen)).unsqueeze(1) * config.samples + own_columns).flatten().to(seen.device)
        sampled, repeated = sampled.rows(kept), seen.repeat_interleave(columns.shape[1], 0)
        own: dict[str, float] = {}
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.steps, config.learning_rate, config.warmup, config.steps, config.schedule)
        losses = chain(
            # Still in evaluation mode: dropout would score the captions under another policy than the one that spoke.
            policy_losses(self.captioner, self.reference, config, repeated, sampled, whole, self.workers, own),
            self._text_losses(sentence_rows, own),
        )
        at_once = not config.micro_batch
        loss, norm, usable = descend(losses, self.captioner, self.optimizer, at_once, self.workers)
        self.bad_steps = 0 if usable else self.bad_steps + 1
        if self.bad_steps >= PATIENCE:
            raise TouchstoneError(
                f"step {self.steps}: the gradient was no number for {PATIENCE} steps in a row; lower rl.learning_rate"
            )
        figures = {name: self.workers.total(value) for name, value in own.items()}
        return {**figures, "loss": loss, "gradient": norm, "skipped": float(not usable)}

    def _text_losses(self, rows: list[int], figures: dict[str, float]) -> Iterator[Tensor]:
        """Parts of the text-only cross-entropy beside the reward; nothing where it has no weight."""
        if not self.config.text_weight or not rows:
            return
        features, texts = self.material.corpus_features[rows], [self.material.corpus[row] for row in rows]
        features = noisy(features, self.config.text_noise, self.generator)
        micro_batch = self.config.micro_batch
        for loss in text_losses(self.captioner, features, texts, self.longest, 0.0, micro_batch, self.workers):
            figures["text_loss"] = figures.get("text_loss", 0.0) + float(loss.detach())
            yield self.config.text_weight * loss

    def _judge(self, sampled: Captions, sentence_rows: list[int]) -> dict[str, float]:
        """One step of the discriminator, after the captions were paid with its former opinion."""
        if self.judge is None or not sentence_rows:
            return {}
        # As many generated captions as sentences: the first sample of each picture, and the second.
        samples = self.config.samples
        fake = [text for start in range(min(2, samples)) for text in sampled.texts[start::samples]]
        return self.judge.step([self.material.corpus[row] for row in sentence_rows], fake[: len(sentence_rows)])

    def _check_scored(self, unscored: Tensor) -> dict[str, float]:
        share = float(unscored.float().mean())
        self.unscored_steps = self.unscored_steps + 1 if share > MOST_UNSCORED else 0
        if self.unscored_steps >= PATIENCE:
            raise GraderFailure(
                f"step {self.steps}: {share:.0%} of the captions could not be scored for {PATIENCE} steps in a row; "
                "the reward's model fails, not the captioner"
            )
        return {"unscored": share}

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs to go on bit for bit."""
        state = {
            "captioner": self.captioner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "pictures": self.pictures.state_dict(),
            "sentences": self.sentences.state_dict(),
            **random_state(self.generator, self.workers),
            "step": self.steps,
            "bad_steps": self.bad_steps,
            "unscored_steps": self.unscored_steps,
            "rewards": {name: part.state_dict() for name, part in self.learning.items()},
        }
        if self.reference is not None:
            state["reference"] = self.reference.state_dict()
        if self.judge is not None:
            state["judge"] = self.judge.state()
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.captioner.load_state_dict(state["captioner"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.pictures.load_state_dict(state["pictures"])
        self.sentences.load_state_dict(state["sentences"])
        restore_random(state, self.generator, self.workers)
        self.steps, self.bad_steps = state["step"], state["bad_steps"]
        self.unscored_steps = state["unscored_steps"]
        for name, part in self.learning.items():
            part.load_state_dict(state["rewards"][name])
        if self.reference is not None:
            self.reference.load_state_dict(state["reference"])
        if self.judge is not None:
            self.judge.restore(state["judge"])


def pretrain_judge(
    judge: Naturalness,
    captioner: Captioner,
    material: Material,
    longest: int,
    steps: int,
    batch_size: int,
    seed: int,
    on_step: Callable[[int], None] | None = None,
    workers: Workers = ALONE,
) -> dict[str, float]:
    """Let the discriminator see the initial captioner's captions before its opinion is paid.

    An untrained judge pays for noise, which destroyed a small captioner in 23 steps (reference, 5.6).
    """
    pictures = CyclicSampler(len(material.features), batch_size, seed)
    sentences = CyclicSampler(len(material.corpus), batch_size, seed + 1)
    generator = torch.Generator().manual_seed(workers.seed(seed))
    figures: dict[str, float] = {}
    captioner.eval()
    for number in range(steps):
        seen = captioner.translate(material.features[workers.slice(pictures.next())].to(captioner.device))
        fake = captioner.generate(seen, longest, 1.0, generator).texts
        figures = judge.step([material.corpus[row] for row in workers.slice(sentences.next())], fake)
        if on_step is not None:
            on_step(number + 1)
    return figures


def rows_of(column: Any, rows: Sequence[int]) -> Any:
    """Some rows of a column of tensors or of lists."""
    return column[list(rows)] if isinstance(column, Tensor) else [column[row] for row in rows]
