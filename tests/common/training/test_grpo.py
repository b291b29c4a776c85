"""GRPO: the traps that trl leaves open are closed, and the faster step is the same step."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from common.config import GrpoConfig, LoraConfig
from common.errors import MissingColumn, RewardError, UsageError
from common.models.language import load_language_model, peft_config, save_language_model
from common.rewards import WeightedSum
from common.rewards.base import Reward, RewardOutput
from common.rewards.episodes import Scheduled
from common.rewards.transforms import HistoryQuantile
from common.training import grpo, grpo_step
from common.training.callbacks import STATE
from common.training.grpo import run_grpo
from common.training.recorder import Recorder
from tests.common.training import tiny


def config(**changes: Any) -> GrpoConfig:
    settings = {"steps": 2, "prompts_per_step": 4, "generations": 4, "learning_rate": 1e-2, "max_completion_length": 8}
    return GrpoConfig(**{**settings, **changes})


def go(
    run: Any, reward: Any = None, model: Any = None, tokenizer: Any = None, rows: Any = None, **changes: Any
) -> Any:
    return run_grpo(
        run,
        model if model is not None else tiny.model(),
        tokenizer or tiny.tokenizer(),
        rows or tiny.grpo_rows(),
        reward or tiny.LetterShare(),
        config(**changes),
    )


# --- what a run leaves behind


def test_a_run_writes_what_was_promised(new_run: Any) -> None:
    run = new_run()
    measured = []

    def evaluate(model: Any) -> dict[str, float]:
        assert not model.training
        measured.append(1)
        return {"exact": 0.25, "other": 1.0}

    model = run_grpo(
        run,
        tiny.model(),
        tiny.tokenizer(),
        tiny.grpo_rows(),
        tiny.LetterShare(),
        config(steps=4, eval_every=2),
        evaluate,
    )
    rows = run.rows("grpo")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert [row.get("heldout/exact") for row in rows] == [None, 0.25, None, 0.25]
    assert len(measured) == 2
    for name in ("reward", "loss", "entropy", "groups/flat", "completions/clipped_ratio", "completions/distinct"):
        assert all(isinstance(row[name], float) for row in rows), name
    assert all(row["time/generation"] + row["time/reward"] < row["time/step"] for row in rows)
    said = [json.loads(line) for line in (run.samples / "grpo-000002.jsonl").read_text().splitlines()]
    best, worst = said[0], said[1]
    assert best["prompt"] == worst["prompt"]
    assert best["reward"] >= worst["reward"]
    assert best["parts"] == {"letters": best["reward"]}
    assert best["columns"]["letter"] in best["prompt"][0]["content"]
    assert f"said {len(best['completion'])}" in json.dumps(best["info"])
    loaded, _ = load_language_model(grpo.LanguageModelConfig(path=str(run.final("grpo"))))
    assert tiny.same_weights(loaded, model)


def test_the_policy_learns(new_run: Any) -> None:
    run = new_run()
    go(run, steps=15, generations=8)
    rewards = [row["reward"] for row in run.rows()]
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.15


# --- the faster step is the same step


def batch() -> tuple[torch.Tensor, torch.Tensor, int]:
    """Five groups of four, prompts and completions of unlike length, in no order."""
    generator = torch.Generator().manual_seed(1)
    prompts = torch.randint(5, 41, (5, 9), generator=generator)
    completions = torch.randint(5, 41, (20, 7), generator=generator)
    prompt_mask = torch.ones(5, 9, dtype=torch.long)
    for row in range(5):
        prompt_mask[row, : 2 * row] = 0
    completion_mask = (torch.arange(7) <= torch.randint(0, 7, (20, 1), generator=generator)).long()
    for row in (1, 3, 4):  # said again in its own group, and to another prompt
        completions[row], completion_mask[row] = completions[0], completion_mask[0]
    ids = torch.cat([(prompts * prompt_mask).repeat_interleave(4, 0), completions * completion_mask], 1)
    mask = torch.cat([prompt_mask.repeat_interleave(4, 0), completion_mask], 1)
    order = torch.randperm(20, generator=generator)
    return ids[order], mask[order], 7


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("adapters", [False, True])
@pytest.mark.parametrize("cut", [0, 8])  # whole prompts, and prompts of one token
def test_shared_prompts_and_completions_give_the_same_numbers_and_gradient(
    cut: int, adapters: bool, fused: bool
) -> None:
    from peft import get_peft_model

    model = tiny.model()
    if adapters:
        model = get_peft_model(model, peft_config(LoraConfig(rank=2, dropout=0.0)))
        torch.nn.init.normal_(
            model.base_model.model.model.layers[0].self_attn.q_proj.lora_B["default"].weight, std=0.1
        )
    ids, mask, length = batch()
    ids, mask = ids[:, cut:], mask[:, cut:].clone()
    mask[:, : ids.shape[1] - length][:, -1] = 1
    ids[:, ids.shape[1] - length - 1].clamp_(min=5)
    scored = mask[:, -length:].bool()
    weight = torch.randn(20, length, generator=torch.Generator().manual_seed(2))[scored]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    logits = model(input_ids=ids, attention_mask=mask).logits[:, -length - 1 : -1] / 0.7
    plain, plain_entropy = grpo_step.of_logits(logits, ids[:, -length:].masked_fill(~scored, -100))
    reference = torch.distributions.Categorical(logits=logits)
    torch.testing.assert_close(plain[scored], reference.log_prob(ids[:, -length:])[scored])
    torch.testing.assert_close(plain_entropy[scored], reference.entropy()[scored])
    expected = torch.autograd.grad((plain[scored] * weight).sum(), trained)
    if fused:
        if not grpo_step.FUSED:
            pytest.skip("this trl has no fused head")
        from trl.trainer.utils import add_fused_lm_head

        inner = model.get_base_model() if adapters else model
        add_fused_lm_head(inner, temperature=0.7, outputs=("log_probs", "entropy"))
    log_probs, entropy = grpo_step.shared_prompt_log_probs(model, ids, mask, length, True, None if fused else 0.7)
    found = torch.autograd.grad((log_probs[scored] * weight).sum(), trained)
    assert entropy is not None
    torch.testing.assert_close(log_probs[scored], plain[scored], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(entropy[scored], plain_entropy[scored], atol=1e-5, rtol=1e-4)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() <= 1e-4 * other.norm() + 1e-4


class Even(Reward):
    """1 for an even number of characters: in some groups all earn the same."""

    name = "even"
    needs = ("completion",)

    def score(self, **columns: Any) -> RewardOutput:
        return RewardOutput(torch.tensor([float(len(text) % 2 == 0) for text in columns["completion"]]))


@pytest.mark.parametrize("beta", [0.0, 0.1])  # without a KL, groups in which all earned the same have no gradient
def test_the_fast_pass_trains_like_trl(new_run: Any, monkeypatch: pytest.MonkeyPatch, beta: float) -> None:
    runs = new_run("fast"), new_run("plain")
    fast = go(runs[0], Even(), beta=beta, steps=4)
    monkeypatch.setattr(grpo_step, "only_full_attention", lambda model: False)
    plain = go(runs[1], Even(), beta=beta, steps=4)
    for one, other in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    rows = list(zip(runs[0].rows(), runs[1].rows(), strict=True))
    assert beta or any(0 < row["groups/flat"] < 1 for row, _ in rows)
    for row, other_row in rows:
        assert row["loss"] == pytest.approx(other_row["loss"], abs=1e-4)
        assert row["entropy"] == pytest.approx(other_row["entropy"], abs=1e-4)


def test_spread_reaches_the_sampler_and_is_refused_where_trl_samples(
    new_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does to a group is tested where it is done (`test_language.py`)."""
    asked: list[bool] = []
    plain = grpo_step.sample

    def sample(*arguments: Any, spread: bool, **more: Any) -> Any:
        asked.append(spread)
        return plain(*arguments, spread=spread, **more)

    monkeypatch.setattr(grpo_step, "sample", sample)
    for spread in (False, True):
        go(new_run(f"spread-{spread}"), spread=spread, steps=1)
    assert asked == [False, True]
    with pytest.raises(UsageError, match=r"spread.*top_k"):
        go(new_run("trl"), spread=True, extra={"top_k": 1})


def test_other_sampling_settings_go_through_trl(new_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo_step, "sample", lambda *_, **__: pytest.fail("top_k is not known here"))
    run = new_run()
    go(run, extra={"top_k": 1})
    assert all(row["groups/flat"] == 1.0 for row in run.rows())


# --- the traps


def test_the_reference_is_the_policy_that_was_handed_in(new_run: Any, tmp_path: Path) -> None:
    """After SFT in memory, trl would take the model on disk for the reference: a KL of 0.1 and more at step one."""
    tokenizer = tiny.tokenizer()
    save_language_model(tiny.model(), tokenizer, tmp_path / "before")
    model, _ = load_language_model(grpo.LanguageModelConfig(path=str(tmp_path / "before")), training=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.2)
    run = new_run()
    go(run, model=model, beta=0.05, learning_rate=1e-3)
    first, second = (row["kl"] for row in run.rows())
    assert abs(first) < 1e-6
    assert second > 1e-6


def test_without_the_guard_the_reference_is_another_model(
    new_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trap itself: should trl close it one day, the guard can go."""
    save_language_model(tiny.model(), tiny.tokenizer(), tmp_path / "before")
    model, _ = load_language_model(grpo.LanguageModelConfig(path=str(tmp_path / "before")), training=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.2)
    monkeypatch.setattr(grpo, "_settle_reference", lambda *_: None)
    run = new_run()
    go(run, model=model, beta=0.05)
    assert run.rows()[0]["kl"] > 0.01


def test_padding_is_forced_to_the_left(new_run: Any) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.padding_side = "right"
    right = go(new_run("right"), tokenizer=tokenizer)
    assert tokenizer.padding_side == "left"
    assert tiny.same_weights(right, go(new_run("left")))


class Constant(Reward):
    """1 for everybody, except what `unlike` picks by length."""

    needs = ("completion",)

    def __init__(self, name: str, even: float) -> None:
        self.name, self.even = name, even

    def score(self, **columns: Any) -> RewardOutput:
        return RewardOutput(torch.tensor([1.0 if len(text) % 2 else self.even for text in columns["completion"]]))


@pytest.fixture
def _patient_grader(monkeypatch: pytest.MonkeyPatch) -> None:
    from common.rewards.adapters import trl as adapter

    monkeypatch.setattr(adapter, "FAILED_CALLS", 1000)
    monkeypatch.setattr(grpo, "_try_reward", lambda *_: None)


@pytest.mark.usefixtures("_patient_grader")
@pytest.mark.parametrize("unscored", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_what_cannot_be_scored_does_not_move_the_policy(new_run: Any, unscored: float, aggregation: str) -> None:
    """Everything that was scored scored 1: a policy that moves was told that a grader's failure is a bad answer."""
    before = tiny.model()
    reward = WeightedSum({"sure": (Constant("sure", 1.0), 0.5), "shaky": (Constant("shaky", unscored), 0.5)})
    run = new_run()
    after = go(run, reward, aggregation=aggregation)
    assert any(row["reward/shaky/failed"] > 0 for row in run.rows())
    assert tiny.same_weights(after, before)
    assert all(row["reward"] is None or math.isfinite(row["reward"]) for row in run.rows())


@pytest.mark.usefixtures("_patient_grader")
def test_where_it_can_be_scored_the_policy_moves(new_run: Any) -> None:
    assert not tiny.same_weights(go(new_run(), tiny.SometimesBroken()), tiny.model())


def test_a_grader_that_fails_stops_the_run(new_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from common.errors import GraderFailure

    monkeypatch.setattr(grpo, "_try_reward", lambda *_: None)
    run = new_run()
    with pytest.raises(GraderFailure, match="--resume"):
        go(run, Constant("shaky", math.nan), steps=20, save_every=2)
    assert [alarm["kind"] for alarm in run.alarms()] == ["grader_failure"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generations": 1}, "at least 2"),
        ({"prompts_per_step": 3, "gradient_accumulation": 5}, "do not divide"),
        ({"steps": 0}, "grpo.steps"),
        ({"temperature": 0.0}, "temperature"),
        ({"extra": {"epsilon_hgih": 0.3}}, "epsilon_high"),
        ({"extra": {"num_generations": 4}}, "set grpo.generations instead"),
        ({"extra": {"per_device_train_batch_size": 4}}, "prompts_per_step"),
        ({"loss_type": "dappo"}, "'dapo'"),
    ],
)
def test_settings_that_cannot_work_are_explained(new_run: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        go(new_run(), **changes)


def test_extra_reaches_trl(new_run: Any) -> None:
    run = new_run()
    go(run, steps=4, extra={"warmup_steps": 2, "lr_scheduler_type": "constant_with_warmup"})
    assert [row["learning_rate"] for row in run.rows()] == pytest.approx([0.0, 0.005, 0.01, 0.01])


def test_gradient_accumulation_makes_the_same_batch(new_run: Any) -> None:
    """The same completions in two halves: one step must come out equal."""
    one, two = go(new_run("one"), steps=1), go(new_run("two"), steps=1, gradient_accumulation=2)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_tokenizer_without_chat_template(new_run: Any) -> None:
    with pytest.raises(UsageError, match="no chat template"):
        go(new_run(), tokenizer=tiny.tokenizer(template=None))


def test_tokenizer_without_an_end(new_run: Any) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(UsageError, match="eos"):
        go(new_run(), tokenizer=tokenizer)


def test_tokenizer_of_another_model(new_run: Any) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.add_tokens([f"<extra{number}>" for number in range(20)])
    with pytest.raises(UsageError, match="no row in the model's embedding"):
        go(new_run(), tokenizer=tokenizer)


def test_texts_as_prompts(new_run: Any) -> None:
    from datasets import Dataset

    rows = Dataset.from_list([{"prompt": f"say {letter}", "letter": letter} for letter in "abcdef"])
    run = new_run()
    go(run, tokenizer=tiny.tokenizer(template=None), rows=rows)
    assert len(run.rows()) == 2


def test_a_column_that_the_reward_needs_is_missing(new_run: Any) -> None:
    with pytest.raises(MissingColumn, match="letter"):
        go(new_run(), rows=tiny.grpo_rows().remove_columns("letter"))
    with pytest.raises(UsageError, match="column prompt"):
        go(new_run("other"), rows=tiny.grpo_rows().remove_columns("prompt"))


def test_a_reward_that_breaks_its_contract_is_refused_before_the_first_step(new_run: Any) -> None:
    run = new_run()
    with pytest.raises(RewardError):
        go(run, Constant("too_good", 7.0))
    assert run.rows() == []


def test_a_reward_that_reads_the_step_is_tried_and_trained_on(new_run: Any) -> None:
    run = new_run()
    go(run, Scheduled(tiny.LetterShare(), (0, 1.0, 2.0, 4)), steps=1)
    assert len(run.rows()) == 1


def test_what_a_part_has_learnt_is_in_the_checkpoint(new_run: Any) -> None:
    run = new_run()
    # A plain sum: nobody called `with_state`.
    go(run, 0.5 * HistoryQuantile(tiny.LetterShare()) + 0.5 * tiny.LetterShare(), save_every=1)
    (checkpoint,) = run.stage("grpo").glob("checkpoint-*")
    assert (checkpoint / STATE).is_file()


def test_reward_names_must_differ() -> None:
    def one(**_: Any) -> list[float | None]:
        return []

    with pytest.raises(RewardError, match="unique names"):
        Recorder([one, one], [0.5, 0.5], 4, (0.0, 1.0))


def test_adapters_are_merged_at_the_end(new_run: Any) -> None:
    run, base = new_run(), tiny.model()
    model = run_grpo(
        run,
        tiny.model(),
        tiny.tokenizer(),
        tiny.grpo_rows(),
        tiny.LetterShare(),
        config(beta=0.1),
        lora=LoraConfig(rank=2, alpha=4, dropout=0.5),
    )
    assert type(model) is type(base)
    assert torch.equal(model.get_input_embeddings().weight, base.get_input_embeddings().weight)
    assert not tiny.same_weights(model, base)
    assert abs(run.rows()[0]["kl"]) < 1e-6
