"""A random captioner of the pocket's class, small enough to be made by any test that needs one."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from apps.captioning.mapper import Shape
from apps.captioning.model import Captioner

WIDTH, LONGEST = 32, 64


@lru_cache
def tiny_tokenizer() -> Any:
    """The pocket's kind of tokenizer: every byte, the three special tokens and some of the grammar's words."""
    from apps.captioning.pretraining.tokenizer import train_tokenizer, transformers_tokenizer

    return transformers_tokenizer(train_tokenizer(400, 200), LONGEST)


def tiny_decoder(seed: int = 0) -> Any:
    """A random GPT-2 over `tiny_tokenizer`; its weights are large enough that what it says depends on what it sees."""
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = tiny_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=len(tokenizer),
                n_positions=LONGEST,
                n_embd=WIDTH,
                n_layer=2,
                n_head=2,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                initializer_range=0.2,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        ).eval()


def new_tiny_captioner(features: int = 32, seed: int = 0, mapper: str = "mlp", clip: str = "") -> Captioner:
    """As `tiny_captioner`, not written anywhere."""
    decoder = tiny_decoder(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        captioner = Captioner(Shape(features, WIDTH, mapper, 2, 1, False, clip), decoder, tiny_tokenizer())
    with torch.no_grad():
        # A fresh mapper's prefixes are all but equal for all pictures.
        for parameter in captioner.mapper.parameters():
            parameter.mul_(4)
    return captioner.eval()


def tiny_captioner(folder: Path, features: int = 32, seed: int = 0, mapper: str = "mlp", clip: str = "") -> Path:
    """Write a random captioner to `folder`; `tiny_clip_folder`'s features have 32 dimensions."""
    new_tiny_captioner(features, seed, mapper, clip).save(folder)
    return folder


def tiny_decoder_folder(folder: Path, seed: int = 0) -> Path:
    """Write the random GPT-2 and its tokenizer, for tests that make a captioner from a language model."""
    tiny_decoder(seed).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
