"""The audit must catch each kind of bad reward, and pass a good one."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from common.errors import RewardError
from common.rewards.audit import AuditReport, Mutant, audit, other_reference
from common.rewards.audit.measures import agreement, balance, krippendorff, pairwise_accuracy, partial_spearman, spread
from common.rewards.base import Reward, RewardOutput
from common.rewards.compose import WeightedSum
from common.rewards.functional import token_f1
from common.rewards.text import ExactMatch, TokenF1
from common.stats import spearman
from tests.common.rewards.toy import Column

NAN = math.nan
COLOURS = ("red", "blue", "green", "grey", "white", "black")
THINGS = ("house", "car", "dog", "boat")
PAIRS = list(itertools.product(COLOURS, THINGS))
ROWS: dict[str, list[str]] = {
    "prompt": [f"which colour has the {thing} with number {row}" for row, (_, thing) in enumerate(PAIRS)],
    "completion": [f"the {thing} is {colour}" for colour, thing in PAIRS],
    "reference": [f"the {thing} is {colour}" for colour, thing in PAIRS],
    "thing": [thing for _, thing in PAIRS],
}
MUTANTS = [
    Mutant(row, "colour", f"the {thing} is {COLOURS[(COLOURS.index(colour) + 1) % 6]}")
    for row, (colour, thing) in enumerate(PAIRS)
] + [Mutant(row, "case", f"The {thing} is {colour}.") for row, (colour, thing) in enumerate(PAIRS[:10])]
SAMPLES = [
    [f"the {thing} is {colour}", f"the {thing} is {COLOURS[row % 6]}", f"a {thing}", "something"]
    for row, (colour, thing) in enumerate(PAIRS)
]


def f1(columns: Mapping[str, Any]) -> list[float]:
    return [token_f1(one, two) for one, two in zip(columns["completion"], columns["reference"], strict=True)]


class Says(Reward):
    """A reward from a function of completion and prompt."""

    name = "says"
    needs = ("completion", "prompt")

    def __init__(self, rule: Any) -> None:
        self.rule = rule

    def score(self, **columns: Any) -> RewardOutput:
        pairs = zip(columns["completion"], columns["prompt"], strict=True)
        return RewardOutput(torch.tensor([float(self.rule(one, two)) for one, two in pairs]))


@pytest.fixture(scope="module")
def good() -> AuditReport:
    return audit(TokenF1(), ROWS, mutations=MUTANTS, metric=f1, samples=SAMPLES, prompt="prompt", within="thing")


class TestGoodReward:
    def test_controls_are_below_the_references(self, good: AuditReport) -> None:
        assert good.reference.mean == 1.0
        assert {one.name for one in good.controls} == {"empty", "boilerplate", "other_reference", "prompt_copy"}
        assert all(one.beaten.mean == 1.0 and one.auc == 1.0 for one in good.controls)
        means = [one.mean.mean for one in good.controls]
        assert means == sorted(means, reverse=True)
        assert good.shuffle_auc == 1.0
        assert good.band[0] < good.band[1] == 1.0

    def test_mutants_are_told_apart_by_operator(self, good: AuditReport) -> None:
        by_operator = {one.operator: one for one in good.mutations}
        assert by_operator["colour"].killed.mean == 1.0
        assert by_operator["colour"].killed.low > 0.8
        assert by_operator["case"].killed.mean == 0.0
        assert by_operator["case"].survivors[0] == (0, "The house is red.")
        assert good.killed is not None
        assert good.killed.mean == pytest.approx(24 / 34)
        assert [flag for flag in good.flags if "mutation" in flag] == [
            "mutation case: 100% of 10 score no lower than their reference"
        ]

    def test_samples_are_spread_and_agree_with_the_metric(self, good: AuditReport) -> None:
        assert good.spread is not None
        assert good.agreement is not None
        assert good.spread.groups == 24
        assert good.spread.collapse.mean == 0.0
        assert good.agreement.spearman.mean == pytest.approx(1.0)
        assert good.agreement.pairwise.mean == 1.0
        assert good.agreement.auc is None
        assert good.copy_rate == 0.0
        assert good.length.gaining.mean == 0.0

    def test_it_scores_reproducibly_and_counts_time(self, good: AuditReport) -> None:
        assert good.repeatability == 0.0
        assert good.reliability == 1.0
        assert good.latency.rows == sum(map(len, good.scores.values()))
        assert 0 < good.latency.p50 <= good.latency.p95

    def test_json_holds_everything_and_no_nan(self, good: AuditReport) -> None:
        text = json.dumps(good.to_json(), allow_nan=False)
        assert json.loads(text)["mutations"][0]["killed"]["mean"] == 1.0
        assert len(json.loads(text)["scores"]["sample"]) == 96

    def test_same_seed_same_report(self, good: AuditReport) -> None:
        again = audit(TokenF1(), ROWS, mutations=MUTANTS, metric=f1, samples=SAMPLES, prompt="prompt", within="thing")
        fresh, old = again.to_json(), good.to_json()
        assert {**fresh, "latency": None} == {**old, "latency": None}


def flagged(reward: Reward, **options: Any) -> str:
    return "\n".join(audit(reward, ROWS, prompt="prompt", **options).flags)


class TestBadRewards:
    def test_one_that_pays_for_copying(self) -> None:
        found = flagged(Says(lambda text, prompt: token_f1(text, prompt)), within="thing")
        assert "prompt_copy: the reference scores higher in 0%" in found
        assert "shuffle AUC" in found

    def test_one_that_pays_for_length(self) -> None:
        found = flagged(Says(lambda text, prompt: min(len(text), 400) / 400), samples=SAMPLES)
        assert "padding raises the score of 100%" in found
        assert "boilerplate" in found
        assert "length pays" in found

    def test_one_that_says_the_same_to_everything(self) -> None:
        found = flagged(Says(lambda text, prompt: 0.9), samples=SAMPLES)
        assert "empty: the reference scores higher in 50%" in found
        assert "100% of the groups are flat" in found

    def test_one_that_is_collapsed_into_a_narrow_band(self) -> None:
        report = audit(
            Says(lambda text, prompt: 0.86 + 0.003 * ("red" in text)),
            ROWS,
            samples=SAMPLES,
            metric=f1,
            prompt="prompt",
        )
        assert report.spread is not None
        assert report.spread.collapse.mean == 1.0

    def test_one_that_disagrees_with_the_metric(self) -> None:
        found = flagged(Says(lambda text, prompt: 1 / (1 + len(text))), samples=SAMPLES, metric=f1)
        assert "reward and metric order only" in found

    def test_one_that_changes_its_mind(self) -> None:
        counter = itertools.count()
        found = flagged(Says(lambda text, prompt: next(counter) % 5 / 5))
        assert "the same rows score up to 0.6 apart when scored again (Krippendorff's alpha -0.0" in found

    def test_one_that_fails_on_references(self) -> None:
        found = flagged(Says(lambda text, prompt: NAN if text.endswith("red") else 0.5))
        assert "17% of the references could not be scored" in found

    def test_one_part_that_drowns_another_and_two_that_say_the_same(self) -> None:
        reward = WeightedSum({"f1": (TokenF1(), 1.0), "again": (TokenF1(), 1.0), "tiny": (ExactMatch(), 0.01)})
        found = flagged(reward, samples=SAMPLES)
        assert "f1 and again are redundant (rank correlation 1.00)" in found
        loud = WeightedSum({"loud": (ExactMatch(), 10.0), "soft": (TokenF1(), 0.1)})
        assert "loud makes 100% of the variance" in flagged(loud, samples=SAMPLES)

    def test_copying_samples(self) -> None:
        copies = [[prompt, "the house is red"] for prompt in ROWS["prompt"]]
        report = audit(TokenF1(), ROWS, samples=copies, prompt="prompt")
        assert report.copy_rate == 0.5
        assert any("copy their prompt" in flag for flag in report.flags)


class TestOptions:
    def test_the_applications_controls_and_padding_are_used(self) -> None:
        seen = audit(
            TokenF1(),
            ROWS,
            controls={
                "first word": lambda rows: {**rows, "completion": [one.split()[0] for one in rows["completion"]]}
            },
            pad=lambda rows: {**rows, "completion": [f"{one} {one}" for one in rows["completion"]]},
        )
        assert "first word" in {one.name for one in seen.controls}
        assert len(seen.scores["padded"]) == len(PAIRS)

    def test_without_samples_references_and_mutants_stand_in(self) -> None:
        report = audit(TokenF1(), ROWS, mutations=MUTANTS, metric=f1)
        assert report.spread is None
        assert report.agreement is not None
        assert report.agreement.spearman.n == len(PAIRS) + len(MUTANTS)
        assert report.agreement.spearman.mean == pytest.approx(1.0)

    def test_a_binary_metric_gives_an_auc(self) -> None:
        report = audit(TokenF1(), ROWS, samples=SAMPLES, metric=lambda rows: [float(one == 1.0) for one in f1(rows)])
        assert report.agreement is not None
        assert report.agreement.auc is not None
        assert report.agreement.auc.mean == 1.0

    def test_wrong_calls_raise(self) -> None:
        with pytest.raises(RewardError, match="two reference rows"):
            audit(TokenF1(), {"completion": ["x"], "reference": ["x"]})
        with pytest.raises(RewardError, match="made 1 rows of 24"):
            audit(TokenF1(), ROWS, controls={"short": lambda rows: {**rows, "completion": ["x"]}})
        with pytest.raises(RewardError, match="samples were given for 1 of 24"):
            audit(TokenF1(), ROWS, samples=[["x"]])

    def test_another_reference_is_another_one_and_shares_the_column(self) -> None:
        changed = other_reference(ROWS, within="thing")["completion"]
        assert all(new != old for new, old in zip(changed, ROWS["completion"], strict=True))
        assert all(f"the {thing} is" in new for new, thing in zip(changed, ROWS["thing"], strict=True))
        with pytest.raises(RewardError, match="all references are the same"):
            other_reference({"completion": ["x", "x"]})

    def test_completions_need_not_be_texts(self) -> None:
        report = audit(
            Column("completion", name="number"),
            {"completion": [0.9, 0.8, 0.7]},
            mutations=[Mutant(0, "lower", 0.1), Mutant(1, "higher", 0.95)],
        )
        assert [one.killed.mean for one in report.mutations] == [1.0, 0.0]
        assert math.isnan(report.shuffle_auc)
        assert report.to_json()["shuffle_auc"] is None


class TestMeasures:
    def test_spread_counts_flat_groups_and_leaves_out_what_failed(self) -> None:
        found = spread([0.5, 0.51, 0.0, 1.0, NAN, 0.3, 0.4], [0, 0, 1, 1, 2, 2, 3], span=1.0)
        assert found.groups == 2
        assert found.collapse.mean == 0.5
        assert found.distinct == 2.0

    def test_pairs_count_within_a_group_only(self) -> None:
        interval = pairwise_accuracy([0.1, 0.9, 0.5, 0.5, NAN], [0, 1, 1, 0, 1], [0, 0, 1, 1, 1], span=1.0)
        assert interval.n == 2
        assert interval.mean == 0.75

    def test_partial_correlation_takes_the_metric_out(self) -> None:
        rng = np.random.default_rng(0)
        metric = rng.uniform(0, 10, 200)
        score, length = metric + rng.normal(0, 1, 200), metric + rng.normal(0, 1, 200)
        assert spearman(score, length) > 0.8
        assert abs(partial_spearman(score, length, metric)) < 0.2
        assert math.isnan(partial_spearman([1, 1, 1], [1, 2, 3], [1, 2, 3]))

    def test_agreement_with_itself_is_krippendorffs(self) -> None:
        """The worked example of the article on the measure: three coders, fifteen units, interval data: 0.811."""
        none = math.nan
        coders = [
            [none, none, none, none, none, 3, 4, 1, 2, 1, 1, 3, 3, none, 3],
            [1, none, 2, 1, 3, 3, 4, 3, none, none, none, none, none, none, none],
            [none, none, 2, 1, 3, 4, 4, none, 2, 1, 1, 3, 3, none, 4],
        ]
        assert krippendorff(coders) == pytest.approx(0.811, abs=5e-4)
        assert krippendorff([[0.1, 0.5, 0.9]] * 3) == 1.0
        assert krippendorff([[0.0, 1.0], [1.0, 0.0]]) < 0
        assert math.isnan(krippendorff([[0.5, 0.5], [0.5, none]]))
        assert math.isnan(krippendorff([[none], [0.5]]))

    def test_balance_of_weights(self) -> None:
        found = balance({"a": [0.0, 1.0], "b": [0.0, 1.0]}, {"a": 1.0, "b": 3.0})
        assert found.shares == pytest.approx({"a": 0.1, "b": 0.9})
        assert found.correlations == (("a", "b", pytest.approx(1.0)),)

    def test_agreement_of_opposites(self) -> None:
        found = agreement([3, 2, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0], span=3.0)
        assert found.auc is not None
        assert (found.auc.mean, found.pairwise.mean) == (0.0, 0.0)
        assert found.spearman.mean < 0
