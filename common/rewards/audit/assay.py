"""Assays a reward before a run: would it teach the right thing? Nothing here knows a domain.

The application hands in reference rows, model samples if it has any, further controls, and mutants: references with
one fact changed. Report and flags follow shared/design.md, section 5.
"""

from __future__ import annotations

import dataclasses
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.errors import RewardError
from common.rewards.audit import measures as measure
from common.rewards.audit.report import AuditReport as AuditReport
from common.rewards.audit.report import flags
from common.rewards.base import Reward, row_count, take_rows
from common.rewards.compose import WeightedSum
from common.rewards.functional import ngram_coverage
from common.stats import Interval, bootstrap, wilson

Columns = Mapping[str, Any]
Change = Callable[[Columns], Columns]
Metric = Callable[[Columns], Sequence[float]]

#: A completion that repeats this share of its prompt's trigrams is a copy.
COPY = 0.8


@dataclass(frozen=True)
class Mutant:
    """A reference with one fact changed.

    Attributes:
        row: the reference's row.
        operator: what was changed.
        completion: what stands in the reference's place.
    """

    row: int
    operator: str
    completion: Any


def audit(
    reward: Reward,
    rows: Columns,
    controls: Mapping[str, Change] | None = None,
    mutations: Sequence[Mutant] = (),
    metric: Metric | None = None,
    *,
    samples: Sequence[Sequence[Any]] | None = None,
    pad: Change | None = None,
    prompt: str | None = None,
    within: str | None = None,
    groups: Sequence[Any] | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> AuditReport:
    """Score references, samples, controls and mutants, and say what is wrong.

    Args:
        reward: the reward.
        rows: columns of N reference rows; `completion` holds the reference.
        controls: further negative controls: columns in, columns of the same rows out. `empty`, `boilerplate`,
            `other_reference` and, with `prompt`, `prompt_copy` are always tried where completions are texts.
        mutations: references with one fact changed.
        metric: the domain's metric or human labels, one number a row, higher is better.
        samples: the model's completions of each row, K of them.
        pad: the same content in more words, as columns out; by default the completion is said twice.
        prompt: column of the text that a lazy policy would copy.
        within: column that another row's reference must share, such as the database.
        groups: `(N,)` ids of rows that belong together (translations); resampled together.
        batch_size: rows in one call.
        seed: decides which other row's reference is taken.

    Raises:
        RewardError: no rows, columns of different lengths, or a control that changes the number of rows.
    """
    size = reward.batch_size(rows)
    if size < 2:
        raise RewardError(f"an audit needs two reference rows or more; it was given {size}")
    assay = Assay(reward, size, batch_size)
    reference = assay.score("reference", rows)
    span = reward.bounds[1] - reward.bounds[0]
    against = {
        name: _same_size(name, change(rows), size)
        for name, change in {**_standard(rows, prompt, within, seed), **(controls or {})}.items()
    }
    found = [
        measure.control(name, reference, assay.score(name, columns), span, groups) for name, columns in against.items()
    ]
    mutants, killed = _mutations(assay, rows, mutations, reference, span)
    sampled = _samples(assay, rows, samples)
    drawn, owner = sampled if sampled is not None else _variants(rows, mutations)
    variants = _variant_scores(assay, mutations, sampled is not None)
    values = list(metric(drawn)) if metric is not None else None
    other = assay.scores.get("other_reference", ())
    # Right ones alone score alike, and would say nothing of how far a judge agrees with itself.
    wrong = {"other_reference": against["other_reference"]} if "other_reference" in against else {}
    repeated = _repeated(assay, {"reference": rows, **wrong})
    report = AuditReport(
        reward=reward.name,
        bounds=reward.bounds,
        rows=size,
        reference=bootstrap(reference, groups=groups),
        failed=float(np.isnan(reference).mean()),
        controls=tuple(sorted(found, key=lambda one: -_or_low(one.mean.mean))),
        shuffle_auc=next((one.auc for one in found if one.name == "other_reference"), math.nan),
        band=(_percentile(other, 5), _percentile(reference, 95)),
        mutations=mutants,
        killed=killed,
        spread=measure.spread(variants, owner, span) if sampled is not None else None,
        length=_length(assay, rows, drawn, owner, variants, values, pad, span),
        copy_rate=_copy_rate(drawn, prompt) if sampled is not None else None,
        agreement=measure.agreement(variants, values, owner, span) if values is not None else None,
        balance=_balance(reward, assay),
        repeatability=_repeatability(repeated),
        reliability=measure.krippendorff(repeated),
        latency=measure.latency(assay.seconds, assay.sizes),
        scores={name: tuple(scores) for name, scores in assay.scores.items()},
        apart=_apart(assay, mutations, span),
    )
    return dataclasses.replace(report, flags=tuple(flags(report)))


class Assay:
    """Scores columns in batches, and keeps scores, parts and times by what was scored."""

    def __init__(self, reward: Reward, size: int, batch_size: int) -> None:
        self.reward = reward
        self.batch_size = batch_size
        self.scores: dict[str, list[float]] = {}
        self.parts: dict[str, list[float]] = defaultdict(list)
        self.seconds: list[float] = []
        self.sizes: list[int] = []

    def score(self, name: str, columns: Columns) -> list[float]:
        """Scores of the columns' rows, kept under `name`."""
        values: list[float] = []
        size = self.reward.batch_size(columns)
        for start in range(0, size, self.batch_size):
            rows = range(start, min(start + self.batch_size, size))
            began = time.perf_counter()
            output = self.reward(**take_rows(columns, rows, size))
            self.seconds.append(time.perf_counter() - began)
            self.sizes.append(len(rows))
            values += output.values.tolist()
            for part, scores in output.parts.items():
                self.parts[part] += scores.tolist()
        self.scores[name] = values
        return values

    def again(self, columns: Columns) -> list[float]:
        """The same columns scored once more, kept nowhere and not timed."""
        size = self.reward.batch_size(columns)
        starts = range(0, size, self.batch_size)
        batches = [range(start, min(start + self.batch_size, size)) for start in starts]
        return [one for rows in batches for one in self.reward(**take_rows(columns, rows, size)).values.tolist()]


def other_reference(columns: Columns, within: str | None = None, seed: int = 0) -> dict[str, Any]:
    """Each row with the reference of another row that reads differently.

    With `within`, of a row that shares this column, where there is one.
    """
    completions = columns["completion"]
    generator, picked = random.Random(seed), []
    for row, own in enumerate(completions):
        others = [at for at, text in enumerate(completions) if text != own]
        if not others:
            raise RewardError("all references are the same; another row's reference would be no control")
        near = [at for at in others if within is not None and columns[within][at] == columns[within][row]]
        picked.append(completions[generator.choice(near or others)])
    return {**columns, "completion": picked}


def _standard(rows: Columns, prompt: str | None, within: str | None, seed: int) -> dict[str, Change]:
    """The controls that every text domain has."""
    if not all(isinstance(text, str) for text in rows["completion"]):
        return {}
    boilerplate = "As requested, here is the answer to the question. " * 3
    controls: dict[str, Change] = {
        "empty": lambda columns: _said(columns, [""] * len(columns["completion"])),
        "boilerplate": lambda columns: _said(columns, [boilerplate] * len(columns["completion"])),
    }
    if len(set(rows["completion"])) > 1:
        controls["other_reference"] = lambda columns: other_reference(columns, within, seed)
    if prompt is not None:
        controls["prompt_copy"] = lambda columns: _said(columns, [str(text) for text in columns[prompt]])
    return controls


def _said(columns: Columns, completions: Sequence[Any]) -> dict[str, Any]:
    return {**columns, "completion": list(completions)}


def _same_size(name: str, columns: Columns, size: int) -> Columns:
    if row_count(columns["completion"]) != size:
        raise RewardError(f"control {name!r} made {row_count(columns['completion'])} rows of {size}")
    return columns


def _mutations(
    assay: Assay, rows: Columns, mutants: Sequence[Mutant], reference: Sequence[float], span: float
) -> tuple[tuple[measure.MutationResult, ...], Interval | None]:
    by_operator: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        by_operator[mutant.operator].append(mutant)
    results = []
    for operator, several in by_operator.items():
        places = [mutant.row for mutant in several]
        scores = assay.score(f"mutant:{operator}", _placed(rows, places, [one.completion for one in several]))
        own = [reference[place] for place in places]
        results.append(measure.mutation(operator, own, scores, [one.completion for one in several], places, span))
    if not results:
        return (), None
    counts = [(round(one.killed.mean * one.killed.n) if one.killed.n else 0, one.killed.n) for one in results]
    return tuple(results), wilson(sum(one for one, _ in counts), sum(n for _, n in counts))


def _placed(rows: Columns, places: Sequence[int], completions: Sequence[Any]) -> dict[str, Any]:
    """The given rows, repeated as often as they are named, with other completions."""
    size = row_count(rows["completion"])
    assert size is not None
    return {**take_rows(rows, places, size), "completion": list(completions)}


def _samples(
    assay: Assay, rows: Columns, samples: Sequence[Sequence[Any]] | None
) -> tuple[dict[str, Any], list[int]] | None:
    """The samples' columns and the row each belongs to; they are scored as `sample`."""
    if samples is None:
        return None
    if len(samples) != row_count(rows["completion"]):
        raise RewardError(f"samples were given for {len(samples)} of {row_count(rows['completion'])} rows")
    owner = [row for row, several in enumerate(samples) for _ in several]
    drawn = _placed(rows, owner, [completion for several in samples for completion in several])
    assay.score("sample", drawn)
    return drawn, owner


def _variants(rows: Columns, mutants: Sequence[Mutant]) -> tuple[dict[str, Any], list[int]]:
    """References and mutants, where there are no samples."""
    own = range(len(rows["completion"]))
    owner = [*own, *(mutant.row for mutant in mutants)]
    return _placed(rows, owner, [*rows["completion"], *(mutant.completion for mutant in mutants)]), owner


def _apart(assay: Assay, mutants: Sequence[Mutant], span: float) -> measure.Spread | None:
    if not mutants:
        return None
    own = range(len(assay.scores["reference"]))
    return measure.spread(_variant_scores(assay, mutants, False), [*own, *(one.row for one in mutants)], span)


def _variant_scores(assay: Assay, mutants: Sequence[Mutant], sampled: bool) -> list[float]:
    if sampled:
        return assay.scores["sample"]
    queues = {operator: iter(assay.scores[f"mutant:{operator}"]) for operator in {one.operator for one in mutants}}
    return [*assay.scores["reference"], *(next(queues[mutant.operator]) for mutant in mutants)]


def _length(
    assay: Assay,
    rows: Columns,
    drawn: Columns,
    owner: Sequence[int],
    scores: Sequence[float],
    metric: Sequence[float] | None,
    pad: Change | None,
    span: float,
) -> measure.LengthEffect:
    texts = all(isinstance(text, str) for text in drawn["completion"])
    lengths = [float(len(text)) if texts else math.nan for text in drawn["completion"]]
    if pad is None and texts:
        pad = _said_twice
    size = len(rows["completion"])
    gains = [math.nan] * size
    if pad is not None:
        padded = assay.score("padded", _same_size("pad", pad(rows), size))
        gains = [more - less for more, less in zip(padded, assay.scores["reference"], strict=True)]
    return measure.length_effect(scores, lengths, metric, gains, span, owner)


def _said_twice(columns: Columns) -> Columns:
    return _said(columns, [f"{text}\n{text}" for text in columns["completion"]])


def _copy_rate(drawn: Columns, prompt: str | None) -> float | None:
    if prompt is None or not drawn["completion"]:
        return None
    pairs = zip(drawn["completion"], drawn[prompt], strict=True)
    return float(np.mean([ngram_coverage(str(text), str(source)) >= COPY for text, source in pairs]))


def _balance(reward: Reward, assay: Assay) -> measure.Balance | None:
    if not isinstance(reward, WeightedSum) or len(reward.weights) < 2:
        return None
    return measure.balance(assay.parts, reward.weights)


def _repeated(assay: Assay, shown: Mapping[str, Columns]) -> list[list[float]]:
    """The scores of what was shown each time; a reward that says the same twice is not asked a third time."""
    first = [score for name in shown for score in assay.scores[name]]
    second = [score for columns in shown.values() for score in assay.again(columns)]
    if np.array_equal(first, second, equal_nan=True):
        return [first, second]
    return [first, second, [score for columns in shown.values() for score in assay.again(columns)]]


def _repeatability(repeated: Sequence[Sequence[float]]) -> float:
    scores = np.asarray(repeated)
    scored = scores[:, ~np.isnan(scores).any(0)]
    return float(np.ptp(scored, axis=0).max()) if scored.size else math.nan


def _percentile(scores: Sequence[float], percent: float) -> float:
    known = [score for score in scores if not math.isnan(score)]
    return float(np.percentile(known, percent)) if known else math.nan


def _or_low(value: float) -> float:
    return -math.inf if math.isnan(value) else value
