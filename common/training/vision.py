"""Conversations with pictures as a Qwen-VL is trained on them: read by its processor, every picture once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from common.config import LanguageModelConfig
from common.errors import UsageError
from common.models.language import eos_token_ids, evaluating
from common.models.vlm_folder import load_vlm
from common.models.vlm_input import Preprocess
from common.pictures import Source, load_any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

Conversation = Sequence[Mapping[str, Any]]


def is_processor(processing: Any) -> bool:
    """Whether it is a processor, which reads pictures, and no bare tokenizer."""
    from transformers import ProcessorMixin

    return isinstance(processing, ProcessorMixin)


def tokenizer_of(processing: Any) -> PreTrainedTokenizerBase:
    """The tokenizer itself, or the one in a processor."""
    tokenizer: PreTrainedTokenizerBase = processing.tokenizer if is_processor(processing) else processing
    return tokenizer


def load_vlm_for_training(
    config: LanguageModelConfig,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    training: bool = True,
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Load a Qwen-VL and its processor, with bounds on its pictures; see `common.models.vlm_folder.load_vlm`.

    Args:
        config: where the model is, its dtype and its device.
        min_pixels: least area of a picture as the model sees it; smaller ones are blown up. The processor's own value
            where not given.
        max_pixels: greatest area; larger pictures are scaled down.
        training: return the model in training mode; else its weights are frozen.

    Raises:
        UsageError: there is no such model or processor, or the areas do not go together.
    """
    model, processor = load_vlm(config, training)
    return model, bounded(processor, min_pixels, max_pixels)


def bounded(processor: Any, min_pixels: int | None = None, max_pixels: int | None = None) -> ProcessorMixin:
    """The processor, which from here on resizes pictures to areas within these bounds, in pixels.

    Raises:
        UsageError: the areas do not go together.
    """
    wanted = Preprocess.of(processor, min_pixels, max_pixels)
    size = processor.image_processor.size
    edges = {"shortest_edge": wanted.min_pixels, "longest_edge": wanted.max_pixels}
    processor.image_processor.size = type(size)(**{**dict(size), **edges})
    found: ProcessorMixin = processor
    return found


def forbidden_tokens(model: Any) -> list[int]:
    """Tokens that stand for pictures and videos: one that was sampled would ask for a picture that is not there."""
    config = model.config
    return [config.image_token_id, config.video_token_id]


@dataclass(frozen=True)
class SeenPrompts:
    """Prompts as a Qwen-VL reads them.

    Attributes:
        ids: token ids of each prompt, without padding; a picture takes as many image tokens as it has.
        pictures: for each prompt its pictures, in order, by their place in `grids`.
        patches: for each distinct picture its `(N, D)` patches.
        grids: `(P, 3)`, for each distinct picture its patches in time, height and width.
        image_token: what stands for a part of a picture.
    """

    ids: list[list[int]]
    pictures: list[list[int]]
    patches: list[Tensor]
    grids: Tensor
    image_token: int

    def of(self, rows: Sequence[int]) -> list[int]:
        """The pictures of some prompts, one after another, by their place in `grids`."""
        return [place for row in rows for place in self.pictures[row]]

    def tensors(self, places: Sequence[int]) -> dict[str, Tensor]:
        """`pixel_values` and `image_grid_thw` of pictures, as a processor returns them; empty where there are none."""
        if not places:
            return {}
        return {
            "pixel_values": torch.cat([self.patches[place] for place in places]),
            "image_grid_thw": self.grids[list(places)],
        }


def read_prompts(
    processor: Any, prompts: Sequence[Conversation], images: Sequence[Sequence[Source] | None]
) -> SeenPrompts:
    """Read conversations with their pictures, up to the opening of the answer.

    The same tokens and patches as the processor gives, but prompts with none, one and several pictures may come
    together, every distinct picture is processed once, and grey of more than 8 bits is windowed, not cut off.

    Args:
        processor: of a Qwen-VL.
        prompts: messages; pictures stand before the first user's text, or where its `{"type": "image"}` blocks are.
        images: the pictures of each prompt.

    Raises:
        UsageError: the number of pictures is not that of the placeholders, a picture is extremely long, or a text
            holds the image or video token itself.
        DataError: a picture cannot be read.
    """
    if not prompts:
        return SeenPrompts([], [], *_patches(processor, []), processor.image_token_id)
    opened: dict[tuple[Any, ...], int] = {}
    distinct: list[Any] = []
    pictures: list[list[int]] = []
    for several in images:
        pictures.append([])
        for image in several or ():
            picture = load_any(image)
            number = opened.setdefault((picture.size, picture.tobytes()), len(opened))
            if number == len(distinct):
                distinct.append(picture)
            pictures[-1].append(number)
    patches, grids = _patches(processor, distinct)
    texts = render(processor, prompts, [len(places) for places in pictures])
    merged = processor.image_processor.merge_size**2
    tokens = (grids.prod(-1) // merged).tolist()
    image, video = (processor.image_token_id, processor.video_token_id)
    ids = []
    for row, found in enumerate(tokenizer_of(processor)(texts, add_special_tokens=False)["input_ids"]):
        lengths = iter([tokens[place] for place in pictures[row]])
        if found.count(image) != len(pictures[row]) or video in found:
            raise UsageError(
                f"the prompt {texts[row][-200:]!r} holds {processor.image_token} or {processor.video_token} itself, "
                "which stand for pictures and videos; take them out of its text"
            )
        ids.append([token for one in found for token in ([one] * next(lengths) if one == image else [one])])
    return SeenPrompts(ids, pictures, patches, grids, image)


def _patches(processor: Any, pictures: Sequence[Any]) -> tuple[list[Tensor], Tensor]:
    if not pictures:
        return [], torch.zeros(0, 3, dtype=torch.long)
    try:
        found = processor.image_processor(images=list(pictures), return_tensors="pt")
    except ValueError as error:
        raise UsageError(f"a picture cannot be read: {error}") from error
    grids = found["image_grid_thw"]
    return list(found["pixel_values"].split(grids.prod(-1).tolist())), grids


def render(processor: Any, prompts: Sequence[Conversation], pictures: Sequence[int]) -> list[str]:
    """Prompts as text, with the opening of the answer, and one placeholder for each picture."""
    placed = [place(prompt, count) for prompt, count in zip(prompts, pictures, strict=True)]
    texts: list[str] = processor.apply_chat_template(placed, add_generation_prompt=True, tokenize=False)
    return texts


def place(prompt: Conversation, pictures: int) -> list[dict[str, Any]]:
    """Messages in blocks, with as many image blocks as there are pictures.

    Raises:
        UsageError: there are image blocks already, of another number, or pictures inside them.
    """
    # Arrow fills the fields that only other blocks have.
    blocks = [_blocks(message["content"]) for message in prompt]
    marked = [block for several in blocks for block in several if block["type"] == "image"]
    if any("image" in block or "url" in block or "path" in block for block in marked):
        raise UsageError(
            "a picture inside a message, where a data set turns it into bytes; put the pictures into the column images"
        )
    if not marked:
        first = next((row for row, message in enumerate(prompt) if message["role"] == "user"), None)
        if first is not None and isinstance(prompt[first]["content"], str):
            blocks[first] = [{"type": "image"}] * pictures + blocks[first]
            marked = [{"type": "image"}] * pictures
    if len(marked) != pictures:
        raise UsageError(
            f"{pictures} pictures and {len(marked)} placeholders; write one {{'type': 'image'}} block for each "
            "picture into the messages, or none and plain texts: then the pictures come before the first user's text"
        )
    return [{"role": message["role"], "content": content} for message, content in zip(prompt, blocks, strict=True)]


def check_words(processor: Any, messages: list[dict[str, Any]]) -> None:
    """Refuse the words that stand for pictures and videos.

    Raises:
        UsageError: a text holds one.
    """
    texts = [block["text"] for message in messages for block in message["content"] if block["type"] == "text"]
    for word in (processor.image_token, processor.video_token):
        if any(word in text for text in texts):
            raise UsageError(f"a text holds {word}, which stands for a picture or a video; take it out")


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [{name: value for name, value in block.items() if value is not None} for block in content]


def answer(
    model: PreTrainedModel,
    processor: Any,
    prompts: Sequence[Conversation],
    images: Sequence[Sequence[Source] | None],
    max_new_tokens: int,
    temperature: float = 0.0,
    n: int = 1,
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
) -> list[list[str]]:
    """Answer every prompt about its pictures `n` times; see `common.models.language.generate`.

    A prompt is read once for all its answers, and a picture once for all prompts of a batch.

    Args:
        model: a Qwen-VL; its training mode is restored.
        processor: its processor.
        prompts: conversations.
        images: the pictures of each prompt, none or several.
        max_new_tokens: longest answer, in tokens.
        temperature: 0 takes the likeliest token; above it, samples are drawn from torch's global generator.
        n: answers for each prompt.
        batch_size: answers made at once.
        progress: called with the number of prompts answered after each batch.

    Raises:
        UsageError: a sampling of several greedy answers, or see `read_prompts`.
    """
    from common.models.decoding import sample
    from common.training.vision_step import reader

    if n > 1 and temperature <= 0:
        raise UsageError("several greedy answers would all be the same; set a temperature above 0")
    tokenizer = tokenizer_of(processor)
    # Prompts of like length share a batch.
    order = sorted(range(len(prompts)), key=lambda row: (len(images[row] or ()), len(str(prompts[row]))))
    answers: list[list[str]] = [[] for _ in order]
    per_batch = max(1, batch_size // n)
    with evaluating(model):
        for start in range(0, len(order), per_batch):
            rows = order[start : start + per_batch]
            seen = read_prompts(processor, [prompts[row] for row in rows], [images[row] for row in rows])
            sampled = sample(
                model,
                seen.ids,
                n=n,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                eos_ids=eos_token_ids(model, tokenizer),
                pad_id=tokenizer.pad_token_id,
                forbidden=forbidden_tokens(model),
                read=reader(model, seen, tokenizer.pad_token_id),
            )
            for row, group in zip(rows, sampled, strict=True):
                answers[row] = tokenizer.batch_decode(group, skip_special_tokens=True)
            if progress is not None:
                progress(len(rows))
    return answers
