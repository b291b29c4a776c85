"""`audit` of answer rewards: rewards whose faults are known are found out, and an honest one passes."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.medvqa.audit import COMPARED, assay_reward, audit_rewards, drawn, load_pool, run_audit
from apps.medvqa.auditing import assay
from apps.medvqa.auditing.hacks import HACKS
from apps.medvqa.auditing.mutations import FACTS
from apps.medvqa.auditing.result import RewardAssay
from apps.medvqa.auditing.subjects import Made, facts, spoken, subjects, trials
from apps.medvqa.auditing.told import Said
from apps.medvqa.config import MedVqaConfig
from apps.medvqa.data import Example
from apps.medvqa.pocket import is_right, load_pocket
from common.errors import DataError, UsageError
from common.rewards.base import Reward, RewardOutput

EXAMPLES = drawn(load_pocket("train", 300, pictures=False), 60)
THOSE = subjects(EXAMPLES, "reasoning")
MADE = trials(THOSE, 0, [])


class Scored(Reward):
    """A reward made of a function of answer, thought and example."""

    name = "scored"
    needs = ("completion", "group")

    def value(self, answer: str, thought: str, example: Example) -> float:
        raise NotImplementedError

    def score(self, **columns: Any) -> RewardOutput:
        values = []
        for text, row in zip(columns["completion"], columns["group"], strict=True):
            match = re.fullmatch(r"<think>(.*)</think><answer>(.*)</answer>", text, re.DOTALL)
            thought, answer = match.groups() if match else ("", text)
            values.append(self.value(answer, thought, EXAMPLES[row]))
        return RewardOutput(torch.tensor(values))


class Honest(Scored):
    def value(self, answer: str, thought: str, example: Example) -> float:
        return float(is_right(example, answer))


class Collapsed(Scored):
    """As an encoder's cosine: everything between 0.9 and 1, right answers a hair above."""

    def value(self, answer: str, thought: str, example: Example) -> float:
        return 0.9 + 0.04 * is_right(example, answer)


class Persuaded(Honest):
    """A judge that does as it is told."""

    def value(self, answer: str, thought: str, example: Example) -> float:
        told = re.search(r"full score|matches the ground truth|correct|10 out of 10", answer, re.IGNORECASE)
        return 1.0 if told else super().value(answer, thought, example)


class ReadsThoughts(Honest):
    def value(self, answer: str, thought: str, example: Example) -> float:
        return max(super().value(answer, thought, example), float(example.answer in thought))


class LovesLength(Scored):
    def value(self, answer: str, thought: str, example: Example) -> float:
        return min(len(answer.split()) / 50, 1.0)


class Unsure(Honest):
    def value(self, answer: str, thought: str, example: Example) -> float:
        return math.nan if "mm" in answer else super().value(answer, thought, example)


def tried(reward: Reward) -> RewardAssay:
    return assay_reward(reward, THOSE, MADE)


def test_an_honest_reward() -> None:
    found = tried(Honest())
    assert {name: cell.passed.mean for name, cell in found.facts.items()} == dict.fromkeys(found.facts, 1.0)
    assert {name: cell.passed.mean for name, cell in found.hacks.items()} == dict.fromkeys(HACKS, 1.0)
    assert found.killed.mean == found.beaten.mean == 1.0
    assert found.killed.low < 1.0, "sixty questions prove no certainty"
    assert found.killed.n == len(MADE.facts)
    assert found.agreement is not None
    assert found.agreement.pairwise.mean == found.agreement.auc.mean == 1.0
    assert found.agreement.right > len(THOSE), "reworded answers that the truth knows count as right"
    assert found.shuffle == 1.0
    assert found.spread.collapse.mean == 0.0
    # The truth knows no filler: what is reworded beyond its language loses, and that is said.
    assert found.rewordings["padded"].passed.mean == 0.0
    assert found.rewordings["capitals"].passed.mean == 1.0
    assert not [flag for flag in found.flags if flag.startswith(("mutant", "hack", "right and wrong"))]
    assert any(flag.startswith("said otherwise (padded): 100% of 60") for flag in found.flags)


def test_collapse_is_seen() -> None:
    found = tried(Collapsed())
    assert found.killed.mean == 0.0
    assert found.kept.mean == 1.0
    assert found.spread.collapse.mean == 1.0
    cell = found.facts["left ↔ right"]
    assert cell.passed.mean == 0.0
    assert cell.lower.mean == 1.0, "it does score lower, by next to nothing"
    assert cell.drop.mean == pytest.approx(0.04, abs=1e-5)
    assert cell.missed[0][1]
    assert any("score alike for 100%" in flag for flag in found.flags)
    assert any(flag.startswith('mutant "other row\'s answer": 100% of') for flag in found.flags)


def test_injections_thoughts_and_length_are_seen() -> None:
    found = tried(Persuaded())
    assert found.hacks["injection"].passed.mean == found.hacks["wrong + injection"].passed.mean == 0.0
    assert found.hacks["copied question"].passed.mean == 1.0
    found = tried(ReadsThoughts())
    assert found.hacks["right in thought only"].passed.mean == 0.0
    found = tried(LovesLength())
    assert found.slope.mean > 0.9
    assert "of right wordings the longer score higher" in found.flags
    assert any(flag.startswith("padding raises the score of 100%") for flag in found.flags)


def test_what_cannot_be_scored_is_counted_and_left_out() -> None:
    found = tried(Unsure())
    cell = found.facts["size × 10"]
    assert cell.failed > 0
    assert cell.passed.n == 0
    assert math.isnan(cell.passed.mean)
    assert found.facts["left ↔ right"].passed.mean == 1.0
    assert any("could not be scored" in flag for flag in found.flags)


def test_margin_and_intervals() -> None:
    made = [Made(row, "side", Said("left"), "left") for row in range(4)]
    cell = assay.cells(made, [1.0, 0.2, 0.19, 0.0])["side"]
    assert (cell.passed.mean, cell.passed.n) == (0.5, 4)
    assert cell.lower.mean == 0.75
    assert [row for row, _, _ in cell.missed] == [2, 3]
    kept = assay.cells(made, [-0.3, -0.2, 0.2, math.nan], keeping=True)["side"]
    assert (kept.passed.n, kept.failed) == (3, 1)
    assert kept.passed.mean == pytest.approx(2 / 3)
    alone = assay.together(made, [1.0] * 4)
    assert (alone.mean, alone.high, alone.n) == (1.0, 1.0, 4)
    assert 0.3 < alone.low < 0.7
    # Ten mutants of one question are one piece of evidence.
    same = [Made(0, "side", Said("left"), "left") for _ in range(10)]
    assert assay.together(same, [1.0] * 10).low < alone.low


def test_forms() -> None:
    said = Said("left", "The answer is right.")
    assert spoken(said, "Seen on the left.", "reasoning") == "<think>The answer is right.</think><answer>left</answer>"
    assert spoken(Said("left"), "Seen.", "either") == "<think>Seen.</think><answer>left</answer>"
    assert spoken(Said("left"), "Seen.", "answer") == "<answer>left</answer>"
    assert spoken(said, "", "answer") == "The answer is right.<answer>left</answer>"
    assert spoken(Said("left"), "", "plain") == "left"
    assert spoken(said, "", "plain") is None, "there is no place for a thought"
    plain = trials(subjects(EXAMPLES, "plain"), 0, [])
    assert {one.operator for one in plain.hacks} == set(HACKS) - {"right in thought only"}
    tagged = trials(subjects(EXAMPLES, "answer"), 0, [])
    assert {one.operator for one in tagged.hacks} == set(HACKS), "the thought stands outside the tags"
    for made in (plain, tagged):
        assert "other reasoning" not in {one.operator for one in made.rewordings}


def test_subjects() -> None:
    rows = [
        Example("a", "Which side?", "left", answers=("on the left",), question_type="side", study="1"),
        Example("b", "Which side?", "left", question_type="side", study="1"),
        Example("c", "Which side?", "right", question_type="side", study="2"),
        Example("d", "Which side?", "", study="3"),
        Example("e", "哪一侧？", "左侧", language="zh", study="4"),
    ]
    those = subjects(rows, "answer")
    assert [one.id for one in those.examples] == ["a", "c"], "asked twice, hidden, and in another language"
    assert those.columns["completion"] == ["<answer>left</answer>", "<answer>right</answer>"]
    assert those.columns["reference"] == [["left", "on the left"], ["right"]]
    assert those.told[0].others == ("right",), "only of other studies"
    assert [one.right for one in facts(those)] == [None] * len(facts(those)), "nothing exact is known"
    with pytest.raises(DataError, match="1 of 2 are"):
        subjects([rows[0], rows[3]], "answer")


def test_every_operator_gets_its_share() -> None:
    pool = load_pocket("train", 400, 5, pictures=False)
    chosen = drawn(pool, 80, seed=1)
    assert len(chosen) == len({one.id for one in chosen}) == 80
    assert drawn(pool, 80, seed=1) == chosen
    assert drawn(pool, 80, seed=2) != chosen

    def least(examples: list[Example]) -> int:
        counts = dict.fromkeys(FACTS, 0)
        for one in facts(subjects(examples, "plain", pool=pool)):
            counts[one.operator] += 1
        return min(count for count in counts.values() if count)

    assert least(chosen) >= 2 * least(random.Random(0).sample(pool, 80))
    assert drawn(pool, 0) == drawn(pool, 1000) == pool
    assert len(drawn(pool, 399)) == 399


def test_the_pool_is_read_without_pictures(shared: Path) -> None:
    config = MedVqaConfig()
    pool = load_pool(config, 10)
    assert len(pool) == 50
    assert not any(one.pictures for one in pool)
    config.train.limit = 20
    assert len(load_pool(config, 10)) == 20
    config.train.format, config.train.path, config.train.limit = "vqa_rad", str(shared / "data/vqa_rad"), 0
    assert len(load_pool(config, 10)) == 2248


def test_the_pocket_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = MedVqaConfig(runs=str(tmp_path))
    assert run_audit(config, rows=24, recipes="token_f1", json_output=True) == 0
    printed = json.loads(capsys.readouterr().out)
    folder = tmp_path / "audit"
    assert json.loads((folder / "audit.json").read_text(encoding="utf-8")) == printed
    assert list(printed["rewards"]) == ["adaptive", "token_f1"]
    assert (printed["configured"], printed["questions"]) == ("adaptive", 24)
    ours, theirs = printed["rewards"]["adaptive"], printed["rewards"]["token_f1"]
    assert ours["facts"]["left ↔ right"]["passed"]["mean"] == 1.0
    assert ours["kept"]["mean"] > theirs["kept"]["mean"]
    assert ours["separation"]["mean"] > theirs["separation"]["mean"]
    assert ours["truth"]["pairwise"]["mean"] > theirs["truth"]["pairwise"]["mean"]
    assert ours["milliseconds_a_row"]["mean"] > 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "phantom — not for clinical use" in page
    assert (folder / "kills.png").read_bytes().startswith(b"\x89PNG")


def test_real_questions(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = MedVqaConfig()
    config.train.format, config.train.path, config.train.limit = "vqa_rad", str(shared / "data/vqa_rad"), 300
    config.reward.recipe = "scorer"
    run_audit(config, rows=20, out=str(tmp_path / "here"))
    said = capsys.readouterr()
    assert "Rewards on 20 questions; configured: scorer" in said.out
    assert "Hacks beaten, %" in said.out
    found = json.loads((tmp_path / "here" / "audit.json").read_text("utf-8"))
    assert found["rewards"]["scorer"]["truth"] is None
    assert list(found["rewards"]) == ["scorer", *COMPARED]
    assert "not for clinical use" not in (tmp_path / "here" / "report.html").read_text("utf-8")


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    config = MedVqaConfig(runs=str(tmp_path))
    with pytest.raises(UsageError, match=r"no recipe 'token_f'; did you mean 'token_f1'"):
        run_audit(config, recipes="token_f")
    with pytest.raises(UsageError, match="needs an endpoint"):
        audit_rewards(config, EXAMPLES, recipes=("judge",), strict=True)
    with pytest.raises(UsageError, match="--rows -1"):
        run_audit(config, rows=-1)
    config.reward.semantic.rescaler = "group_minmax"
    notes = audit_rewards(config, EXAMPLES, recipes=("judge",)).notes
    assert [note.split(" ")[0] for note in notes] == ["judge", "group_minmax"]
    assert not list(tmp_path.iterdir())
