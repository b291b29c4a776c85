"""The simulation's arithmetic, on cases small enough to know the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from apps.medvqa.cases import Case, Ordering, order_cases, read_cases, scorers
from apps.medvqa.reward_config import SemanticConfig
from apps.medvqa.simulation import MIXINGS, gdpo, main, normalised_sum, semantic_terms, simulate, table
from common.errors import DataError, UsageError
from common.rewards.base import Reward, RewardOutput
from common.stats import spearman

CASES = [
    Case("a", "Where?", "left", ("left", "on the left", "the right", "nowhere"), (2, 2, 1, 0)),
    Case("b", "What?", "mass", ("mass", "a mass", "fracture"), (1, 1, 0)),
]


class Oracle(Reward):
    """The tier itself, or its contrary, or always the same."""

    name = "oracle"
    bounds = (-2.0, 2.0)

    def __init__(self, sign: float) -> None:
        self.sign = sign

    def score(self, **columns: Any) -> RewardOutput:
        tiers = {text: tier for case in CASES for text, tier in zip(case.answers, case.tiers, strict=True)}
        return RewardOutput(torch.tensor([self.sign * tiers[text] for text in columns["completion"]]))


def test_pairs_and_whole_cases_are_counted() -> None:
    assert order_cases(Oracle(1.0), CASES) == Ordering(7, 7, 2, 2)
    assert order_cases(Oracle(-1.0), CASES) == Ordering(0, 7, 0, 2)
    assert order_cases(Oracle(0.0), CASES) == Ordering(0, 7, 0, 2), "a tie is not right"


def test_advantages_are_trls() -> None:
    """Against the formulas as trl 1.16 writes them, in torch."""
    rng = np.random.default_rng(0)
    rewards, weights = rng.random((3, 16)), [1.0, 0.5, 2.0]
    per_function, size = torch.tensor(rewards.T), 8
    summed = (per_function * torch.tensor(weights)).nansum(1)
    grouped = summed.view(-1, size)
    expected = (grouped - grouped.mean(1, keepdim=True)) / (grouped.std(1, keepdim=True) + 1e-4)
    assert normalised_sum(rewards, weights, size) == pytest.approx(expected.flatten().numpy())
    three = per_function.view(-1, size, 3)
    normal = (three - three.mean(1, keepdim=True)) / (three.std(1, keepdim=True) + 1e-4)
    total = (normal.view(-1, 3) * torch.tensor(weights)).nansum(1)
    assert gdpo(rewards, weights, size) == pytest.approx(((total - total.mean()) / (total.std() + 1e-4)).numpy())


def test_an_affine_rescaling_of_one_reward_changes_no_advantage() -> None:
    rewards = np.random.default_rng(0).random((1, 16))
    same = normalised_sum(rewards, [1.0], 8)
    assert np.abs(normalised_sum(5 * rewards + 3, [1.0], 8) - same).max() < 0.01


def test_an_oracle_is_true_and_a_constant_is_flat() -> None:
    found = simulate(
        CASES,
        {"oracle": lambda: Oracle(1.0), "contrary": lambda: Oracle(-1.0), "constant": lambda: Oracle(0.0)},
        seeds=(0, 1),
        per_case=10,
    )
    assert found["oracle"]["s"].truth.mean == pytest.approx(1.0)
    assert found["contrary"]["s"].truth.mean == pytest.approx(-1.0)
    assert found["constant"]["s"].truth.mean == 0.0
    assert found["constant"]["s"].flat.mean == 1.0
    assert found["constant"]["f+s"].form.mean == pytest.approx(1.0), "only the form is left to learn"
    assert abs(found["oracle"]["s"].form.mean) < 0.1
    assert found["oracle"]["f+s"].truth.mean < found["oracle"]["(.75+.25f)*s"].truth.mean < 1.0
    assert found["oracle"]["s"].truth.n == 2


def test_a_seed_is_a_simulation_and_the_same_one_again() -> None:
    mixings = {"f+s": MIXINGS["f+s"]}
    runs = [simulate(CASES, {"oracle": lambda: Oracle(1.0)}, mixings, seeds=(seed,), per_case=5) for seed in (0, 0, 1)]
    first, again, other = (run["oracle"]["f+s"].truth.mean for run in runs)
    assert first == again != other


def test_histories_get_steps_and_start_anew_with_each_seed() -> None:
    seen: list[list[int]] = []

    class Steps(Oracle):
        def __init__(self) -> None:
            super().__init__(1.0)
            seen.append([])

        def score(self, **columns: Any) -> RewardOutput:
            seen[-1].append(columns["step"])
            assert len(columns["group"]) == len(columns["completion"])
            return super().score(**columns)

    simulate(CASES, {"steps": Steps}, {"s": MIXINGS["s"]}, seeds=(0, 1), per_case=5, step=4)
    assert seen == [[0, 1, 2], [0, 1, 2]]


def test_correlations_are_spearmans() -> None:
    from apps.medvqa.simulation import _correlations

    rng = np.random.default_rng(1)
    left, right = rng.integers(0, 4, (20, 8)).astype(float), rng.integers(0, 3, (20, 8)).astype(float)
    expected = [spearman(one, other) for one, other in zip(left, right, strict=True)]
    assert _correlations(left, right) == pytest.approx(np.nan_to_num(expected))


def test_the_terms_of_the_table_run_on_any_encoder(shared: Path) -> None:
    cases = read_cases(shared / "cases" / "medvqa_shared.jsonl")
    found = simulate(cases[:4], semantic_terms(SemanticConfig()), seeds=(0,), per_case=2)
    text = table(found)
    assert text.count("\n") == len(found) + 1
    assert "adaptive affine" in text


def test_ours_orders_the_shared_cases_and_the_usual_scorers_do_not(shared: Path) -> None:
    cases = read_cases(shared / "cases" / "medvqa_shared.jsonl")
    shares = {name: order_cases(reward, cases) for name, reward in scorers(SemanticConfig()).items()}
    assert shares["adaptive"].right >= 0.95 * shares["adaptive"].pairs
    assert all(one.right < 0.8 * one.pairs for name, one in shares.items() if name not in ("adaptive", "scorer"))


def test_a_line_that_is_no_case_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text('{"name": "a", "question": "q", "reference": "r", "answers": [{"text": "x"}]}\n')
    with pytest.raises(DataError, match=r"cases\.jsonl:1.*tier"):
        read_cases(path)
    path.write_text("")
    with pytest.raises(DataError, match="no cases"):
        read_cases(path)


def test_the_command_prints_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cases.jsonl"
    answers = '[{"text": "left", "tier": 1}, {"text": "right", "tier": 0}, {"text": "zorb", "tier": 0}]'
    path.write_text(f'{{"name": "a", "question": "Where?", "reference": "left", "answers": {answers}}}\n')
    main([str(path)])
    said = capsys.readouterr().out
    assert "adaptive     pairs right 2/2 = 100.0%, whole cases 1/1" in said
    assert "truth: mean over 5 seeds" in said
    with pytest.raises(UsageError, match="usage"):
        main([])
