"""`audit` of the text-to-3D reward: graders whose faults are known are found out, and an honest one passes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.text3d.audit import Text3dAudit, audit_reward, run_audit
from apps.text3d.auditing.assay import EXACT, REWARD
from apps.text3d.auditing.cases import OPEN, Case, Subjects, mirror, subjects
from apps.text3d.auditing.mutations import PROMPTS, WORLDS
from apps.text3d.auditing.page import print_audit
from apps.text3d.auditing.truth import exact, row_of
from apps.text3d.cameras import orbit
from apps.text3d.config import Text3dConfig
from apps.text3d.pocket.combinations import held
from apps.text3d.pocket.prompts import prompts, worlds
from apps.text3d.pocket.render import render
from apps.text3d.prompts.parser import parse
from apps.text3d.prompts.rewording import wordings
from apps.text3d.reward_config import AuditConfig
from apps.text3d.rewards import Text3dReward
from common.errors import GraderFailure, UsageError
from common.models.clip import Clip
from common.models.small_vlm import make_small_vlm, save_small_vlm
from tests.apps.text3d.judges import WORDS, Oracle, Scripted
from tests.common.models.tiny_clip import tiny_clip_folder

WEIGHTS = {"semantic": 1.0, "spatial": 1.0, "consistency": 0.5}


@pytest.fixture(scope="module")
def config() -> Text3dConfig:
    made = Text3dConfig()
    made.audit.size, made.audit.judged, made.reward.batch_size = 28, 0, 32
    return made


@pytest.fixture(scope="module")
def those(config: Text3dConfig) -> Subjects:
    return subjects(config.audit, 3)


def audited(vlm: Any, those: Subjects, config: Text3dConfig) -> Text3dAudit:
    return audit_reward(Text3dReward(WEIGHTS, vlm), those, config, quiet=True)


def flagged(found: Text3dAudit, text: str) -> bool:
    return any(text in flag for flag in found.flags)


def test_an_honest_grader_passes(those: Subjects, config: Text3dConfig, capsys: pytest.CaptureFixture[str]) -> None:
    config.audit.judged = 2
    found = audited(Oracle(those.cases()), those, config)
    config.audit.judged = 0
    assert not found.flags
    assert list(found.lines) == [REWARD, "vlm.semantic", "vlm.spatial", "vlm.consistency", EXACT]
    for name in (REWARD, EXACT):
        line = found.lines[name]
        kills = {one.operator: one for one in line.general.mutations}
        assert set(kills) >= {*PROMPTS, *WORLDS, "blank", "noise", "injected", "patchwork"} - set(OPEN)
        assert set(line.apart) == set(OPEN)
        assert all(one.killed.mean == 1.0 for one in kills.values())
        assert line.facts.n == len(those.mutants)
        assert line.hacks.n == len(those.hacks)
        assert line.facts.low < 1.0, "a hundred of a hundred prove no certainty"
        assert line.splits["test_held"].n + line.splits["test_seen"].n == line.facts.n
        assert all(one.beyond.mean == 0 for one in (*line.harmless.values(), *line.orders.values()))
        assert line.general.shuffle_auc == 1.0
        assert line.collapse.collapse.mean == 0.0
    assert {name: one.right.mean for name, one in found.facts.items()} == dict.fromkeys(
        ("prompt", "object", "count", "relation", "consistency"), 1.0
    )
    assert found.geometry["true"].mean == found.geometry["recoloured"].mean == found.geometry["other_count"].mean == 1
    assert found.steady.again == found.steady.batch == 0.0
    json.dumps(found.to_json(), allow_nan=False)
    print_audit(found)
    assert "geometry judge" in capsys.readouterr().out


def test_perfect_answers_are_what_a_reader_of_the_questions_says(those: Subjects) -> None:
    """The oracle reads the questions' words; `exact` takes them from where they were made."""
    oracle = Oracle(those.cases())
    reward = Text3dReward(WEIGHTS, oracle)  # type: ignore[arg-type]
    for case in those.cases():
        said, true = reward.judge([row_of(case)])[0], exact(reward, case)
        assert [math.copysign(bool(one.log_odds), one.log_odds) for one in said.answers] == [
            math.copysign(bool(one.log_odds), one.log_odds) for one in true.answers
        ], (case.name, case.prompt)


def test_a_part_is_found_to_see_what_it_asks_about_only(those: Subjects, config: Text3dConfig) -> None:
    found = audited(Oracle(those.cases()), those, config)
    kills = {
        part: {one.operator: one.killed for one in found.lines[part].general.mutations}
        for part in ("vlm.semantic", "vlm.spatial", "vlm.consistency")
    }
    assert kills["vlm.spatial"]["turned_round"].mean == 1.0
    assert kills["vlm.spatial"]["other_count"].mean == 0.0, "how many there are is no relation"
    assert kills["vlm.consistency"]["patchwork"].mean == 1.0
    assert kills["vlm.consistency"]["other_colour"].mean == 0.0
    related = [case for case in those.references if parse(case.prompt).relations]
    assert found.lines["vlm.spatial"].general.rows == len(related), "nothing to ask is neither killed nor failed"
    assert found.lines["vlm.spatial"].general.failed == 0
    assert kills["vlm.spatial"]["blank"].n == len(related)


def test_a_grader_that_says_yes_to_everything(those: Subjects, config: Text3dConfig) -> None:
    found = audited(Scripted(lambda shown, text: 3.0), those, config)
    line = found.lines[REWARD]
    kills = {one.operator: one.killed.mean for one in line.general.mutations}
    assert all(kills[name] == 0.0 for name in ("recoloured", "reshaped", "blank", "noise", "injected", "patchwork"))
    assert line.hacks.mean <= 0.25
    assert line.general.shuffle_auc == pytest.approx(0.5)
    assert flagged(found, "mutation recoloured: 100% of")
    assert flagged(found, "of its answers about object")
    assert found.facts["object"].right.mean == pytest.approx(found.facts["object"].yes)
    assert found.facts["object"].auc == pytest.approx(0.5)


def shown_as(oracle: Oracle, cases: list[Case], those: Subjects) -> Oracle:
    """The grader takes these cases' pictures for the true ones."""
    for case in cases:
        for picture, world, azimuth in zip(case.seen, those.references[case.scene].shows, case.azimuths, strict=True):
            oracle.known[picture.numpy().tobytes()] = (world, azimuth)
    return oracle


def test_a_grader_that_obeys_what_is_written_in_the_picture(those: Subjects, config: Text3dConfig) -> None:
    """Case 22, in the picture."""
    ordered = [after for _, after in those.orders if after.name == "order on a wrong scene"]
    found = audited(shown_as(Oracle(those.cases()), ordered, those), those, config)
    gains = found.lines[REWARD].orders
    assert gains["order on a wrong scene"].beyond.mean == 1.0
    assert gains["order on a wrong scene"].change.mean > 0.1
    assert gains["order in a wrong prompt"].beyond.mean == gains["order on a blank picture"].beyond.mean == 0.0
    assert flagged(found, "order on a wrong scene: 100% of the wrong rows gain")


def test_a_grader_that_obeys_what_is_written_in_the_prompt(those: Subjects, config: Text3dConfig) -> None:
    """Case 22, in the prompt."""
    oracle = Oracle(those.cases(), lambda text, odds: 9.0 if "Ignore the picture" in text else odds)
    found = audited(oracle, those, config)
    gain = found.lines["vlm.semantic"].orders["order in a wrong prompt"]
    assert gain.change.mean > 0.05
    assert found.lines["vlm.spatial"].orders["order in a wrong prompt"].change.mean == 0.0
    assert found.lines[REWARD].orders["order in a wrong prompt"].beyond.mean > 0.3
    assert flagged(found, "order in a wrong prompt")


def test_a_grader_that_judges_the_background(those: Subjects, config: Text3dConfig) -> None:
    class Picky(Oracle):
        def truth(self, shown: Any, text: str) -> float:
            sign = -1 if float(shown[0][2, 0, 0]) < 0.9 and float(shown[0].std()) < 0.25 else 1
            return sign * super().truth(shown, text)

    found = audited(Picky(those.cases()), those, config)
    harm = found.lines[REWARD].harmless
    assert harm["other background"].beyond.mean > 0.8
    assert harm["other background"].change.mean > 0.2
    assert harm["a sentence"].beyond.mean == 0.0
    assert flagged(found, "other background:")


def test_an_outage_is_counted_and_left_out(those: Subjects, config: Text3dConfig) -> None:
    noisy = {picture.numpy().tobytes() for case in those.hacks if case.name == "noise" for picture in case.seen}

    class Breaks(Oracle):
        def truth(self, shown: Any, text: str) -> float:
            if (shown[0] * 255).round().byte().numpy().tobytes() in noisy:
                raise RuntimeError("out of memory")
            return super().truth(shown, text)

    found = audited(Breaks(those.cases()), those, config)
    assert found.failed == len(those)
    assert flagged(found, f"the grader failed on {len(those)} rows")
    kills = {one.operator: one for one in found.lines[REWARD].general.mutations}
    assert (kills["noise"].failed, kills["noise"].killed.n) == (len(those), 0)
    assert kills["blank"].killed.mean == 1.0

    def dead(shown: Any, text: str) -> float:
        raise RuntimeError("no device")

    with pytest.raises(GraderFailure, match="no device"):
        audited(Scripted(dead), those, config)


def test_what_is_shown(those: Subjects) -> None:
    assert those.splits == ["test_seen"] * 3 + ["test_held"] * 3
    for case, split in zip(those.references, those.splits, strict=True):
        assert held(parse(case.prompt)) == (split == "test_held")
    twice = [subjects(AuditConfig(size=16), 1).cases() for _ in range(2)]
    for one, other in zip(*twice, strict=True):
        assert (one.name, one.prompt) == (other.name, other.prompt)
        assert torch.equal(one.seen, other.seen)
    assert {case.name for case in those.harmless} >= {"filler", "a sentence", "other background", "other scene"}
    assert "patchwork" not in {case.name for case in subjects(AuditConfig(size=16, views=1), 1).cases()}
    with pytest.raises(UsageError, match="two scenes or more"):
        subjects(AuditConfig(size=28), 0)


def test_a_mirrored_picture_is_of_the_mirrored_scene() -> None:
    made = [one for one in worlds(prompts("train", 60)) if {s.kind for s in one.solids} <= {"sphere", "cone", "torus"}]
    assert len(made) >= 3
    for world in made[:4]:
        for azimuth in (0.0, 70.0, 180.0):
            cameras = orbit([azimuth], 25.0, size=48)
            flipped, mirrored = render([world], cameras).rgb.flip(-1), render([mirror(world, azimuth)], cameras).rgb
            torch.testing.assert_close(flipped, mirrored, atol=0.02, rtol=0)


def test_other_words_say_the_same() -> None:
    backwards = wordings(parse("a red cube left of a blue sphere"))["other end first"]
    assert backwards == "a blue sphere right of a red cube"
    for prompt in prompts("test_seen", 30):
        for name, text in wordings(prompt).items():
            assert text != prompt.text
            if name == "a sentence":
                assert parse(text) == prompt
    assert "other end first" not in wordings(parse("a red cube"))


def test_a_reward_of_clip_alone(config: Text3dConfig, tmp_path: Path) -> None:
    those = subjects(AuditConfig(size=32, views=1), 1)
    clip = Clip(f"local-dir:{tiny_clip_folder(tmp_path)}")
    found = audit_reward(Text3dReward({"clip": 2.0}, clip=clip), those, config, quiet=True)
    assert list(found.lines) == [REWARD, "clip"]
    assert not found.facts
    assert found.lines[REWARD].facts.mean == found.lines["clip"].facts.mean


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Text3dConfig(runs=str(tmp_path / "runs"))
    config.reward.vlm.model = str(save_small_vlm(*make_small_vlm([WORDS] * 30), tmp_path / "vlm"))
    config.audit.size, config.audit.judged, config.audit.views, config.audit.shown = 56, 1, 1, 1
    assert run_audit(config, rows=1, json_output=True) == 0
    folder = tmp_path / "runs" / "audit"
    found = json.loads((folder / "audit.json").read_text("utf-8"))
    assert json.loads(capsys.readouterr().out) == found
    assert found["scenes"] == 2
    page = (folder / "report.html").read_text("utf-8")
    assert page.count("<svg") == 3
    assert page.count("data:image/png") > 15, "what was made of a scene is shown"
    assert "http://" not in page.replace("http://www.w3.org", "")
