"""`train`: check the supervised model, train it on the reward, and show before and after on held-out questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.data import Example
from common.errors import TouchstoneError, UsageError
from common.files import write_json

if TYPE_CHECKING:
    from datasets import Dataset

    from apps.text2sql.evaluate import Evaluation
    from common.training.run import Run


@dataclass(frozen=True)
class Result:
    """What one run did: the same held-out questions before and after."""

    run: Run
    before: Evaluation
    after: Evaluation


def run_train(
    config: Text2SqlConfig,
    resume: str | None = None,
    name: str | None = None,
    dry_run: bool = False,
    json_output: bool = False,
) -> int:
    """Train one run, or every recipe and seed that `comparison` lists."""
    from apps.text2sql import comparison
    from apps.text2sql import dry_run as checks

    if config.reward.own and config.comparison.recipes:
        raise UsageError("reward.own stands in a recipe's place: leave comparison.recipes empty, or reward.own")
    if dry_run:
        return checks.show(checks.check(config), json_output)
    return comparison.TRAINING.start(config, resume, name, json_output)


def train_one(
    config: Text2SqlConfig, name: str | None = None, resume: Path | None = None, command: str | None = None
) -> Result:
    """One run: measure, SFT where asked for, GRPO, measure again, report.

    Args:
        config: the settings.
        name: of the run folder; the date and time where not given.
        resume: folder of an interrupted run to go on with.
        command: what a user types to go on, where that is not `train --resume FOLDER`.

    Raises:
        UsageError: the data or the settings cannot be trained with.
        TouchstoneError: the SFT check failed: the model is too weak for GRPO to find anything to reinforce.
    """
    from apps.text2sql.data import load_examples
    from apps.text2sql.evaluate import make_judge
    from apps.text2sql.rewards import build_reward, gold_pool
    from apps.text2sql.training_report import write_report
    from common.models.language import load_language_model, save_language_model
    from common.training.grpo import run_grpo
    from common.training.run import Run, seed_everything
    from common.training.sft import run_sft

    run = Run.open("python -m apps.text2sql", config, name, resume, command)
    train, heldout = load_examples(config.train), load_examples(config.heldout)
    refuse_overlap(train, heldout)
    seed_everything(run.seed)
    rows = training_rows(train, config)
    with ExitStack() as stack:
        judge = stack.enter_context(make_judge(config))
        model, tokenizer = load_language_model(config.model, training=True)
        quick = quick_evaluation(tokenizer, heldout, judge, config)
        if config.sft.steps:
            model = run_sft(run, model, tokenizer, rows, config.sft, quick, config.model.lora, resume is not None)
        before = measured(run, "before", model, tokenizer, heldout, judge, config)
        check_start(before, config)
        if config.grpo.steps:
            reward = build_reward(config.reward, gold_pool(train))
            model = run_grpo(
                run, model, tokenizer, rows, reward, config.grpo, quick, config.model.lora, resume is not None
            )
        after = measured(run, "evaluation", model, tokenizer, heldout, judge, config)
        if not (run.folder / "model" / "config.json").is_file():
            save_language_model(model, tokenizer, run.folder / "model")
    result = Result(run, before, after)
    write_report(result)
    return result


def training_rows(examples: Sequence[Example], config: Text2SqlConfig) -> Dataset:
    """Prompts, gold completions and the columns that rewards read, one row an example."""
    from datasets import Dataset

    from apps.text2sql.prompts import messages, target

    style = config.prompt.style
    return Dataset.from_dict(
        {
            "prompt": [messages(example, config.prompt) for example in examples],
            "completion": [[{"role": "assistant", "content": target(example.sql, style)}] for example in examples],
            "question": [example.question for example in examples],
            "language": [example.language for example in examples],
            "database": [str(example.path) for example in examples],
            "gold": [example.sql for example in examples],
            "dialect": [example.dialect for example in examples],
        }
    )


def refuse_overlap(train: Sequence[Example], heldout: Sequence[Example]) -> None:
    """Held-out figures mean nothing where the same query of the same database was trained on."""
    seen = {(example.database, example.sql) for example in train}
    shared = [example.id for example in heldout if (example.database, example.sql) in seen]
    if shared:
        raise UsageError(
            f"{len(shared)} held-out questions have the database and query of a training question "
            f"(first: {shared[0]}); choose another split for heldout"
        )


def quick_evaluation(
    tokenizer: Any, heldout: Sequence[Example], judge: Any, config: Text2SqlConfig
) -> Callable[[Any], dict[str, float]]:
    """The held-out measurement inside training: greedy, strict, execution accuracy first."""
    from apps.text2sql.evaluate import evaluate_model

    def evaluate(model: Any) -> dict[str, float]:
        evaluation = evaluate_model(model, tokenizer, heldout, judge, config)
        return {"execution_accuracy": evaluation.accuracy().mean}

    return evaluate


def measured(
    run: Run, name: str, model: Any, tokenizer: Any, heldout: Sequence[Example], judge: Any, config: Text2SqlConfig
) -> Evaluation:
    """The evaluation in `<run>/<name>.json`; made now where the run has none yet."""
    from apps.text2sql.evaluate import Evaluation, evaluate_model

    file = run.folder / f"{name}.json"
    if file.is_file():
        return Evaluation.load(file)
    evaluation = evaluate_model(model, tokenizer, heldout, judge, config, progress=True)
    write_json(file, evaluation.to_dict())
    return evaluation


def check_start(before: Evaluation, config: Text2SqlConfig) -> None:
    """GRPO reinforces what the model already does sometimes; a model that is never right stays so."""
    accuracy = before.accuracy()
    if accuracy.mean < config.minimum_accuracy:
        raise TouchstoneError(
            f"the model answers {accuracy.mean:.1%} of the held-out questions, less than minimum_accuracy "
            f"{config.minimum_accuracy:.0%}: train it supervised first (sft.steps), or start from a better model"
        )
