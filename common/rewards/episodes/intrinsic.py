"""An intrinsic reward from a language model's opinion of what happens (ONI, arXiv 2410.23022), as a transform.

Clean-room: the published code is not free for all uses and was not read. Nothing that a model says is ever executed.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput
from common.rewards.episodes.counts import Counts, number
from common.rewards.episodes.key_model import KeyModel
from common.rewards.episodes.labels import WAITING, Annotator, LabelQueue
from common.rewards.judges.client import as_data
from common.rewards.transforms.basic import Transform, explained

#: Normalised strengths beyond are cut, so that the reward has bounds.
STRONGEST = 3.0


class Intrinsic(Transform):
    r""":math:`R = w_e\, r + w_i\, r_{int}(k) / N(k)^\beta`, with k a short text that says what happens in the row.

    By `mode`, r_int is

    - "retrieve": the annotator's label of k, in [0, 1]; a table, no model.
    - "classify": p(helpful) of a small model that learnt the labels (`KeyModel`), in [0, 1]: new texts are scored too.
    - "rank": :math:`z \cdot 1[z > \epsilon]` with z the strength of k, learnt from pairs, normalised by mean and
      deviation over the texts of all labelled pairs, cut at 3. In [0, 3]. The normalised value is what is paid. (In
      the published code it goes to the log, and the raw one into the sum.)

    N counts the rows of the same episode (`group`) with the same text up to this row's `place`, this one included: it
    depends on neither the rows' order nor how the episode was cut into batches. Range: from the inner bounds; higher
    is better. Parts: `external` (r), `intrinsic` (r_int / N^β, as paid), `count` (N) and the inner parts.

    A row without r_int — nobody answered yet, or late, or with no number — is never scored as 0 unasked: by `late` its
    value is NaN ("nan", so that it is left out of training), or r_int counts as 0 ("zero") or as the mean of all
    labels so far ("mean"; NaN before the first). In any case `info["label"]` says so, and `queue.counts` counts it. An
    empty text is nothing to ask about: NaN. `info["reason"]` tells why a row has no label or no external value.

    Texts are asked about, and labels learnt from, only in training, where a `step` column says which step it is; a
    step is scored with what was known when it began (of an annotator that answers at once, "retrieve" knows its
    answers too), so that scoring twice gives the same. Without `step` nothing is asked, learnt or remembered.

    Args:
        inner: r.
        annotator: gives numbers, or a queue in front of it; see `LabelQueue` for batches, deadlines and threads.
        key: column of the texts, or of what `describe` makes texts of.
        describe: makes a text a row from the column; None where it holds texts.
        mode: see above.
        weights: w_e and w_i.
        decay: β; 0 counts nothing and needs no `group`.
        late: see above.
        threshold: ε.
        pairs: pairs that are asked about in a step ("rank").
        steps: gradient steps after new labels.
        place: column of a row's place in its episode.
        remembered: episodes whose counts, and texts for pairs, are kept.
        seed: of the model and the pairs.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: a setting that cannot be.
    """

    def __init__(
        self,
        inner: Reward,
        annotator: Annotator | LabelQueue,
        key: str = "event",
        describe: Callable[[Any], Sequence[str]] | None = None,
        mode: Literal["retrieve", "classify", "rank"] = "retrieve",
        weights: tuple[float, float] = (1.0, 0.1),
        decay: float = 1.0,
        late: Literal["nan", "zero", "mean"] = "nan",
        threshold: float = 0.0,
        pairs: int = 32,
        steps: int = 32,
        place: str = "state.step",
        remembered: int = 1024,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(inner, name)
        if mode not in ("retrieve", "classify", "rank") or late not in ("nan", "zero", "mean"):
            raise RewardError(
                f"reward {self.name!r}: mode is retrieve, classify or rank, not {mode!r}; late is nan, zero or mean, "
                f"not {late!r}"
            )
        if not (all(math.isfinite(one) and one >= 0 for one in weights) and 0 <= decay < math.inf):
            raise RewardError(f"reward {self.name!r}: weights {weights} and decay {decay} must be 0 or more")
        if not (0 <= threshold < STRONGEST and min(pairs, steps, remembered) >= 1):
            raise RewardError(
                f"reward {self.name!r}: threshold {threshold} must lie in [0, {STRONGEST}), and pairs {pairs}, steps "
                f"{steps} and remembered {remembered} be 1 or more"
            )
        self.differentiable = False
        self.queue = annotator if isinstance(annotator, LabelQueue) else LabelQueue(annotator)
        self.key, self.describe, self.mode = key, describe, mode
        self.weights, self.decay, self.late, self.threshold = weights, decay, late, threshold
        self.pairs, self.steps, self.place = pairs, steps, place
        counted = ("group", place.split(".")[0]) if decay else ()
        self.needs = tuple(dict.fromkeys((*inner.needs, key, *counted)))
        span = STRONGEST if mode == "rank" else 1.0
        low, high = inner.bounds
        self.bounds = (weights[0] * low, weights[0] * high + weights[1] * span)
        self.part_names = ("external", "intrinsic", "count", *(f"external.{one}" for one in inner.part_names))
        self.model = KeyModel(seed=seed)
        self.counts = Counts(remembered)
        self.texts: OrderedDict[str, None] = OrderedDict()
        self.remembered = remembered
        self.centre, self.spread = 0.0, 1.0
        self.step = -1

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`."""
        texts = self._texts(columns)
        step = columns.get("step")
        if step is not None:
            self._begin(int(step))
            self._ask(texts)
        outer = self.inner(**columns)
        found, labels = self._found(texts)
        seen = torch.ones(len(texts), dtype=torch.float64)
        if self.decay:
            counts = self.counts if step is not None else Counts(len(texts) + 1)
            seen = number(self.name, counts, columns, self.place, texts)
        paid = found / seen**self.decay
        values = self.weights[0] * outer.values.detach().double().cpu() + self.weights[1] * paid
        parts = {"external": outer.values.detach(), "intrinsic": paid.float(), "count": seen.float()}
        parts |= {f"external.{name}": part for name, part in outer.parts.items()}
        return RewardOutput(values.float(), parts, {**explained(outer, labels), "label": labels})

    def state_dict(self) -> dict[str, Any]:
        """Labels, model, counts and the step in progress, and the inner reward's state where it has one."""
        inner = self.inner.state_dict() if hasattr(self.inner, "state_dict") else None
        return {
            "queue": self.queue.state_dict(),
            "model": self.model.state_dict(),
            "counts": self.counts.state_dict(),
            "texts": list(self.texts),
            "scale": (self.centre, self.spread),
            "step": self.step,
            "inner": inner,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.queue.load_state_dict(state["queue"])
        self.model.load_state_dict(state["model"])
        self.counts.load_state_dict(state["counts"])
        self.texts = OrderedDict.fromkeys(state["texts"])
        self.centre, self.spread = state["scale"]
        self.step = int(state["step"])
        if state["inner"] is not None and hasattr(self.inner, "load_state_dict"):
            self.inner.load_state_dict(state["inner"])

    def _texts(self, columns: Mapping[str, Any]) -> list[str]:
        column = columns[self.key]
        texts = list(column if self.describe is None else self.describe(column))
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise RewardError(f"reward {self.name!r}: {self.key!r} of row {row} is a {type(text).__name__}")
        return texts

    def _begin(self, step: int) -> None:
        """Learn from what came in since the step before."""
        if step <= self.step:
            return
        self.step = step
        if self.mode == "rank" and len(self.texts) > 1:
            known = sorted(self.texts)
            for _ in range(self.pairs):
                first, second = torch.randperm(len(known), generator=self.model.generator)[:2].tolist()
                self.queue.ask([as_data(first=known[first], second=known[second])])
        fresh = self.queue.poll(flush=not self.queue.background)
        # "retrieve" asks while it scores, so its labels are there already; the others learn here.
        stale = len(self.queue.labels) and not self.model.fitted
        if self.mode == "retrieve" or not (fresh or stale):
            return
        labels = dict(sorted(self.queue.labels.items()))
        if self.mode == "classify":
            self.model.fit(list(labels), list(labels.values()), self.steps)
            return
        pairs = [_pair(question) for question in labels]
        self.model.fit_pairs(pairs, list(labels.values()), self.steps)
        strengths = self.model.scores(sorted({text for pair in pairs for text in pair})).double()
        self.centre, self.spread = float(strengths.mean()), max(float(strengths.std(correction=0)), 1e-6)

    def _ask(self, texts: Sequence[str]) -> None:
        if self.mode == "rank":
            for text in dict.fromkeys(texts):
                if text:
                    self.texts[text] = None
                    self.texts.move_to_end(text)
            while len(self.texts) > self.remembered:
                self.texts.popitem(last=False)
            return
        self.queue.ask(sorted(set(texts)))
        if self.mode == "retrieve" and not self.queue.background:
            self.queue.poll(flush=True)

    def _found(self, texts: Sequence[str]) -> tuple[Tensor, list[str]]:
        """r_int `(B,)` float64, NaN where it is unknown and `late` leaves it so, and why it is unknown."""
        if self.mode == "retrieve":
            values = [self.queue.labels.get(text, math.nan) for text in texts]
            labels = [self.queue.reason(text) for text in texts]
        elif not self.model.fitted:
            values, labels = [math.nan] * len(texts), [self.queue.reason(text) or WAITING for text in texts]
        else:
            values, labels = self._learnt(texts).tolist(), [""] * len(texts)
        instead = {"nan": math.nan, "zero": 0.0, "mean": self._mean()}[self.late]
        for row, text in enumerate(texts):
            if not text:
                values[row], labels[row] = math.nan, "there is no text to ask about"
            elif math.isnan(values[row]):
                values[row] = instead
        return torch.tensor(values, dtype=torch.float64), labels

    def _learnt(self, texts: Sequence[str]) -> Tensor:
        strengths = self.model.scores(texts).double()
        if self.mode == "classify":
            return strengths.sigmoid()
        normal = (strengths - self.centre) / self.spread
        return torch.where(normal > self.threshold, normal, 0.0).clamp(0, STRONGEST)

    def _mean(self) -> float:
        labels = self.queue.labels.values()
        return sum(labels) / len(labels) if labels and self.mode != "rank" else math.nan


def _pair(question: str) -> tuple[str, str]:
    import json

    found = json.loads(question)
    return found["first"], found["second"]
