"""Reinforcement on pictures without captions: sample, pay, and make what was paid above its baseline likelier."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from apps.captioning.learning.advantages import advantages, dico, kl_penalty, policy_gradient, ramp, rate, scaled
from apps.captioning.learning.initialise import PATIENCE, text_loss
from apps.captioning.learning.naturalness import Naturalness
from apps.captioning.model import Captioner, Captions
from apps.captioning.rewards import repeated_share
from apps.captioning.train_config import RlConfig
from common.errors import GraderFailure, TouchstoneError, UsageError
from common.rewards.base import Reward
from common.training.sampler import CyclicSampler

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

    Raises:
        UsageError: samples are to be compared, and there is one of each picture.
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
    ) -> None:
        if config.algorithm != "scst" and config.samples < 2:
            raise UsageError(f"rl.algorithm {config.algorithm} compares samples: rl.samples must be 2 or more")
        if config.baseline == "leave_one_out" and config.algorithm == "scst" and config.samples < 2:
            raise UsageError("rl.baseline leave_one_out compares samples: rl.samples must be 2 or more")
        self.captioner, self.config, self.rewards, self.material = captioner, config, dict(rewards), material
        self.longest, self.judge = longest, judge
        self.pictures = CyclicSampler(len(material.features), config.pictures_per_step, seed)
        self.sentences = CyclicSampler(max(len(material.corpus), 1), config.pictures_per_step * 2, seed + 1)
        self.generator = torch.Generator().manual_seed(seed)
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
        config, began = self.config, time.perf_counter()
        rows = self.pictures.next()
        seen = self.material.features[rows].to(self.captioner.device)
        self.captioner.eval()
        repeated = seen.repeat_interleave(config.samples, 0)
        sampled = self.captioner.generate(repeated, self.longest, config.temperature, self.generator)
        greedy = None
        if config.baseline == "greedy" and config.algorithm == "scst":
            greedy = self.captioner.generate(seen, self.longest)
        said = time.perf_counter()
        scores, greedy_scores, unscored = self._pay(rows, sampled, greedy)
        figures = self._check_scored(unscored)
        paid = time.perf_counter()
        sentence_rows = self.sentences.next() if self.material.corpus else []
        figures |= self._judge(sampled, sentence_rows)
        weights = self.weights(self.steps)
        # Still in evaluation mode: dropout would score the captions under another policy than the one that spoke.
        loss, more = self._loss(repeated, sampled, scores, greedy_scores, weights)
        if config.text_weight and sentence_rows:
            features = self.material.corpus_features[sentence_rows]
            texts = [self.material.corpus[row] for row in sentence_rows]
            text = text_loss(self.captioner, features, texts, self.longest)
            loss = loss + config.text_weight * text
            figures["text_loss"] = float(text.detach())
        figures |= more | self._optimise(loss)
        figures |= self._describe(sampled, scores, weights)
        figures |= {
            "time/generation": said - began,
            "time/reward": paid - said,
            "time/step": time.perf_counter() - began,
        }
        self._remember(rows, sampled, scores)
        self.steps += 1
        return figures

    def _pay(
        self, rows: list[int], sampled: Captions, greedy: Captions | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Every reward of the samples `(P, K)` and of the greedy captions `(P,)`; and which rows none could score."""
        count, size = len(rows), self.config.samples
        texts = sampled.texts + (greedy.texts if greedy is not None else [])
        order = [row for row in rows for _ in range(size)] + (list(rows) if greedy is not None else [])
        columns = {name: rows_of(column, order) for name, column in self.material.columns.items()}
        columns |= {"completion": texts, "images": self.material.features[order], "step": self.steps}
        scores, greedy_scores = {}, {}
        for name, (reward, _) in self.rewards.items():
            values = reward(**columns).values.detach().cpu()
            scores[name] = values[: count * size].view(count, size)
            greedy_scores[name] = values[count * size :]
        unscored = torch.stack([~values.isfinite() for values in scores.values()]).all(0)
        return scores, greedy_scores, unscored

    def _loss(
        self,
        repeated: Tensor,
        sampled: Captions,
        scores: Mapping[str, Tensor],
        greedy: Mapping[str, Tensor],
        weights: Mapping[str, float],
    ) -> tuple[Tensor, dict[str, float]]:
        config = self.config
        log_probs = self.captioner.log_probs(repeated, sampled.tokens, config.temperature)
        figures: dict[str, float] = {}
        reference = None
        if self.reference is not None:
            with torch.no_grad():
                reference = self.reference.log_probs(repeated, sampled.tokens, config.temperature)
        if config.algorithm == "dico":
            assert reference is not None
            total = _total(scores, weights).to(log_probs.device)
            loss = dico(log_probs, reference, sampled.mask, total, config.beta or 1.0, config.dico_temperature)
            return loss, figures
        if config.algorithm == "grpo":
            # One update a sample: the clipped ratio is 1, and its gradient is that of the log-probability.
            whole = scaled(advantages(_total(scores, weights), "mean"), "group")
        else:
            # A baseline for each reward separately: where one could not be scored, the others still count.
            parts = [
                weights[name] * advantages(values, config.baseline, greedy[name] if len(greedy[name]) else None)
                for name, values in scores.items()
            ]
            whole = scaled(torch.stack(parts).sum(0), config.scale)
        advantage = whole.flatten().to(log_probs.device)
        loss = policy_gradient(log_probs, sampled.mask, advantage, config.length_normalise)
        if reference is not None:
            penalty = kl_penalty(log_probs, reference, sampled.mask)
            loss = loss + config.beta * penalty
            figures["kl"] = float(penalty.detach())
        return loss, figures

    def _optimise(self, loss: Tensor) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = rate(
                self.steps, self.config.learning_rate, self.config.warmup, self.config.steps, self.config.schedule
            )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.captioner.parameters(), 1.0)
        usable = bool(norm.isfinite()) and bool(loss.isfinite())
        if usable:
            self.optimizer.step()
        self.bad_steps = 0 if usable else self.bad_steps + 1
        if self.bad_steps >= PATIENCE:
            raise TouchstoneError(
                f"step {self.steps}: the gradient was no number for {PATIENCE} steps in a row; lower rl.learning_rate"
            )
        return {"loss": float(loss.detach()), "gradient": float(norm), "skipped": float(not usable)}

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

    def _describe(
        self, sampled: Captions, scores: Mapping[str, Tensor], weights: Mapping[str, float]
    ) -> dict[str, float]:
        figures: dict[str, float] = {}
        for name, values in scores.items():
            known = values[values.isfinite()]
            figures[f"reward/{name}"] = float(known.mean()) if known.numel() else float("nan")
            figures[f"weight/{name}"] = weights[name]
        ended = self.captioner.ended(sampled).float()
        figures["reward"] = float(_total(scores, weights).nanmean())
        figures["length"] = float(sampled.lengths.float().mean())
        figures["unterminated"] = 1 - float(ended.mean())
        figures["distinct"] = len(set(sampled.texts)) / max(1, len(sampled.texts))
        figures["repeated"] = sum(map(repeated_share, sampled.texts)) / max(1, len(sampled.texts))
        # The rewards read text, the gradient goes to tokens: how often the two are not the same token for token.
        figures["drift"] = _drift(sampled, self.captioner)
        return figures

    def _remember(self, rows: list[int], sampled: Captions, scores: Mapping[str, Tensor], groups: int = 4) -> None:
        """The first pictures' best and worst captions, for the run's samples."""
        total = _total(scores, {name: weight for name, (_, weight) in self.rewards.items()})
        self.last = []
        for place, row in enumerate(rows[:groups]):
            for column in dict.fromkeys((int(total[place].argmax()), int(total[place].argmin()))):
                parts = {name: float(values[place, column]) for name, values in scores.items()}
                text = sampled.texts[place * self.config.samples + column]
                self.last.append(
                    {"picture": row, "caption": text, "reward": float(total[place, column]), "parts": parts}
                )

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs to go on bit for bit."""
        state = {
            "captioner": self.captioner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "pictures": self.pictures.state_dict(),
            "sentences": self.sentences.state_dict(),
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "step": self.steps,
            "bad_steps": self.bad_steps,
            "unscored_steps": self.unscored_steps,
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
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        self.steps, self.bad_steps = state["step"], state["bad_steps"]
        self.unscored_steps = state["unscored_steps"]
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
) -> dict[str, float]:
    """Let the discriminator see the initial captioner's captions before its opinion is paid.

    An untrained judge pays for noise, which destroyed a small captioner in 23 steps (reference, 5.6).
    """
    pictures = CyclicSampler(len(material.features), batch_size, seed)
    sentences = CyclicSampler(len(material.corpus), batch_size, seed + 1)
    generator = torch.Generator().manual_seed(seed)
    figures: dict[str, float] = {}
    captioner.eval()
    for number in range(steps):
        seen = material.features[pictures.next()].to(captioner.device)
        fake = captioner.generate(seen, longest, 1.0, generator).texts
        figures = judge.step([material.corpus[row] for row in sentences.next()], fake)
        if on_step is not None:
            on_step(number + 1)
    return figures


def _total(scores: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """`(P, K)` weighted sum over what could be scored; NaN where nothing could."""
    stacked = torch.stack([weights[name] * values for name, values in scores.items()])
    known = stacked.isfinite()
    return torch.where(known.any(0), torch.where(known, stacked, 0.0).sum(0), torch.nan)


def rows_of(column: Any, rows: Sequence[int]) -> Any:
    """Some rows of a column of tensors or of lists."""
    return column[list(rows)] if isinstance(column, Tensor) else [column[row] for row in rows]


def _drift(sampled: Captions, captioner: Captioner) -> float:
    changed = 0
    again = captioner.token_ids(sampled.texts)
    for row, mask, reread in zip(sampled.tokens.tolist(), sampled.mask.tolist(), again, strict=True):
        said = [token for token, kept in zip(row, mask, strict=True) if kept and token != captioner.end]
        changed += said != reread
    return changed / max(1, len(sampled.texts))
