"""`train`: teach the model by example where asked for, then by the reward; before and after on held-out data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.medvqa.config import MedVqaConfig
from apps.medvqa.data import Example
from common.errors import TouchstoneError, UsageError
from common.files import write_json

if TYPE_CHECKING:
    from datasets import Dataset

    from apps.medvqa.measures.evaluation import Evaluation
    from common.training.run import Run


@dataclass(frozen=True)
class Result:
    """What one run did: the same held-out questions before and after."""

    run: Run
    before: Evaluation
    after: Evaluation


def run_train(
    config: MedVqaConfig,
    resume: str | None = None,
    name: str | None = None,
    dry_run: bool = False,
    json_output: bool = False,
) -> int:
    """Train one run, or every recipe and seed that `comparison` lists."""
    from apps.medvqa import comparison
    from apps.medvqa import dry_run as checks

    if config.reward.own and config.comparison.recipes:
        raise UsageError("reward.own stands in a recipe's place: leave comparison.recipes empty, or reward.own")
    if dry_run:
        return checks.show(checks.check(config), json_output)
    return comparison.TRAINING.start(config, resume, name, json_output)


def train_one(
    config: MedVqaConfig, name: str | None = None, resume: Path | None = None, command: str | None = None
) -> Result:
    """One run: SFT where asked for, measure, GRPO, measure again, report.

    Args:
        config: the settings.
        name: of the run folder; the date and time where not given.
        resume: folder of an interrupted run to go on with.
        command: what a user types to go on, where that is not `train --resume FOLDER`.

    Raises:
        UsageError: the data or the settings cannot be trained with.
        TouchstoneError: the model is too weak for GRPO to find anything to reinforce.
    """
    from apps.medvqa.data import load_examples
    from apps.medvqa.models import open_model
    from apps.medvqa.rewards import build_reward
    from apps.medvqa.training_report import write_report
    from common.training.grpo import run_grpo
    from common.training.run import Run, seed_everything
    from common.training.sft import run_sft
    from common.training.vision.processor_files import ProcessorFiles

    run = Run.open("python -m apps.medvqa", config, name, resume, command)
    train, heldout = load_examples(config.train), load_examples(config.heldout)
    refuse_overlap(train, heldout)
    seed_everything(run.seed)
    model, processor = open_model(config, training=True)
    files = ProcessorFiles.of(processor, run.folder / "processor")
    quick = quick_evaluation(processor, heldout, config)
    lora, going_on = config.model.lora, resume is not None
    if config.sft.steps:
        taught = load_examples(config.demonstrations)
        refuse_overlap(taught, heldout)
        model = run_sft(run, model, processor, training_rows(taught, config), config.sft, quick, lora, going_on)
    before = measured(run, "before", model, processor, heldout, config)
    check_start(before, config)
    if config.grpo.steps:
        rows, reward = training_rows(train, config), build_reward(config.reward)
        model = run_grpo(run, model, processor, rows, reward, config.grpo, quick, lora, going_on)
    after = measured(run, "evaluation", model, processor, heldout, config)
    if not (run.folder / "model" / "config.json").is_file():
        from common.models.language import save_language_model

        save_language_model(model, files, run.folder / "model")
    result = Result(run, before, after)
    write_report(result)
    return result


def training_rows(examples: Sequence[Example], config: MedVqaConfig) -> Dataset:
    """Prompts, pictures, the completions that are taught, and the columns that rewards read; one row an example."""
    from datasets import Dataset, Features, List, Value
    from datasets import Image as Picture

    from apps.medvqa.prompts import messages, question_text, target
    from common.pictures import load_any

    turn = [{"role": Value("string"), "content": Value("string")}]
    features = Features(
        {
            "prompt": turn,
            "images": List(Picture()),
            "completion": turn,
            "question": Value("string"),
            "reference": List(Value("string")),
            "reasoning": Value("string"),
            "kind": Value("string"),
            "language": Value("string"),
        }
    )
    style = config.prompt.style
    columns: dict[str, list[Any]] = {
        "prompt": [messages(example, style) for example in examples],
        "images": [[load_any(picture) for picture in example.pictures] for example in examples],
        "completion": [[{"role": "assistant", "content": target(example, style)}] for example in examples],
        "question": [question_text(example) for example in examples],
        "reference": [list(example.references) for example in examples],
        "reasoning": [example.reasoning for example in examples],
        "kind": [example.kind for example in examples],
        "language": [example.language for example in examples],
    }
    return Dataset.from_dict(columns, features=features)


def refuse_overlap(train: Sequence[Example], heldout: Sequence[Example]) -> None:
    """Held-out figures mean nothing where a study was trained on."""
    seen = {example.study for example in train if example.study}
    shared = [example.id for example in heldout if example.study in seen]
    if shared:
        raise UsageError(
            f"{len(shared)} of {len(heldout)} held-out questions are about a study that is trained on "
            f"(first: {shared[0]}); choose another split, or let `prepare` drop the leaks"
        )


def quick_evaluation(
    processor: Any, heldout: Sequence[Example], config: MedVqaConfig
) -> Callable[[Any], dict[str, float]]:
    """The held-out measurement inside training: greedy, the headline figure first."""
    from apps.medvqa.evaluate import evaluate_model

    def evaluate(model: Any) -> dict[str, float]:
        found = evaluate_model(model, processor, heldout, config)
        return {name: found.metric(name).mean for name in (found.headline, "closed")}

    return evaluate


def measured(
    run: Run, name: str, model: Any, processor: Any, heldout: Sequence[Example], config: MedVqaConfig
) -> Evaluation:
    """The evaluation in `<run>/<name>.json`; made now where the run has none yet."""
    from apps.medvqa.evaluate import evaluate_model
    from apps.medvqa.measures.evaluation import Evaluation

    file = run.folder / f"{name}.json"
    if file.is_file():
        return Evaluation.load(file)
    evaluation = evaluate_model(model, processor, heldout, config, details=True, progress=True)
    write_json(file, evaluation.to_dict())
    return evaluation


def check_start(before: Evaluation, config: MedVqaConfig) -> None:
    """GRPO reinforces what the model already does sometimes; a model that is never right stays so."""
    found = before.metric(before.headline)
    if found.mean < config.minimum_accuracy:
        raise TouchstoneError(
            f"the model answers {found.mean:.1%} of the held-out open questions, less than minimum_accuracy "
            f"{config.minimum_accuracy:.0%}: train it by example first (sft.steps), or start from a better model"
        )
