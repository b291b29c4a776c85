"""Qwen-VL models behind one class: pictures and questions in; answers, their probabilities, and yes or no out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from common.config import LanguageModelConfig
from common.errors import UsageError
from common.models.decoding import sample, seeded_draws
from common.models.language import eos_token_ids, evaluating
from common.models.vlm_batch import Batch, batches, forbidden_tokens, scoring
from common.models.vlm_folder import check_pair, load_vlm
from common.models.vlm_input import Preprocess
from common.models.vlm_prompt import (
    Encoded,
    Patches,
    Picture,
    Pictures,
    PromptReader,
    VisualPrompt,
    Words,
    ask,
    fetch,
    opposites,
)
from common.pictures import Source, load_any

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Patches", "Picture", "VisionLanguageModel", "VisualPrompt", "ask"]


@dataclass(frozen=True)
class _Opened:
    """A loaded model and what belongs to it."""

    model: Any
    processor: Any
    reader: PromptReader


class VisionLanguageModel:
    """A Qwen2-VL, Qwen2.5-VL or Qwen3-VL, opened on first use; pickles without its weights.

    A row does not depend on the other rows of its batch by more than 1e-5 (float32). Dropout is off in every method,
    and the model's mode is as before afterwards. Where a tensor picture requires gradient, log-probabilities and yes
    or no carry it (and so do the weights that are not frozen); else nothing is kept for a backward pass.

    Args:
        model: where it is: settings, or a folder or hub id alone.
        min_pixels: least area that a picture is resized to; the processor's own where not given.
        max_pixels: greatest area; an image token is `(patch · merge)²` pixels, so this bounds the length of a prompt.
        batch_size: texts in one forward pass.
        eight_bits: round tensor pictures to 8 bits, so that they score as their files would; see `Preprocess`.
        load: makes an RGB picture of a file, its bytes or a Pillow picture. Where not given, that is `load_any`, and
            qwen-vl-utils resizes it (see `fetch`), as Qwen's own examples do it. `load_any` by itself leaves resizing
            to what equals the stock processor, through which training goes.
    """

    def __init__(
        self,
        model: LanguageModelConfig | str | Path,
        *,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        batch_size: int = 8,
        eight_bits: bool = False,
        load: Callable[[Source], Image] | None = None,
    ) -> None:
        self.config = model if isinstance(model, LanguageModelConfig) else LanguageModelConfig(path=str(model))
        self.min_pixels = min_pixels
        self.max_pixels = max_pixels
        self.batch_size = batch_size
        self.eight_bits = eight_bits
        self.load = load
        self._opened: _Opened | None = None

    @classmethod
    def of(cls, model: Any, processor: Any, **options: Any) -> VisionLanguageModel:
        """Wrap a model and a processor that are loaded already, as during training; see the class for the options.

        What is wrapped so does not pickle: what lies on the disk may be older than what is in memory.

        Raises:
            UsageError: they are not of a known family, do not go together, or the processor pads on the right.
        """
        made = cls("", **options)
        made._opened = made._pair(model, processor)
        return made

    def __getstate__(self) -> dict[str, Any]:
        if not self.config.path:
            raise UsageError("a model that was loaded elsewhere does not pickle; save it, and name its folder")
        return {**self.__dict__, "_opened": None}

    @property
    def model(self) -> Any:
        """The transformers model."""
        return self._open().model

    @property
    def processor(self) -> Any:
        """Its processor."""
        return self._open().processor

    @property
    def preprocess(self) -> Preprocess:
        """What makes patches from tensor pictures."""
        return self._reader.preprocess

    def generate(
        self,
        prompts: Sequence[VisualPrompt],
        max_new_tokens: int,
        temperature: float = 0.0,
        n: int = 1,
        generator: torch.Generator | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[list[str]]:
        """Answer every prompt `n` times.

        Args:
            prompts: with no, one or several pictures each; see `ask`.
            max_new_tokens: longest answer, in tokens.
            temperature: 0 takes the likeliest token; above it, the whole distribution is sampled.
            n: answers for each prompt.
            generator: of the samples, on the CPU; torch's global one where not given. What a prompt is answered does
                not depend on the batch size.
            progress: called with the number of prompts answered after each batch.

        Returns:
            For each prompt its answers, without special tokens.

        Raises:
            UsageError: a sampling of several greedy answers, or a prompt without as many places as pictures.
            DataError: a picture cannot be read.
        """
        sampled = self.sample(prompts, max_new_tokens, temperature, n, generator, progress)
        decode = self.processor.tokenizer.batch_decode
        return [decode(group, skip_special_tokens=True) for group in sampled]

    def sample(
        self,
        prompts: Sequence[VisualPrompt],
        max_new_tokens: int,
        temperature: float = 0.0,
        n: int = 1,
        generator: torch.Generator | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[list[list[int]]]:
        """The same as token ids, with the token that ended each answer; see `generate`.

        Image and video tokens are never said, since a text with them could not be read again.
        """
        if n > 1 and temperature <= 0:
            raise UsageError("several greedy answers would all be the same; set a temperature above 0")
        opened = self._open()
        tokenizer = opened.processor.tokenizer
        # The likeliest token needs no chance: an evaluation leaves the generators where they are.
        seeds = torch.randint(2**62, (len(prompts), n), generator=generator) if temperature > 0 else None
        answers: list[list[list[int]]] = [[] for _ in prompts]
        with evaluating(opened.model):
            for rows, encoded in batches(opened.reader, prompts, max(1, self.batch_size // n)):
                said = sample(
                    opened.model,
                    [row.ids for row in encoded],
                    n=n,
                    max_new_tokens=max_new_tokens,
                    temperature=temperature,
                    eos_ids=eos_token_ids(opened.model, tokenizer),
                    pad_id=tokenizer.pad_token_id,
                    forbidden=forbidden_tokens(opened.model),
                    read=partial(self._batch(encoded).read, opened.model),
                    draws=seeded_draws(seeds[rows].flatten().tolist(), max_new_tokens) if seeds is not None else None,
                )
                for row, group in zip(rows, said, strict=True):
                    answers[row] = group
                if progress is not None:
                    progress(len(rows))
        return answers

    def log_prob(
        self, prompts: Sequence[VisualPrompt], answers: Sequence[str | Sequence[int]], end: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """How likely given answers are.

        Args:
            prompts: one for each answer.
            answers: texts, in which special tokens are plain text, or token ids, as `sample` returns them.
            end: the token that ends a turn counts as part of each text (token ids are taken as they are).

        Returns:
            `(B,)` sums of the natural log-probabilities of each answer's tokens, 0 for an empty answer; and for each
            answer those of its tokens, `(T,)`. On the model's device, in float32 (float64 for a float64 model).

        Raises:
            UsageError: not as many answers as prompts.
        """
        if len(prompts) != len(answers):
            raise UsageError(f"there are {len(prompts)} prompts and {len(answers)} answers; give one for each")
        opened = self._open()
        read, ending = opened.reader.text_ids, [opened.processor.tokenizer.eos_token_id] if end else []
        targets = [[*read(entry), *ending] if isinstance(entry, str) else list(entry) for entry in answers]
        found: dict[int, Tensor] = {}
        with scoring(opened.model, prompts):
            for rows, encoded in batches(opened.reader, prompts, self.batch_size, targets):
                said = [targets[row] for row in rows]
                longest = max(map(len, said))
                scores = self._batch(encoded).logits(opened.model, longest + 1)
                for row, target, logits in zip(rows, said, scores, strict=True):
                    # Padding is on the left: the last token's logits say what would come after the answer.
                    before = logits[longest - len(target) : longest].log_softmax(-1)
                    wanted = torch.tensor(target, dtype=torch.long, device=before.device)
                    found[row] = before.gather(1, wanted.unsqueeze(1)).squeeze(1)
        tokens = [found[row] for row in range(len(prompts))]
        return self._stacked([each.sum() for each in tokens]), tokens

    def yes_probability(
        self,
        pictures: Pictures,
        questions: str | Sequence[str],
        system: str | None = None,
        opening: str = "",
        words: tuple[Words, Words] = ("yes", "no"),
    ) -> Tensor:
        """`(B,)` p(yes) / (p(yes) + p(no)), in [0, 1]: the sigmoid of `yes_logit`, which see."""
        return self.yes_logit(pictures, questions, system, opening, words).sigmoid()

    def yes_logit(
        self,
        pictures: Pictures,
        questions: str | Sequence[str],
        system: str | None = None,
        opening: str = "",
        words: tuple[Words, Words] = ("yes", "no"),
    ) -> Tensor:
        """How much likelier yes is than no, as the next token: log p(yes) − log p(no), with gradient to tensors.

        p(yes) is the sum over all spellings that are one token ("yes", "Yes", " yes", …), p(no) likewise. The odds are
        computed in single precision at least, also where the weights are of half precision.

        Args:
            pictures: `(B, 3, H, W)` in [0, 1]; `(B, V, 3, H, W)`, V views for each question; or for each question a
                picture or a sequence of pictures.
            questions: one for each of B, or one for all.
            system: a system message.
            opening: text that the answer has begun with, such as "<answer>", where a model is used to that.
            words: what yes and no are called; each one word or several.

        Returns:
            `(B,)`, on the model's device, in float32 (float64 for a float64 model).

        Raises:
            UsageError: the tokenizer has no single token for a word, a token would be both yes and no, or not as many
                questions as pictures.
            DataError: a picture cannot be read.
        """
        yes, no = opposites(self.processor.tokenizer, words)

        def odds(batch: Batch) -> Tensor:
            likely, unlikely = batch.scores(self.model, yes + no).tensor_split([len(yes)], -1)
            return likely.logsumexp(-1) - unlikely.logsumexp(-1)

        return self._next_token(odds, pictures, questions, system, opening)

    def yes_mass(
        self,
        pictures: Pictures,
        questions: str | Sequence[str],
        system: str | None = None,
        opening: str = "",
        words: tuple[Words, Words] = ("yes", "no"),
    ) -> Tensor:
        """`(B,)` p(yes) + p(no) as the next token, without gradient: near 0 the model answers something else.

        Arguments as in `yes_logit`, whose odds say nothing then.
        """
        yes, no = opposites(self.processor.tokenizer, words)

        def mass(batch: Batch) -> Tensor:
            return batch.logits(self.model, 1)[:, -1].softmax(-1)[:, yes + no].sum(-1)

        with torch.no_grad():
            return self._next_token(mass, pictures, questions, system, opening)

    def states(self, prompts: Sequence[VisualPrompt], answers: Sequence[str]) -> list[Tensor]:
        """The last layer's states at each answer's tokens, in which special tokens are plain text, and at the one that
        ends its turn: `(T + 1, width)` each, on the model's device, with gradient to weights that are not frozen.

        Raises:
            UsageError: not as many answers as prompts.
            DataError: a picture cannot be read.
        """
        if len(prompts) != len(answers):
            raise UsageError(f"there are {len(prompts)} prompts and {len(answers)} answers; give one for each")
        opened = self._open()
        targets = [[*opened.reader.text_ids(text), opened.processor.tokenizer.eos_token_id] for text in answers]
        found: dict[int, Tensor] = {}
        with evaluating(opened.model):
            for rows, encoded in batches(opened.reader, prompts, self.batch_size, targets):
                states = self._batch(encoded).states(opened.model)
                found.update((row, one[-len(targets[row]) :]) for row, one in zip(rows, states, strict=True))
        return [found[row] for row in range(len(prompts))]

    def _next_token(
        self,
        read: Callable[[Batch], Tensor],
        pictures: Pictures,
        questions: str | Sequence[str],
        system: str | None,
        opening: str,
    ) -> Tensor:
        """What `read` says, `(b,)`, of the token after each question's opened answer: `(B,)`."""
        prompts = self._reader.asked(pictures, questions, system)
        begun = self._reader.text_ids(opening)
        found: dict[int, Tensor] = {}
        with scoring(self.model, prompts):
            for rows, encoded in batches(self._reader, prompts, self.batch_size, [begun] * len(prompts)):
                found.update(zip(rows, read(self._batch(encoded)), strict=True))
        return self._stacked([found[row] for row in range(len(prompts))])

    @property
    def _reader(self) -> PromptReader:
        return self._open().reader

    def _open(self) -> _Opened:
        if self._opened is None:
            model, processor = load_vlm(self.config)
            self._opened = self._pair(model, processor)
        return self._opened

    def _pair(self, model: Any, processor: Any) -> _Opened:
        check_pair(model, processor)
        preprocess = Preprocess.of(processor, self.min_pixels, self.max_pixels)
        load = self.load or (lambda source: fetch(load_any(source), preprocess))
        reader = PromptReader(processor, replace(preprocess, eight_bits=self.eight_bits), load)
        return _Opened(model, processor, reader)

    def _batch(self, encoded: Sequence[Encoded]) -> Batch:
        opened = self._open()
        return Batch.of(encoded, opened.model, opened.processor.tokenizer.pad_token_id)

    def _stacked(self, rows: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(rows)) if rows else torch.zeros(0, device=self.model.device)
