"""CLIP models of our own as folders: a compact tokenizer, and weights, config and tokenizer that OpenCLIP opens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from common.errors import UsageError
from common.files import write_bytes, write_json

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"

PAD, START, END = "<pad>", "<start_of_text>", "<end_of_text>"


def compact_tokenizer(texts: Iterable[str], vocab_size: int = 800, context_length: int = 32) -> Any:
    """A byte-level BPE tokenizer of lower-cased text for a small CLIP.

    OpenCLIP reads a text's feature at the greatest token id, so the end token comes last; padding is 0. Every byte has
    a token, so that no text is unknown.

    Args:
        texts: what the merges are learnt from, in an order that does not vary.
        vocab_size: most tokens, special ones included; at least 259. `len()` of the result tells how many there are.
        context_length: longest input in tokens, start and end included.

    Returns:
        A `transformers.PreTrainedTokenizerFast` that takes special tokens inside a text as plain text.

    Raises:
        UsageError: the vocabulary cannot hold the bytes.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if vocab_size < 259:
        raise UsageError(f"a byte-level vocabulary needs 256 bytes and 3 special tokens; {vocab_size} is too small")
    raw = Tokenizer(models.BPE())
    raw.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size - 2, special_tokens=[PAD], initial_alphabet=alphabet, show_progress=False
        ),
    )
    raw.add_special_tokens([START, END])
    ids = [(token, raw.token_to_id(token)) for token in (START, END)]
    raw.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        model_max_length=context_length,
        padding_side="right",
        truncation_side="right",
        split_special_tokens=True,
    )


def save_clip(
    model: nn.Module,
    tokenizer: Any,
    config: Mapping[str, Any],
    folder: Path | str,
    preprocess: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a folder that `Clip("local-dir:FOLDER")` and `open_clip.create_model("local-dir:FOLDER")` open alike.

    Args:
        model: an OpenCLIP model.
        tokenizer: a fast transformers tokenizer such as `compact_tokenizer` makes; its end token must be its greatest
            id, unless `config` pools otherwise.
        config: OpenCLIP's model config: `embed_dim`, `vision_cfg`, `text_cfg`.
        folder: where to; made where it is missing. The config is written last.
        preprocess: OpenCLIP's `mean`, `std`, `interpolation`, `resize_mode`, `fill_color`; by default the model's own.
        dtype: `torch.float16` halves the file; both sides then open the same rounded weights. None: as they are.

    Raises:
        UsageError: tokenizer and config do not fit each other.
    """
    from safetensors.torch import save

    folder = Path(folder)
    text = dict(config["text_cfg"])
    _check_vocabulary(tokenizer, text)
    # OpenCLIP takes a folder's own tokenizer only where this name is not empty; the name itself is then not used.
    text["hf_tokenizer_name"] = text.get("hf_tokenizer_name") or "tokenizer"
    text["tokenizer_kwargs"] = {**(text.get("tokenizer_kwargs") or {}), "split_special_tokens": True}
    if preprocess is None:
        preprocess = dict(getattr(model.visual, "preprocess_cfg", None) or {})
    # The size is the model's; OpenCLIP ignores any other.
    preprocess = {name: value for name, value in preprocess.items() if name not in ("size", "mode")}
    weights = {
        name: value.detach().cpu().to(dtype if dtype and value.is_floating_point() else value.dtype).clone()
        for name, value in model.state_dict().items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(str(folder))
    write_bytes(folder / WEIGHTS_FILE, save({name: value.contiguous() for name, value in weights.items()}))
    write_json(folder / CONFIG_FILE, {"model_cfg": {**config, "text_cfg": text}, "preprocess_cfg": preprocess})
    return folder


def _check_vocabulary(tokenizer: Any, text: Mapping[str, Any]) -> None:
    size, greatest = text.get("vocab_size", 49408), max(tokenizer.get_vocab().values())
    if greatest >= size:
        raise UsageError(f"the tokenizer has ids up to {greatest}; text_cfg.vocab_size is {size}")
    if text.get("pool_type", "argmax") == "argmax" and tokenizer.eos_token_id != greatest:
        raise UsageError(
            f"the end token has id {tokenizer.eos_token_id} of {greatest}; OpenCLIP's pool_type 'argmax' reads the "
            "text's feature at the greatest id. Use compact_tokenizer, or pool_type 'eos' with eos_id"
        )
