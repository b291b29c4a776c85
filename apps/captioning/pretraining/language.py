"""Makes the pocket GPT-2, which knows how captions are worded, and the pocket RoBERTa, which knows damaged ones."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import torch

from apps.captioning.learning.advantages import rate
from apps.captioning.model_config import DiscriminatorConfig
from apps.captioning.pocket.grammar import STYLES, write
from apps.captioning.pocket.mutations import damage
from apps.captioning.pocket.scene import sample_scene
from apps.captioning.pretraining.tokenizer import framed, transformers_tokenizer
from common.models.loading import without_bars
from common.ui import progress

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer
    from transformers import GPT2LMHeadModel

LONGEST = 64
BATCH = 64
LEARNING_RATE = 2e-3


def sentences(rng: random.Random, number: int) -> list[str]:
    """Sentences of both styles, three in four of them captions."""
    styles = tuple(STYLES)
    return [write(sample_scene(rng), rng, styles[rng.random() > 0.75]) for _ in range(number)]


def train_decoder(
    tokenizer: Tokenizer, width: int, layers: int, steps: int, seed: int = 0, quiet: bool = False
) -> tuple[GPT2LMHeadModel, Any]:
    """A GPT-2 trained as a language model on pocket sentences; no picture and no CLIP has a part in it.

    Args:
        tokenizer: the pocket tokenizer, not framed.
        width: of the transformer.
        layers: its blocks.
        steps: optimiser steps of 64 sentences.
        seed: of weights and sentences.
        quiet: no progress bar.

    Returns:
        The model, in evaluation mode, and its transformers tokenizer.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    wrapped = transformers_tokenizer(tokenizer, LONGEST)
    end, pad = wrapped.eos_token_id, wrapped.pad_token_id
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(wrapped),
            n_positions=LONGEST,
            n_embd=width,
            n_layer=layers,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=wrapped.bos_token_id,
            eos_token_id=end,
            pad_token_id=pad,
        )
    )
    rng = random.Random(f"language/{seed}")
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.05)
    model.train()
    with progress("training the pocket GPT-2", steps, quiet) as bar:
        for step in range(steps):
            ids = [[end, *row, end] for row in wrapped(sentences(rng, BATCH))["input_ids"]]
            longest = max(map(len, ids))
            batch = torch.tensor([row + [pad] * (longest - len(row)) for row in ids])
            kept = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
            logits = model(batch[:, :-1]).logits
            loss = torch.nn.functional.cross_entropy(logits[kept[:, 1:] > 0], batch[:, 1:][kept[:, 1:] > 0])
            _step(optimizer, loss, model, rate(step, LEARNING_RATE, 50, steps, "cosine"))
            bar(step + 1, f"loss {loss.item():.3f}")
    model.eval()  # type: ignore[no-untyped-call]
    return model, wrapped


def train_discriminator(
    tokenizer: Tokenizer, folder: Path, width: int, steps: int, seed: int = 0, quiet: bool = False
) -> dict[str, float]:
    """Write a RoBERTa-class model that tells sentences from damaged ones (dropped, doubled, moved, foreign words).

    Args:
        tokenizer: the pocket tokenizer, not framed.
        folder: where it is written.
        width: of the transformer.
        steps: optimiser steps of 64 sentences and 64 damaged ones.
        seed: of weights, sentences and damage.
        quiet: no progress bar.

    Returns:
        Its figures on sentences that it has not seen: accuracy.
    """
    from transformers import RobertaConfig, RobertaForSequenceClassification

    from apps.captioning.learning.naturalness import Naturalness

    torch.manual_seed(seed)
    wrapped = transformers_tokenizer(framed(tokenizer), LONGEST - 2)
    config = RobertaConfig(
        vocab_size=len(wrapped),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=LONGEST,
        type_vocab_size=1,
        # RoBERTa's own 0.02 is meant for 768 dimensions: so narrow a model then learns nothing for hundreds of steps.
        initializer_range=width**-0.5,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        bos_token_id=wrapped.bos_token_id,
        eos_token_id=wrapped.eos_token_id,
        pad_token_id=wrapped.pad_token_id,
    )
    config.num_labels = 1
    with without_bars():
        RobertaForSequenceClassification(config).save_pretrained(folder)
    wrapped.save_pretrained(folder)
    judge = Naturalness(DiscriminatorConfig(str(folder), label_smoothing=0.05), "cpu")
    rng = random.Random(f"discriminator/{seed}")
    with progress("training the pocket discriminator", steps, quiet) as bar:
        for step in range(steps):
            judge.optimizer.param_groups[0]["lr"] = rate(step, LEARNING_RATE, 50, steps, "cosine")
            # The same sentences whole and damaged: they differ in nothing but the damage.
            real = sentences(rng, BATCH)
            figures = judge.step(real, [damage(text, rng) for text in real])
            bar(step + 1, f"accuracy {figures['discriminator/accuracy']:.2f}")
    judge.save(folder)
    unseen = random.Random(f"discriminator/test/{seed}")
    real, fake = sentences(unseen, 500), [damage(text, unseen) for text in sentences(unseen, 500)]
    told = judge.score([*real, *fake]) > 0
    return {"accuracy": float(torch.cat([told[:500], ~told[500:]]).float().mean())}


def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor, model: torch.nn.Module, speed: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = speed
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
