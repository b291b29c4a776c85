"""Group-relative policy optimisation: trl's GRPOTrainer, our rewards, and a run folder around both."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from common.config import GrpoConfig, LanguageModelConfig, LoraConfig, nearest
from common.errors import UsageError
from common.models.language import Saved, check_chat_template, check_tokens, generate, peft_config, save_language_model
from common.pictures import load_any
from common.rewards.base import Reward
from common.rewards.state import kept_state
from common.training.alarms import AlarmMonitor
from common.training.callbacks import Evaluate, RunCallback
from common.training.loop import arguments, common_settings, load, load_final, quiet_libraries, train
from common.training.recorder import Recorder
from common.training.run import Run, seed_everything, undisturbed_rng
from common.training.vision.checks import check_vision, safe_settings
from common.training.vision.models import is_processor, tokenizer_of
from common.training.vision.processor_files import ProcessorFiles

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

logger = logging.getLogger(__name__)
STAGE = "grpo"
TRIED = 4
# trl finds out about a wrong one only after the first batch was sampled.
LOSSES = ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo")
# Settings of `extra` that change how completions are sampled: then trl samples, not `rollout`.
SAMPLING = frozenset(
    {"top_p", "top_k", "min_p", "repetition_penalty", "generation_kwargs", "cache_implementation", "use_vllm"}
    | {"use_transformers_continuous_batching", "use_transformers_paged", "chat_template_kwargs"}
)


def run_grpo(
    run: Run,
    model: PreTrainedModel | Path | str,
    tokenizer: PreTrainedTokenizerBase | ProcessorMixin,
    train_rows: Dataset,
    reward: Reward,
    config: GrpoConfig,
    evaluate: Evaluate | None = None,
    lora: LoraConfig | None = None,
    resume: bool = False,
) -> PreTrainedModel:
    """Train a policy to earn a reward.

    Args:
        run: folder and seed.
        model: the policy to start from, or its folder or hub id; with `beta` above 0 it is the reference too.
        tokenizer: the model's tokenizer, or the processor of a Qwen-VL; from here on it pads on the left.
        train_rows: a column `prompt`, texts or lists of messages, and the columns that the reward needs. Of a Qwen-VL
            the prompts are messages, and a column `images` holds lists of pictures: none, one or several a row.
        reward: scores completions.
        config: steps, group size, rates.
        evaluate: measures the model on held-out data every `config.eval_every` steps; the first value is the metric.
        lora: train adapters, and merge them at the end; the model without them is the reference.
        resume: go on from the run's newest checkpoint; a stage that is done is only loaded.

    Returns:
        The trained model, also saved in `run.final("grpo")`.

    Raises:
        UsageError: rows, config or tokenizer cannot be trained with; the message says why.
        RewardError: the reward breaks its contract.
        GraderFailure: too many rows could not be scored.
        Interrupted: the user stopped the run; the message holds the command that goes on.
    """
    from trl.trainer.grpo_config import GRPOConfig as TrlConfig

    from common.rewards.adapters.trl import to_trl

    if isinstance(model, (str, Path)):
        model = load(LanguageModelConfig(path=str(model)), is_processor(tokenizer))
    if resume and run.finished(STAGE):
        return load_final(run, STAGE, model, is_processor(tokenizer))
    sees = _check(model, tokenizer, train_rows, reward, config)
    files: Saved = ProcessorFiles.of(tokenizer, run.stage(STAGE) / "processor") if sees else tokenizer
    seed_everything(run.seed)
    state = kept_state(reward)
    # A reward that learns from what it sees scores differently the second time, which the check takes for a fault.
    if not resume and state is None:
        _try_reward(reward, model, tokenizer, train_rows, config)
    functions, weights = to_trl(reward, config.aggregation)
    recorder = Recorder(functions, weights, config.generations, reward.bounds)
    with quiet_libraries():
        extra = safe_settings(model, config.extra) if sees else config.extra
        args = arguments(TrlConfig, _settings(run, model, config, weights), extra, STAGE)
    if config.beta > 0 and lora is None:
        _settle_reference(run, model, files, resume)
    callback = RunCallback(
        run,
        STAGE,
        monitor=AlarmMonitor(reward.bounds),
        evaluate=evaluate,
        eval_every=config.eval_every,
        save_every=config.save_every,
        figures=recorder.figures,
        samples=lambda _: recorder.samples(),
        sample_every=config.eval_every or max(1, config.steps // 10),
        state=state,
        processor=files if sees else None,
    )
    with quiet_libraries():
        trainer = _trainer(model, tokenizer, train_rows, config, args, recorder, callback, lora, run.seed)
        return train(trainer, run, STAGE, callback, files, resume)


def _trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | ProcessorMixin,
    rows: Dataset,
    config: GrpoConfig,
    args: Any,
    recorder: Recorder,
    callback: RunCallback,
    lora: LoraConfig | None,
    seed: int,
) -> Any:
    # Imported here: the modules subclass trl's trainer, and importing trl takes seconds.
    from common.training.grpo_step import SharedPromptTrainer, rollout
    from common.training.vision.grpo import Album, SeeingTrainer

    trls_own = sorted(SAMPLING & set(config.extra)) or ["several processes"] * (args.world_size > 1)
    if config.spread and trls_own:
        raise UsageError(f"grpo.spread: with {trls_own[0]} trl samples, and cannot spread; set grpo.spread to false")
    sees = is_processor(tokenizer)
    order = prompt_order(len(rows), config.prompts_per_step * config.steps, seed)
    album = Album(rows) if sees and not trls_own else None
    roll = rollout(recorder, config.temperature, config.max_completion_length, config.spread)
    trainer = (SeeingTrainer if sees else SharedPromptTrainer)(
        model=model,
        reward_funcs=list(recorder.functions),
        args=args,
        train_dataset=(Album.numbered(rows) if album is not None else rows).select(order),
        processing_class=tokenizer,
        callbacks=[callback],
        peft_config=peft_config(lora) if lora is not None else None,
        rollout_func=None if trls_own else roll,
    )
    if isinstance(trainer, SeeingTrainer):
        trainer.album = album
    return trainer


def _try_reward(
    reward: Reward,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | ProcessorMixin,
    rows: Dataset,
    config: GrpoConfig,
) -> None:
    """Let `check_reward` try the reward on what the policy says now, two completions for each of a few prompts."""
    from common.rewards.check import check_reward

    few = rows.select(range(min(TRIED, len(rows))))
    cells: dict[str, list[Any]] = {name: list(few[name]) for name in few.column_names}
    settings: dict[str, Any] = {"temperature": config.temperature, "n": 2}
    with undisturbed_rng():
        if is_processor(tokenizer):
            from common.models.vlm import VisionLanguageModel, VisualPrompt
            from common.training.vision.grpo import opened

            cells["images"] = [opened(images) for images in cells.get("images", [()] * len(few))]
            asked = [VisualPrompt(*row) for row in zip(cells["prompt"], cells["images"], strict=True)]
            seeing = VisionLanguageModel.of(model, tokenizer, load=load_any)
            answers = seeing.generate(asked, config.max_completion_length, **settings)
        else:
            answers = generate(
                model, tokenizer_of(tokenizer), cells["prompt"], config.max_completion_length, **settings
            )
    columns: dict[str, Any] = {name: [value for value in values for _ in range(2)] for name, values in cells.items()}
    columns["completion"] = [answer for pair in answers for answer in pair]
    columns["group"] = torch.arange(len(few)).repeat_interleave(2)
    columns.setdefault("step", 0)
    check_reward(reward, columns)


def prompt_order(rows: int, needed: int, seed: int) -> list[int]:
    """Which row each prompt of the run is: one shuffle of all rows after another.

    The whole order is laid out beforehand because trl's sampler forgets, on resuming, how many epochs it has shuffled.
    """
    generator = torch.Generator().manual_seed(seed)
    order: list[int] = []
    while len(order) < needed:
        order += torch.randperm(rows, generator=generator).tolist()
    return order[:needed]


def _settings(run: Run, model: PreTrainedModel, config: GrpoConfig, weights: list[float]) -> dict[str, Any]:
    return {
        **common_settings(run, STAGE, model, config.steps),
        "learning_rate": config.learning_rate,
        "per_device_train_batch_size": _per_device(config),
        "gradient_accumulation_steps": config.gradient_accumulation,
        "num_generations": config.generations,
        "temperature": config.temperature,
        "beta": config.beta,
        "max_completion_length": config.max_completion_length,
        "loss_type": config.loss_type,
        "scale_rewards": config.scale_rewards,
        "multi_objective_aggregation": config.aggregation,
        "reward_weights": weights,
        # The policy that is scored must be the one that was sampled from.
        "disable_dropout": True,
        # The order is laid out by `prompt_order`.
        "shuffle_dataset": False,
    }


def _per_device(config: GrpoConfig) -> int:
    """Completions in one forward pass on one device."""
    from accelerate import PartialState

    processes = PartialState().num_processes
    if config.prompts_per_step % processes:
        raise UsageError(
            f"grpo.prompts_per_step: {config.prompts_per_step} does not divide by {processes} processes, "
            "so a group would be cut in two"
        )
    total = config.prompts_per_step * config.generations
    parts = config.gradient_accumulation * processes
    if total % parts:
        raise UsageError(
            f"grpo: {config.prompts_per_step} prompts x {config.generations} generations = {total} completions a step "
            f"do not divide by gradient_accumulation {config.gradient_accumulation} x {processes} processes; "
            "change prompts_per_step or gradient_accumulation"
        )
    return total // parts


def _check(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | ProcessorMixin,
    rows: Dataset,
    reward: Reward,
    config: GrpoConfig,
) -> bool:
    """Whether the model sees; refuses what cannot be trained."""
    if len(rows) == 0:
        raise UsageError("grpo: there are no training rows")
    if "prompt" not in rows.column_names:
        raise UsageError(f"grpo: rows need a column prompt; they have: {', '.join(rows.column_names)}")
    if config.generations < 2:
        raise UsageError(
            f"grpo.generations: {config.generations}; a group needs at least 2 completions, because the advantage is "
            "the difference from the group's mean"
        )
    for name in ("steps", "prompts_per_step", "gradient_accumulation", "max_completion_length"):
        if getattr(config, name) < 1:
            raise UsageError(f"grpo.{name}: at least 1 is needed, not {getattr(config, name)}")
    if config.temperature <= 0:
        raise UsageError("grpo.temperature: above 0 is needed, or all completions of a group are the same")
    if config.loss_type not in LOSSES:
        raise UsageError(f"grpo.loss_type: trl has no {config.loss_type!r}{nearest(config.loss_type, LOSSES)}")
    text = tokenizer_of(tokenizer)
    sees = check_vision(STAGE, model, tokenizer, rows)
    check_tokens(model, text)
    if sees:
        return True
    if not isinstance(rows[0]["prompt"], str):
        check_chat_template(text)
    # trl pads what it samples itself, but whatever else reads this tokenizer during the run must not pad right.
    text.padding_side = "left"
    return False


def _settle_reference(run: Run, model: PreTrainedModel, tokenizer: Saved, resume: bool) -> None:
    """Write the policy to disk and let it name that folder.

    trl loads the reference from the path in the model's config, not from memory: after SFT that is the model *before*
    SFT, and the KL term pulls the policy back to it. On resuming, the reference is what the stage began with.
    """
    start = run.stage(STAGE) / "start"
    if not (resume and (start / "config.json").is_file()):
        save_language_model(model, tokenizer, start)
    model.config._name_or_path = str(start)
