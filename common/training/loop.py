"""What SFT and GRPO share: the trainer's settings, the way in (fresh or resumed) and the ways out."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.config import LanguageModelConfig, nearest
from common.errors import GraderFailure, UsageError
from common.models.language import Saved, is_peft, load_language_model, save_language_model
from common.models.loading import without_bars
from common.training.callbacks import RunCallback
from common.training.run import Interrupted, Run, last_checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer, TrainingArguments

logger = logging.getLogger(__name__)


def arguments(
    kind: type[TrainingArguments], settings: Mapping[str, Any], extra: Mapping[str, Any], section: str
) -> TrainingArguments:
    """The trainer's own config: our settings, then `extra`.

    Args:
        kind: trl's config class.
        settings: what our config decides; `extra` may not change the ones in `OWNED`.
        extra: the user's further settings, by trl's names.
        section: name of the config section, for messages.

    Raises:
        UsageError: `extra` holds a key that trl does not know (names the nearest), one that our config owns, or a
            value that trl refuses.
    """
    known = [entry.name for entry in dataclasses.fields(kind) if entry.init]
    for name in extra:
        if name in OWNED:
            raise UsageError(f"{section}.extra.{name}: set {section}.{OWNED[name]} instead")
        if name not in known:
            raise UsageError(f"{section}.extra: trl's {kind.__name__} has no {name!r}{nearest(name, known)}")
    try:
        return kind(**{**settings, **extra})
    except (TypeError, ValueError) as error:
        raise UsageError(f"{section}: {error}") from error


# trl's names of what our config sections and the run's folder decide.
OWNED = {
    "max_steps": "steps",
    "num_train_epochs": "steps",
    "per_device_train_batch_size": "batch_size (or prompts_per_step and generations)",
    "gradient_accumulation_steps": "gradient_accumulation",
    "num_generations": "generations",
    "learning_rate": "learning_rate",
    "temperature": "temperature",
    "beta": "beta",
    "max_completion_length": "max_completion_length",
    "max_length": "max_length",
    "loss_type": "loss_type",
    "scale_rewards": "scale_rewards",
    "multi_objective_aggregation": "aggregation",
    "reward_weights": "the reward's own weights",
    "eval_strategy": "eval_every",
    "eval_steps": "eval_every",
    "save_strategy": "save_every",
    "save_steps": "save_every",
    "output_dir": "the run's folder",
    "seed": "the run's seed",
    "data_seed": "the run's seed",
    "bf16": "the model's dtype",
    "use_cpu": "the model's device",
}


def common_settings(run: Run, stage: str, model: PreTrainedModel, steps: int) -> dict[str, Any]:
    """Settings that hold for every trainer; device and precision follow from where the model lies.

    trl's own defaults ask for bfloat16, which a CPU refuses, and for gradient checkpointing, which costs a fifth of
    the time where memory is no concern.
    """
    import torch

    on_cpu = model.device.type == "cpu"
    return {
        "output_dir": str(run.stage(stage)),
        "max_steps": steps,
        "seed": run.seed,
        "use_cpu": on_cpu,
        "bf16": not on_cpu and torch.cuda.is_bf16_supported(),
        "gradient_checkpointing": not on_cpu,
        "report_to": "none",
        "logging_steps": 1,
        # A loss that is not a number must reach the log and its alarm, not be averaged away.
        "logging_nan_inf_filter": False,
        # RunCallback decides when to save and to measure.
        "save_strategy": "no",
        "eval_strategy": "no",
        # The one before the newest stays: a crash while writing must leave a whole checkpoint.
        "save_total_limit": 2,
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": not on_cpu,
    }


def load_final(run: Run, stage: str, model: PreTrainedModel | None, sees: bool = False) -> PreTrainedModel:
    """The model that a finished stage ended with; `sees`: a Qwen-VL.

    It comes on the device and in the dtype of `model`, and the weights that are frozen there are frozen too.
    """
    config = LanguageModelConfig(path=str(run.final(stage)))
    if model is None:
        return load(config, sees)
    config.device = str(model.device)
    config.dtype = str(model.dtype).removeprefix("torch.")  # type: ignore[assignment]
    found = load(config, sees)
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    for name, weight in found.named_parameters():
        weight.requires_grad_(name not in frozen)
    return found


def load(config: LanguageModelConfig, sees: bool) -> PreTrainedModel:
    """A model to be trained: of language, or one that sees too."""
    if not sees:
        return load_language_model(config, training=True)[0]
    from common.training.vision.models import load_vlm_for_training

    return load_vlm_for_training(config)[0]


def train(
    trainer: Trainer, run: Run, stage: str, callback: RunCallback, tokenizer: Saved, resume: bool
) -> PreTrainedModel:
    """Train to the end and save the final model; stopped early, save a checkpoint and say how to go on.

    Raises:
        Interrupted: the user stopped the run.
        GraderFailure: too many rows could not be scored; the run can go on once the grader works again.
    """
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(run, stage) if resume else None
    if checkpoint is None:
        run.rewind(stage, 0)
    else:
        callback.restore(checkpoint)
        _restore_weights(trainer.model, checkpoint)
    try:
        with callback.stop.listening(), settled_heap():
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint is not None else None)
    except KeyboardInterrupt as error:
        raise Interrupted(_way_on(trainer, run, stage, callback, "stopped")) from error
    except GraderFailure as error:
        run.alarm("grader_failure", stage, trainer.state.global_step, str(error))
        raise GraderFailure(f"{error}\n{_way_on(trainer, run, stage, callback, 'stopped')}") from error
    except Exception:
        logger.error(_way_on(trainer, run, stage, callback, "failed"))
        raise
    finally:
        callback.progress.close()
    if trainer.state.global_step < trainer.state.max_steps:
        raise Interrupted(_way_on(trainer, run, stage, callback, "stopped"))
    model = _finish(trainer, run, stage, tokenizer)
    if callback.stop.asked:  # in the last step: another stage would begin
        raise Interrupted(f"stopped at the end of {stage}; go on with:\n  {run.resume_command}")
    return model


def _restore_weights(model: Any, checkpoint: Path) -> None:
    """Load the weights of a model that sees, which are saved under other names than it has for them itself.

    transformers' Trainer (read at 5.24) looks for its own names, finds none, and goes on with the weights at hand.
    """
    if hasattr(model.config, "vision_config") and not is_peft(model):
        saved = type(model).from_pretrained(checkpoint, dtype=model.dtype)
        model.load_state_dict(saved.state_dict())


def _finish(trainer: Trainer, run: Run, stage: str, tokenizer: Saved) -> PreTrainedModel:
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    adapter = run.stage(stage) / "adapter"
    if is_peft(model):
        if trainer.is_world_process_zero():
            model.save_pretrained(adapter)
        model = model.merge_and_unload()
    if trainer.is_world_process_zero():
        save_language_model(model, tokenizer, run.final(stage))
    return model


def _way_on(trainer: Trainer, run: Run, stage: str, callback: RunCallback, what: str) -> str:
    """Save a checkpoint where that can be done, and say what happened and how to go on."""
    step = trainer.state.global_step
    newest = last_checkpoint(run, stage)
    saved = newest is not None and newest.name == f"checkpoint-{step}"
    if not saved and trainer.accelerator.num_processes == 1 and callback.go_back(trainer.state):
        model: Any = trainer.model
        trainer._save_checkpoint(model, trial=None)
        callback.on_save(trainer.args, trainer.state, trainer.control)
        newest = last_checkpoint(run, stage)
    at = f"{what} at step {step} of {trainer.state.max_steps} ({stage})"
    if newest is None:
        return f"{at}, with nothing of this stage saved yet; begin it again with:\n  {run.resume_command}"
    return f"{at}; saved in {newest}; go on with:\n  {run.resume_command}"


@contextlib.contextmanager
def settled_heap() -> Iterator[None]:
    """Leave what is alive now out of garbage collection: a million objects of torch, trl and the data set, none of
    which can be freed, would be gone through every few steps.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """No libraries' bars, no figures sent home by trl, and no warnings about what is done on purpose."""
    import warnings

    import datasets
    from huggingface_hub import constants
    from transformers.utils import logging as transformers_logging

    had_bars, reported = not datasets.are_progress_bars_disabled(), constants.HF_HUB_DISABLE_TELEMETRY
    verbosity = transformers_logging.get_verbosity()
    datasets.disable_progress_bars()
    # "Missing key lm_head.weight" for tied weights, "mtime may not be reliable": nothing a user could act on.
    transformers_logging.set_verbosity_error()
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        with without_bars(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*rollout_func.*")
            warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*")
            yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = reported
        transformers_logging.set_verbosity(verbosity)
        if had_bars:
            datasets.enable_progress_bars()
