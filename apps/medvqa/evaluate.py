"""`evaluate`: answers against references, by accepted metrics, the medical scorer and, for phantoms, exact truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.medvqa.answers import AnswerScorer
from apps.medvqa.config import MedVqaConfig
from apps.medvqa.data import Example, load_examples
from apps.medvqa.measures.evaluation import Evaluation, Item
from apps.medvqa.measures.items import measure
from common import ui
from common.errors import UsageError
from common.files import write_json

if TYPE_CHECKING:
    from PIL.Image import Image

    from common.models.text import Encoder

__all__ = ["Evaluation", "evaluate_model", "evaluate_predictions", "run_evaluate"]


def run_evaluate(
    config: MedVqaConfig,
    predictions: str | None = None,
    compare: str | None = None,
    out: str | None = None,
    json_output: bool = False,
) -> int:
    """Measure the configured model, or a file of predictions, on the held-out questions."""
    from apps.medvqa.measures.evaluation_report import comparison, print_tables, write_report

    if out and Path(out).is_file():
        # Before the model is asked, which may take hours.
        raise UsageError(f"--out {out} is a file; name a folder")
    other = Evaluation.load(compare) if compare is not None else None
    examples = load_examples(config.heldout)
    without = sum(not example.answer for example in examples)
    if without:
        raise UsageError(f"{without} of {len(examples)} questions have no answer; nothing can be measured on them")
    if predictions is not None:
        from apps.medvqa.measures.predictions import read_predictions

        found = read_predictions(predictions, examples)
        evaluation = evaluate_predictions(examples, found.answers, config, details=True)
        evaluation.settings = settings_of(config, str(predictions))
    else:
        evaluation = _of_configured_model(config, examples, json_output)
    folder = Path(out) if out else Path(config.runs) / f"evaluation-{datetime.now():%Y%m%d-%H%M%S}"
    content = evaluation.to_dict()
    write_json(folder / "evaluation.json", content)
    write_report(evaluation, folder / "report.html", other)
    if json_output:
        shown = {name: value for name, value in content.items() if name not in ("items", "robustness")}
        tests = comparison(other, evaluation) if other is not None else None
        ui.print_json({**shown, "comparison": tests, "out": str(folder)})
    else:
        print_tables(evaluation, other)
        ui.say(f"written to {folder}: evaluation.json, report.html")
    return 0


def evaluate_model(
    model: Any,
    processor: Any,
    examples: Sequence[Example],
    config: MedVqaConfig,
    details: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Ask a model, greedily, and measure its answers; quick enough for every few training steps without `details`.

    Args:
        model: a Qwen-VL; its training mode is restored.
        processor: the model's.
        examples: questions with references.
        config: prompt style, decoding, reward tables.
        details: the encoder's similarity, the judge and, where asked for, robustness too.
        progress: show a progress bar.
    """
    said = answers_of(model, processor, examples, config, progress)
    evaluation = evaluate_predictions(examples, said, config, details)
    evaluation.settings = settings_of(config, config.model.path)
    if details and config.evaluate.robustness:
        scorer = AnswerScorer(config.reward.tables)
        for name, others in conditions(examples).items():
            said = answers_of(model, processor, others, config, progress)
            evaluation.robustness[name] = measure(others, said, scorer)
    return evaluation


def evaluate_predictions(
    examples: Sequence[Example], completions: Sequence[str], config: MedVqaConfig, details: bool = False
) -> Evaluation:
    """Measure answers that are there already.

    Args:
        examples: `(N,)` questions with references.
        completions: `(N,)` answers, or whole completions with reasoning.
        config: reward tables, encoder, judge.
        details: the encoder's similarity and, where asked for, the judge too.
    """
    if len(examples) != len(completions):
        raise UsageError(f"{len(completions)} answers for {len(examples)} questions")
    items = measure(examples, completions, AnswerScorer(config.reward.tables), _encoder(config) if details else None)
    if details and config.evaluate.judge:
        _ask_judge(items, examples, config)
    return Evaluation(items, settings_of(config, ""))


def answers_of(
    model: Any, processor: Any, examples: Sequence[Example], config: MedVqaConfig, progress: bool = False
) -> list[str]:
    """What a model says to each question, greedily."""
    from apps.medvqa.prompts import messages
    from common.models.vlm import VisionLanguageModel, VisualPrompt
    from common.pictures import load_any

    asked = [VisualPrompt(messages(example, config.prompt.style), example.pictures) for example in examples]
    # As in training: resized as the stock processor does.
    vlm = VisionLanguageModel.of(model, processor, batch_size=config.evaluate.batch_size, load=load_any)
    with ui.progress("asking the model", total=len(asked), quiet=not progress) as bar:
        said = vlm.generate(asked, config.evaluate.max_new_tokens, progress=bar.advance)
    return [texts[0] for texts in said]


def conditions(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """The same questions asked otherwise: about a blank picture, about another question's, and in other words.

    A model that looks must lose with a blank or swapped picture, and must not with other words. `rephrased` only holds
    the questions for which other words are known.
    """
    seeing = [example for example in examples if example.pictures]
    found = {"blank": [replace(one, pictures=(_blank(one.pictures[0]),)) for one in seeing]}
    others = _partners(seeing)
    found["swapped"] = [replace(one, pictures=other.pictures) for one, other in zip(seeing, others, strict=True)]
    if examples and "phantom" in examples[0].tags:
        from apps.medvqa.pocket import rephrase

        found["rephrased"] = [rephrase(example) for example in examples]
    return {name: rows for name, rows in found.items() if rows}


def _partners(examples: Sequence[Example]) -> list[Example]:
    """For each question one of the same organ about another study, or of any organ where there is none."""
    by_organ: dict[str, list[Example]] = {}
    for example in examples:
        by_organ.setdefault(example.organ, []).append(example)
    partners = []
    for example in examples:
        own = by_organ[example.organ]
        at = own.index(example)
        order = [*own[at + 1 :], *own[:at], *examples]
        partners.append(next((one for one in order if one.study != example.study or not one.study), example))
    return partners


def _blank(picture: Any) -> Image:
    """A grey picture of the same size."""
    from PIL import Image

    from common.pictures import load_any

    return Image.new("L", load_any(picture).size, 64)


def _of_configured_model(config: MedVqaConfig, examples: Sequence[Example], quiet: bool) -> Evaluation:
    from apps.medvqa.models import open_model
    from common.training.run import seed_everything, set_threads

    set_threads(config.threads)
    seed_everything(config.seed)
    model, processor = open_model(config, training=False)
    return evaluate_model(model, processor, examples, config, details=True, progress=not quiet)


def _encoder(config: MedVqaConfig) -> Encoder | None:
    if not config.evaluate.encoder or "similarity" not in config.evaluate.metrics:
        return None
    from common.models.text import load_encoder

    return load_encoder(config.evaluate.encoder)


def _ask_judge(items: Sequence[Item], examples: Sequence[Example], config: MedVqaConfig) -> None:
    """Score by an LLM with the reference at hand; an outage is no score."""
    from apps.medvqa.rewards import build_judge

    output = build_judge(config.reward)(
        completion=[item.answer for item in items],
        reference=[list(example.references) for example in examples],
        question=[item.question for item in items],
    )
    for item, value in zip(items, output.values.tolist(), strict=True):
        item.scores["judge"] = value if value == value else None


def settings_of(config: MedVqaConfig, source: str) -> dict[str, Any]:
    """What stands beside the figures."""
    return {
        "source": source,
        "data": asdict(config.heldout),
        "prompt": asdict(config.prompt),
        "max_new_tokens": config.evaluate.max_new_tokens,
        "seed": config.seed,
    }
