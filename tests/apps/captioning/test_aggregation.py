"""Attention over a corpus: the softmax of the whole corpus, in little memory, at any temperature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from apps.captioning.aggregation import aggregate, nearest, top_k_error
from common.errors import UsageError


def units(rows: int, width: int = 16, seed: int = 0) -> Tensor:
    drawn = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1)


def log_sum_exp_form(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """The definition in float64: weights from the log-sum-exp, so that nothing overflows."""
    logits = temperature * queries.double() @ keys.double().T
    return (logits - logits.logsumexp(1, keepdim=True)).exp() @ keys.double()


@pytest.mark.parametrize("temperature", [0.0, 1.0, 100.0, 175.0, 1e4])
@pytest.mark.parametrize("chunk", [None, 1, 7, 300])
def test_equals_the_softmax_in_double_precision(temperature: float, chunk: int | None) -> None:
    queries, keys = units(9), units(300, seed=1)
    found = aggregate(queries, keys, temperature, chunk=chunk)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    # At 1e4 one unit in the last place of a cosine is 6e-4 of a logit.
    tolerance = 1e-3 if temperature == 1e4 else 2e-5
    torch.testing.assert_close(found.double(), log_sum_exp_form(queries, keys, temperature), atol=tolerance, rtol=0)


@pytest.mark.parametrize("temperature", [100.0, 175.0, 1e4])
def test_no_overflow_where_the_plain_form_has_one(temperature: float) -> None:
    keys = units(50)
    queries = keys[:4]  # cosine 1: exp(100) overflows float32, exp(1e4) float64 too
    plain = (temperature * (queries @ keys.T)).exp()
    assert plain.isinf().any()
    found = aggregate(queries, keys, temperature, chunk=8)
    torch.testing.assert_close(found.double(), log_sum_exp_form(queries, keys, temperature), atol=2e-5, rtol=0)


def test_the_two_ends_of_the_temperature() -> None:
    queries, keys = units(6), units(80, seed=1)
    torch.testing.assert_close(aggregate(queries, keys, 1e7, chunk=9), keys[(queries @ keys.T).argmax(1)])
    mean = keys.mean(0).expand(6, -1)
    torch.testing.assert_close(aggregate(queries, keys, 0.0, chunk=9), mean, atol=1e-6, rtol=0)


def test_a_late_maximum_replaces_what_was_summed() -> None:
    """The running maximum rises by thousands in the last chunk: what came before counts for nothing."""
    query = torch.tensor([[1.0, 0.0]])
    keys = torch.tensor([[-1.0, 0.0]] * 5 + [[1.0, 0.0]])
    torch.testing.assert_close(aggregate(query, keys, 1e4, chunk=2), query)
    torch.testing.assert_close(aggregate(query, keys.flip(0), 1e4, chunk=2), query)


def test_the_order_of_the_corpus_changes_nothing() -> None:
    queries, keys = units(5), units(200, seed=1)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(2))
    for top_k in (0, 7):
        one, two = (aggregate(queries, corpus, 100.0, top_k, chunk=33) for corpus in (keys, keys[order]))
        torch.testing.assert_close(one, two, atol=1e-6, rtol=0)


def test_rows_do_not_depend_on_each_other() -> None:
    queries, keys = units(5), units(200, seed=1)
    together = aggregate(queries, keys)
    single = torch.cat([aggregate(query[None], keys) for query in queries])
    torch.testing.assert_close(together, single, atol=1e-6, rtol=0)
    assert aggregate(queries[:0], keys).shape == (0, 16)


def test_a_corpus_of_one_is_a_constant_target() -> None:
    keys = units(1, seed=3)
    for temperature in (0.0, 100.0, 1e4):
        assert torch.equal(aggregate(units(4), keys, temperature), keys.expand(4, -1))


def test_sentences_that_stand_twice_weigh_twice() -> None:
    query, keys = units(1), units(2, seed=1)
    twice = aggregate(query, keys[[0, 0, 1]], 5.0)
    weights = torch.tensor([2.0, 1.0]) * (5.0 * query @ keys.T).exp()
    torch.testing.assert_close(twice, weights / weights.sum() @ keys)
    assert not torch.allclose(twice, aggregate(query, keys, 5.0), atol=1e-3)


def test_what_cannot_be_is_said() -> None:
    queries, keys = units(2), units(5)
    with pytest.raises(UsageError, match="the corpus is empty"):
        aggregate(queries, keys[:0])
    with pytest.raises(UsageError, match="two CLIPs: 16 and 8"):
        aggregate(queries, units(5, 8))
    for temperature in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="temperature"):
            aggregate(queries, keys, temperature)
    with pytest.raises(UsageError, match="1 or more"):
        nearest(queries, keys, 0)


@pytest.mark.parametrize("chunk", [None, 3, 50])
def test_nearest_sentences_with_their_weights(chunk: int | None) -> None:
    queries, keys = units(6), units(120, seed=1)
    weights, rows = nearest(queries, keys, 5, 20.0, chunk)
    cosines, expected = (queries @ keys.T).topk(5)
    assert torch.equal(rows, expected)
    torch.testing.assert_close(weights, torch.softmax(20.0 * cosines, 1))
    assert (weights.diff(dim=1) <= 0).all()
    weights, rows = nearest(queries, keys[:3], 5)
    assert rows.shape == weights.shape == (6, 3), "a small corpus has no more"
    assert torch.equal(rows.sort().values, torch.arange(3).expand(6, 3))


def test_the_error_of_a_few_nearest_is_reported() -> None:
    queries, keys = units(20), units(500, seed=1)
    errors = [top_k_error(queries, keys, 10.0, k) for k in (1, 10, 100, 500)]
    means = [error["mean"] for error in errors]
    assert means == sorted(means, reverse=True)
    assert means[0] > 0.05
    assert errors[-1]["max"] < 1e-6, "all of them are exact"
    assert all(0 <= error["mean"] <= error["max"] + 1e-12 for error in errors)
    assert top_k_error(queries, keys, 1000.0, 20)["max"] < 1e-3, "a sharp attention needs few"


def test_a_corpus_on_disk(tmp_path: Path) -> None:
    queries, keys = units(5), units(1000, seed=1)
    np.save(tmp_path / "corpus.npy", keys.numpy())
    mapped = np.load(tmp_path / "corpus.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    torch.testing.assert_close(aggregate(queries, mapped, chunk=64), aggregate(queries, keys), atol=1e-6, rtol=0)
    torch.testing.assert_close(aggregate(queries, mapped, top_k=9, chunk=64), aggregate(queries, keys, top_k=9))
    half = np.lib.format.open_memmap(tmp_path / "half.npy", "w+", np.float16, keys.shape)
    half[:] = keys.numpy()
    found = aggregate(queries, half, chunk=64)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, aggregate(queries, keys), atol=5e-3, rtol=0)
