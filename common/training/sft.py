"""Supervised fine-tuning: trl's SFTTrainer with a run folder around it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from common.config import LoraConfig, SftConfig
from common.errors import UsageError
from common.models.language import Saved, check_chat_template, check_tokens, eos_token_ids, generate, peft_config
from common.models.vlm import VisionLanguageModel, VisualPrompt
from common.pictures import load_any
from common.training.callbacks import Evaluate, RunCallback
from common.training.loop import arguments, common_settings, load_final, quiet_libraries, train
from common.training.run import Run, checkpoint_step, last_checkpoint, seed_everything
from common.training.vision.checks import check_vision, fitting
from common.training.vision.models import is_processor, tokenizer_of
from common.training.vision.processor_files import ProcessorFiles
from common.training.vision.sft import VisualCollator

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

logger = logging.getLogger(__name__)
STAGE = "sft"
SHOWN = 4


def run_sft(
    run: Run,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | ProcessorMixin,
    train_rows: Dataset,
    config: SftConfig,
    evaluate: Evaluate | None = None,
    lora: LoraConfig | None = None,
    resume: bool = False,
) -> PreTrainedModel:
    """Teach a model to answer prompts as the rows do; only the answer's tokens are scored.

    Args:
        run: folder and seed.
        model: a causal language model, or a Qwen-VL; it is trained in place.
        tokenizer: the model's tokenizer, or its processor where it sees; from here on it pads on the left.
        train_rows: columns `prompt` and `completion`, both texts or both lists of messages. Of a Qwen-VL they are
            messages, and a column `images` holds lists of pictures: none, one or several a row.
        config: steps, rates, lengths.
        evaluate: measures the model on held-out data every `config.eval_every` steps; the first value is the metric.
        lora: train adapters, and merge them at the end.
        resume: go on from the run's newest checkpoint; a stage that is done is only loaded.

    Returns:
        The trained model, also saved in `run.final("sft")`.

    Raises:
        UsageError: rows, config or tokenizer cannot be trained with; the message says why.
        Interrupted: the user stopped the run; the message holds the command that goes on.
    """
    from trl.trainer.sft_config import SFTConfig as TrlConfig

    from common.training.sft_step import CompletionTrainer

    if resume and run.finished(STAGE):
        return load_final(run, STAGE, model, is_processor(tokenizer))
    sees = _check(model, tokenizer, train_rows, config)
    files: Saved = ProcessorFiles.of(tokenizer, run.stage(STAGE) / "processor") if sees else tokenizer
    seed_everything(run.seed)
    settings = {
        **common_settings(run, STAGE, model, config.steps),
        "learning_rate": config.learning_rate,
        "warmup_steps": config.warmup,
        "lr_scheduler_type": "cosine",
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation,
        # Rows that are too long are left out below: cut ones would teach answers without an end.
        "max_length": None,
        "completion_only_loss": True,
    }
    callback = RunCallback(
        run,
        STAGE,
        evaluate=evaluate,
        eval_every=config.eval_every,
        save_every=config.save_every,
        samples=_sampler(tokenizer, train_rows, config),
        sample_every=config.eval_every or max(1, config.steps // 5),
        processor=files if sees else None,
    )
    with quiet_libraries():
        trainer = CompletionTrainer(
            model=model,
            args=arguments(TrlConfig, settings, config.extra, "sft"),
            data_collator=VisualCollator(tokenizer) if sees else None,
            train_dataset=_visual(tokenizer, train_rows, config) if sees else train_rows,
            processing_class=tokenizer,
            callbacks=[callback],
            peft_config=peft_config(lora) if lora is not None else None,
        )
        trainer.schedule = config.schedule
        if not sees:
            trainer.train_dataset = _fitting(trainer.train_dataset, config.max_length)
        first: Any = next(iter(trainer.train_dataset))  # type: ignore[arg-type]
        # The collator of texts takes rows that are tokens already.
        ids = trainer.data_collator([first])["input_ids"][0].tolist() if sees else first["input_ids"]
        _check_ends(ids, eos_token_ids(model, tokenizer_of(tokenizer)))
        if resume and (checkpoint := last_checkpoint(run, STAGE)) is not None:
            # trl counts tokens from zero again after resuming.
            counted = [row["num_tokens"] for row in run.rows(STAGE) if row["step"] <= checkpoint_step(checkpoint)]
            trainer._total_train_tokens = int(counted[-1])
        return train(trainer, run, STAGE, callback, files, resume)


def _check(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | ProcessorMixin, rows: Dataset, config: SftConfig
) -> bool:
    """Whether the model sees; refuses what cannot be trained."""
    if len(rows) == 0:
        raise UsageError("sft: there are no training rows")
    missing = [column for column in ("prompt", "completion") if column not in rows.column_names]
    if missing:
        raise UsageError(f"sft: rows need the columns prompt and completion; missing: {', '.join(missing)}")
    if config.steps < 1:
        raise UsageError(f"sft.steps: at least 1 is needed, not {config.steps}")
    if 0 < config.schedule < config.steps:
        raise UsageError(f"sft.schedule: {config.schedule} steps end before training does, after {config.steps}")
    text = tokenizer_of(tokenizer)
    sees = check_vision(STAGE, model, tokenizer, rows)
    check_tokens(model, text)
    if sees:
        return True
    if not isinstance(rows[0]["prompt"], str):
        check_chat_template(text)
    text.padding_side = "left"
    return False


def _visual(processor: Any, rows: Dataset, config: SftConfig) -> Dataset:
    """The rows that are not too long, with a column of pictures, by which trl knows not to tokenise them."""
    if "images" not in rows.column_names:
        rows = rows.add_column("images", [[]] * len(rows))
    return fitting(STAGE, processor, rows, config.max_length)


def _fitting(rows: Any, max_length: int) -> Any:
    """The rows of at most `max_length` tokens."""
    keep = [index for index, ids in enumerate(rows["input_ids"]) if len(ids) <= max_length]
    if not keep:
        raise UsageError(f"sft.max_length: every row is longer than {max_length} tokens")
    if len(keep) < len(rows):
        logger.warning("sft: %d of %d rows are longer than %d tokens", len(rows) - len(keep), len(rows), max_length)
    return rows.select(keep) if len(keep) < len(rows) else rows


def _check_ends(ids: list[int], eos_ids: list[int]) -> None:
    """A chat template that does not close the answer would teach the model never to stop."""
    if not set(ids[-3:]) & set(eos_ids):
        raise UsageError(
            "sft: answers do not end with an eos token, so the model would never stop; "
            "let the chat template close the assistant's turn with the tokenizer's eos_token"
        )


def _sampler(tokenizer: PreTrainedTokenizerBase | ProcessorMixin, rows: Dataset, config: SftConfig) -> Any:
    shown = rows.select(range(min(SHOWN, len(rows))))
    prompts, references = list(shown["prompt"]), list(shown["completion"])
    text = tokenizer_of(tokenizer)
    longest = max(len(text(_text(reference))["input_ids"]) for reference in references)
    length = min(config.max_length, 2 * longest + 8)
    images = [cell or [] for cell in shown["images"]] if "images" in shown.column_names else [[]] * len(shown)

    def samples(model: Any) -> list[dict[str, Any]]:
        if is_processor(tokenizer):
            asked = [VisualPrompt(*row) for row in zip(prompts, images, strict=True)]
            answers = VisionLanguageModel.of(model, tokenizer, load=load_any).generate(asked, length)
        else:
            answers = generate(model, text, prompts, max_new_tokens=length)
        return [
            {"prompt": prompt, "completion": answer[0], "reference": _text(reference)}
            for prompt, answer, reference in zip(prompts, answers, references, strict=True)
        ]

    return samples


def _text(content: Any) -> str:
    return content if isinstance(content, str) else str(content[-1]["content"])
