"""Edit distance as a reward: ANLS, what was read off a chart, and the changed parts of a program."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import chain
from typing import Any

import numpy as np
import torch

from common.errors import RewardError
from common.rewards import functional
from common.rewards.base import Reward, RewardOutput
from common.rewards.text.matching import TextMatch
from common.rewards.text.numeric import NumericMatch

#: A program's tokens: words, and every other character but white space.
_CODE = re.compile(r"\w+|[^\w\s]")


def edit_distance(first: str, second: str) -> int:
    """Levenshtein distance: fewest characters inserted, deleted or replaced."""
    if len(first) < len(second):
        first, second = second, first
    codes = np.array([ord(char) for char in second], dtype=np.int64)
    steps = np.arange(len(second) + 1)
    row = steps.copy()
    for number, char in enumerate(first, start=1):
        fresh = np.empty_like(row)
        fresh[0] = number
        np.minimum(row[1:] + 1, row[:-1] + (codes != ord(char)), out=fresh[1:])
        # Insertions run along the row: each entry is at most the one before it plus 1.
        row = np.minimum.accumulate(fresh - steps) + steps
    return int(row[-1])


def anls(prediction: str, reference: str, threshold: float = 0.5) -> float:
    r""":math:`1 - NLD` where :math:`NLD < \tau`, else 0; NLD = edit distance / length of the longer text."""
    said, wanted = functional.normalise(prediction), functional.normalise(reference)
    longest = max(len(said), len(wanted))
    # The distance is at least the difference in length: a very long text is not compared.
    if not longest or abs(len(said) - len(wanted)) >= threshold * longest:
        return float(said == wanted)
    distance = edit_distance(said, wanted) / longest
    return 1.0 - distance if distance < threshold else 0.0


class Anls(TextMatch):
    r"""Average normalised Levenshtein similarity: :math:`1 - NLD` where :math:`NLD < \tau`, else 0; see `anls`.

    Range [0, 1], higher is better. Biten et al. 2019 (1907.00490), as in VRAG-RL's code (arXiv 2505.22019). Texts are
    normalised first (case, punctuation, any script).

    An empty completion scores 0 with a reason (the policy's fault); an empty reference is NaN.

    Args:
        threshold: τ, in (0, 1].
        reference: column of right answers; an entry may be a list, of which the best counts.
        name: the part's name.

    Raises:
        RewardError: τ is not in (0, 1].
    """

    def __init__(self, threshold: float = 0.5, reference: str = "reference", name: str = "anls") -> None:
        super().__init__(self._compare, name, reference)
        if not 0.0 < threshold <= 1.0:
            raise RewardError(f"reward {name!r}: the threshold must lie in (0, 1], not {threshold}")
        self.threshold = threshold

    def _compare(self, prediction: str, reference: str) -> float:
        return anls(prediction, reference, self.threshold)


class ChartMatch(NumericMatch):
    r"""What was read off a chart: numbers within τ of the right one, other texts by `anls`.

    Range [0, 1], higher is better. Inspired by the chart reward of Mixed-R1 (arXiv 2505.24164), of which only "numbers
    by tolerance, text by edit distance" was at hand; see `NumericMatch` for the numbers.

    An empty completion scores 0 with a reason (the policy's fault); an empty reference is NaN.

    Args:
        tolerance: τ of numbers, relative.
        threshold: τ of texts; see `Anls`.
        reference: column of right answers; an entry may be a list, of which the best counts.
        name: the part's name.

    Raises:
        RewardError: a tolerance below 0 or a threshold that is not in (0, 1].
    """

    def __init__(
        self, tolerance: float = 0.05, threshold: float = 0.5, reference: str = "reference", name: str = "chart"
    ) -> None:
        super().__init__(tolerance, reference, name)
        if not 0.0 < threshold <= 1.0:
            raise RewardError(f"reward {name!r}: the threshold must lie in (0, 1], not {threshold}")
        self.threshold = threshold

    def texts(self, prediction: str, reference: str) -> float:
        """See `anls`."""
        return anls(prediction, reference, self.threshold)


def code_edits(source: str, changed: str) -> Counter[tuple[str, int, str]]:
    """The edits from one program to another: sign, line of the source (from 0), token; white space does not count."""
    before, places = _code_tokens(source)
    after, _ = _code_tokens(changed)
    edits: Counter[tuple[str, int, str]] = Counter()
    for kind, left, right, start, end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        edits.update(("-", places[at], before[at]) for at in range(left, right))
        edits.update(("+", places[left], token) for token in after[start:end])
    return edits


def diff_similarity(source: str, changed: str, reference: str) -> float:
    r"""F1 of the edits source → changed and source → reference, :math:`2|A \cap B| / (|A| + |B|)`; see `code_edits`.

    0 where nothing was changed, NaN where the reference changes nothing.
    """
    wanted = code_edits(source, reference)
    if not wanted:
        return math.nan
    made = code_edits(source, changed)
    return 2 * (made & wanted).total() / (made.total() + wanted.total())


class DiffSimilarity(Reward):
    """How much of a repair's changes are the right ones: F1 of edits, so that unchanged lines earn nothing.

    Range [0, 1], higher is better; see `diff_similarity`. For code repair and edits of SQL: after Code Security
    Vulnerability Repair (2024), which weighs semantic and syntactic similarity of whole programs; this form is ours.
    Edits are compared token by token, with the source's line on which they are made: the right tokens on another line
    do not count, and a repair that was made another way than the reference's earns little.

    A completion that is empty, changes nothing or is far longer than both programs (`longest` times) scores 0 with a
    reason (the policy's fault); a row whose reference is empty or changes nothing is NaN (the data's).

    Args:
        source: column of programs before the repair.
        reference: column of programs after it.
        longest: of a completion, as a multiple of the longer program.
        name: the part's name.

    Raises:
        RewardError: `longest` is below 1.
    """

    def __init__(
        self, source: str = "source", reference: str = "reference", longest: float = 4.0, name: str = "diff"
    ) -> None:
        if not 1.0 <= longest < math.inf:
            raise RewardError(f"reward {name!r}: longest {longest} must be 1 or more")
        self.source = source
        self.reference = reference
        self.longest = longest
        self.name = name
        self.needs = ("completion", source, reference)

    def score(self, **columns: Any) -> RewardOutput:
        """Compare each row's edits; see `Reward.score`."""
        rows = zip(columns["completion"], columns[self.source], columns[self.reference], strict=True)
        found = [self._row(*row) for row in rows]
        values = torch.tensor([value for value, _ in found], dtype=torch.float32)
        return RewardOutput(values, info={"reason": [reason for _, reason in found]})

    def _row(self, said: str, source: str, reference: str) -> tuple[float, str]:
        if not (reference or "").strip() or not code_edits(source, reference):
            return math.nan, "the reference changes nothing"
        if not said.strip():
            return 0.0, "the completion is empty"
        # Comparing takes the square of the length, which is the policy's to choose.
        if len(said) > self.longest * max(len(source), len(reference)):
            return 0.0, "the completion is far longer than the programs"
        value = diff_similarity(source, said, reference)
        return value, "" if value else "none of the changes is a right one"


def _code_tokens(text: str) -> tuple[list[str], list[int]]:
    """Tokens, and the line of each, with that of the end behind them."""
    lines = text.splitlines() or [""]
    several: Sequence[list[str]] = [_CODE.findall(line) for line in lines]
    places: Iterator[int] = chain.from_iterable([at] * len(found) for at, found in enumerate(several))
    return list(chain.from_iterable(several)), [*places, len(lines) - 1]
