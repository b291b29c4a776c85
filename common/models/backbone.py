"""What reads a prompt and a completion into one vector: a sentence encoder, a language model or a Qwen-VL.

`open_backbone` takes the folder or hub id of any of them. A reward model's head stands on these vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from common.config import BackboneConfig, LanguageModelConfig
from common.errors import UsageError
from common.files import locate
from common.models.language import (
    Prompt,
    evaluating,
    load_language_model,
    peft_config,
    prompt_ids,
    prompt_text,
    save_language_model,
)
from common.models.loading import load_from, settled
from common.models.text import CONFIG_FILE, Encoder, NgramEncoder, load_encoder
from common.models.vlm import Picture, VisionLanguageModel, VisualPrompt
from common.models.vlm_batch import inner_model
from common.models.vlm_folder import load_vlm, save_vlm

log = logging.getLogger(__name__)

Kind = Literal["encoder", "language", "vision"]


@dataclass(frozen=True, eq=False)
class Answered:
    """A prompt and what was said to it.

    Attributes:
        prompt: a text or a conversation.
        completion: the answer's text.
        images: what the prompt is about; only a Qwen-VL looks at them.
    """

    prompt: Prompt
    completion: str
    images: Sequence[Picture] = ()

    @property
    def prompt_text(self) -> str:
        """The prompt as one text."""
        return prompt_text(self.prompt)


class Backbone(Protocol):
    """Reads answered prompts.

    Attributes:
        width: numbers in a feature.
        sees: whether it looks at images.
        module: its weights; None where they cannot be trained.
        cut: texts that were longer than it can read.
    """

    width: int
    sees: bool
    module: nn.Module | None
    cut: int

    def features(self, rows: Sequence[Answered]) -> Tensor:
        """`(B, width)` float32 on the backbone's device; with gradient to weights that are trained.

        Raises:
            DataError: a picture cannot be read.
        """
        ...

    def save(self, folder: Path | str) -> Path:
        """Write it to a folder that `open_backbone` opens."""
        ...


def open_backbone(config: BackboneConfig) -> Backbone:
    """Open a backbone, ready to be trained as far as `config.tune` says, in evaluation mode (dropout is off).

    Raises:
        UsageError: there is none, or one that cannot be tuned so.
        MissingDependency: a package that it needs is not installed.
    """
    kind = kind_of(config)
    if kind == "encoder":
        return EncoderBackbone(config)
    return LanguageBackbone(config) if kind == "language" else VisionBackbone(config)


def kind_of(config: BackboneConfig) -> Kind:
    """What lies at the path, by its config file; "encoder" for everything that is neither of the others."""
    if config.kind != "auto":
        return config.kind
    folder = locate(config.path)
    if config.path == "hash" or (folder / CONFIG_FILE).is_file() or (folder / "modules.json").is_file():
        return "encoder"
    from transformers import AutoConfig

    place = settled(LanguageModelConfig(path=config.path))
    found = load_from(place, lambda **options: AutoConfig.from_pretrained(place.path, **options), "a model")
    if getattr(found, "vision_config", None) is not None:
        return "vision"
    names = getattr(found, "architectures", None) or [""]
    return "language" if names[0].endswith(("ForCausalLM", "LMHeadModel")) else "encoder"


def read_features(
    backbone: Backbone,
    rows: Sequence[Answered],
    batch_size: int,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """`(N, width)` float32 features on the CPU, without gradient; rows of like length are read together.

    Args:
        backbone: what reads.
        rows: what is read.
        batch_size: rows at once.
        progress: called with the number of rows read so far.
    """
    order = sorted(range(len(rows)), key=lambda at: len(rows[at].prompt_text) + len(rows[at].completion))
    found = torch.zeros(len(rows), backbone.width)
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            several = order[start : start + batch_size]
            found[several] = backbone.features([rows[at] for at in several]).cpu()
            if progress is not None:
                progress(start + len(several))
    return found


class EncoderBackbone:
    """A sentence encoder: the vectors of prompt and completion, and their product, which holds what they share.

    It does not look at images. Only our own `NgramEncoder` can be tuned.
    """

    sees = False
    cut = 0

    def __init__(self, config: BackboneConfig) -> None:
        from common.models.loading import resolve_device

        device = str(resolve_device(config.device))
        dtype = "float32" if config.dtype == "auto" else config.dtype
        self.encoder: Encoder = load_encoder(config.path, device, dtype)
        self.width = 3 * self.encoder.dim
        self.module: nn.Module | None = self.encoder.network if isinstance(self.encoder, NgramEncoder) else None
        if config.tune != "frozen" and (self.module is None or config.tune == "lora"):
            raise UsageError(
                f"{config.path}: this encoder cannot be tuned ({config.tune}); set backbone.tune to frozen, or take a "
                "language model or a folder made by NgramEncoder"
            )
        if self.module is not None:
            self.module.requires_grad_(config.tune != "frozen")

    def features(self, rows: Sequence[Answered]) -> Tensor:
        """See `Backbone.features`."""
        texts = [row.prompt_text for row in rows] + [row.completion for row in rows]
        place = {text: at for at, text in enumerate(dict.fromkeys(texts))}
        trained = isinstance(self.encoder, NgramEncoder) and torch.is_grad_enabled()
        encode = self.encoder.embed if trained and isinstance(self.encoder, NgramEncoder) else self.encoder.encode
        vectors = encode(list(place))
        asked, said = vectors[[place[text] for text in texts]].chunk(2)
        # Of unit vectors the products are smaller by the root of their number.
        return torch.cat([asked, said, asked * said * self.encoder.dim**0.5], -1)

    def save(self, folder: Path | str) -> Path:
        """See `Backbone.save`."""
        if not isinstance(self.encoder, NgramEncoder):
            raise UsageError("an encoder that was not tuned is not saved; its path is")
        return self.encoder.save(folder)


class LanguageBackbone:
    """A causal language model, read up to the token that ends the completion."""

    sees = False

    def __init__(self, config: BackboneConfig) -> None:
        self.model: Any
        self.tokenizer: Any
        place = model_config(config)
        self.model, self.tokenizer = load_language_model(place, training=config.tune != "frozen")
        self.model = self.module = _tunable(self.model, config)
        self.pooling = config.pooling
        self.width = int(self.model.config.get_text_config().hidden_size)
        longest = getattr(self.model.config, "max_position_embeddings", None) or 1 << 20
        self.longest = min(config.max_length or longest, longest)
        self.cut = 0

    def features(self, rows: Sequence[Answered]) -> Tensor:
        """See `Backbone.features`."""
        prompts = [prompt_ids(self.tokenizer, [row.prompt])[0] for row in rows]
        said = self.tokenizer([self._plain(row.completion) for row in rows], add_special_tokens=False)["input_ids"]
        both = [self._fitted(one, list(other)) for one, other in zip(prompts, said, strict=True)]
        width = max(len(prompt) + len(answer) for prompt, answer in both)
        # On the right: what follows a token does not count for it, and no model needs to be told of positions.
        ids = torch.full((len(both), width), int(self.tokenizer.pad_token_id))
        mask = torch.zeros_like(ids)
        for row, (prompt, answer) in enumerate(both):
            ids[row, : len(prompt) + len(answer)] = torch.tensor([*prompt, *answer])
            mask[row, : len(prompt) + len(answer)] = 1
        device = self.model.device
        with evaluating(self.model):
            inner = inner_model(self.model)
            states = inner(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).last_hidden_state
        answers = [states[row, len(one) : len(one) + len(two)] for row, (one, two) in enumerate(both)]
        return pooled(answers, self.pooling)

    def _plain(self, text: str) -> str:
        """A completion that cannot end its own turn: special tokens in it are plain text."""
        text = _readable(text)
        for token in self.tokenizer.all_special_tokens:
            text = text.replace(token, f"{token[:1]} {token[1:]}")
        return text

    def _fitted(self, prompt: list[int], answer: list[int]) -> tuple[list[int], list[int]]:
        """Prompt and ended completion, together no longer than the model reads."""
        over = len(prompt) + len(answer) + 1 - self.longest
        if over > 0:
            if not self.cut:
                log.warning("a prompt with its answer is longer than %d tokens; its start is not read", self.longest)
            self.cut += 1
            prompt = prompt[over:]
        answer = answer[: self.longest - 1]
        return prompt, [*answer, self.tokenizer.eos_token_id]

    def save(self, folder: Path | str) -> Path:
        """See `Backbone.save`."""
        return save_language_model(self.model, self.tokenizer, folder)


class VisionBackbone:
    """A Qwen-VL, read up to the token that ends the completion; a prompt may have no image."""

    sees = True
    cut = 0

    def __init__(self, config: BackboneConfig) -> None:
        model, processor = load_vlm(model_config(config), training=config.tune != "frozen")
        self.module: Any = _tunable(model, config)
        self.processor: Any = processor
        self.model = VisionLanguageModel.of(self.module, processor, batch_size=config.batch_size)
        self.pooling = config.pooling
        self.width = int(model.config.get_text_config().hidden_size)

    def features(self, rows: Sequence[Answered]) -> Tensor:
        """See `Backbone.features`."""
        prompts = [VisualPrompt(conversation(row.prompt), tuple(row.images)) for row in rows]
        return pooled(self.model.states(prompts, [_readable(row.completion) for row in rows]), self.pooling)

    def save(self, folder: Path | str) -> Path:
        """See `Backbone.save`."""
        return save_vlm(self.module, self.processor, folder)


def model_config(config: BackboneConfig) -> LanguageModelConfig:
    """The settings of a language or vision-language model."""
    return LanguageModelConfig(path=config.path, dtype=config.dtype, device=config.device)


def described(config: BackboneConfig) -> LanguageModelConfig:
    """The same with the adapters, as `describe_on_meta` counts them."""
    return replace(model_config(config), lora=config.lora if config.tune == "lora" else None)


def conversation(prompt: Prompt) -> list[Mapping[str, Any]]:
    """A prompt as messages; a text is the user's."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(message) for message in prompt]


def pooled(states: Sequence[Tensor], pooling: str) -> Tensor:
    """`(B, D)` float32 of the states `(T, D)` of each completion's tokens and the one that ends it."""
    return torch.stack([(one.mean(0) if pooling == "mean" else one[-1]).float() for one in states])


def _tunable(model: Any, config: BackboneConfig) -> Any:
    """The model with the weights that are trained marked as such."""
    if config.tune == "lora":
        from peft import get_peft_model

        return get_peft_model(model, peft_config(config.lora))
    return model.requires_grad_(config.tune == "full")


def _readable(text: str) -> str:
    """A text any tokenizer takes: a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
