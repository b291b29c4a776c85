"""The judge of naturalness: a RoBERTa-class model that learns to tell corpus sentences from generated ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from apps.captioning.learning.descent import descend, parts
from apps.captioning.model import torch_device
from apps.captioning.model_config import DiscriminatorConfig
from common.errors import UsageError
from common.files import locate
from common.models.language import check_vocabulary
from common.models.loading import exact_errors, unreadable, without_bars
from common.models.sizes import check_folder
from common.ranks import auc
from common.rewards.base import Reward, RewardOutput
from common.training.workers import ALONE, Workers

# How fast the running accuracy and AUC follow: about the last twenty steps.
MEMORY = 0.95
LIMIT = 10.0


class Naturalness:
    """The discriminator of a run, with its optimiser.

    Args:
        config: the settings.
        device: torch device.
        workers: the processes; each shows it texts of its own.

    Raises:
        UsageError: the model cannot be loaded, or a setting is out of range.
    """

    def __init__(self, config: DiscriminatorConfig, device: str = "auto", workers: Workers = ALONE) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        if not 0 <= config.label_smoothing < 0.5:
            raise UsageError(f"discriminator.label_smoothing must lie in [0, 0.5), not {config.label_smoothing}")
        place = str(locate(config.path))
        # The penalty's second derivative exists for plain attention only.
        attention = "eager" if config.gradient_penalty else None
        try:
            check_folder(place, AutoModelForSequenceClassification)
            with without_bars(), exact_errors():
                self.model = AutoModelForSequenceClassification.from_pretrained(
                    place, num_labels=1, attn_implementation=attention, dtype=torch.float32
                )
                self.tokenizer = AutoTokenizer.from_pretrained(place)
            check_vocabulary(self.model, self.tokenizer)
        except unreadable() as error:
            raise UsageError(f"discriminator.path: {config.path} cannot be loaded: {error}") from error
        self.config, self.workers = config, workers
        self.device = torch_device(device)
        self.model.to(self.device).eval()
        if config.spectral_norm:
            for layer in list(self.model.modules()):
                if isinstance(layer, nn.Linear):
                    nn.utils.parametrizations.spectral_norm(layer)
        workers.share(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), config.learning_rate, weight_decay=0.05, eps=1e-8)
        self.accuracy, self.auc, self.steps = 0.5, 0.5, 0
        self.longest = min(getattr(self.model.config, "max_position_embeddings", 512) - 2, 128)

    @property
    def trusted(self) -> bool:
        """Whether it tells real from generated well enough for its opinion to be paid."""
        return self.auc >= self.config.gate

    @property
    def collapsed(self) -> bool:
        """Whether it has won so clearly that it says the same of everything the captioner tries."""
        return self.steps >= 20 and self.accuracy >= self.config.collapse_accuracy

    def logits(self, texts: Sequence[str]) -> Tensor:
        """`(B,)`: above 0 reads as real."""
        logits: Tensor = self.model(**self._batch(texts)).logits
        return logits.squeeze(-1).float()

    @torch.no_grad()
    def score(self, texts: Sequence[str]) -> Tensor:
        """`(B,)` logits without gradient, on the CPU; equal texts are read once."""
        known = list(dict.fromkeys(texts))
        values = dict(zip(known, self.logits(known).cpu(), strict=True)) if known else {}
        return torch.stack([values[text] for text in texts]) if texts else torch.empty(0)

    def step(self, real: Sequence[str], fake: Sequence[str]) -> dict[str, float]:
        """One optimiser step on corpus sentences against generated ones, this process' own; returns its figures.

        A loss or a gradient that is no number changes nothing and is counted in `skipped`.
        """
        self.model.train()
        told: list[Tensor] = []
        figures = {"loss": 0.0, "penalty": 0.0}
        losses = self._losses(real, fake, told, figures)
        _, _, usable = descend(losses, self.model, self.optimizer, not self.config.micro_batch, self.workers)
        self.model.eval()
        own = (torch.cat(told).cpu(), torch.cat([torch.ones(len(real)), torch.zeros(len(fake))]), figures)
        logits, true, found = zip(*self.workers.gather(own), strict=True)
        said, genuine = torch.cat(logits), torch.cat(true)
        accuracy = float(((said > 0) == (genuine > 0.5)).float().mean())
        area = auc(torch.where(said.isfinite(), said, math.nan).numpy(), genuine.numpy())
        self.steps += 1
        # The first steps count fully, so that a judge trained before does not start from an opinion of nothing.
        memory = min(MEMORY, 1 - 1 / (self.steps + 1))
        self.accuracy = memory * self.accuracy + (1 - memory) * accuracy
        self.auc = memory * self.auc + (1 - memory) * (0.5 if math.isnan(area) else area)
        return {
            "discriminator/loss": sum(one["loss"] for one in found),
            "discriminator/accuracy": accuracy,
            "discriminator/auc": self.auc,
            "discriminator/penalty": sum(one["penalty"] for one in found),
            "discriminator/skipped": float(not usable),
        }

    def _losses(
        self, real: Sequence[str], fake: Sequence[str], told: list[Tensor], figures: dict[str, float]
    ) -> Iterator[Tensor]:
        """Parts of the loss of all processes' texts; fills in what was told of this one's, and this one's figures."""
        config, texts, smooth = self.config, [*real, *fake], self.config.label_smoothing
        wanted = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))]).to(self.device) * (1 - 2 * smooth) + smooth
        count, genuine = self.workers.total(len(texts)), self.workers.total(len(real))
        for part in parts(len(texts), config.micro_batch):
            logits = self.logits(texts[part])
            told.append(logits.detach())
            mean = nn.functional.binary_cross_entropy_with_logits(logits, wanted[part])
            loss = mean * (len(logits) / count)
            figures["loss"] += float(loss.detach())
            yield loss
        for part in parts(len(real), config.micro_batch) if config.gradient_penalty else ():
            penalty = self._penalty(real[part]) * (len(real[part]) / genuine)
            figures["penalty"] += float(penalty.detach())
            yield config.gradient_penalty * penalty

    def reward(self) -> Reward:
        """Its logit as a reward; follows the model as it learns."""
        return LiveNaturalness(self)

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        figures = {"accuracy": self.accuracy, "auc": self.auc, "steps": self.steps}
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), **figures}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.accuracy, self.auc, self.steps = state["accuracy"], state["auc"], state["steps"]

    def save(self, folder: Path | str) -> None:
        """Write the model as transformers loads it; spectral norms are folded into the weights."""
        with without_bars():
            self._folded().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def __getstate__(self) -> dict[str, Any]:
        # A copy gives opinions and learns no more; torch pickles no layer whose norm is bounded.
        return {**self.__dict__, "model": self._folded(), "optimizer": None}

    def _folded(self) -> Any:
        """A copy of the model with the spectral norms in its weights."""
        if not self.config.spectral_norm:
            return deepcopy(self.model)
        # Torch cannot take the norms from a copy: it takes them from the class, which the copy shares with the model.
        state = {name: value for name, value in self.model.state_dict().items() if ".parametrizations." not in name}
        for name, layer in self.model.named_modules():
            if isinstance(layer, nn.Linear):
                state[f"{name}.weight"] = layer.weight.detach()
        with torch.random.fork_rng(devices=[]):
            model = type(self.model)(deepcopy(self.model.config))
        model.load_state_dict(state)
        return model.to(self.device).eval()

    def _batch(self, texts: Sequence[str]) -> dict[str, Tensor]:
        batch = self.tokenizer(
            # An empty text has no tokens at all in some tokenizers, and a batch of such has no length.
            [text or " " for text in texts],
            padding=True,
            truncation=True,
            max_length=self.longest,
            return_tensors="pt",
        )
        return {name: batch[name].to(self.device) for name in ("input_ids", "attention_mask")}

    def _penalty(self, real: Sequence[str]) -> Tensor:
        """R1 (Mescheder et al. 2018): the squared gradient of the logit by the embeddings of real sentences."""
        batch = self._batch(real)
        embedded = self.model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_(True)
        told = self.model(inputs_embeds=embedded, attention_mask=batch["attention_mask"]).logits.sum()
        gradient: Tensor = torch.autograd.grad(told, embedded, create_graph=True)[0]
        return gradient.square().sum((1, 2)).mean()


class LiveNaturalness(Reward):
    """The logit of a discriminator that is still learning; range [-10, 10], higher is better.

    An empty caption scores -10 with a reason.
    """

    name = "naturalness"
    bounds = (-LIMIT, LIMIT)

    def __init__(self, judge: Naturalness) -> None:
        self.judge = judge

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`."""
        captions: list[str] = columns["completion"]
        values = self.judge.score(captions).clamp(-LIMIT, LIMIT)
        empty = torch.tensor([not caption.strip() for caption in captions], dtype=torch.bool)
        reasons = ["" if caption.strip() else "the caption is empty" for caption in captions]
        return RewardOutput(torch.where(empty, -LIMIT, values) if captions else values, info={"reason": reasons})
