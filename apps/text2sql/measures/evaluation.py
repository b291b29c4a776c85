"""What was measured of a model or a file of predictions: one item a question, and the figures made of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from apps.text2sql.measures.error_classes import CLASSES
from apps.text2sql.measures.hardness import GRADES
from apps.text2sql.measures.metrics import interval
from common.errors import DataError
from common.files import read_json
from common.stats import Interval, pass_at_k

#: Both results agree; whether two empty ones say anything is told apart by `Evaluation.semantic_accuracy`.
RIGHT = ("correct", "correct_empty")
#: The question cannot be judged; it is left out of every figure and counted.
UNJUDGED = ("gold_error", "ambiguous")


@dataclass
class Item:
    """One question and what was predicted for it. Lists hold one entry for each sample.

    Attributes:
        id: of the example.
        question: as asked.
        language: ISO 639-1 code.
        database: database id.
        hardness: Spider's grade.
        parallel: id shared by the translations of one question.
        gold: gold query.
        predictions: predicted queries; empty texts where there was none.
        verdicts: by preset.
        reasons: why, under `strict`.
        gold_rows: rows of the gold's result; None where it failed or is not known.
        soft_f1: order-invariant Soft-F1; 0 where the prediction did not run.
        exact: exact-set match; None where it was not measured.
        efficiency: square root of BIRD's time reward; None where it was not measured.
        errors: classes of a wrong prediction.
        majority: k -> whether the most common result of the first k samples is right; None where it cannot be judged.
    """

    id: str
    question: str
    language: str
    database: str
    hardness: str
    parallel: str
    gold: str
    predictions: list[str]
    verdicts: dict[str, list[str]] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    gold_rows: int | None = None
    soft_f1: list[float] = field(default_factory=list)
    exact: list[bool] | None = None
    efficiency: list[float] | None = None
    errors: list[list[str]] = field(default_factory=list)
    majority: dict[str, bool | None] = field(default_factory=dict)

    def right(self, preset: str = "strict") -> float:
        """Share of the judged samples whose result matches the gold's; NaN where none can be judged."""
        judged = [verdict for verdict in self.verdicts[preset] if verdict not in UNJUDGED]
        return sum(verdict in RIGHT for verdict in judged) / len(judged) if judged else math.nan

    def semantic(self) -> float:
        """The same where the gold returns rows, else NaN: two empty results say nothing about the query."""
        return math.nan if self.gold_rows == 0 else self.right()

    def mean(self, name: str) -> float:
        """Mean of `soft_f1`, `exact` or `efficiency` over the judged samples; NaN where it was not measured."""
        return self._over_judged(getattr(self, name) or [])

    def failing(self, name: str) -> float:
        """Share of the judged samples with an error class; NaN where none can be judged."""
        return self._over_judged([float(name in names) for names in self.errors])

    def _over_judged(self, values: Sequence[float]) -> float:
        judged = [v for v, verdict in zip(values, self.verdicts["strict"], strict=False) if verdict not in UNJUDGED]
        return sum(judged) / len(judged) if judged else math.nan


@dataclass
class Evaluation:
    """All items of one measurement.

    Attributes:
        items: in the examples' order.
        settings: what was measured and how: source, data, decoding.
    """

    items: list[Item]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def presets(self) -> list[str]:
        """Result comparisons that were made."""
        return list(self.items[0].verdicts) if self.items else []

    @property
    def samples(self) -> int:
        """Predictions for each question."""
        return len(self.items[0].predictions) if self.items else 0

    @property
    def languages(self) -> list[str]:
        """Languages of the questions, in the data's order."""
        return list(dict.fromkeys(item.language for item in self.items))

    def accuracy(self, preset: str = "strict", language: str | None = None) -> Interval:
        """Execution accuracy over the questions that can be judged; translations are resampled together."""
        items = [item for item in self.items if language in (None, item.language)]
        return summary(items, lambda item: item.right(preset))

    def semantic_accuracy(self) -> Interval:
        """Share of right results under `strict` among the questions whose gold returns rows."""
        return summary(self.items, Item.semantic)

    def metrics(self) -> dict[str, Interval]:
        """Every figure over all questions, in shares of 1."""
        found = {f"ex_{preset}": self.accuracy(preset) for preset in self.presets}
        found["semantic_accuracy"] = self.semantic_accuracy()
        found["soft_f1"] = summary(self.items, lambda item: item.mean("soft_f1"))
        if any(item.exact is not None for item in self.items):
            found["exact_match"] = summary(self.items, lambda item: item.mean("exact"))
        if any(item.efficiency is not None for item in self.items):
            found["r_ves"] = summary(self.items, lambda item: item.mean("efficiency"))
        for k in powers(self.samples):
            found[f"pass@{k}"] = summary(self.items, lambda item, k=k: passes(item, k))  # type: ignore[misc]
        for votes in self.items[0].majority if self.items else ():
            found[f"majority@{votes}"] = summary(self.items, lambda item, k=votes: voted(item, k))  # type: ignore[misc]
        return found

    def by(self, name: str, preset: str = "strict") -> dict[str, Interval]:
        """Execution accuracy for each value of `language`, `hardness` or `database`."""
        order = {grade: place for place, grade in enumerate(GRADES)} if name == "hardness" else {}
        values = list(dict.fromkeys(getattr(item, name) for item in self.items))
        values.sort(key=lambda value: order.get(value, len(order)))
        return {
            value or "?": summary(
                [i for i in self.items if getattr(i, name) == value], lambda item: item.right(preset)
            )
            for value in values
        }

    def verdict_counts(self, preset: str = "strict") -> dict[str, int]:
        """How often each verdict fell, over all samples."""
        return dict(Counter(verdict for item in self.items for verdict in item.verdicts[preset]).most_common())

    def error_shares(self) -> dict[str, Interval]:
        """Share of all judged questions that fail in each respect; one failure may have several."""
        present = {name for item in self.items for names in item.errors for name in names}
        return {
            name: summary(self.items, lambda item, name=name: item.failing(name))  # type: ignore[misc]
            for name in CLASSES
            if name in present
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `evaluation.json`."""
        return {
            "settings": self.settings,
            "metrics": {name: value.to_dict() for name, value in self.metrics().items()},
            "by_language": {name: value.to_dict() for name, value in self.by("language").items()},
            "by_hardness": {name: value.to_dict() for name, value in self.by("hardness").items()},
            "errors": {name: value.to_dict() for name, value in self.error_shares().items()},
            "verdicts": {preset: self.verdict_counts(preset) for preset in self.presets},
            "items": [asdict(item) for item in self.items],
        }

    @classmethod
    def load(cls, path: Path | str) -> Evaluation:
        """Read an `evaluation.json`, or the one in a run folder.

        Raises:
            DataError: it is no such file.
        """
        path = Path(path)
        path = path / "evaluation.json" if path.is_dir() else path
        content = read_json(path)
        names = {entry.name for entry in fields(Item)}
        try:
            items = [Item(**{name: value for name, value in row.items() if name in names}) for row in content["items"]]
            return cls(items, content.get("settings", {}))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"this is no evaluation written by `evaluate` ({error!r})", path=path) from error


def summary(items: Sequence[Item], score: Callable[[Item], float]) -> Interval:
    """Mean of a score with its 95 % interval."""
    return interval([score(item) for item in items], [item.parallel or item.id for item in items])


def powers(samples: int) -> list[int]:
    """1, 2, 4, ... up to the number of samples, itself included; none for a single sample."""
    found = [2**power for power in range(samples.bit_length()) if 2**power <= samples]
    return sorted({*found, samples}) if samples > 1 else []


def passes(item: Item, k: int) -> float:
    """Unbiased chance that one of `k` samples is right; NaN where too few can be judged."""
    judged = [verdict for verdict in item.verdicts["strict"] if verdict not in UNJUDGED]
    right = sum(verdict in RIGHT for verdict in judged)
    return float(pass_at_k(len(judged), right, k)) if len(judged) >= k else math.nan


def voted(item: Item, k: str) -> float:
    """Whether the vote of `k` samples is right; NaN where it cannot be judged."""
    found = item.majority.get(k)
    return math.nan if found is None else float(found)


def aligned(first: Evaluation, second: Evaluation) -> tuple[list[Item], list[Item]]:
    """The items that both have, by id, in the second's order.

    Raises:
        DataError: they have none in common.
    """
    others: Mapping[str, Item] = {item.id: item for item in first.items}
    pairs = [(others[item.id], item) for item in second.items if item.id in others]
    if not pairs:
        raise DataError(
            "the two evaluations have no question in common; a paired test needs the same data set and split "
            f"(ids such as {[item.id for item in first.items[:1]]} and {[item.id for item in second.items[:1]]})"
        )
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
