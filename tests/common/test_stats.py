"""Intervals and tests against scipy where it is installed, against values worked out by hand, and for coverage."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import stats

SMALL_INTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=25)


def test_percentile_and_bca_agree_with_scipy():
    scipy_stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(1).exponential(size=60)
    for statistic in (np.mean, np.median, np.std):
        for method, name in (("percentile", "percentile"), ("bca", "BCa")):
            ours = stats.bootstrap(values, statistic, n=20_000, method=method)
            theirs = scipy_stats.bootstrap((values,), statistic, n_resamples=20_000, method=name, rng=7)
            interval = theirs.confidence_interval
            width = interval.high - interval.low
            assert ours.low == pytest.approx(interval.low, abs=0.06 * width)
            assert ours.high == pytest.approx(interval.high, abs=0.06 * width)
            assert ours.mean == pytest.approx(statistic(values))


def test_bca_of_a_skewed_mean_lies_above_the_percentile_interval():
    values = np.random.default_rng(3).exponential(size=25)
    percentile, bca = stats.bootstrap(values), stats.bootstrap(values, method="bca")
    assert bca.low > percentile.low
    assert bca.high > percentile.high


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_covers_the_truth_about_as_often_as_it_says(method):
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(400):
        interval = stats.bootstrap(rng.random(80) < 0.4, n=400, seed=trial, method=method)
        hits += interval.low <= 0.4 <= interval.high
    assert 0.91 <= hits / 400 <= 0.985


def test_only_the_cluster_bootstrap_covers_when_seven_rows_share_their_luck():
    rng = np.random.default_rng(5)
    with_groups = without = 0
    groups = np.repeat(np.arange(60), 7)
    for trial in range(200):
        values = np.repeat(rng.random(60) < 0.5, 7)
        clustered = stats.bootstrap(values, n=300, seed=trial, groups=groups)
        naive = stats.bootstrap(values, n=300, seed=trial)
        with_groups += clustered.low <= 0.5 <= clustered.high
        without += naive.low <= 0.5 <= naive.high
    assert with_groups / 200 >= 0.88
    assert without / 200 <= 0.7


def test_cluster_means_equal_the_general_path_and_unequal_groups_weigh_by_rows():
    values, groups = [1.0, 1.0, 1.0, 0.0, 0.5], ["a", "a", "a", "b", "c"]
    fast = stats.bootstrap(values, groups=groups, seed=4)
    general = stats.bootstrap(values, lambda rows, axis: np.mean(rows, axis=axis), groups=groups, seed=4)
    assert fast == general
    assert fast.mean == pytest.approx(0.7)
    assert (fast.low, fast.high) == (0.0, 1.0)


def test_same_seed_same_interval_and_chunks_do_not_change_it(monkeypatch):
    values = np.random.default_rng(0).normal(size=50)
    first = stats.bootstrap(values, seed=3)
    assert stats.bootstrap(values, seed=3) == first
    assert stats.bootstrap(values, seed=4) != first
    monkeypatch.setattr(stats, "CHUNK", 1000)
    assert stats.bootstrap(values, seed=3) == first


def test_nan_is_left_out_counted_and_never_zero():
    assert stats.bootstrap([1, math.nan, 0, 1]).n == 3
    assert stats.bootstrap([1, math.nan, 0, 1]) == stats.bootstrap([1, 0, 1])
    grouped = stats.bootstrap([1, math.nan, 0, 1], groups=["a", "a", "b", "b"])
    assert grouped == stats.bootstrap([1, 0, 1], groups=["a", "b", "b"])
    empty = stats.bootstrap([math.nan])
    assert empty.n == 0
    assert math.isnan(empty.mean)
    assert empty.text() == "–"
    assert empty.to_dict()["mean"] is None
    assert math.isnan(stats.mcnemar([math.nan], [1]).p)
    assert stats.paired_bootstrap([1.0, math.nan, 3.0], [2.0, 2.0, math.nan]).difference.n == 1


@pytest.mark.parametrize("call", [
    lambda: stats.bootstrap([1.0, math.inf]),
    lambda: stats.bootstrap([[1.0]]),
    lambda: stats.bootstrap([1.0], method="magic"),
    lambda: stats.bootstrap([1.0, 2.0], groups=["a"]),
    lambda: stats.mcnemar([1, 0], [1]),
    lambda: stats.mcnemar([0.5], [1]),
    lambda: stats.wilson(3, 2),
    lambda: stats.pass_at_k(3, 1, 4),
    lambda: stats.pass_at_k(3, 4, 1),
    lambda: stats.pass_at_k(3, 1, 0),
])  # fmt: skip
def test_nonsense_is_refused(call):
    with pytest.raises(ValueError, match=r"\w"):
        call()


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (10, 10), (1, 1), (431, 1034)])
def test_wilson_agrees_with_scipy(successes, n):
    scipy_stats = pytest.importorskip("scipy.stats")
    theirs = scipy_stats.binomtest(successes, n).proportion_ci(method="wilson")
    ours = stats.wilson(successes, n)
    assert (ours.mean, ours.low, ours.high) == pytest.approx((successes / n, theirs.low, theirs.high), abs=1e-12)


def test_wilson_of_nothing_knows_nothing():
    interval = stats.wilson(0, 0)
    assert math.isnan(interval.mean)
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_mcnemar_is_the_exact_binomial_test():
    # 9 pairs won, 2 lost, 30 tied: p = 2 (C(11,0) + C(11,1) + C(11,2)) / 2^11 = 134 / 2048
    a = [0] * 9 + [1] * 2 + [1] * 30
    b = [1] * 9 + [0] * 2 + [1] * 30
    test = stats.mcnemar(a, b)
    assert (test.n01, test.n10) == (9, 2)
    assert test.p == pytest.approx(134 / 2048)
    assert test.difference.mean == pytest.approx(7 / 41)
    assert stats.mcnemar(b, a).p == pytest.approx(test.p)
    assert stats.mcnemar(a, a).p == 1.0


def test_mcnemar_with_groups_swaps_whole_groups():
    # Two groups with net +7 each: of the four swaps two reach |14|, so p = 1/2 however many rows they hold.
    a, b, groups = [0] * 14, [1] * 14, ["x"] * 7 + ["y"] * 7
    assert stats.mcnemar(a, b, groups=groups).p == pytest.approx(0.5)
    assert stats.mcnemar(a, b).p == pytest.approx(2 / 2**14)
    singletons = stats.mcnemar([0, 0, 0, 1], [1, 1, 1, 0], groups=[1, 2, 3, 4])
    assert singletons.p == pytest.approx(stats.mcnemar([0, 0, 0, 1], [1, 1, 1, 0]).p)


def test_mcnemar_stays_exact_for_thousands_of_pairs():
    scipy_stats = pytest.importorskip("scipy.stats")
    a, b = [0] * 1600 + [1] * 1400, [1] * 1600 + [0] * 1400
    assert stats.mcnemar(a, b).p == pytest.approx(scipy_stats.binomtest(1400, 3000).pvalue, rel=1e-9)


def test_paired_bootstrap_finds_a_real_difference_and_no_other():
    rng = np.random.default_rng(0)
    base = rng.normal(size=200)
    better = base + 0.1 + 0.2 * rng.normal(size=200)
    found = stats.paired_bootstrap(base, better)
    assert found.p < 0.01
    assert found.difference.low > 0
    assert stats.paired_bootstrap(base, base).p == 1.0
    null = [stats.paired_bootstrap(rng.normal(size=50), rng.normal(size=50), n=200, seed=i).p for i in range(400)]
    assert 0.02 < np.mean(np.array(null) < 0.05) < 0.09


def test_student_interval_over_seeds():
    # t(0.975, 2) = 4.302653, mean 10, standard deviation 2, so half = 4.302653 * 2 / sqrt(3)
    interval = stats.mean_interval_over_seeds([8.0, 10.0, 12.0])
    assert (interval.mean, interval.high - 10) == pytest.approx((10, 4.302652730 * 2 / math.sqrt(3)))
    alone = stats.mean_interval_over_seeds([3.0])
    assert alone.mean == 3.0
    assert math.isnan(alone.low)
    assert alone.text(digits=1) == "3.0"


def test_student_quantiles_agree_with_scipy():
    scipy_stats = pytest.importorskip("scipy.stats")
    for degrees in (1, 2, 3, 4, 7, 30, 101):
        for level in (0.5, 0.9, 0.95, 0.999):
            expected = scipy_stats.t.ppf((1 + level) / 2, degrees)
            assert stats._student_quantile(level, degrees) == pytest.approx(expected, rel=1e-9)


def test_pass_at_k_counts_the_subsets():
    for n, c, k in [(5, 2, 1), (5, 2, 3), (5, 2, 4), (6, 0, 3), (6, 6, 2), (8, 3, 5)]:
        subsets = list(combinations([True] * c + [False] * (n - c), k))
        assert stats.pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))
    assert stats.pass_at_k([5, 5], [0, 5], 2).tolist() == [0.0, 1.0]
    assert stats.pass_at_k(10_000, 5_000, 100) == pytest.approx(1.0)


@settings(max_examples=60, deadline=None)
@given(SMALL_INTS)
def test_rank_statistics_agree_with_scipy_under_ties(pairs):
    scipy_stats = pytest.importorskip("scipy.stats")
    a, b = np.array(pairs, dtype=float).T
    constant = len(set(a)) == 1 or len(set(b)) == 1
    assert math.isnan(stats.spearman(a, b)) == constant
    assert math.isnan(stats.kendall(a, b)) == constant
    if not constant:
        assert stats.spearman(a, b) == pytest.approx(scipy_stats.spearmanr(a, b).statistic)
        assert stats.kendall(a, b) == pytest.approx(scipy_stats.kendalltau(a, b).statistic)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=20))
def test_auc_is_the_chance_of_a_right_order(rows):
    wins = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high, positive in rows
        if positive
        for low, label in rows
        if not label
    ]
    value = stats.auc([score for score, _ in rows], [label for _, label in rows])
    assert value == pytest.approx(np.mean(wins)) if wins else math.isnan(value)


def test_rank_statistics_have_bootstrap_intervals():
    rng = np.random.default_rng(2)
    x = rng.normal(size=80)
    y = x + rng.normal(size=80)
    interval = stats.bootstrap_columns([x, y], stats.spearman, n=300)
    assert interval.low < interval.mean < interval.high
    assert interval.low > 0
    assert interval.n == 80
    doubled = stats.bootstrap_columns([np.repeat(x, 5), np.repeat(y, 5)], stats.spearman, n=300)
    grouped = stats.bootstrap_columns(
        [np.repeat(x, 5), np.repeat(y, 5)], stats.spearman, n=300, groups=np.repeat(np.arange(80), 5)
    )
    assert grouped.high - grouped.low > 1.5 * (doubled.high - doubled.low)


def test_interval_reads_as_a_percentage():
    assert stats.Interval(0.52, 0.48, 0.56, 100).text(scale=100, digits=1) == "52.0 [48.0, 56.0]"


def test_an_interval_comes_back_from_json():
    known, alone = stats.Interval(0.5, 0.4, 0.6, 12, 0.9), stats.mean_interval_over_seeds([3.0])
    assert stats.Interval.from_dict({**known.to_dict(), "values": [1]}) == known
    back = stats.Interval.from_dict(alone.to_dict())
    assert (back.mean, back.n) == (3.0, 1)
    assert math.isnan(back.low)
    assert math.isnan(back.high)
