"""Rewards that are themselves trained models, as frozen snapshots."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from common.errors import DataError, MissingDependency, RewardError, UsageError
from common.files import locate
from common.models.language import check_vocabulary
from common.models.loading import exact_errors, unreadable, without_bars
from common.models.sizes import check_folder
from common.rewards.base import Reward, RewardOutput, nan_like

log = logging.getLogger(__name__)

EMPTY = "the completion is empty"


class Classifier:
    """A frozen transformers model that gives a text one number, in float32 and evaluation mode.

    Opened on first use; pickles without its weights.

    Args:
        path: folder or hub id of a sequence-classification model with one output (`num_labels=1`), with its tokenizer.
        device: torch device.
        batch_size: texts at once.

    Attributes:
        truncated: texts cut at the model's longest input so far.
    """

    def __init__(self, path: str | Path, device: str = "cpu", batch_size: int = 64) -> None:
        self.path = str(path)
        self.device = device
        self.batch_size = batch_size
        self.truncated = 0
        self._opened: tuple[Any, Any, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def logits(self, texts: Sequence[str]) -> Tensor:
        """The model's number for each text, `(B,)` float32 on the CPU; a text that stands several times is read once.

        Raises:
            UsageError: there is no such model at the path.
            DataError: the model's output is not one number.
        """
        known = list(dict.fromkeys(texts))
        # Neighbours of like length: less padding.
        order = sorted(range(len(known)), key=lambda row: len(known[row]))
        values = torch.empty(len(known))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            values[rows] = self._batch([known[row] for row in rows])
        place = {text: at for at, text in enumerate(known)}
        return values[[place[text] for text in texts]] if known else values

    def _batch(self, texts: list[str]) -> Tensor:
        model, tokenizer, longest = self._open()
        # A lone surrogate, which no tokenizer takes, becomes "?".
        texts = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        lengths = [len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]]
        self._count_cut(sum(length > longest for length in lengths), longest)
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        with torch.no_grad():
            logits: Tensor = model(**inputs.to(self.device)).logits
        return logits.float().cpu().squeeze(-1)

    def _count_cut(self, cut: int, longest: int) -> None:
        if cut and not self.truncated:
            log.warning("%s: a text is longer than %d tokens; its end is not read", self.path, longest)
        self.truncated += cut

    def _open(self) -> tuple[Any, Any, int]:
        if self._opened is None:
            self._opened = self._load()
        return self._opened

    def _load(self) -> tuple[Any, Any, int]:
        try:
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
        except ImportError as error:
            raise MissingDependency("transformers", "captioning") from error
        folder = locate(self.path)
        if folder.is_dir() and not (folder / "config.json").is_file():
            raise UsageError(f"no classifier at {folder}: it holds no config.json")
        try:
            check_folder(folder, AutoModelForSequenceClassification)
            with without_bars(), exact_errors():
                tokenizer = AutoTokenizer.from_pretrained(str(folder))
                model, info = AutoModelForSequenceClassification.from_pretrained(
                    str(folder), dtype=torch.float32, output_loading_info=True
                )
            check_vocabulary(model, tokenizer)
            positions = getattr(model.config, "max_position_embeddings", 512)
            # RoBERTa-class models number positions from the padding index on, so the last two cannot be used.
            longest = min(tokenizer.model_max_length, max(positions - 2, 1))
            tokenizer(
                ["a", "a b"], padding=True, truncation=True, max_length=longest
            )  # one that cannot pad is told here
        except unreadable() as error:
            raise UsageError(
                f"the classifier {self.path} cannot be opened: {error}. It must be a folder or a hub id"
            ) from error
        if info["missing_keys"]:
            # transformers fills them with random numbers and warns.
            raise DataError(f"weights are missing: {', '.join(sorted(info['missing_keys'])[:3])}", path=folder)
        if model.config.num_labels != 1:
            raise DataError(
                f"the classifier has {model.config.num_labels} outputs; one is needed (num_labels=1)", path=folder
            )
        return model.to(self.device).eval().requires_grad_(False), tokenizer, longest


class Discriminator(Reward):
    r"""How natural a text is to a discriminator that learnt to tell corpus sentences from generated ones.

    `form` "logit" is CgT-GAN's naturalness reward (arXiv 2308.12045, its code): the raw logit of "natural", here cut
    at `limits`, since a confident discriminator would otherwise outweigh every other reward. "probability" is
    :math:`\sigma` of the logit, in [0, 1]. Higher is better. A snapshot: the discriminator that is being trained
    writes a folder, and a reward reads it.

    An empty text scores the lower bound with a reason (the policy's fault); a logit that is no number is NaN.

    Args:
        model: folder or hub id of a sequence-classification model with one output (opened on first use), or a
            `Classifier`.
        form: "logit" or "probability".
        limits: least and greatest logit.
        text: column of texts.
        device: torch device of a model given by name.
        name: the part's name.

    Raises:
        RewardError: `form` is another, or `limits` are not in order.
    """

    def __init__(
        self,
        model: str | Path | Classifier,
        form: Literal["logit", "probability"] = "logit",
        limits: tuple[float, float] = (-10.0, 10.0),
        text: str = "completion",
        device: str = "cpu",
        name: str = "discriminator",
    ) -> None:
        if form not in ("logit", "probability"):
            raise RewardError(f"reward {name!r}: form is logit or probability, not {form!r}")
        if not limits[0] < limits[1]:
            raise RewardError(f"reward {name!r}: limits {limits} are not in order")
        self.model = model if isinstance(model, Classifier) else Classifier(model, device)
        self.form = form
        self.limits = limits
        self.text = text
        self.name = name
        self.needs = (text,)
        self.bounds = limits if form == "logit" else (0.0, 1.0)

    def score(self, **columns: Any) -> RewardOutput:
        """Score the texts in batches; see `Reward.score`."""
        texts = columns[self.text]
        values, reasons = nan_like(len(texts)), [""] * len(texts)
        rows = []
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise RewardError(f"reward {self.name!r}: {self.text!r} of row {row} is a {type(text).__name__}")
            if text.strip():
                rows.append(row)
            else:
                values[row], reasons[row] = self.worst, EMPTY
        if rows:
            logits = self._logits([texts[row] for row in rows])
            known = torch.where(logits.isfinite(), logits, math.nan)
            values[rows] = known.sigmoid() if self.form == "probability" else known.clamp(*self.limits)
            for row, logit in zip(rows, known.tolist(), strict=True):
                reasons[row] = "the discriminator returned no number" if math.isnan(logit) else ""
        return RewardOutput(values, info={"reason": reasons})

    def _logits(self, texts: list[str]) -> Tensor:
        try:
            return self.model.logits(texts)
        except RuntimeError as error:
            # The grader's fault: out of memory, a lost device. TouchstoneError is no RuntimeError, so it passes.
            log.warning("reward %s: the discriminator failed on %d texts: %s", self.name, len(texts), error)
            return nan_like(len(texts))
