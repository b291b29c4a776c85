"""A random discriminator of the pocket's class, small enough to be made by any test that needs one."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.apps.captioning.tiny import LONGEST, tiny_tokenizer


def tiny_judge_folder(folder: Path, seed: int = 0, dropout: float = 0.1) -> Path:
    """Write a random RoBERTa over the tiny tokenizer, with dropout as in RoBERTa: a resumed run must follow it."""
    from transformers import RobertaConfig, RobertaForSequenceClassification

    from apps.captioning.pretraining.tokenizer import framed, transformers_tokenizer

    tokenizer = transformers_tokenizer(framed(tiny_tokenizer().backend_tokenizer), LONGEST - 2)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LONGEST,
        type_vocab_size=1,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config.num_labels = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        RobertaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
