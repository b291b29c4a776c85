"""The tokenizer of the pocket GPT-2 and RoBERTa: byte-level BPE, so that any text can be written and read."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from apps.captioning.pocket.grammar import STYLES, write
from apps.captioning.pocket.scene import sample_scene

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

SENTENCES = 20_000
PAD, START, END = "<pad>", "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(vocabulary: int, number: int = SENTENCES) -> Tokenizer:
    """A byte-level BPE tokenizer of both pocket styles, for the models that write and the discriminator.

    Args:
        vocabulary: most tokens, the 256 bytes and three special ones included.
        number: sentences of each style that it is trained on.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 2,
        special_tokens=[PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(number), trainer)
    tokenizer.add_special_tokens([START, END])
    return tokenizer


def framed(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that puts the start and end tokens around a text, for a model that reads: the discriminator."""
    from tokenizers import Tokenizer, processors

    copy = Tokenizer.from_str(tokenizer.to_str())
    ids = [(token, copy.token_to_id(token)) for token in (START, END)]
    copy.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ids)
    return copy


def transformers_tokenizer(tokenizer: Tokenizer, longest: int) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers loads and saves it."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        model_max_length=longest,
        clean_up_tokenization_spaces=False,
    )


def sentences(number: int = SENTENCES) -> Iterator[str]:
    """Sentences of both styles that tokenizers learn from, as they are and in lower case; always the same."""
    rng = random.Random("tokenizer")
    for style in STYLES:
        for _ in range(number):
            sentence = write(sample_scene(rng), rng, style)
            yield sentence
            yield sentence.lower()
