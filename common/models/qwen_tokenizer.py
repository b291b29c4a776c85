"""Qwen's tokenizer and chat format, for a small vocabulary of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Qwen's special tokens, in Qwen's order; the first pads, the third ends a turn.
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
PAD, START, END = SPECIAL_TOKENS[:3]
VISION_START, VISION_END = SPECIAL_TOKENS[9:11]
IMAGE, VIDEO = SPECIAL_TOKENS[12:]

#: Qwen's chat format (ChatML with vision placeholders), with one difference: a conversation without system message
#: gets none. `generation` marks what the assistant said, for losses on that alone.
CHAT_TEMPLATE = (
    "{% set images = namespace(count=0) %}{% set videos = namespace(count=0) %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endgeneration %}"
    "{% elif message['content'] is string %}{{ message['content'] + '<|im_end|>\n' }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part or 'image_url' in part %}"
    "{% set images.count = images.count + 1 %}"
    "{% if add_vision_id %}{{ 'Picture ' ~ images.count ~ ': ' }}{% endif %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% elif part['type'] == 'video' or 'video' in part %}"
    "{% set videos.count = videos.count + 1 %}"
    "{% if add_vision_id %}{{ 'Video ' ~ videos.count ~ ': ' }}{% endif %}"
    "{{ '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def small_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of transformers' Qwen2 class, trained on `texts`: any text can be written and read.

    Args:
        texts: what the merges are learnt from.
        vocabulary: most tokens, the 256 bytes and Qwen's 14 special tokens included.
    """
    from tokenizers import pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    # The class brings Qwen's own normaliser and splitting, which AutoTokenizer would put in place of any other.
    trained = Qwen2Tokenizer().backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    bpe = json.loads(trained.to_str())["model"]
    merges: Any = [tuple(pair) for pair in bpe["merges"]]
    words = {token: number for number, token in enumerate(sorted(bpe["vocab"], key=bpe["vocab"].get))}
    return Qwen2Tokenizer(
        vocab=words,
        merges=merges,
        eos_token=END,
        pad_token=PAD,
        unk_token=PAD,
        additional_special_tokens=list(SPECIAL_TOKENS),
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
