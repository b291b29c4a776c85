"""Two sets of captions of the same pictures, metric by metric: difference, interval, p-value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from apps.captioning.measures.java import meteor
from apps.captioning.measures.measurement import RESAMPLES, Measurement, MetricResult
from common.errors import DataError
from common.rewards.text.ngrams import bleu
from common.stats import CHUNK, Interval, PairedTest, paired_bootstrap


def paired_tests(other: Measurement, measurement: Measurement) -> dict[str, PairedTest]:
    """This set against another one, on the pictures both have, by a paired bootstrap over pictures.

    Metrics that either lacks, and figures of a set as a whole (vocabulary), are left out. BLEU and METEOR are taken
    from resampled sums; the others are means of the pictures' values, CIDEr-D with each set's own document frequency.

    Raises:
        DataError: they have no picture in common.
    """
    places = {str(key): at for at, key in enumerate(other.ids)}
    pairs = [(places[str(key)], at) for at, key in enumerate(measurement.ids) if str(key) in places]
    if not pairs:
        raise DataError(
            "the two evaluations have no picture in common; a paired test needs the same pictures "
            f"(ids such as {list(other.ids[:1])} and {list(measurement.ids[:1])})"
        )
    left, right = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    tests: dict[str, PairedTest] = {}
    for name, result in measurement.results.items():
        before = other.results.get(name)
        if before is None:
            continue
        statistic = _of_sums(name)
        if statistic is not None and result.value is not None and before.value is not None:
            place = "bleu1" if name.startswith("bleu") else name
            first, second = _rows(other.results[place].sums, left), _rows(measurement.results[place].sums, right)
            tests[name] = _of_two_sums(first, second, statistic)
        elif statistic is None and result.each and before.each and not name.endswith("median_rank"):
            tests[name] = paired_bootstrap(_rows(before.each, left), _rows(result.each, right), n=RESAMPLES)
    return tests


def _of_sums(name: str) -> Callable[[Any], Any] | None:
    """How a figure comes from sums over pictures; None where it is a mean of the pictures' values."""
    if name.startswith("bleu"):
        order = int(name.removeprefix("bleu")) - 1
        return lambda sums: bleu(sums)[..., order]
    return meteor if name == "meteor" else None


def _of_two_sums(first: Any, second: Any, statistic: Callable[[Any], Any]) -> PairedTest:
    """The paired bootstrap of `stats.paired_bootstrap`, for a figure of sums."""
    rng = np.random.default_rng(0)
    size = len(first)
    step = max(1, CHUNK // (size * first.shape[1]))
    draws = []
    for start in range(0, RESAMPLES, step):
        picks = rng.integers(0, size, (min(step, RESAMPLES - start), size))
        draws.append(statistic(second[picks].sum(1)) - statistic(first[picks].sum(1)))
    differences = np.concatenate(draws)
    observed = float(statistic(second.sum(0)) - statistic(first.sum(0)))
    low, high = (float(end) for end in np.quantile(differences, [0.025, 0.975]))
    extreme = int((np.abs(differences - observed) >= abs(observed) * (1 - 1e-12)).sum())
    own = statistic(second) - statistic(first)
    return PairedTest(
        Interval(observed, low, high, size),
        (extreme + 1) / (RESAMPLES + 1),
        int((own > 0).sum()),
        int((own < 0).sum()),
    )


def _rows(values: Sequence[Any], rows: Sequence[int]) -> Any:
    return np.asarray(values, float)[list(rows)]


def lowest(result: MetricResult, count: int) -> list[int]:
    """Rows of the pictures that a metric finds worst, the worst first; NaN is passed over."""
    values = np.asarray(result.each, float)
    order = np.argsort(values, kind="stable")
    return [int(row) for row in order if not np.isnan(values[row])][:count]
