"""`audit` of caption rewards: rewards whose faults are known are found out, and an honest one passes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.captioning import audit as module
from apps.captioning.audit import RewardAssay, assay_reward, audit_rewards, run_audit
from apps.captioning.auditing import assay
from apps.captioning.auditing.mutations import FACTS, HACKS
from apps.captioning.config import CaptioningConfig
from apps.captioning.data import Example
from apps.captioning.features import Pictures
from apps.captioning.pocket.grammar import says
from apps.captioning.pocket.mutations import MUTATIONS
from apps.captioning.pocket.world import load_pocket
from common.errors import DataError, UsageError
from common.rewards.base import Reward, RewardOutput
from common.rewards.image import PictureReward
from tests.apps.captioning.tiny_models import tiny_config

EXAMPLES = load_pocket("test", 40)
THOSE = assay.subjects(Pictures(EXAMPLES, torch.arange(40.0).unsqueeze(1), []))


class Scored(Reward):
    """A reward made of a function of caption and picture; the picture is its row in `EXAMPLES`."""

    name = "scored"
    needs = ("completion", "images")

    def value(self, caption: str, example: Example) -> float:
        raise NotImplementedError

    def score(self, **columns: Any) -> RewardOutput:
        rows = zip(columns["completion"], columns["images"][:, 0].int().tolist(), strict=True)
        return RewardOutput(torch.tensor([self.value(text, EXAMPLES[row]) for text, row in rows]))


class Honest(Scored):
    def value(self, caption: str, example: Example) -> float:
        assert example.scene is not None
        return float(says(caption, example.scene))


class LovesLength(Scored):
    def value(self, caption: str, example: Example) -> float:
        return min(len(caption.split()) / 300, 1.0)


class ChokesOnLength(Honest):
    def value(self, caption: str, example: Example) -> float:
        return math.nan if len(caption.split()) > 100 else super().value(caption, example)


class LooksAtNeighbours(Honest):
    def score(self, **columns: Any) -> RewardOutput:
        values = super().score(**columns).values
        return RewardOutput(values * torch.linspace(1, 0.5, len(values)))


def tried(reward: Reward) -> RewardAssay:
    return assay_reward(reward, reward, THOSE)


def test_an_honest_reward_passes() -> None:
    found = tried(Honest())
    assert not found.flags
    assert set(found.kills) == {*MUTATIONS, "word salad", *HACKS, "boilerplate", "other_reference"}
    assert all(one.killed.mean == 1.0 for one in found.kills.values())
    assert found.kills["colour"].killed.low < 1.0, "forty of forty prove no certainty"
    assert found.facts.n == sum(
        one.killed.n for name, one in found.kills.items() if name in {*MUTATIONS, "word salad"}
    )
    assert found.hacks.n == 40 * (len(HACKS) + 2)
    assert found.agreement is not None
    assert found.agreement.pairwise.mean == found.agreement.auc.mean == 1.0
    assert found.batch == 0.0
    assert all(change.mean == -1.0 for change in found.padding.values()), "padded, it is no sentence of the grammar"
    assert found.general.shuffle_auc == 1.0


def test_a_reward_for_length_is_found_out() -> None:
    found = tried(LovesLength())
    assert found.slope.mean > 0.9
    assert found.kills["over-long"].killed.mean == found.kills["said twice"].killed.mean == 0.0
    assert found.kills["over-long"].survivors[0][1].startswith(THOSE.told[0].caption)
    assert [change.mean for change in found.padding.values()] == sorted(c.mean for c in found.padding.values())
    text = "\n".join(found.flags)
    assert "the longer score higher" in text
    assert "padding raises the score of 100% of the references" in text
    assert "over-long: the reference scores higher in 0% of the rows only" in text
    assert "right and wrong captions are ordered rightly in" in text


def test_what_cannot_be_scored_and_what_depends_on_its_batch() -> None:
    found = tried(ChokesOnLength())
    assert "over-long captions cannot be scored" in found.flags
    assert found.kills["over-long"].failed == 40
    assert found.padding[16].n == 40
    assert found.padding[400].n == 0
    found = tried(LooksAtNeighbours())
    assert found.batch >= 0.4
    assert any("with the rows beside it" in flag for flag in found.flags)


class AloneOnly(Honest):
    def score(self, **columns: Any) -> RewardOutput:
        values = super().score(**columns).values
        return RewardOutput(values if len(values) > 1 else values * math.nan)


def test_a_row_that_only_a_batch_can_score() -> None:
    assert assay.batch_change(AloneOnly(), THOSE) == math.inf
    assert assay.batch_change(Honest(), THOSE) == 0.0


def test_subjects() -> None:
    assert len(THOSE) == 40
    for example, told, caption in zip(EXAMPLES, THOSE.told, THOSE.columns["completion"], strict=True):
        assert example.scene is not None
        assert says(caption, example.scene), "the true caption is written anew and true"
        assert told.caption == caption
        assert told.said == example.captions
        assert len(told.others) == 39
    photographs = [Example("a", captions=("  A dog. ", "One dog.")), Example("b"), Example("c", captions=("A cat.",))]
    those = assay.subjects(Pictures(photographs, torch.eye(3), []))
    assert those.columns["completion"] == ["A dog.", "A cat."]
    assert those.columns["reference"] == [["One dog."], []]
    assert torch.equal(those.columns["images"], torch.eye(3)[[0, 2]])
    assert assay.agreement(Honest(), those) is None
    with pytest.raises(DataError, match="1 of 2 have one"):
        assay.subjects(Pictures(photographs[:2], torch.eye(2), []))


def test_mutants_of_photographs_come_from_the_words() -> None:
    captions = ("A red bus and two dogs to the left of a blue car.", "A man riding a horse on a street.")
    photographs = [Example(text, captions=(text,)) for text in captions]
    those = assay.subjects(Pictures(photographs, torch.eye(2), []))
    operators = {mutant.operator for mutant in assay.mutants(those)}
    assert operators == set(FACTS)
    assert assay.mutants(those) == assay.mutants(those)


def test_lengths_are_compared_within_a_picture() -> None:
    class ByPicture(Scored):
        def value(self, caption: str, example: Example) -> float:
            # Pictures with long captions score high, and the shorter of a picture's captions score higher.
            return len(example.captions[0].split()) / 30 - len(caption.split()) / 1000

    assert assay.length_slope(ByPicture(), THOSE).mean < -0.9


@pytest.fixture
def config(models: Path, tmp_path: Path) -> CaptioningConfig:
    return tiny_config(models, tmp_path / "runs")


def test_the_pocket_world(config: CaptioningConfig, capsys: pytest.CaptureFixture[str]) -> None:
    config.reward.clip_agg, config.reward.naturalness, config.heldout.limit = 0.5, 0.1, 30
    assert run_audit(config, rows=14, json_output=True) == 0
    printed = json.loads(capsys.readouterr().out)
    folder = Path(config.runs) / "audit"
    assert json.loads((folder / "audit.json").read_text(encoding="utf-8")) == printed
    assert list(printed["rewards"]) == ["clip_cos", "clip_agg", "clip_score", "cider_d", "naturalness", "mixture"]
    assert printed["configured"] == "mixture"
    assert printed["pictures"] == 14
    for name, one in printed["rewards"].items():
        # 1e-4 of the range is what counts as a tie.
        assert one["batch_change"] < 0.01, name
        assert one["agreement"]["auc"]["n"] == 14 * (assay.RIGHT + assay.WRONG + 1)
        assert one["seconds_a_caption"]["mean"] > 0
        assert set(one["padding"]) == {str(words) for words in assay.PADDING}
        assert all(change["n"] == 14 for change in one["padding"].values())
        assert all(kill["failed"] == 0 for kill in one["mutations"].values())
    truth = printed["rewards"]["cider_d"]
    assert truth["mutations"]["empty"]["killed"]["mean"] == 1.0
    assert truth["general"]["shuffle_auc"] > 0.95, "words of the true caption stand in its references"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "Not told apart" in page, "a random CLIP cannot tell all of them"


def test_photographs(
    config: CaptioningConfig, shared: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(shared / "data/coco_mini/captions_train2017.json")
    config.heldout.format = config.corpus.format = "coco"
    config.heldout.path = config.corpus.path = path
    config.heldout.split = ""
    config.discriminator.path = "FacebookAI/roberta-base"
    run_audit(config, rows=12, out=str(tmp_path / "here"))
    said = capsys.readouterr()
    assert "Rewards on 12 pictures; configured: clip_cos" in said.out
    assert "word salad" in said.out
    assert "naturalness was left out: no trained discriminator" in said.err
    assert str(tmp_path / "here" / "report.html") in said.err.replace("\n", "")
    found = json.loads((tmp_path / "here" / "audit.json").read_text("utf-8"))
    assert list(found["rewards"]) == ["clip_cos", "clip_agg", "clip_score", "cider_d"]
    assert found["rewards"]["clip_cos"]["agreement"] is None


def test_what_is_missing_is_said(config: CaptioningConfig, tmp_path: Path) -> None:
    pictures = []
    for number, example in enumerate(load_pocket("test", 4)):
        example.picture().save(tmp_path / f"{number}.png")
        pictures.append(Example(f"{number}", tmp_path / f"{number}.png", (example.captions[0],)))
    (tmp_path / "broken.png").write_text("no picture")
    pictures.append(Example("bad", tmp_path / "broken.png", ("A red circle.",)))
    config.corpus.format = "text"
    found = audit_rewards(config, pictures)
    assert list(found.rewards) == ["clip_cos", "clip_score", "naturalness"]
    assert any("broken.png" in note for note in found.notes)
    assert any("corpus.path is empty" in note for note in found.notes)
    assert any("cider_d was left out" in note for note in found.notes)
    config.reward.clip_cos, config.reward.naturalness = 0.0, 1.0
    assert audit_rewards(config, pictures).configured == "naturalness"
    config.discriminator.path = str(tmp_path / "none")
    with pytest.raises(UsageError, match="no trained discriminator at"):
        audit_rewards(config, pictures)
    with pytest.raises(DataError, match="true captions"):
        audit_rewards(config, [Example(one.id, one.image) for one in pictures])


def test_the_batch_is_judged_by_a_clip_that_remembers_nothing(
    config: CaptioningConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A remembered text is the same in any batch, and costs nothing."""
    asked = []

    def watched(reward: Reward, fresh: Reward, *rest: Any) -> RewardAssay | None:
        asked.append((reward, fresh))
        return None if isinstance(reward, PictureReward) else assay_reward(reward, fresh, *rest)

    monkeypatch.setattr(module, "assay_reward", watched)
    config.reward.clip_cos, config.reward.repetition = 0.0, 1.0
    found = audit_rewards(config, load_pocket("test", 10))
    clips = [(one.clip.remember, fresh.clip.remember) for one, fresh in asked if isinstance(one, PictureReward)]
    assert len(clips) == 3
    assert all(kept > 0 and forgotten == 0 for kept, forgotten in clips)
    assert found.configured == "repetition"
    assert found.rewards["repetition"].kills["said twice"].killed.mean == 1.0
