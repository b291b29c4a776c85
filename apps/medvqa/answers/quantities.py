"""Numbers as people write them: measures with units, ranges, bounds, counts, grades, percentages, ratios."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from apps.medvqa.answers.numerals import (
    ABOUT,
    ANY_GRADE,
    BOUND_SIGNS,
    BOUND_WORDS,
    BOUNDS_BEHIND,
    FRACTIONS,
    GRADE_WORDS,
    LEVELS,
    NERVES,
    NUMBER_WORDS,
    ORDINALS,
    SCALES,
    SPINE,
    UNIT_NAMES,
    graded,
    unit,
)
from apps.medvqa.answers.text import Token


@dataclass(frozen=True)
class Quantity:
    """A number and what it counts or measures.

    Attributes:
        low, high: the ends of a range in the base unit; equal for one number.
        unit: dimension of the unit, such as "[length]"; "%" for percentages, "" without a unit.
        kind: "measure", "number", "grade", "ratio".
        bound: "<", ">" or "".
        about: the writer says that it is approximate.
        name: of a grade: the word before it; of a multi-dimensional measure "x".
        suffix: of a grade: the letter after it.
        total: of a share: out of how many.
    """

    low: float
    high: float
    unit: str = ""
    kind: str = "number"
    bound: str = ""
    about: bool = False
    name: str = ""
    suffix: str = ""
    total: float = 0.0

    @property
    def is_range(self) -> bool:
        """Whether it has two different ends."""
        return self.low != self.high


#: Nought of what is counted.
NONE = Quantity(0.0, 0.0)
#: Names of nerves that stand for something else without the word.
_OTHER_USES = frozenset({"olfactory", "optic", "facial", "accessory"})
_ENDINGS = frozenset({"st", "nd", "rd", "th"})
_TO = frozenset({"to", "through", "-"})
_JOINERS = frozenset({"x", "×", "*", "by", "-", "to", "and", "through", "/", ":"})


def read_quantity(tokens: Sequence[Token], at: int) -> tuple[list[Quantity], int] | None:
    """The quantities that begin at a token, and where the text goes on; None where none begins there.

    "3 x 4 cm" gives two; "2-3 cm", "2 to 3 cm" and "between 2 and 3 cm" give one range.
    """
    text = tokens[at].text
    if text in NERVES and (text not in _OTHER_USES or (at + 1 < len(tokens) and tokens[at + 1].text == "nerve")):
        return [Quantity(NERVES[text], NERVES[text], "", "grade", name="nerve")], at
    if (
        text == "between"
        and at + 3 < len(tokens)
        and tokens[at + 2].text == "and"
        and _LEVEL.match(tokens[at + 1].text)
    ):
        return _level(tokens, at + 1, "and")
    if _TNM.match(text) and _is_tnm(tokens, at):
        stage, letter = graded(text[1:]) or (-1.0, "")
        return [Quantity(stage, stage, "", "grade", name=f"tnm {text[0]}", suffix=letter)], at + 1
    if not (tokens[at].is_number or text in _STARTERS):
        return _level(tokens, at) if text[0] in LEVELS and text not in ("t1", "t2") else None
    start = at
    at, bound, about = _introduced(tokens, at)
    sign = -1.0 if at < len(tokens) and tokens[at].text == "minus" else 1.0
    at += sign < 0
    if at >= len(tokens):
        return None
    between = tokens[at].text == "between"
    if between:
        at += 1
    value = _value(tokens, at)
    if value is None:
        return _grade(tokens, start)
    if value[1] == at + 2 and tokens[at + 1].text in _ENDINGS and value[1] < len(tokens):
        name = tokens[value[1]].text
        if name in GRADE_WORDS:
            # "2nd degree" is no angle.
            return [Quantity(value[0], value[0], "", "grade", name=SCALES.get(name, name))], value[1] + 1
    numbers, spread, at, whole = _series(tokens, sign * value[0], value[1], between)
    if whole is not None:
        return whole
    name, at = _unit_at(tokens, at)
    factor, dimension = unit(name) if name else (1.0, "")
    if at + 1 < len(tokens) and tokens[at].text == "or" and tokens[at + 1].text in BOUNDS_BEHIND:
        bound, at = BOUNDS_BEHIND[tokens[at + 1].text], at + 2
    plain = Quantity(0, 0, dimension, "measure" if name else "number", bound, about)
    if spread:
        low, high = sorted(number * factor for number in numbers[:2])
        return [replace(plain, low=low, high=high)], at
    if name and len(numbers) == 1:
        numbers[0], at = _with_smaller_unit(tokens, at, numbers[0], factor, dimension)
    several = "x" if len(numbers) > 1 else ""
    return [replace(plain, low=n * factor, high=n * factor, name=several) for n in numbers], at


def _series(
    tokens: Sequence[Token], first: float, at: int, between: bool
) -> tuple[list[float], bool, int, tuple[list[Quantity], int] | None]:
    """The numbers that follow a number: dimensions or a range; or the ratio or share that it turned out to be."""
    numbers = [first]
    while at < len(tokens):
        # "2 cm x 3 cm", "2 cm to 3 cm": a unit may stand behind each number.
        joined = at + 1 < len(tokens) and tokens[at + 1].text in ("x", "×", "to", "-", *(["and"] if between else []))
        skip = 1 if tokens[at].text in UNIT_NAMES and joined else 0
        joiner = tokens[at + skip].text
        if joiner == "+" and len(numbers) == 1 and (second := _value(tokens, at + 1)):
            return numbers, False, at, _sum(first, second, tokens)
        if joiner == "over" and len(numbers) == 1 and (second := _value(tokens, at + 1)):
            return numbers, False, at, _ratio(first, second, "share", tokens)
        if joiner in ("in", "out") and len(numbers) == 1:
            total = _value(tokens, at + (2 if joiner == "out" else 1))
            if total and total[0] >= first and total[0] > 1 and not _unit_at(tokens, total[1])[0]:
                return numbers, False, at, _ratio(first, total, "share", tokens)
        following = _value(tokens, at + skip + 1) if joiner in _JOINERS else None
        if following is None or (joiner == "and" and not between):
            break
        if joiner in ("/", ":"):
            return numbers, False, at, _ratio(first, following, "ratio" if joiner == ":" else "share", tokens)
        if skip:
            numbers[-1] = _scaled(numbers[-1], tokens[at].text, tokens, following[1])
        numbers.append(following[0])
        at = following[1]
        if joiner in ("-", "to", "and", "through"):
            return numbers, True, at, None
    return numbers, False, at, None


def _sum(first: float, second: tuple[float, int], tokens: Sequence[Token]) -> tuple[list[Quantity], int]:
    """A Gleason score: 3+4, with or without "= 7"."""
    number, at = second
    if at + 1 < len(tokens) and tokens[at].text == "=" and (more := _value(tokens, at + 1)):
        at = more[1]
    return [Quantity(first, number, "", "sum")], at


def _with_smaller_unit(
    tokens: Sequence[Token], at: int, number: float, factor: float, dimension: str
) -> tuple[float, int]:
    """20 weeks 3 days, 1 h 30 min: one number, in the first unit."""
    following = _value(tokens, at + (at < len(tokens) and tokens[at].text == "and"))
    if following is None or not tokens[at].is_number:
        return number, at
    name, end = _unit_at(tokens, following[1])
    if not name:
        return number, at
    smaller, its = unit(name)
    return (number + following[0] * smaller / factor, end) if its == dimension and smaller < factor else (number, at)


#: T2, N0, M1b: only side by side; T1 and T2 alone are MR weightings.
_TNM = re.compile(r"[tnm](?:[0-4]|x)[a-d]?$")


def _is_tnm(tokens: Sequence[Token], at: int) -> bool:
    near = [tokens[place].text for place in (at - 1, at + 1) if 0 <= place < len(tokens)]
    return any(_TNM.match(text) and text[0] != tokens[at].text[0] for text in near)


_LETTERED = re.compile(r"([a-z]{1,2})(\d)([a-d]?)$")


def lettered(text: str, staging: bool) -> Quantity | None:
    """A grade behind its scale's letters, where a grade is asked for: "F3", "TR5"; of T, N and M where a stage is."""
    match = _LETTERED.match(text)
    if match is None:
        return None
    letters, value = match[1], float(match[2])
    if letters[-1] in "tnm" and (len(letters) == 1 or letters[0] in "cpy"):
        return Quantity(value, value, "", "grade", name=f"tnm {letters[-1]}", suffix=match[3]) if staging else None
    return None if letters in LEVELS else Quantity(value, value, "", "grade", suffix=match[3])


def _introduced(tokens: Sequence[Token], at: int) -> tuple[int, str, bool]:
    bound, about = "", False
    while at < len(tokens):
        text = tokens[at].text
        if text in ABOUT:
            about, at = True, at + 1
        elif text in BOUND_SIGNS:
            bound, at = BOUND_SIGNS[text], at + 1
        else:
            found = next(
                (words for words in BOUND_WORDS if tuple(t.text for t in tokens[at : at + len(words)]) == words),
                None,
            )
            if found is None or bound:
                break
            bound, at = BOUND_WORDS[found], at + len(found)
    return at, bound, about


_STARTERS = (
    frozenset(NUMBER_WORDS)
    | frozenset(ORDINALS)
    | frozenset(BOUND_SIGNS)
    | ABOUT
    | frozenset(words[0] for words in BOUND_WORDS)
    | GRADE_WORDS
    | {"between", "half", "quarter", "minus"}
)


def _value(tokens: Sequence[Token], at: int) -> tuple[float, int] | None:
    if at >= len(tokens):
        return None
    text = tokens[at].text
    if tokens[at].is_number:
        number = float(text)
        if at + 1 < len(tokens) and tokens[at + 1].text in _ENDINGS:
            return number, at + 2
        return number, at + 1
    if text in NUMBER_WORDS:
        number = NUMBER_WORDS[text]
        part = FRACTIONS.get(tokens[at + 1].text) if at + 1 < len(tokens) and number < 20 else None
        if part is not None and not (at + 2 < len(tokens) and tokens[at + 2].text in GRADE_WORDS):
            return number * part, at + 2
        if number >= 20 and at + 1 < len(tokens) and 0 < NUMBER_WORDS.get(tokens[at + 1].text, 0) < 10:
            return number + NUMBER_WORDS[tokens[at + 1].text], at + 2
        return number, at + 1
    if text in ("half", "quarter"):
        return FRACTIONS[text], at + 1
    return None


def _ratio(first: float, second: tuple[float, int], kind: str, tokens: Sequence[Token]) -> tuple[list[Quantity], int]:
    """A ratio ("1:2"), a share ("1/3"), or parts that keep their places: "120/80", the numbers of a date."""
    number, at = second
    numbers = [first, number]
    while at + 1 < len(tokens) and tokens[at].text in ("/", ":", "-") and (more := _value(tokens, at + 1)):
        numbers.append(more[0])
        at = more[1]
    if len(numbers) == 2 and number and kind == "ratio":
        return [Quantity(first / number, first / number, "", "ratio")], at
    if len(numbers) == 2 and first < number:
        return [Quantity(first / number, first / number, total=number)], at
    name, at = _unit_at(tokens, at)
    dimension = unit(name)[1] if name else ""
    return [Quantity(one, one, dimension, "part", name=str(place)) for place, one in enumerate(numbers)], at


def _unit_at(tokens: Sequence[Token], at: int) -> tuple[str, int]:
    if at >= len(tokens):
        return "", at
    if tokens[at].text == "-" and at + 1 < len(tokens) and tokens[at + 1].raw in UNIT_NAMES:
        at += 1  # "3-cm mass"
    token = tokens[at]
    raw = token.raw if token.raw in UNIT_NAMES else token.text
    if raw in ("°", "degree") and at + 1 < len(tokens) and tokens[at + 1].raw in ("c", "celsius", "centigrade"):
        return "celsius", at + 2
    if raw == "mm" and at + 1 < len(tokens) and tokens[at + 1].raw == "hg":
        return "mmHg", at + 2
    if raw == "per" and at + 1 < len(tokens) and tokens[at + 1].raw == "cent":
        return "percent", at + 2
    if raw in UNIT_NAMES:
        return UNIT_NAMES[raw], at + 1
    return "", at


def _scaled(number: float, given: str, tokens: Sequence[Token], last: int) -> float:
    """A number with its own unit, in the unit that stands at the end."""
    name, _ = _unit_at(tokens, last)
    factor, dimension = unit(UNIT_NAMES[given])
    end, its = unit(name) if name else (factor, dimension)
    return number * factor / end if its == dimension else number


def _grade(tokens: Sequence[Token], at: int) -> tuple[list[Quantity], int] | None:
    """A grade: "Stage IIIa", "BI-RADS 4", "grade 2 to 3", "third degree"."""
    word = tokens[at].text
    if word in ORDINALS:
        if at + 1 < len(tokens) and tokens[at + 1].text in GRADE_WORDS:
            value, name = ORDINALS[word], tokens[at + 1].text
            return [Quantity(value, value, "", "grade", name=SCALES.get(name, name))], at + 2
        spine = SPINE.get(tokens[at + 1].text) if at + 1 < len(tokens) else None
        if spine and at + 2 < len(tokens) and tokens[at + 2].text in ("vertebra", "vertebral", "level"):
            return [Quantity(ORDINALS[word], ORDINALS[word], "", "grade", name=spine)], at + 3
        if at + 2 < len(tokens) and tokens[at + 1].text in _TO and tokens[at + 2].text in ORDINALS:
            after = at + 3
            name = tokens[after].text if after < len(tokens) and tokens[after].text in GRADE_WORDS else ""
            low, high = ORDINALS[word], ORDINALS[tokens[at + 2].text]
            return [Quantity(low, high, "", "grade", name=SCALES.get(name, name))], after + bool(name)
        name = "nerve" if at + 2 < len(tokens) and tokens[at + 2].text == "nerve" else ""
        return [Quantity(ORDINALS[word], ORDINALS[word], "", "grade", name=name)], at + 1
    if word not in GRADE_WORDS:
        return None
    end = at + 1
    while end < len(tokens) and (tokens[end].text in GRADE_WORDS or tokens[end].text in ("-", ":", "of", "is")):
        end += 1
    if end >= len(tokens):
        return None
    found = graded(tokens[end].text)
    if found is None:
        return None
    if end + 1 < len(tokens) and tokens[end + 1].text == "+":
        return read_quantity(tokens, end)
    value, suffix = found
    end += 1
    if not suffix and end < len(tokens) and re.fullmatch("[a-f]", tokens[end].raw) and tokens[end].raw != "a":
        suffix, end = tokens[end].raw, end + 1
    high = value
    if end + 1 < len(tokens) and tokens[end].text in ("-", "to", "/"):
        more = graded(tokens[end + 1].text)
        if more is not None:
            high, end = more[0], end + 2
    names = [tokens[place].text for place in range(at, end) if tokens[place].text in GRADE_WORDS]
    name = next((one for one in names if one not in ANY_GRADE), word)
    first = Quantity(min(value, high), max(value, high), "", "grade", name=SCALES.get(name, name), suffix=suffix)
    return _more_grades(tokens, end, [first])


def _more_grades(tokens: Sequence[Token], end: int, found: list[Quantity]) -> tuple[list[Quantity], int]:
    """The grades of a list whose word stands before the first: "ribs 5, 6 and 7"; a measure ends it."""
    while end < len(tokens) and tokens[end].text in (",", "and", "&"):
        at = end + 1 + (tokens[end].text == "," and end + 1 < len(tokens) and tokens[end + 1].text == "and")
        more = graded(tokens[at].text) if at < len(tokens) else None
        if more is None or _unit_at(tokens, at + 1)[0] or tokens[at].text in NUMBER_WORDS:
            break
        found.append(replace(found[0], low=more[0], high=more[0], suffix=more[1]))
        end = at + 1
    return found, end


_LEVEL = re.compile(r"([ctls])(\d{1,2})$")


def _level(tokens: Sequence[Token], at: int, joiner: str = "-") -> tuple[list[Quantity], int] | None:
    """Levels of the spine: "L4", "L3-L5", "L4/5", "fourth lumbar vertebra"; T1 and T2 are MR weightings more often."""
    match = _LEVEL.match(tokens[at].text)
    if not match:
        return None
    letter, low = match.group(1), float(match.group(2))
    end, high = at + 1, low
    if letter == "s" and low > 5:
        # S8 is a segment of liver or lung.
        return [Quantity(low, low, "", "grade", name="segment")], end
    if end + 1 < len(tokens) and tokens[end].text in ("-", "to", "/", "through", joiner):
        after = _LEVEL.match(tokens[end + 1].text)
        if after and after.group(1) != letter:
            return [Quantity(low, float(after.group(2)), "", "grade", name=letter + after.group(1))], end + 2
        if after:
            high, end = float(after.group(2)), end + 2
        elif tokens[end + 1].is_number:
            high, end = float(tokens[end + 1].text), end + 2
    return [Quantity(min(low, high), max(low, high), "", "grade", name=letter)], end
