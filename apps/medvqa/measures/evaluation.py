"""What was measured of a model or a file of predictions: one item a question, and the figures made of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from common.errors import DataError
from common.files import read_json
from common.stats import Interval, bootstrap

#: Figures in the order shown, with what people call them. Those of closed and of open questions are never mixed.
NAMES: Mapping[str, str] = {
    "truth": "exactly right (pocket truth)",
    "truth_open": "exactly right, open questions",
    "truth_closed": "exactly right, closed questions",
    "closed": "closed questions: accuracy",
    "right": "open questions: scorer >= 0.8",
    "scorer": "open questions: scorer",
    "exact": "open: exact match",
    "open_recall": "open: recall of words",
    "precision": "open: precision of words",
    "recall": "open: recall of bags",
    "f1": "open: token F1",
    "bleu1": "open: BLEU-1",
    "bleu4": "open: BLEU-4, smoothed",
    "rouge1": "open: ROUGE-1",
    "rouge2": "open: ROUGE-2",
    "rouge_l": "open: ROUGE-L",
    "similarity": "open: encoder similarity of words",
    "judge": "LLM judge",
    "form": "well-formed completions",
}
#: What questions can be sorted by.
SLICES = ("kind", "question_type", "modality", "organ", "language", "combination")


@dataclass
class Item:
    """One question and what was answered.

    Attributes:
        id: of the example.
        question: as asked.
        references: right answers, the first of them the reference proper.
        kind: `closed` or `open`.
        question_type: presence, side, zone, ...
        modality: of the picture.
        organ: of the picture.
        language: ISO 639-1 code.
        study: questions about one study are resampled together.
        combination: `seen`, `held-out` or empty (pocket world only).
        completion: all that was said.
        answer: the answer in it.
        form: how it was found; a key of `answers.extraction.FORMS`.
        verdict: of a closed question, one of `closed.VERDICTS`.
        veto: what capped the scorer's score.
        reason: the scorer's.
        scores: figures by the names in `NAMES`; absent where a figure does not apply.
    """

    id: str
    question: str
    references: list[str]
    kind: str
    question_type: str = ""
    modality: str = ""
    organ: str = ""
    language: str = "en"
    study: str = ""
    combination: str = ""
    completion: str = ""
    answer: str = ""
    form: str = ""
    verdict: str = ""
    veto: str = ""
    reason: str = ""
    scores: dict[str, float | None] = field(default_factory=dict)

    def score(self, name: str) -> float:
        """A figure; NaN where it does not apply or could not be found."""
        value = self.scores.get(name)
        return math.nan if value is None else value

    @property
    def unit(self) -> str:
        """What is resampled as one."""
        return self.study or self.id


@dataclass
class Evaluation:
    """Items and what they amount to.

    Attributes:
        items: one a question.
        settings: what was measured, and how.
        robustness: items of the same questions asked otherwise, by condition: `blank`, `swapped`, `rephrased`.
    """

    items: list[Item]
    settings: dict[str, Any] = field(default_factory=dict)
    robustness: dict[str, list[Item]] = field(default_factory=dict)

    def metric(self, name: str, items: Sequence[Item] | None = None) -> Interval:
        """Mean of a figure with its 95 % interval; questions about one study are resampled together."""
        chosen = self.items if items is None else items
        return bootstrap([item.score(name) for item in chosen], groups=[item.unit for item in chosen])

    def metrics(self) -> dict[str, Interval]:
        """Every figure that applies to a question, in `NAMES`' order."""
        return {name: self.metric(name) for name in NAMES if any(name in item.scores for item in self.items)}

    @property
    def headline(self) -> str:
        """The figure that training is judged by: the exact truth where there is one, else the scorer's verdict."""
        return "truth_open" if any("truth_open" in item.scores for item in self.items) else "right"

    def by(self, name: str, metric: str) -> dict[str, Interval]:
        """A figure by one of `SLICES`."""
        groups: dict[str, list[Item]] = {}
        for item in self.items:
            if not math.isnan(item.score(metric)):
                groups.setdefault(getattr(item, name) or "not given", []).append(item)
        return {value: self.metric(metric, groups[value]) for value in sorted(groups)}

    def counts(self, name: str) -> dict[str, int]:
        """How often each `verdict`, `veto` or `form` comes."""
        found = Counter(value for item in self.items if (value := getattr(item, name)))
        return dict(found.most_common())

    def calibration(self, bins: int = 5) -> list[tuple[float, float, Interval]]:
        """The scorer against the exact truth: by fifths of the score, its mean and the share that is exactly right."""
        pairs = [(item.score("score_any"), item.score("truth"), item.unit) for item in self.items]
        pairs = [pair for pair in pairs if not math.isnan(pair[0] + pair[1])]
        rows = []
        for at in range(bins):
            low, high = at / bins, (at + 1) / bins
            inside = [pair for pair in pairs if low <= pair[0] < high or (at == bins - 1 and pair[0] == 1.0)]
            if inside:
                mean = sum(pair[0] for pair in inside) / len(inside)
                rows.append((low, mean, bootstrap([p[1] for p in inside], groups=[p[2] for p in inside])))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `evaluation.json`."""
        headline = self.headline
        return {
            "settings": self.settings,
            "metrics": {name: value.to_dict() for name, value in self.metrics().items()},
            "by": {
                name: {value: found.to_dict() for value, found in self.by(name, headline).items()} for name in SLICES
            },
            "closed_by": {
                name: {value: found.to_dict() for value, found in self.by(name, "closed").items()} for name in SLICES
            },
            "verdicts": self.counts("verdict"),
            "vetoes": self.counts("veto"),
            "calibration": [[low, mean, found.to_dict()] for low, mean, found in self.calibration()],
            "items": [asdict(item) for item in self.items],
            "robustness": {name: [asdict(item) for item in items] for name, items in self.robustness.items()},
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

        def items(rows: Sequence[Mapping[str, Any]]) -> list[Item]:
            return [Item(**{name: value for name, value in row.items() if name in names}) for row in rows]

        try:
            robustness = {name: items(rows) for name, rows in content.get("robustness", {}).items()}
            return cls(items(content["items"]), content.get("settings", {}), robustness)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"this is no evaluation written by `evaluate` ({error!r})", path=path) from error


def aligned(first: Evaluation, second: Evaluation) -> tuple[list[Item], list[Item]]:
    """The items that both have, by id, in the second's order.

    Raises:
        DataError: they have none in common.
    """
    others = {item.id: item for item in first.items}
    pairs = [(others[item.id], item) for item in second.items if item.id in others]
    if not pairs:
        raise DataError(
            "the two evaluations have no question in common; a paired test needs the same data set and split "
            f"(ids such as {[item.id for item in first.items[:1]]} and {[item.id for item in second.items[:1]]})"
        )
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


#: A figure of an item.
Score = Callable[[Item], float]
