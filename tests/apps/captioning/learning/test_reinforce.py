"""Reinforcement, step by step: what is paid, what is learnt, what stops it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from apps.captioning.learning.reinforce import Reinforcer, pretrain_judge
from apps.captioning.mapper import Shape
from apps.captioning.model import Captioner, Captions
from common.errors import GraderFailure, TouchstoneError, UsageError
from tests.apps.captioning.learning.toys import (
    CORPUS,
    TOKENS,
    Unscored,
    Vowels,
    config,
    learner,
    material,
    new_judge,
    same,
    weights,
)
from tests.apps.captioning.tiny import LONGEST, new_tiny_captioner


@pytest.mark.parametrize(
    ("algorithm", "baseline", "scale"),
    list(itertools.product(("scst", "grpo", "dico"), ("greedy", "leave_one_out", "mean"), ("batch", "group", "none"))),
)
def test_everything_advertised_runs_a_step_and_learns(algorithm, baseline, scale):
    one = learner(algorithm=algorithm, baseline=baseline, scale=scale, beta=0.05)
    before = weights(one.captioner)
    figures = one.step()
    assert math.isfinite(figures["loss"])
    assert figures["skipped"] == 0
    assert figures["gradient"] > 0
    assert not same(before, weights(one.captioner))
    assert one.steps == 1
    assert 0 < figures["length"] <= TOKENS
    assert 0 <= figures["unterminated"] <= 1
    assert figures["reward"] == pytest.approx(figures["reward/vowels"])


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("length_normalise", [True, False])
def test_schedules_and_length_norm(schedule, length_normalise):
    one = learner(schedule=schedule, length_normalise=length_normalise, weight_decay=0.1, temperature=0.8)
    assert all(math.isfinite(one.step()["loss"]) for _ in range(2))


def overheard(one: Reinforcer, monkeypatch) -> list[tuple[torch.Tensor, Captions]]:
    """Features and captions of every call in which its captioner speaks."""
    said: list[tuple[torch.Tensor, Captions]] = []
    generate = one.captioner.generate

    def spy(seen, *rest):
        said.append((seen, generate(seen, *rest)))
        return said[-1][1]

    monkeypatch.setattr(one.captioner, "generate", spy)
    return said


@pytest.mark.parametrize("normalise", [True, False])
def test_the_loss_is_reinforce_on_the_sampled_tokens_themselves(monkeypatch, normalise):
    one = learner(scale="none", baseline="leave_one_out", length_normalise=normalise, temperature=0.9)
    said = overheard(one, monkeypatch)
    fresh = new_tiny_captioner()
    loss = one.step()["loss"]
    ((seen, captions),) = said
    log_probs = fresh.log_probs(seen, captions.tokens, 0.9).detach()
    paid = Vowels()(completion=captions.texts).values.view(3, 4)
    expected = 0.0
    for row in range(12):
        picture, sample = divmod(row, 4)
        others = [float(paid[picture, other]) for other in range(4) if other != sample]
        advantage = float(paid[picture, sample]) - sum(others) / 3
        length = int(captions.lengths[row])
        total = float(log_probs[row, :length].sum())
        expected -= advantage * (total / length if normalise else total) / 12
    assert loss == pytest.approx(expected, rel=1e-4)


def test_pictures_are_translated_where_captions_are_said_and_where_they_are_learnt(monkeypatch):
    one = learner(baseline="greedy")
    one.captioner.align(one.material.features, one.material.corpus_features)
    wanted = one.captioner.translate(one.material.features)
    learnt: list[torch.Tensor] = []
    log_probs = one.captioner.log_probs
    monkeypatch.setattr(one.captioner, "log_probs", lambda seen, *rest: learnt.append(seen) or log_probs(seen, *rest))
    said = overheard(one, monkeypatch)
    one.step()
    (sampled, _), (greedy, _) = said
    assert torch.equal(sampled, greedy.repeat_interleave(4, 0))
    assert torch.equal(sampled, learnt[0])
    assert all(torch.isclose(wanted, row, atol=1e-6).all(1).any() for row in greedy)


def test_samples_of_one_picture_share_its_feature(monkeypatch):
    one = learner()
    seen = []
    generate = one.captioner.generate
    monkeypatch.setattr(one.captioner, "generate", lambda part, *rest: seen.append(part) or generate(part, *rest))
    one.step()
    assert torch.equal(seen[0].view(3, 4, 32), seen[0].view(3, 4, 32)[:, :1].expand(-1, 4, -1))


def test_sampled_as_greedy_the_step_changes_exactly_nothing():
    # Case 23: hardly any temperature, so that every sample is the greedy caption.
    one = learner(baseline="greedy", temperature=1e-6, scale="batch")
    before = weights(one.captioner)
    figures = one.step()
    assert figures["loss"] == 0
    assert figures["gradient"] == 0
    assert same(before, weights(one.captioner))


def test_a_reward_is_learnt():
    one = learner(samples=8, pictures_per_step=6, learning_rate=2e-3, steps=60)
    figures = [one.step()["reward"] for _ in range(60)]
    assert sum(figures[-5:]) / 5 > sum(figures[:5]) / 5 + 0.1, figures


def test_each_reward_has_its_own_weight_and_its_own_baseline():
    one = learner({"vowels": (Vowels(), 0.5), "unscored": (Unscored(3), 2.0)})
    figures = one.step()
    assert (figures["weight/vowels"], figures["weight/unscored"]) == (0.5, 2.0)
    assert math.isfinite(figures["loss"])
    # The rows that one reward could not score are still paid by the other.
    assert figures["unscored"] == 0


def test_too_many_unscored_rows_end_the_run():
    one = learner({"unscored": (Unscored(3), 1.0)})
    figures = [one.step() for _ in range(4)]
    assert {round(row["unscored"], 3) for row in figures} == {0.25}
    assert all(math.isfinite(row["loss"]) for row in figures)
    with pytest.raises(GraderFailure, match="step 4: 25% of the captions could not be scored for 5 steps in a row"):
        one.step()


def test_a_few_unscored_rows_do_not():
    one = learner({"unscored": (Unscored(2), 1.0)})
    assert all(one.step()["unscored"] == pytest.approx(1 / 6) for _ in range(7))


def test_an_unscored_step_teaches_nothing():
    one = learner({"unscored": (Unscored(12), 1.0)})
    before = weights(one.captioner)
    figures = one.step()
    assert figures["unscored"] == 1
    assert math.isnan(figures["reward"])
    assert same(before, weights(one.captioner))


def test_a_gradient_that_is_no_number_is_skipped_and_five_in_a_row_end_the_run():
    one = learner()
    hook = next(one.captioner.mapper.parameters()).register_hook(lambda gradient: gradient * math.nan)
    before = weights(one.captioner)
    assert [one.step()["skipped"] for _ in range(4)] == [1.0] * 4
    assert same(before, weights(one.captioner))
    hook.remove()
    assert one.step()["skipped"] == 0
    assert one.bad_steps == 0
    assert not same(before, weights(one.captioner))
    next(one.captioner.mapper.parameters()).register_hook(lambda gradient: gradient * math.nan)
    for _ in range(4):
        one.step()
    with pytest.raises(TouchstoneError, match=r"step 9: .* 5 steps in a row; lower rl\.learning_rate"):
        one.step()


def test_the_pull_to_the_initial_captioner():
    one = learner(beta=0.5, learning_rate=3e-3)
    reference = weights(one.reference)
    found = [one.step()["kl"] for _ in range(4)]
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[-1] > 1e-5
    assert same(reference, weights(one.reference))
    assert learner(beta=0.0).reference is None
    far, near = (learner(beta=beta, learning_rate=3e-3, steps=20) for beta in (1e-6, 5.0))
    distances = [[each.step()["kl"] for _ in range(20)][-1] for each in (far, near)]
    assert distances[1] < distances[0]


def test_text_beside_the_reward():
    one = learner(text_weight=1.0)
    figures = one.step()
    assert figures["text_loss"] > 0
    assert "text_loss" not in learner().step()


def test_the_text_beside_the_reward_has_noise_where_it_is_asked_for():
    plain, noisy = (learner(text_weight=1.0, text_noise=noise).step()["text_loss"] for noise in (0.0, 0.05))
    assert plain != noisy


def test_the_gradient_is_of_the_best_and_the_worst_samples(monkeypatch):
    one = learner(keep=2, scale="none", baseline="leave_one_out")
    said = overheard(one, monkeypatch)
    fresh = new_tiny_captioner()
    loss = one.step()["loss"]
    ((seen, captions),) = said
    paid = Vowels()(completion=captions.texts).values.view(3, 4)
    log_probs = fresh.log_probs(seen, captions.tokens).detach()
    expected = 0.0
    for picture in range(3):
        for sample in (int(paid[picture].argmax()), int(paid[picture].argmin())):
            row, others = picture * 4 + sample, [float(paid[picture, other]) for other in range(4) if other != sample]
            length = int(captions.lengths[row])
            advantage = float(paid[picture, sample]) - sum(others) / 3
            expected -= advantage * float(log_probs[row, :length].sum()) / length / 6
    assert loss == pytest.approx(expected, rel=1e-4)


def test_keeping_as_many_as_there_are_is_keeping_all():
    whole, kept = learner(), learner(keep=4)
    assert whole.step()["loss"] == kept.step()["loss"]
    assert same(weights(whole.captioner), weights(kept.captioner))


def test_dico_keeps_all_of_them():
    with pytest.raises(UsageError, match=r"rl\.keep must be 0"):
        learner(algorithm="dico", keep=2)


@pytest.mark.parametrize("keep", [-1, 1])
def test_one_end_is_no_comparison(keep):
    with pytest.raises(UsageError, match=rf"rl\.keep must be 0 \(all\) or 2 or more, not {keep}"):
        learner(keep=keep)


@pytest.mark.parametrize(("pictures", "corpus"), [(1, 1), (2, 20), (12, 2), (5, 3)])
def test_however_few_pictures_and_sentences_there_are(pictures, corpus, judge_folder):
    # Case 32: both go round.
    judge = new_judge(judge_folder)
    rewards = {"vowels": (Vowels(), 1.0), "naturalness": (judge.reward(), 1.0)}
    one = learner(rewards, judge, material(pictures, corpus), text_weight=0.5)
    for _ in range(3):
        assert math.isfinite(one.step()["loss"])


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_the_judge_sees_as_many_captions_as_sentences(judge_folder, samples, monkeypatch):
    judge = new_judge(judge_folder)
    shown = []
    monkeypatch.setattr(judge, "step", lambda real, fake: shown.append((list(real), list(fake))) or {})
    rewards = {"vowels": (Vowels(), 1.0), "naturalness": (judge.reward(), 1.0)}
    one = learner(rewards, judge, samples=samples, baseline="greedy")
    said = overheard(one, monkeypatch)
    one.step()
    ((real, fake),) = shown
    assert set(real) <= set(CORPUS)
    texts = said[0][1].texts
    # The first sample of each picture, then the second.
    expected = [texts[row * samples + place] for place in range(min(2, samples)) for row in range(3)]
    assert fake == expected


def test_an_untrained_judge_is_not_paid(judge_folder):
    judge = new_judge(judge_folder, gate=0.999, learning_rate=0.0)
    one = learner({"naturalness": (judge.reward(), 1.0)}, judge)
    before = weights(one.captioner)
    figures = one.step()
    assert figures["weight/naturalness"] == 0
    assert "discriminator/auc" in figures
    assert same(before, weights(one.captioner))
    judge.auc = 1.0
    assert one.weights(1)["naturalness"] == 1.0


def test_the_published_ramp_of_weights(judge_folder):
    judge = new_judge(judge_folder)
    judge.auc = 1.0
    rewards = {"vowels": (Vowels(), 2.0), "naturalness": (judge.reward(), 1.0)}
    one = learner(rewards, judge, ramp_start=150, ramp_steps=2350, ramp_top=0.5)
    assert one.weights(0) == {"vowels": 0.0, "naturalness": 1.0}
    assert one.weights(1325) == {"vowels": 0.5, "naturalness": 0.75}
    assert one.weights(10_000) == {"vowels": 1.0, "naturalness": 0.5}
    # Without a ramp everything is paid from the start.
    assert learner(rewards, judge).weights(0) == {"vowels": 2.0, "naturalness": 1.0}


def test_the_judge_is_trained_before_its_opinion_is_paid(judge_folder):
    judge, captioner = new_judge(judge_folder), new_tiny_captioner()
    before = weights(captioner)
    steps = []
    figures = pretrain_judge(judge, captioner, material(), TOKENS, 25, 8, 0, steps.append)
    assert steps == list(range(1, 26))
    assert judge.steps == 25
    assert judge.trusted
    assert figures["discriminator/auc"] == judge.auc
    assert same(before, weights(captioner))


def test_comparing_one_sample_is_refused_before_anything_is_sampled():
    for changes in ({"algorithm": "grpo"}, {"algorithm": "dico"}, {"baseline": "leave_one_out"}):
        with pytest.raises(UsageError, match=r"rl\.samples must be 2 or more"):
            learner(samples=1, **changes)
    assert math.isfinite(learner(samples=1, baseline="greedy").step()["loss"])


def ascii_captioner() -> Captioner:
    """A captioner of single bytes that says printable ASCII only, and ends now and then."""
    from transformers import GPT2Config, GPT2LMHeadModel

    from apps.captioning.pretraining.tokenizer import train_tokenizer, transformers_tokenizer

    tokenizer = transformers_tokenizer(train_tokenizer(259, 1), LONGEST)
    assert len(tokenizer) == 259
    torch.manual_seed(0)
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 1, "n_positions": LONGEST, "initializer_range": 0.2}
    decoder = GPT2LMHeadModel(GPT2Config(vocab_size=259, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, **sizes))
    allowed = torch.full((259,), -1e9)
    allowed[[tokenizer.convert_tokens_to_ids(chr(code)) for code in range(33, 127)]] = 0
    allowed[tokenizer.eos_token_id] = 2
    decoder.lm_head.register_forward_hook(lambda module, inputs, output: output + allowed)
    return Captioner(Shape(32, 16, prefix_length=2), decoder, tokenizer).eval()


def test_no_drift_between_the_tokens_that_are_paid_and_the_ones_that_are_learnt():
    one = Reinforcer(ascii_captioner(), config(), {"vowels": (Vowels(), 1.0)}, material(), TOKENS, 0)
    figures = [one.step() for _ in range(4)]
    assert {row["drift"] for row in figures} == {0.0}
    # Some captions were cut at the longest length: that is no drift.
    assert any(row["unterminated"] > 0 for row in figures)
    assert any(row["unterminated"] < 1 for row in figures)


def test_drift_is_counted_where_texts_are_read_back_as_other_tokens():
    from apps.captioning.learning.figures import drifted

    captioner = new_tiny_captioner()
    tokens, mask = captioner.encode(CORPUS[:4], LONGEST)
    said = Captions(tokens, mask, captioner.decode(tokens, mask))
    assert drifted(said, captioner) == [False] * 4
    letters = captioner.token_ids(list("red"))
    strange = torch.tensor([[*(row[0] for row in letters), captioner.end]])
    assert captioner.token_ids(["red"]) != [strange[0, :3].tolist()]
    spelt = Captions(strange, torch.ones_like(strange, dtype=torch.bool), ["red"])
    assert drifted(spelt, captioner) == [True]


def test_samples_for_the_report():
    one = learner({"vowels": (Vowels(), 0.5)})
    one.step()
    assert {row["picture"] for row in one.last} <= set(range(12))
    for row in one.last:
        assert row["reward"] == pytest.approx(0.5 * row["parts"]["vowels"])
        assert isinstance(row["caption"], str)
