"""Dates and times of day."""

from __future__ import annotations

from collections.abc import Sequence

from apps.medvqa.answers.quantities import Quantity
from apps.medvqa.answers.text import Token

_MONTHS = {
    name: at // 2 + 1
    for at, name in enumerate(
        (
            "january", "jan", "february", "feb", "march", "mar", "april", "apr", "may", "may", "june", "jun",
            "july", "jul", "august", "aug", "september", "sep", "october", "oct", "november", "nov", "december", "dec",
        )
    )
}  # fmt: skip
_MONTHS["sept"] = 9


def read_date(tokens: Sequence[Token], at: int) -> tuple[list[Quantity], int] | None:
    """The date or time of day that begins at a token, and where the text goes on; None where none begins there.

    A date is a number, 10000 y + 100 m + d, with 0 for what is not said; one that may be read in two orders
    (03/04/2015) has the other reading as its upper end. A time of day is in minutes.
    """
    text = tokens[at].text
    if text in _MONTHS:
        return _month_first(tokens, at)
    if not tokens[at].is_number:
        return None
    return _day_first(tokens, at) or _numeric(tokens, at) or _time(tokens, at)


def _number(tokens: Sequence[Token], at: int, low: int, high: int) -> int | None:
    if at >= len(tokens) or not tokens[at].text.isdecimal():
        return None
    value = int(tokens[at].text)
    return value if low <= value <= high else None


def _skip(tokens: Sequence[Token], at: int, words: tuple[str, ...]) -> int:
    while at < len(tokens) and tokens[at].text in words:
        at += 1
    return at


def _month_first(tokens: Sequence[Token], at: int) -> tuple[list[Quantity], int] | None:
    """March 3, 2015; March 2015; March 3."""
    month, at = _MONTHS[tokens[at].text], at + 1
    day = _number(tokens, at, 1, 31)
    if day is not None:
        at = _skip(tokens, at + 1, ("st", "nd", "rd", "th", ",", "of"))
    year = _number(tokens, at, 1000, 2999)
    if day is None and year is None:
        return None
    return [_date(year or 0, month, day or 0)], at + (year is not None)


def _day_first(tokens: Sequence[Token], at: int) -> tuple[list[Quantity], int] | None:
    """3 March 2015; 3rd of March."""
    day = _number(tokens, at, 1, 31)
    after = _skip(tokens, at + 1, ("st", "nd", "rd", "th", "of"))
    if day is None or after >= len(tokens) or tokens[after].text not in _MONTHS:
        return None
    month = _MONTHS[tokens[after].text]
    at = _skip(tokens, after + 1, (",",))
    year = _number(tokens, at, 1000, 2999)
    return [_date(year or 0, month, day)], at + 1 if year is not None else after + 1


def _numeric(tokens: Sequence[Token], at: int) -> tuple[list[Quantity], int] | None:
    """2015-03-04, 04.03.2015, 3/4/2015."""
    if at + 4 < len(tokens) and tokens[at + 1].text == tokens[at + 3].text and tokens[at + 1].text in ("-", "/", "."):
        year = _number(tokens, at, 1000, 2999)
        month, day = _number(tokens, at + 2, 1, 12), _number(tokens, at + 4, 1, 31)
        if year is not None and month is not None and day is not None:
            return [_date(year, month, day)], at + 5
        year = _number(tokens, at + 4, 1000, 2999)
        first, second = _number(tokens, at, 1, 31), _number(tokens, at + 2, 1, 31)
        if year is not None and first is not None and second is not None:
            return [_either(year, first, second)], at + 5
    # 12.01.2020 is cut as 12.01, ., 2020.
    whole, _, part = tokens[at].text.partition(".")
    year = _number(tokens, at + 2, 1000, 2999) if at + 1 < len(tokens) and tokens[at + 1].text == "." else None
    if year is not None and part.isdecimal() and 1 <= int(part) <= 12 and 1 <= int(whole) <= 31:
        return [_date(year, int(part), int(whole))], at + 3
    return None


def _either(year: int, first: int, second: int) -> Quantity:
    if first > 12:
        return _date(year, second, first)
    if second > 12 or first == second:
        return _date(year, first, second)
    one, other = _date(year, first, second), _date(year, second, first)
    return Quantity(one.low, other.low, "", "date")


def _date(year: int, month: int, day: int) -> Quantity:
    value = float(10_000 * year + 100 * month + day)
    return Quantity(value, value, "", "date")


def _time(tokens: Sequence[Token], at: int) -> tuple[list[Quantity], int] | None:
    """14:30, 2:30 pm, 3 pm; a colon without two digits behind it is a ratio's."""
    hour = _number(tokens, at, 0, 23)
    minute = 0
    if hour is None:
        return None
    end = at + 1
    if at + 2 < len(tokens) and tokens[at + 1].text == ":" and len(tokens[at + 2].text) == 2:
        found = _number(tokens, at + 2, 0, 59)
        if found is None:
            return None
        minute, end = found, at + 3
    half = tokens[end].raw if end < len(tokens) else ""
    if half not in ("am", "pm"):
        if end == at + 1 or (end < len(tokens) and tokens[end].text == ":"):
            return None
    else:
        hour, end = hour % 12 + (12 if half == "pm" else 0), end + 1
    value = float(60 * hour + minute)
    return [Quantity(value, value, "", "time")], end


def same_date(reference: Quantity, answer: Quantity) -> float:
    """1 for the same date or time, 0.5 for a part of it (its year, or its month and year), 0 for another."""
    if reference.kind == "time" or answer.kind == "time":
        return float(reference.kind == answer.kind and reference.low == answer.low)
    if answer.kind == "number":
        # A year alone.
        return 0.4 if answer.low == reference.low // 10_000 else 0.0
    mine, its = {reference.low, reference.high}, {answer.low, answer.high}
    if mine & its:
        return 1.0
    general = {value - value % 100 for value in mine}
    return 0.55 if any(value in general for value in its) else 0.0
