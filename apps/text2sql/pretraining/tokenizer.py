"""The pocket model's tokenizer: byte-level BPE trained on the pocket texts, with a chat template.

Latin words, runs of Chinese, Japanese or other scripts, and single digits are split before the merges are learned.
A value inside a sentence without spaces (来自France的歌手) is therefore the same token as in the query, and the model
can copy it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END = "<|endoftext|>"
PAD = "<|pad|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"

#: Each message is its role's token and its text; a completion ends with the end-of-text token.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + '<|endoftext|>' }}"
    "{% else %}{{ '<|user|>' + message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

ALIAS = r" ?T\d(?=\W)"  # T1, T2: the aliases of joined tables, one token each
LATIN = r" ?[A-Za-zÀ-ɏḀ-ỿ\u0300-\u036f_]+"
DIGIT = r" ?\p{N}"
OTHER_LETTERS = r" ?[^\s\p{N}\p{P}\p{S}A-Za-zÀ-ɏḀ-ỿ\u0300-\u036f_]+"
SYMBOLS = r" ?[^\s\p{L}\p{N}_]"


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train the tokenizer.

    Args:
        texts: prompts and queries as the model will see them.
        vocabulary: size, special tokens and the 256 bytes included.

    Returns:
        A transformers tokenizer that pads on the left.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    pieces = Regex("|".join([ALIAS, LATIN, DIGIT, OTHER_LETTERS, SYMBOLS, r"\s"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pieces, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END, PAD, USER, ASSISTANT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
        additional_special_tokens=[USER, ASSISTANT],
    )
