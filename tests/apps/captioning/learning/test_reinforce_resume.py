"""Reinforcement goes on bit for bit, wherever it was stopped."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import torch

from apps.captioning.learning.reinforce import Reinforcer
from common.errors import UsageError
from common.rewards.base import Reward
from common.rewards.transforms import HistoryQuantile
from common.training.run import Interrupted, Run
from common.training.stage import newest_checkpoint, run_stage
from tests.apps.captioning.learning.toys import (
    Vowels,
    learner,
    material,
    new_judge,
    same,
    weights,
)


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


def test_what_a_reward_has_learnt_resumes_too(tmp_path):
    def learning() -> Reinforcer:
        torch.manual_seed(1)
        return learner({"vowels": (HistoryQuantile(Vowels(), warmup=4), 1.0)}, None, material(5, 7))

    whole, cut = learning(), learning()
    for _ in range(3):
        whole.step()
    cut.step()
    state, resumed = cut.state(), learning()
    resumed.restore(state)
    for _ in range(2):
        resumed.step()
    assert len(whole.state()["rewards"]) == 1
    assert equal(resumed.state(), whole.state())
    assert resumed.rewards["vowels"][0](completion=["a"]).values == whole.rewards["vowels"][0](completion=["a"]).values
    assert learning().rewards["vowels"][0].state_dict()["step"] == -1


def test_resuming_with_other_data_is_refused():
    one = learner()
    one.step()
    with pytest.raises(UsageError, match="size 12 -> 9"):
        learner(data=material(9)).restore(one.state())
