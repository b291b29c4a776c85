"""How far an answered number is right."""

from __future__ import annotations

from dataclasses import replace

from apps.medvqa.answers.dates import same_date
from apps.medvqa.answers.numerals import ANY_GRADE, LEVELS
from apps.medvqa.answers.quantities import Quantity


def agreement(reference: Quantity, answer: Quantity) -> float:
    """How far an answered number is right, in [0, 1]; below 0.3 it is wrong.

    1 for the same value (within 2 %, or 10 % where the reference says "about"), whatever the unit; 0.55 inside the
    reference's range, 0.5 for a number without its unit, 0.4 within 10 %; 0 for another dimension or another number.
    """
    if reference.unit and answer.unit and reference.unit != answer.unit:
        return 0.0
    if "part" in (reference.kind, answer.kind):
        return float(reference.kind == answer.kind and reference.name == answer.name and reference.low == answer.low)
    if {"date", "time"} & {reference.kind, answer.kind}:
        return same_date(reference, answer) if reference.kind in ("date", "time") else 0.0
    if "sum" in (reference.kind, answer.kind):
        return _same_sum(reference, answer)
    if reference.total != answer.total and "ratio" not in (reference.kind, answer.kind):
        return _out_of(reference, answer)
    if "ratio" in (reference.kind, answer.kind):
        return _same_ratio(reference, answer)
    if reference.kind == "grade" or answer.kind == "grade":
        return _same_grade(reference, answer)
    if bool(reference.unit) != bool(answer.unit):
        if "%" in (reference.unit, answer.unit):
            return _percent(reference, answer)
        return 0.0 if not reference.unit and reference.kind == "number" else _without_unit(reference, answer)
    if reference.bound != answer.bound and reference.bound and answer.bound:
        return 0.0
    if reference.is_range or answer.is_range:
        return _ranges(reference, answer)
    found = _close(reference, answer.low)
    if reference.bound != answer.bound and found:
        return 0.5
    return found


def _same_sum(reference: Quantity, answer: Quantity) -> float:
    """3+4 is not 4+3, though both are 7."""
    if reference.kind == answer.kind:
        return float((reference.low, reference.high) == (answer.low, answer.high))
    totals = [one.low + one.high if one.kind == "sum" else one.low for one in (reference, answer)]
    return 0.8 if totals[0] == totals[1] else 0.0


def _out_of(reference: Quantity, answer: Quantity) -> float:
    """7/10 against 7, and against 0.7 or 70 %."""
    plain = agreement(replace(reference, total=0.0), replace(answer, total=0.0))
    if plain >= 0.3:
        return plain
    counts = [one.low * one.total if one.total else one.low for one in (reference, answer)]
    same = not (reference.unit or answer.unit) and abs(counts[0] - counts[1]) < 1e-6
    return 0.95 if same and not (reference.total and answer.total) else 0.0


def _same_ratio(reference: Quantity, answer: Quantity) -> float:
    """A ratio against "1 to 2", which reads as a range, and against 0.5."""
    mine, its = (one.low / one.high if one.is_range and one.high else one.low for one in (reference, answer))
    return float(abs(mine - its) <= 1e-6)


def _same_grade(reference: Quantity, answer: Quantity) -> float:
    if reference.name != answer.name and not {reference.name, answer.name} & ANY_GRADE:
        return 0.0
    if (reference.name in LEVELS) != (answer.name in LEVELS):
        return 0.0
    if (reference.low, reference.high) != (answer.low, answer.high):
        return 0.55 if reference.low <= answer.low <= answer.high <= reference.high else 0.0
    if reference.suffix != answer.suffix:
        return 0.6 if not answer.suffix or not reference.suffix else 0.25
    return 1.0


def _percent(reference: Quantity, answer: Quantity) -> float:
    """A share as a percentage and as a plain number: 55 % is 0.55, and probably 55."""
    bare, full = (answer, reference) if reference.unit else (reference, answer)
    if abs(bare.low - full.low) <= 1e-6 + 0.012 * full.low:
        return 1.0
    return 0.7 if abs(bare.low * 0.01 - full.low) <= 1e-6 else 0.0


def _without_unit(reference: Quantity, answer: Quantity) -> float:
    """One of the two lacks its unit: half right where the bare number would be right in some usual unit."""
    if reference.unit in ("[length]", "[mass]", "[length] ** 3", "[time]"):
        bare, full = (answer, reference) if reference.unit else (reference, answer)
        factors = {
            "[length]": (1e-3, 1e-2),
            "[mass]": (1e-6, 1e-3, 1.0),
            "[length] ** 3": (1e-6,),
            "[time]": (86400.0, 604800.0, 2629800.0, 31557600.0),
        }
        return (
            0.5 if any(abs(bare.low * f - full.low) <= 0.02 * abs(full.low) for f in factors[reference.unit]) else 0.0
        )
    return 0.8 if abs(reference.low - answer.low) <= 0.02 * max(abs(reference.low), 1e-9) else 0.0


def _ranges(reference: Quantity, answer: Quantity) -> float:
    overlap = min(reference.high, answer.high) - max(reference.low, answer.low)
    slack = 0.02 * max(abs(reference.high), 1e-12)
    if abs(reference.low - answer.low) <= slack and abs(reference.high - answer.high) <= slack:
        return 1.0
    if not answer.is_range:
        return 0.55 if reference.low - slack <= answer.low <= reference.high + slack else 0.0
    if not reference.is_range:
        return 0.45 if answer.low - slack <= reference.low <= answer.high + slack else 0.0
    union = max(reference.high, answer.high) - min(reference.low, answer.low)
    return 0.6 * max(0.0, overlap) / union if union else 0.0


def _close(reference: Quantity, value: float) -> float:
    error = abs(reference.low - value) / max(abs(reference.low), 1e-12)
    if reference.kind != "measure" and not reference.about and reference.unit != "%":
        return 1.0 if error < 1e-6 else 0.0
    if error <= (0.1 if reference.about else 0.02):
        return 1.0
    return 0.4 if error <= 0.1 and reference.unit.startswith("[length]") else 0.0
