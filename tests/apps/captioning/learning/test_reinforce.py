"""Reinforcement, step by step: what is paid, what is learnt, what stops it, and that it goes on bit for bit."""

from __future__ import annotations

import itertools
import math
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch

from apps.captioning.learning.naturalness import Naturalness
from apps.captioning.learning.reinforce import Material, Reinforcer, pretrain_judge
from apps.captioning.model import Captioner, Captions, Shape
from apps.captioning.model_config import DiscriminatorConfig
from apps.captioning.train_config import RlConfig
from common.errors import GraderFailure, TouchstoneError, UsageError
from common.rewards.base import Reward, RewardOutput
from common.training.run import Interrupted, Run
from common.training.stage import newest_checkpoint, run_stage
from tests.apps.captioning.tiny import LONGEST, new_tiny_captioner
from tests.apps.captioning.tiny_judge import tiny_judge_folder
from tests.apps.captioning.tiny_models import sentences

TOKENS = 10
CORPUS = sentences(20)


class Vowels(Reward):
    """Share of the letters a, e, i in a caption. Range [0, 1].

    Args:
        at: the call at which something is done.
        act: what.
    """

    name = "vowels"

    def __init__(self, at: int = 0, act: Callable[[], None] = lambda: None) -> None:
        self.calls, self.at, self.act = 0, at, act

    def score(self, **columns: Any) -> RewardOutput:
        self.calls += 1
        if self.calls == self.at:
            self.act()
        texts = columns["completion"]
        return RewardOutput(torch.tensor([sum(map(text.count, "aei")) / max(1, len(text)) for text in texts]))


class Unscored(Vowels):
    """Cannot score the first `count` rows."""

    name = "unscored"

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def score(self, **columns: Any) -> RewardOutput:
        values = super().score(**columns).values
        values[: self.count] = math.nan
        return RewardOutput(values)


def features(count: int, seed: int = 0) -> torch.Tensor:
    values = torch.randn(count, 32, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(values, dim=-1)


def material(pictures: int = 12, corpus: int = 20) -> Material:
    return Material(features(pictures), {}, CORPUS[:corpus], features(corpus, 1))


def config(**changes: Any) -> RlConfig:
    usual = {"steps": 8, "pictures_per_step": 3, "samples": 4, "learning_rate": 1e-3, "warmup": 1}
    return RlConfig(**{**usual, **changes})


def learner(rewards: Any = None, judge: Naturalness | None = None, data: Material | None = None, **changes: Any):
    paid = {"vowels": (Vowels(), 1.0)} if rewards is None else rewards
    return Reinforcer(new_tiny_captioner(), config(**changes), paid, data or material(), TOKENS, 0, judge)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def judge_folder(tmp_path_factory):
    return tiny_judge_folder(tmp_path_factory.mktemp("judge"))


def new_judge(folder, **settings: Any) -> Naturalness:
    torch.manual_seed(3)
    return Naturalness(DiscriminatorConfig(str(folder), **{"learning_rate": 2e-3, **settings}), "cpu")


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


@pytest.mark.parametrize("normalise", [True, False])
def test_the_loss_is_reinforce_on_the_sampled_tokens_themselves(monkeypatch, normalise):
    one = learner(scale="none", baseline="leave_one_out", length_normalise=normalise, temperature=0.9)
    said: list[tuple[torch.Tensor, Captions]] = []
    generate = one.captioner.generate

    def spy(seen, *rest):
        said.append((seen, generate(seen, *rest)))
        return said[-1][1]

    monkeypatch.setattr(one.captioner, "generate", spy)
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
    said: list[Captions] = []
    generate = one.captioner.generate
    monkeypatch.setattr(one.captioner, "generate", lambda *given: said.append(generate(*given)) or said[-1])
    one.step()
    ((real, fake),) = shown
    assert set(real) <= set(CORPUS)
    texts = said[0].texts
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
    from apps.captioning.learning.reinforce import _drift

    captioner = new_tiny_captioner()
    tokens, mask = captioner.encode(CORPUS[:4], LONGEST)
    said = Captions(tokens, mask, captioner.decode(tokens, mask))
    assert _drift(said, captioner) == 0
    letters = captioner.token_ids(list("red"))
    strange = torch.tensor([[*(row[0] for row in letters), captioner.end]])
    assert captioner.token_ids(["red"]) != [strange[0, :3].tolist()]
    spelt = Captions(strange, torch.ones_like(strange, dtype=torch.bool), ["red"])
    assert _drift(spelt, captioner) == 1


def test_samples_for_the_report():
    one = learner({"vowels": (Vowels(), 0.5)})
    one.step()
    assert {row["picture"] for row in one.last} <= set(range(12))
    for row in one.last:
        assert row["reward"] == pytest.approx(0.5 * row["parts"]["vowels"])
        assert isinstance(row["caption"], str)


# --- resuming ------------------------------------------------------------------------------------------------------


def build(judge_folder, reward: Reward) -> Reinforcer:
    """Everything that has a state: judge with dropout, penalty and bounded norms, text, pull, greedy baseline."""
    torch.manual_seed(1)
    judge = new_judge(judge_folder, spectral_norm=True, gradient_penalty=0.1, gate=0.0)
    rewards = {"vowels": (reward, 1.0), "naturalness": (judge.reward(), 0.5)}
    changes = {"beta": 0.05, "text_weight": 0.3, "baseline": "greedy", "weight_decay": 0.01}
    return learner(rewards, judge, material(5, 7), **changes)


def tensors(value: Any) -> list[Any]:
    """Every leaf of a state, in order."""
    if isinstance(value, dict):
        return [leaf for name in sorted(value, key=str) for leaf in (name, *tensors(value[name]))]
    if isinstance(value, (list, tuple)):
        return [leaf for entry in value for leaf in tensors(entry)]
    return [value]


def equal(one: Any, other: Any) -> bool:
    left, right = tensors(one), tensors(other)
    return len(left) == len(right) and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(left, right, strict=True)
    )


def logged(run: Run) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if "time/" not in name} for row in run.rows("rl")]


def interrupt() -> None:
    raise KeyboardInterrupt


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(("act", "saved"), [(interrupt, 4), (press, 6)])
def test_resumed_equals_uninterrupted_bit_for_bit(judge_folder, tmp_path, act, saved):
    whole_run = Run.create(tmp_path, "whole", {}, 0)
    whole = build(judge_folder, Vowels())
    run_stage(whole_run, "rl", whole, 8, 2)
    cut_run = Run.create(tmp_path, "cut", {}, 0)
    with pytest.raises(Interrupted, match="--resume"):
        run_stage(cut_run, "rl", build(judge_folder, Vowels(6, act)), 8, 2)
    assert newest_checkpoint(cut_run, "rl").name == f"checkpoint-{saved:06d}.pt"
    torch.manual_seed(12345)
    resumed = build(judge_folder, Vowels())
    torch.rand(7)
    run_stage(cut_run, "rl", resumed, 8, 2)
    assert equal(resumed.state(), whole.state())
    assert logged(cut_run) == logged(whole_run)
    assert [row["step"] for row in logged(cut_run)] == list(range(1, 9))
    # And it is a state that depends on what was done: another run's is another.
    other = build(judge_folder, Vowels())
    assert not equal(other.state(), whole.state())


@pytest.mark.parametrize("algorithm", ["grpo", "dico"])
def test_the_other_algorithms_resume_too(tmp_path, algorithm):
    whole = learner(algorithm=algorithm, beta=0.1)
    figures = [whole.step() for _ in range(4)]
    first = learner(algorithm=algorithm, beta=0.1)
    first.step(), first.step()
    second = learner(algorithm=algorithm, beta=0.1)
    second.restore(first.state())
    more = [second.step() for _ in range(2)]
    assert [row["loss"] for row in more] == [row["loss"] for row in figures[2:]]
    assert same(weights(whole.captioner), weights(second.captioner))


def test_resuming_with_other_data_is_refused():
    one = learner()
    one.step()
    with pytest.raises(UsageError, match="size 12 -> 9"):
        learner(data=material(9)).restore(one.state())
