"""`pretrain`: the pocket model and its contrastive encoder, made from nothing on the pocket world."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text2sql.config import PretrainConfig, Text2SqlConfig
from apps.text2sql.data import Example
from common.errors import UsageError
from common.files import write_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

logger = logging.getLogger(__name__)


def run_pretrain(
    config: Text2SqlConfig, out: str = "assets/text2sql", only: str | None = None, resume: str | None = None
) -> int:
    """Make `OUT/model` and `OUT/encoder`, each with a card that holds the command, the seed and held-out figures.

    `resume` is the run folder of an interrupted training of the model.
    """
    if config.train.format != "pocket":
        raise UsageError("pretrain makes the pocket model: train.format must be pocket; for other data use train")
    command = f"python -m apps.text2sql {shlex.join(sys.argv[1:])}"
    if only in (None, "model"):
        pretrain_model(config, Path(out) / "model", command, Path(resume) if resume else None)
    if only in (None, "encoder"):
        pretrain_encoder(config, Path(out) / "encoder", command)
    return 0


def pretrain_model(config: Text2SqlConfig, out: Path, command: str, resume: Path | None = None) -> dict[str, Any]:
    """Train tokenizer and model from nothing and save them in float16.

    Returns:
        Held-out figures, as they stand in the card.
    """
    from apps.text2sql.data import load_examples
    from apps.text2sql.evaluate import evaluate_model, make_judge
    from apps.text2sql.train import quick_evaluation, training_rows
    from common.models.language import load_language_model, save_language_model
    from common.training.run import Run, seed_everything, set_threads
    from common.training.sft import run_sft

    set_threads(config.threads)
    seed_everything(config.seed)
    settings = config.pretrain
    examples = load_examples(replace(config.train, split="demonstrations", limit=settings.examples))
    rows = training_rows(examples, config)
    logger.info("pretrain: %d examples", len(examples))
    tokenizer = pocket_tokenizer(rows, settings)
    model = pocket_model(tokenizer, settings)
    heldout = load_examples(config.heldout)
    folder = Path(config.runs) / f"pretrain-{datetime.now():%Y%m%d-%H%M%S}"
    again = f"{command} --resume {folder}"
    run = Run.resume(resume) if resume else Run.create(folder.parent, folder.name, config, config.seed, again)
    with make_judge(config) as judge:
        evaluate = quick_evaluation(tokenizer, heldout, judge, config)
        model = run_sft(run, model, tokenizer, rows, settings.sft, evaluate, resume=resume is not None)
        model.half()  # type: ignore[no-untyped-call]
        save_language_model(model, tokenizer, out)
        # Measured as it is shipped: read back from disk, in float16's precision.
        config.model.path = str(out)
        shipped, its_tokenizer = load_language_model(config.model)
        evaluation = evaluate_model(shipped, its_tokenizer, heldout, judge, config)
    found = {"all": evaluation.accuracy(), **evaluation.by("language"), **evaluation.by("hardness")}
    figures = {name: f"{value.text(100, 1)} (n = {value.n})" for name, value in found.items()}
    write_text(out / "README.md", model_card(config, command, figures, sum(p.numel() for p in model.parameters())))
    return figures


def pocket_tokenizer(rows: Any, config: PretrainConfig) -> PreTrainedTokenizerFast:
    """The tokenizer, trained on the prompts and queries themselves."""
    from apps.text2sql.pretraining.tokenizer import train_tokenizer

    def texts() -> Any:
        for row in rows:
            yield row["prompt"][-1]["content"]
            yield row["completion"][-1]["content"]

    return train_tokenizer(texts(), config.vocabulary)


def pocket_model(tokenizer: PreTrainedTokenizerFast, config: PretrainConfig) -> PreTrainedModel:
    """An untrained causal language model of the class the real recipes use."""
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    shape: Mapping[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.heads,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if config.architecture == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape))
    return Qwen2ForCausalLM(Qwen2Config(**shape))


def pretrain_encoder(config: Text2SqlConfig, out: Path, command: str) -> dict[str, Any]:
    """Train the encoder of the contrastive reward; returns its held-out figures."""
    from apps.text2sql.data import load_examples
    from apps.text2sql.pretraining.encoder import train_encoder
    from common.training.run import set_threads
    from common.ui import progress

    set_threads(config.threads)
    half = config.pretrain.examples // 2
    examples: list[Example] = []
    for split in ("demonstrations", "train"):
        examples += load_examples(replace(config.train, split=split, limit=half))
    heldout = load_examples(config.heldout)
    with progress("encoder", total=config.pretrain.encoder_steps) as bar:
        advance: Callable[[int, int, float], None] = lambda step, total, loss: bar(step)  # noqa: E731
        return train_encoder(
            examples,
            out,
            heldout,
            seed=config.seed,
            steps=config.pretrain.encoder_steps,
            command=command,
            progress=advance,
        )


def model_card(config: Text2SqlConfig, command: str, figures: Mapping[str, Any], parameters: int) -> str:
    """The card that lies beside the weights."""
    settings = config.pretrain
    lines = [
        "# Pocket text-to-SQL model",
        "",
        f"A {settings.architecture} causal language model of {parameters / 1e6:.2f} M parameters with its own "
        f"{settings.vocabulary}-token tokenizer, trained from nothing on the pocket world and stopped early: the SFT "
        "stage that `train` starts from. It knows no database but the pocket world's.",
        "",
        f"- command: `{command}` (config `configs/text2sql/pocket.yaml`)",
        f"- seed {config.seed}, {settings.sft.steps} steps (of a schedule of "
        f"{settings.sft.schedule or settings.sft.steps}) of {settings.sft.batch_size} examples in seven languages",
        "",
        "| held-out questions | execution accuracy in %, 95 % interval (greedy, strict) |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in figures.items()),
        "",
        "Figures on the pocket world are no benchmark results.",
        "",
    ]
    return "\n".join(lines)
