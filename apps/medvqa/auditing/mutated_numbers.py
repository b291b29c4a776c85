"""Sizes, counts and units made wrong; `mutations` lists the operators."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from apps.medvqa.auditing.mutation_words import COUNT_DIGITS, COUNTS, MEASURE, NUMBER, UNITS, find, put
from apps.medvqa.auditing.told import Told


def tenfold(told: Told, rng: random.Random) -> str | None:
    """Ten times the size. Applies to numbers with a unit."""
    return _measured(told, lambda number: number * 10)


def other_value(told: Told, rng: random.Random) -> str | None:
    """Another value of the same order: two thirds less, or twice to three times as much. Applies as `tenfold` does."""
    factor = rng.choice((1 / 3, 2, 3))
    return _measured(told, lambda number: max(1.0, round(number * factor)) if number >= 3 else number * max(2, factor))


def count(told: Told, rng: random.Random) -> str | None:
    """One more. Applies to numbers without a unit, in words or digits."""
    return _counted(told, lambda number: number + 1)


def other_count(told: Told, rng: random.Random) -> str | None:
    """Another count, at least two away. Applies as `count` does."""
    distance = rng.choice((2, 3, 4))
    return _counted(told, lambda number: number + distance)


def unit(told: Told, rng: random.Random) -> str | None:
    """Another unit with the same digits. Applies to numbers with a unit of `UNITS`."""
    match = MEASURE.search(told.answer)
    if match is None or told.denies:
        return None
    units = [one for one in re.finditer(r"[^\W\d_]+|%", match[0]) if one[0].lower() in UNITS]
    text = match[0]
    for one in reversed(units):
        text = text[: one.start()] + UNITS[one[0].lower()] + text[one.end() :]
    return told.answer[: match.start()] + text + told.answer[match.end() :] if units else None


def _measured(told: Told, change: Callable[[float], float]) -> str | None:
    match = MEASURE.search(told.answer)
    if match is None or told.denies:
        return None
    changed = NUMBER.sub(lambda one: f"{change(float(one[0])):.6g}", match[0])
    return told.answer[: match.start()] + changed + told.answer[match.end() :]


def _counted(told: Told, change: Callable[[int], int]) -> str | None:
    if told.denies or told.yes_or_no:
        return None
    text = MEASURE.sub(lambda match: "#" * len(match[0]), told.answer)
    digits = COUNT_DIGITS.search(text)
    if digits is not None:
        return told.answer[: digits.start()] + str(change(int(digits[0]))) + told.answer[digits.end() :]
    words = find(COUNTS, text)
    if not words:
        return None
    number = change(COUNTS.index(words[0][0].lower()))
    word = COUNTS[number] if number < len(COUNTS) else str(number)
    return put(told.answer, words[0].start(), words[0].end(), word)
