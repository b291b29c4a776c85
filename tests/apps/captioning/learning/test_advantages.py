"""Advantages and losses against their formulas (reference, 8.3: cases 23, 24 and 31)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.captioning.learning.advantages import (
    advantages,
    dico,
    extremes,
    kl_penalty,
    policy_gradient,
    ramp,
    rate,
    scaled,
)
from common.errors import UsageError

NAN = math.nan


def rewards(rows: int = 4, samples: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, samples, generator=torch.Generator().manual_seed(seed)) * 10


def test_greedy_is_the_difference_from_the_greedy_caption():
    paid, greedy = rewards(), torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert torch.equal(advantages(paid, "greedy", greedy), paid - greedy[:, None])


def test_leave_one_out_is_the_mean_of_the_others():
    paid = rewards()
    found = advantages(paid, "leave_one_out")
    for row in range(4):
        for column in range(5):
            others = [float(paid[row, other]) for other in range(5) if other != column]
            assert float(found[row, column]) == pytest.approx(float(paid[row, column]) - sum(others) / 4, abs=1e-4)


def test_mean_is_the_mean_of_all():
    paid = rewards()
    torch.testing.assert_close(advantages(paid, "mean"), paid - paid.mean(1, keepdim=True))


@pytest.mark.parametrize("baseline", ["greedy", "leave_one_out", "mean"])
def test_a_constant_added_to_all_rewards_changes_nothing(baseline):
    paid, greedy = rewards().round(), torch.tensor([1.0, 2.0, 3.0, 4.0])
    plain, shifted = advantages(paid, baseline, greedy), advantages(paid + 64, baseline, greedy + 64)
    torch.testing.assert_close(plain, shifted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("length_normalise", [True, False])
@pytest.mark.parametrize("scale", ["none", "batch", "group"])
@pytest.mark.parametrize("baseline", ["greedy", "leave_one_out", "mean"])
def test_equal_samples_teach_exactly_nothing(baseline, scale, length_normalise):
    # Sample == greedy for every row: one reward a picture, whatever it is.
    each = torch.tensor([0.3, -2.0, 71.25])
    paid = each[:, None].expand(3, 4)
    log_probs = torch.randn(12, 6, requires_grad=True)
    mask = torch.arange(6) < torch.randint(1, 7, (12, 1))
    advantage = scaled(advantages(paid, baseline, each), scale).flatten()
    assert not advantage.any()
    loss = policy_gradient(log_probs, mask, advantage, length_normalise)
    loss.backward()
    assert float(loss.detach()) == 0
    assert not log_probs.grad.any()


def test_one_sample_cannot_be_left_out():
    with pytest.raises(UsageError, match=r"leave_one_out needs rl\.samples of 2"):
        advantages(rewards(samples=1), "leave_one_out")
    assert not advantages(rewards(samples=1), "mean").any()


def test_what_is_missing_or_unknown_is_named():
    with pytest.raises(UsageError, match="needs the rewards of the greedy captions"):
        advantages(rewards(), "greedy")
    with pytest.raises(UsageError, match="no 'median'"):
        advantages(rewards(), "median")
    with pytest.raises(UsageError, match="no 'rows'"):
        scaled(rewards(), "rows")


@pytest.mark.parametrize("baseline", ["leave_one_out", "mean"])
def test_an_unscored_sample_is_as_if_it_had_not_been_there(baseline):
    paid = torch.tensor([[1.0, NAN, 5.0, 3.0]])
    found = advantages(paid, baseline)
    kept = [0, 2, 3]
    assert float(found[0, 1]) == 0
    torch.testing.assert_close(found[:, kept], advantages(paid[:, kept], baseline))


def test_nothing_to_compare_with_is_no_advantage():
    assert not advantages(torch.tensor([[4.0, NAN, NAN]]), "leave_one_out").any()
    assert not advantages(torch.full((2, 3), NAN), "mean").any()
    found = advantages(torch.tensor([[4.0, 5.0], [4.0, 5.0]]), "greedy", torch.tensor([NAN, 1.0]))
    assert found.tolist() == [[0, 0], [3, 4]]


@given(st.lists(st.lists(st.floats(-100, 100, width=32) | st.just(NAN), min_size=3, max_size=3), min_size=1))
@settings(max_examples=60, deadline=None)
def test_never_a_nan_in_an_advantage(values):
    paid = torch.tensor(values)
    for baseline in ("leave_one_out", "mean", "greedy"):
        for scale in ("batch", "group", "none"):
            assert scaled(advantages(paid, baseline, paid[:, 0]), scale).isfinite().all()


def test_scales():
    advantage = advantages(rewards(), "mean")
    assert scaled(advantage, "none") is advantage
    assert float(scaled(advantage, "batch").std(correction=0)) == pytest.approx(1)
    torch.testing.assert_close(scaled(advantage, "group").std(1, correction=0), torch.ones(4))
    # The order of what is better stays, and so do the signs.
    assert torch.equal(scaled(advantage, "batch").sign(), advantage.sign())


def test_a_group_that_is_paid_alike_is_left_alone_by_its_scale():
    advantage = torch.tensor([[1.0, -1.0], [0.0, 0.0]])
    assert scaled(advantage, "group").tolist() == [[1, -1], [0, 0]]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 7), st.integers(1, 7), st.integers(0, 999))
def test_the_best_and_the_worst_samples_are_kept(number, keep, seed):
    worth = torch.randn(2, number, generator=torch.Generator().manual_seed(seed))
    columns = extremes(worth, keep)
    if keep >= number:
        assert columns.tolist() == [list(range(number))] * 2
        return
    for row, chosen in zip(worth, columns, strict=True):
        assert len(set(chosen.tolist())) == keep
        ranked = sorted(row.tolist(), reverse=True)
        best = keep - keep // 2
        assert sorted(row[chosen].tolist(), reverse=True) == ranked[:best] + ranked[number - keep // 2 :]


def test_all_samples_are_kept_in_their_order_where_none_is_left_out():
    assert extremes(rewards(), 0).tolist() == [[0, 1, 2, 3, 4]] * 4


@pytest.mark.parametrize("length_normalise", [True, False])
def test_policy_gradient_is_its_formula(length_normalise):
    log_probs, lengths = -torch.rand(4, 5), [5, 2, 1, 3]
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    advantage = torch.tensor([1.0, -2.0, 0.5, 3.0])
    by_hand = 0.0
    for row, length in enumerate(lengths):
        total = sum(float(log_probs[row, place]) for place in range(length))
        by_hand -= float(advantage[row]) * (total / length if length_normalise else total) / 4
    assert float(policy_gradient(log_probs, mask, advantage, length_normalise)) == pytest.approx(by_hand)


def test_the_end_token_counts_and_nothing_after_it():
    # Case 24: ids 7 7 END PAD PAD; the mask holds up to and including the end token.
    log_probs = torch.randn(1, 5, requires_grad=True)
    mask = torch.tensor([[True, True, True, False, False]])
    policy_gradient(log_probs, mask, torch.tensor([2.0])).backward()
    torch.testing.assert_close(log_probs.grad, torch.tensor([[-2 / 3, -2 / 3, -2 / 3, 0, 0]]))


def test_padding_that_is_impossible_does_no_harm():
    log_probs = torch.tensor([[-1.0, -math.inf]], requires_grad=True)
    loss = policy_gradient(log_probs, torch.tensor([[True, False]]), torch.tensor([1.0]))
    loss.backward()
    assert float(loss.detach()) == 1
    assert log_probs.grad.tolist() == [[-1, 0]]


def test_kl_is_its_formula():
    policy, reference = -torch.rand(3, 4), -torch.rand(3, 4)
    mask = torch.arange(4) < torch.tensor([4, 1, 2])[:, None]
    terms = []
    for row in range(3):
        for place in range(4):
            if mask[row, place]:
                d = float(reference[row, place] - policy[row, place])
                terms.append(math.exp(d) - d - 1)
    assert float(kl_penalty(policy, reference, mask)) == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    assert float(kl_penalty(policy, policy, mask)) == 0


def test_kl_is_unbiased_for_the_divergence():
    policy = torch.tensor([0.1, 0.2, 0.7]).log()
    reference = torch.tensor([0.3, 0.3, 0.4]).log()
    drawn = torch.multinomial(policy.exp(), 20000, True, generator=torch.Generator().manual_seed(0))
    found = kl_penalty(policy[drawn][None], reference[drawn][None], torch.ones(1, 20000, dtype=torch.bool))
    truth = float((policy.exp() * (policy - reference)).sum())
    assert float(found) == pytest.approx(truth, abs=0.01)


def brute_dico(log_probs, reference, mask, paid, beta, temperature):
    """The docstring's formula, number by number."""
    count, size = paid.shape
    losses = []
    for picture in range(count):
        gains, known = [], []
        for sample in range(size):
            row = picture * size + sample
            gain = 0.0
            for place in range(mask.shape[1]):
                if mask[row, place]:
                    gain += float(log_probs[row, place] - reference[row, place])
            gains.append(gain)
            if not math.isnan(float(paid[picture, sample])):
                known.append(sample)
        values = [float(paid[picture, sample]) for sample in known]
        if len(known) < 2 or max(values) == min(values):
            continue
        best = max(known, key=lambda sample: float(paid[picture, sample]))
        others = [sample for sample in known if sample != best]
        raw = [math.exp(temperature * float(paid[picture, best] - paid[picture, sample])) for sample in others]
        weights = [value / sum(raw) for value in raw]
        margin = beta * (gains[best] - sum(w * gains[sample] for w, sample in zip(weights, others, strict=True)))
        losses.append(math.log1p(math.exp(-margin)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("beta", "temperature"), [(1.0, 1.0), (0.3, 2.0), (2.0, 0.0)])
def test_dico_is_its_formula(beta, temperature):
    generator = torch.Generator().manual_seed(1)
    log_probs, reference = (-torch.rand(12, 5, generator=generator) for _ in range(2))
    mask = torch.arange(5) < torch.randint(1, 6, (12, 1), generator=generator)
    paid = torch.randn(3, 4, generator=generator)
    paid[1, 2], paid[2] = NAN, torch.tensor([NAN, 1.0, NAN, 0.5])
    found = dico(log_probs, reference, mask, paid, beta, temperature)
    assert float(found) == pytest.approx(brute_dico(log_probs, reference, mask, paid, beta, temperature), rel=1e-5)


def test_dico_makes_the_best_likelier_and_the_worse_less_likely():
    log_probs = torch.zeros(4, 1, requires_grad=True)
    dico(log_probs, torch.zeros(4, 1), torch.ones(4, 1) > 0, torch.tensor([[0.0, 3, 1, 2]]), 1.0, 1.0).backward()
    assert float(log_probs.grad[1]) < 0
    assert (log_probs.grad[[0, 2, 3]] > 0).all()
    # The worse, the heavier.
    assert log_probs.grad[0] > log_probs.grad[2] > log_probs.grad[3]


@pytest.mark.parametrize("paid", [[[2.0, 2.0, 2.0]], [[NAN, 1.0, NAN]], [[NAN, NAN, NAN]], [[NAN, 1.0, 1.0]]])
def test_dico_learns_nothing_from_equals(paid):
    log_probs = torch.randn(3, 2, requires_grad=True)
    loss = dico(log_probs, torch.zeros(3, 2), torch.ones(3, 2) > 0, torch.tensor(paid), 1.0, 1.0)
    loss.backward()
    assert float(loss.detach()) == 0
    assert not log_probs.grad.any()


def test_the_published_ramp():
    # Case 31.
    found = [ramp(step, 150, 2350, 0.5) for step in (0, 150, 151, 1325, 2500, 10_000)]
    assert found == [0, 0, 0.5 / 2350, 0.25, 0.5, 0.5]


def test_a_ramp_without_length_is_a_step():
    assert [ramp(step, 10, 0, 0.5) for step in (0, 10, 11)] == [0, 0, 0.5]
    assert [ramp(step, 0, 4, 1.0) for step in (0, 1, 2, 4, 9)] == [0, 0.25, 0.5, 1, 1]


def test_learning_rates():
    assert [rate(step, 1.0, 4, 100, "constant") for step in (0, 1, 3, 4, 99)] == [0.25, 0.5, 1, 1, 1]
    assert rate(0, 1.0, 0, 100, "cosine") == 1
    assert rate(50, 1.0, 0, 100, "cosine") == pytest.approx(0.55)
    assert rate(100, 1.0, 0, 100, "cosine") == pytest.approx(0.1)
    falling = [rate(step, 1.0, 5, 100, "cosine") for step in range(5, 100)]
    assert falling == sorted(falling, reverse=True)
