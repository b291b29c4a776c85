"""Numbers read off a chart or a picture, as a reward."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from common.errors import RewardError
from common.rewards import functional
from common.rewards.text.matching import TextMatch

#: A number of at most 15 digits on a side, with thousands separated by commas or not, and a percent sign behind it.
_NUMBER = re.compile(
    r"(?<![\w.])([-+−]?(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,15})(?:\.\d{1,15})?|[-+−]?\.\d{1,15})(?!\d)(\s?%)?"
)


class NumericMatch(TextMatch):
    r""":math:`1[|\hat y - y| \le \tau |y|]` for a reference that is a number; exact match for one that is not.

    Range {0, 1}, higher is better. The relaxed accuracy of ChartQA (Masry et al. 2022, τ = 0.05), which chart rewards
    such as Mixed-R1's (arXiv 2505.24164) build on; that paper's own formula was not at hand. A completion that names
    several different numbers has not decided, and scores 0. A percent sign divides by 100; where the reference has
    none, a percentage may also be meant as the number before the sign.

    An empty completion scores 0 with a reason (the policy's fault); an empty reference is NaN.

    Args:
        tolerance: τ, relative; 0 asks for the same number.
        reference: column of right answers; an entry may be a list, of which the best counts.
        name: the part's name.

    Raises:
        RewardError: the tolerance is below 0.
    """

    def __init__(self, tolerance: float = 0.05, reference: str = "reference", name: str = "numeric") -> None:
        super().__init__(self._compare, name, reference)
        if not 0.0 <= tolerance < math.inf:
            raise RewardError(f"reward {name!r}: a tolerance of {tolerance} cannot be; give 0 or more")
        self.tolerance = tolerance

    def _compare(self, prediction: str, reference: str) -> float:
        wanted = numbers(reference)
        rest = _NUMBER.sub("", reference)
        if len(wanted) != 1 or any(char.isalpha() for char in rest):
            return self.texts(prediction, reference)
        said = set(numbers(prediction))
        if len(said) != 1:
            return 0.0
        (value, percent), (right, right_percent) = said.pop(), wanted[0]
        readings = [value, value * 100] if percent and not right_percent else [value]
        return float(any(abs(one - right) <= Fraction(self.tolerance) * abs(right) for one in readings))

    def texts(self, prediction: str, reference: str) -> float:
        """The value where the reference is no number: exact match."""
        return functional.exact_match(prediction, reference)


def numbers(text: str) -> list[tuple[Fraction, bool]]:
    """The numbers in a text, exactly, and whether each is a percentage (and so divided by 100)."""
    found = []
    for digits, percent in _NUMBER.findall(text):
        value = Fraction(digits.replace(",", "").replace("−", "-"))
        found.append((value / 100 if percent else value, bool(percent)))
    return found
