"""`evaluate`: run predictions against golds and say how good they are, with intervals, slices and paired tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.data import Example, load_examples
from apps.text2sql.execution.statement import Refused, extract_sql
from apps.text2sql.execution.workers import Judge
from apps.text2sql.measures.error_classes import error_classes
from apps.text2sql.measures.evaluation import RIGHT, UNJUDGED, Evaluation, Item, powers
from apps.text2sql.measures.hardness import hardness
from apps.text2sql.measures.metrics import efficiency, time_ratio
from apps.text2sql.verdicts.verdict import Judgement, Verdict, find_preset
from common import ui
from common.errors import UsageError
from common.files import write_json

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Schema

__all__ = ["Evaluation", "evaluate_model", "evaluate_predictions", "make_judge", "run_evaluate"]

#: Rows judged between two moves of the progress bar.
_CHUNK = 256
#: Times each right query and its gold are run for R-VES, in turns.
_REPEATS = 5

Progress = Callable[[float], None]


def run_evaluate(
    config: Text2SqlConfig,
    predictions: str | None = None,
    format: str | None = None,
    compare: str | None = None,
    out: str | None = None,
    json_output: bool = False,
) -> int:
    """Measure the configured model, or a file of predictions, on the held-out questions."""
    from apps.text2sql.measures.evaluation_report import print_tables, write_report
    from apps.text2sql.measures.predictions import read_predictions

    for preset in config.evaluate.presets:
        find_preset(preset)
    other = Evaluation.load(compare) if compare is not None else None
    examples = load_examples(config.heldout)
    without_gold = sum(not example.sql for example in examples)
    if without_gold:
        raise UsageError(
            f"{without_gold} of {len(examples)} questions have no gold query; nothing can be measured on them"
        )
    with make_judge(config) as judge:
        if predictions is not None:
            found = read_predictions(predictions, examples, format)
            source = str(predictions)
        else:
            found = [
                [extract_sql(text) or "" for text in texts]
                for texts in _answers_of_model(config, examples, json_output)
            ]
            source = config.model.path
        evaluation = evaluate_predictions(
            examples, found, judge, config.evaluate.presets, details=True, progress=not json_output
        )
    evaluation.settings = _settings(config, source)
    folder = Path(out) if out else Path(config.runs) / f"evaluation-{datetime.now():%Y%m%d-%H%M%S}"
    content = evaluation.to_dict()
    write_json(folder / "evaluation.json", content)
    write_report(evaluation, folder / "report.html", other)
    if json_output:
        from apps.text2sql.measures.evaluation_report import comparison

        shown = {name: value for name, value in content.items() if name != "items"}
        tests = comparison(other, evaluation) if other is not None else None
        ui.print_json({**shown, "comparison": tests, "out": str(folder)})
    else:
        print_tables(evaluation, other)
        ui.say(f"written to {folder}: evaluation.json, report.html")
    return 0


def make_judge(config: Text2SqlConfig) -> Judge:
    """A judge for measuring: `strict`, with the configured time limit; use it as a context manager."""
    from apps.text2sql.execution.database import Limits

    return Judge(workers=config.reward.workers, limits=Limits(seconds=config.evaluate.seconds))


def evaluate_model(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    judge: Judge,
    config: Text2SqlConfig,
    details: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Ask a model and judge its answers; quick enough for every few training steps unless `details` are asked for.

    Args:
        model: a causal language model; its training mode is restored.
        tokenizer: the model's.
        examples: questions with golds.
        judge: from `make_judge`.
        config: prompt style, decoding and presets.
        details: every preset, exact-set match, R-VES and error classes, instead of `strict` alone.
        progress: show a progress bar.
    """
    answers = _answers(model, tokenizer, examples, config, progress)
    predictions = [[extract_sql(text) or "" for text in texts] for texts in answers]
    presets = config.evaluate.presets if details else ("strict",)
    evaluation = evaluate_predictions(examples, predictions, judge, presets, details, progress)
    evaluation.settings = _settings(config, config.model.path)
    return evaluation


def evaluate_predictions(
    examples: Sequence[Example],
    predictions: Sequence[Sequence[str]],
    judge: Judge,
    presets: Sequence[str] = ("strict",),
    details: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Judge predicted queries.

    Args:
        examples: `(N,)` questions with golds.
        predictions: `(N, samples)` queries; empty where there is none.
        judge: from `make_judge`.
        presets: result comparisons; `strict` is always made.
        details: also exact-set match, R-VES, error classes and majority votes.
        progress: show a progress bar.
    """
    if len(examples) != len(predictions):
        raise UsageError(f"{len(predictions)} predictions for {len(examples)} questions")
    items = [_item(example, samples) for example, samples in zip(examples, predictions, strict=True)]
    names = ["strict", *(name for name in presets if name != "strict")]
    rows = [(example, pred) for example, samples in zip(examples, predictions, strict=True) for pred in samples]
    total = len(rows) * (len(names) + 2 * details)
    with ui.progress("judging", total=total, quiet=not progress) as bar:
        for name in names:
            judgements = _judge_all(judge, name, rows, bar.advance)
            _take(items, name, judgements)
            if name == "strict":
                strict = judgements
        if details:
            _add_details(items, examples, strict, bar.advance)
            _add_efficiency(items, examples, judge, bar.advance)
            _add_majority(items, examples, judge)
    return Evaluation(items)


def _answers_of_model(config: Text2SqlConfig, examples: Sequence[Example], quiet: bool) -> list[list[str]]:
    from common.models.language import load_language_model
    from common.training.run import seed_everything, set_threads

    set_threads(config.threads)
    seed_everything(config.seed)
    model, tokenizer = load_language_model(config.model, training=False)
    return _answers(model, tokenizer, examples, config, progress=not quiet)


def _answers(
    model: Any, tokenizer: Any, examples: Sequence[Example], config: Text2SqlConfig, progress: bool
) -> list[list[str]]:
    from apps.text2sql.prompts import messages
    from common.models.language import generate

    settings = config.evaluate
    prompts = [messages(example, config.prompt) for example in examples]
    with ui.progress("asking the model", total=len(prompts), quiet=not progress) as bar:
        return generate(
            model,
            tokenizer,
            prompts,
            settings.max_new_tokens,
            settings.temperature if settings.samples > 1 else 0.0,
            settings.samples,
            settings.batch_size,
            bar.advance,
        )


def _item(example: Example, samples: Sequence[str]) -> Item:
    return Item(
        id=example.id,
        question=example.question,
        language=example.language,
        database=example.database,
        hardness=example.hardness or hardness(example.sql, example.dialect),
        parallel=example.parallel,
        gold=example.sql,
        predictions=list(samples),
    )


def _judge_all(judge: Judge, preset: str, rows: Sequence[tuple[Example, str]], advance: Progress) -> list[Judgement]:
    judgements: list[Judgement] = []
    with _preset(judge, preset):
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            judgements += judge(
                [example.path for example, _ in part],
                [example.sql for example, _ in part],
                [pred for _, pred in part],
                [example.dialect for example, _ in part],
            )
            advance(len(part))
    return judgements


@contextmanager
def _preset(judge: Judge, preset: str) -> Iterator[None]:
    """The judge with another comparison for a while, so that its workers and golds serve all of them."""
    before = judge.preset
    judge.preset = find_preset(preset).name
    try:
        yield
    finally:
        judge.preset = before


def _take(items: Sequence[Item], preset: str, judgements: Sequence[Judgement]) -> None:
    found = iter(judgements)
    for item in items:
        own = [next(found) for _ in item.predictions]
        item.verdicts[preset] = [judgement.verdict.value for judgement in own]
        if preset != "strict":
            continue
        item.reasons = [judgement.reason for judgement in own]
        golds = [judgement.gold for judgement in own if judgement.gold is not None and judgement.gold.ok]
        item.gold_rows = golds[0].count if golds else None
        item.soft_f1 = [judgement.overlap.soft_f1 if judgement.overlap is not None else 0.0 for judgement in own]


def _add_details(
    items: Sequence[Item], examples: Sequence[Example], judgements: Sequence[Judgement], advance: Progress
) -> None:
    from apps.text2sql.schemas.schema_cache import database_view

    found = iter(judgements)
    for item, example in zip(items, examples, strict=True):
        schema = database_view(example.path, example.database).schema
        own = [next(found) for _ in item.predictions]
        item.exact = [_matches(pred, example, schema) for pred in item.predictions]
        item.errors = [
            list(error_classes(judgement, pred, example.sql, schema, example.dialect))
            for judgement, pred in zip(own, item.predictions, strict=True)
        ]
        advance(len(own))


def _matches(pred: str, example: Example, schema: Schema) -> bool:
    from apps.text2sql.measures.clauses import exact_match

    try:
        return exact_match(pred, example.sql, schema, example.dialect)
    except Refused:
        return False


def _add_efficiency(items: Sequence[Item], examples: Sequence[Example], judge: Judge, advance: Progress) -> None:
    """BIRD's time reward for right predictions, right as BIRD has it where that preset was asked for."""
    wanted: dict[Any, list[tuple[str, str]]] = {}
    for item, example in zip(items, examples, strict=True):
        for pred, right in zip(item.predictions, _right_for_time(item), strict=True):
            if right and pred != item.gold:
                wanted.setdefault((example.path, example.dialect), []).append((item.gold, pred))
    ratios: dict[tuple[Any, str, str], float] = {}
    for (path, dialect), pairs in wanted.items():
        # One gold may belong to several questions.
        queries = list(dict.fromkeys(query for pair in pairs for query in pair))
        times: dict[str, list[float]] = {}
        for _ in range(_REPEATS):
            for query, execution in zip(queries, judge.execute(path, queries, dialect), strict=True):
                times.setdefault(query, []).append(execution.seconds)
        ratios.update({(path, gold, pred): time_ratio(times[gold], times[pred]) for gold, pred in pairs})
    for item, example in zip(items, examples, strict=True):
        item.efficiency = [
            efficiency(ratios.get((example.path, item.gold, pred), 1.0)) if right else 0.0
            for pred, right in zip(item.predictions, _right_for_time(item), strict=True)
        ]
        advance(len(item.predictions))


def _right_for_time(item: Item) -> list[bool]:
    return [verdict in RIGHT for verdict in item.verdicts.get("bird", item.verdicts["strict"])]


def _add_majority(items: Sequence[Item], examples: Sequence[Example], judge: Judge) -> None:
    """For k = 2, 4, ...: whether the most common result of the first k samples is right."""
    from apps.text2sql.assistant import vote

    for item, example in zip(items, examples, strict=True):
        verdicts = dict(zip(item.predictions, item.verdicts["strict"], strict=True))
        for k in powers(len(item.predictions))[1:]:
            candidates = vote(judge, str(example.path), item.predictions[:k])
            verdict = verdicts[candidates[0].sql] if candidates else Verdict.INVALID.value
            item.majority[str(k)] = None if verdict in UNJUDGED else verdict in RIGHT


def _settings(config: Text2SqlConfig, source: str) -> dict[str, Any]:
    from dataclasses import asdict

    settings = config.evaluate
    return {
        "source": source,
        "data": asdict(config.heldout),
        "prompt": asdict(config.prompt),
        "samples": settings.samples,
        "temperature": settings.temperature if settings.samples > 1 else 0.0,
        "seconds": settings.seconds,
        "seed": config.seed,
    }
