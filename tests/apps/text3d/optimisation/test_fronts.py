"""Case 1: what keeps a thing with a front from showing it on every side, and what is said where it does."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from apps.text3d import dry_run
from apps.text3d.config import GuidanceConfig, Text3dConfig
from apps.text3d.dry_run import check
from apps.text3d.generate import run_generate
from apps.text3d.guidance.base import Term, Weighted
from apps.text3d.guidance.build import build
from apps.text3d.guidance.distillation import ScoreDistillation
from apps.text3d.guidance.front import PERP_NEG, may_have_front, settled
from apps.text3d.guidance.prior import save_prior
from apps.text3d.guidance.vlm import VlmReward
from apps.text3d.optimisation.critics import front_critic, sides
from apps.text3d.optimisation.fronts import Fronts, FrontWatch
from apps.text3d.prompts.parser import parse
from common.config import load
from common.files import read_json
from common.training.run import Run
from tests.apps.text3d.export.solids import Solid, sphere
from tests.apps.text3d.guidance.tiny import pixel_prior

CONFIGS = Path(__file__).resolve().parents[4] / "configs" / "text3d"
POCKET = CONFIGS / "pocket.yaml"
FACE, SOLIDS = parse("a corgi with a happy face"), parse("a red cube left of a blue sphere")


def guidance(name: str, *more: str) -> GuidanceConfig:
    return load(Text3dConfig, CONFIGS / f"{name}.yaml", list(more)).guidance


@pytest.mark.parametrize("name", ["vlm3d-qwen2.5-vl-7b", "vlm3d-qwen2.5-vl-3b-24gb"])
def test_real_recipes_are_safe_for_things_with_a_front(name: str) -> None:
    given = guidance(name)
    found = settled(given, FACE)
    assert found.sds.view_dependent
    assert found.sds.perp_neg == PERP_NEG > 0
    assert found.vlm.consistency == given.vlm.consistency
    assert settled(given, SOLIDS).sds.perp_neg == 0
    # What a user gives stays, and a negative prompt takes Perp-Neg's place.
    for prompt, weight in ((FACE, 0), (SOLIDS, 0.5)):
        assert settled(replace(given, sds=replace(given.sds, perp_neg=weight)), prompt).sds.perp_neg == weight
    assert settled(replace(given, sds=replace(given.sds, negative="blurry")), FACE).sds.perp_neg == 0
    left = replace(given, vlm=replace(given.vlm, consistency=None, semantic=7))
    assert settled(left, FACE).vlm.consistency == 7
    assert settled(left, SOLIDS).vlm.consistency == 0


@pytest.mark.parametrize("name", ["pocket", "pocket-vlm3d", "compare-guidances"])
@pytest.mark.parametrize("prompt", [FACE, SOLIDS], ids=["face", "solids"])
def test_pocket_recipes_are_as_they_were(name: str, prompt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CONFIGS.parents[1])
    given = guidance(name)
    found = settled(given, prompt)
    assert (found.sds.perp_neg, found.vlm.consistency) == (0.0, 0.0)
    found.sds.perp_neg = found.vlm.consistency = None
    assert found == given


@pytest.mark.parametrize(
    ("text", "front"),
    [
        ("a red cube", False),
        ("two green cones above a torus", False),
        ("a dragon", True),
        ("a red cube with eyes", True),
    ],
)
def test_only_solids_are_known_to_have_no_front(text: str, front: bool) -> None:
    assert may_have_front(parse(text)) is front


def test_perp_neg_reaches_the_distillation_and_the_dry_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = GuidanceConfig()
    config.sds.weight, config.sds.model = 1.0, str(save_prior(pixel_prior(), tmp_path / "sds"))
    for prompt, wanted in ((FACE, True), (SOLIDS, False)):
        (term,) = build(config, prompt, 0).terms.values()
        assert isinstance(term.guidance, ScoreDistillation)
        assert (term.guidance.perpendicular is not None) is wanted
    whole = Text3dConfig(guidance=config)
    told = {one.name: one for one in check(whole, FACE.text)}
    assert "Perp-Neg 1" in told["guidances"].detail
    assert told["stand-ins"].passed
    monkeypatch.setattr(dry_run, "_stand_ins", lambda config, found: "left out")
    assert "Perp-Neg" not in {one.name: one for one in check(whole, SOLIDS.text)}["guidances"].detail


def test_three_fronts_are_several_and_one_seen_from_three_places_is_not() -> None:
    def fronts(*high: float) -> Fronts:
        return Fronts(sides(), [0.9 if azimuth in high else 0.2 for azimuth in sides()])

    assert len(sides()) == 8
    for one in ((), (0.0,), (0.0, 180.0), (0.0, 45.0, 315.0), (90.0, 135.0, 180.0)):
        assert not fronts(*one).several, one
    for many in ((0.0, 135.0, 225.0), (0.0, 90.0, 180.0), (0.0, 45.0, 90.0, 135.0), tuple(sides())):
        assert fronts(*many).several, many
    assert fronts(0.0, 45.0, 315.0).behind == 0.2
    assert fronts(180.0).behind == 0.9


def test_it_is_warned_once_and_again_only_after_it_had_passed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, several = Run.create(tmp_path, "janus", {}, 0, "…"), [True]
    watch = FrontWatch(run, "scene", lambda scene: [0.8 if several[0] or row == 0 else 0.1 for row in range(8)])
    scene = Solid(sphere())
    for step, there in enumerate((False, True, True, False, True), start=1):
        several[0] = there
        told = watch(step, scene)
    assert told == {"front.behind": 0.8, "front.high": 8.0}
    (alarm,) = run.alarms("scene")
    assert (alarm["kind"], alarm["step"], alarm["last_step"], alarm["count"]) == ("janus", 2, 5, 2)
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert ["step 2" in warned[0].message, "step 5" in warned[1].message, len(warned)] == [True, True, 2]
    assert "guidance.sds.perp_neg" in caplog.text


class Eyes:
    """A VLM that takes whatever is red for a front."""

    model = SimpleNamespace(device="cpu")

    def __init__(self) -> None:
        self.texts: list[str] = []

    def yes_logit(self, pictures: Any, texts: Any, *rest: Any) -> torch.Tensor:
        self.texts += texts
        assert len(pictures) == 1
        return torch.stack([10 * (one[0][0].mean() - one[0][2].mean()) - 0.5 for one in pictures])


class Faces:
    """A ball with a red face on the sides that it is told, blue elsewhere."""

    def __init__(self, *faces: float) -> None:
        self.faces = faces

    def render(self, cameras: Any, background: Any = None, generator: Any = None) -> Any:
        from apps.text3d.guidance.prompts import angles
        from tests.apps.text3d.guidance.tiny import views_of

        azimuths = angles(cameras)[0]
        near = [any(abs((one - face + 180) % 360 - 180) < 50 for face in self.faces) for one in azimuths]
        colours = [[0.9, 0.1, 0.1] if red else [0.1, 0.1, 0.9] for red in near]
        return views_of(torch.tensor(colours)[:, :, None, None].expand(-1, -1, cameras.height, cameras.width).clone())


def test_the_vlm_that_guides_is_asked_for_fronts_side_by_side() -> None:
    eyes = Eyes()
    reward = VlmReward(eyes, [])  # type: ignore[arg-type]
    critic = front_critic(FACE, Weighted({"vlm.semantic": Term(reward)}), 8)
    assert critic is not None
    one, three = (Fronts(sides(), critic(Faces(*faces))) for faces in ((0.0,), (0.0, 135.0, 225.0)))  # type: ignore[arg-type]
    assert (one.high, one.several) == ([0.0, 45.0, 315.0], False)
    assert one.behind < 0.1
    assert three.several
    assert three.behind > 0.9
    assert {"corgi with a happy face" in text and "front" in text for text in eyes.texts} == {True}


def test_score_distillation_alone_can_not_be_asked_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = [
        *("--guidance.analytic=0", "--guidance.sds.weight=0.1", "--optimise.steps=1", "--optimise.size=16"),
        *("--scene.voxel.resolution=8", "--optimise.viewpoints.views=2", "--export.resolution=0", "--export.frames=0"),
        *("--export.size=24", "--export.views=2", "--evaluate.views=2", "--preview_every=0", f"--runs={tmp_path}"),
        f"--guidance.sds.model={save_prior(pixel_prior(), tmp_path / 'sds')}",
    ]
    assert run_generate(load(Text3dConfig, POCKET, options), "a dragon", name="run") == 0
    told = read_json(tmp_path / "run" / "result.json")
    assert told["fronts"] is None
    assert told["guidance"]["sds"]["perp_neg"] == PERP_NEG
    assert "nobody looks whether 'a dragon' has several fronts" in caplog.text
