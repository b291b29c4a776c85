"""Guidances from a config: which are built, with which questions, and a scene shaped by all of them together."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch

from apps.text3d.cameras import orbit
from apps.text3d.config import ExportConfig, GuidanceConfig, Text3dConfig
from apps.text3d.generate import run_generate
from apps.text3d.guidance.build import Models, asked, build
from apps.text3d.guidance.prior import save_prior
from apps.text3d.guidance_config import SdsConfig, VlmConfig
from apps.text3d.prompts.parser import parse
from common.config import load
from common.errors import UsageError
from common.files import read_json
from common.models.small_vlm import make_small_vlm, save_small_vlm
from tests.apps.text3d.guidance.tiny import pixel_prior, views_of
from tests.common.models.tiny_clip import tiny_clip_folder

POCKET = Path(__file__).resolve().parents[4] / "configs" / "text3d" / "pocket.yaml"
PROMPT = parse("a red cube left of a blue sphere")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """Untrained models of the real classes, in folders as people have them."""
    folder = tmp_path_factory.mktemp("models")
    texts = [one.text + " yes no Yes No YES NO" for kind in ("semantic", "spatial") for one in questions(kind)]
    save_small_vlm(*make_small_vlm(texts * 3), folder / "vlm")
    save_prior(pixel_prior(), folder / "sds")
    return {
        "vlm": str(folder / "vlm"),
        "sds": str(folder / "sds"),
        "clip": f"local-dir:{tiny_clip_folder(folder / 'clip')}",
    }


def questions(kind: str, azimuths=(0.0, 180.0)):
    return asked(kind, PROMPT)(orbit(list(azimuths)))


def test_left_and_right_are_asked_as_each_camera_sees_them():
    front, back = (questions("spatial", (azimuth,)) for azimuth in (0.0, 180.0))
    asked_of = {(one.text, one.expected) for one in front}
    assert any("left" in text and expected for text, expected in asked_of)
    for text, expected in asked_of:
        twin = next((one for one in back if one.text == text), None)
        if twin is not None and ("left" in text or "right" in text):
            assert twin.expected != expected, text
    both = questions("spatial")
    assert {one.views for one in both} == {(0,), (1,)}
    assert all(one.name == "relation" for one in both)


def test_what_is_there_is_asked_of_every_view_and_janus_of_all_together():
    found = questions("semantic")
    assert {one.name for one in found} == {"prompt", "object", "count"}
    # "What colour is the cube?" has no log-odds of yes, and its right answer is no "no".
    assert all(one.text.endswith("Answer Yes or No only.") for one in found)
    assert {one.text for one in found if one.expected} >= {"Does the picture show a red cube? Answer Yes or No only."}
    assert {one.expected for one in found} == {True, False}
    assert all(one.views is None and not one.together for one in found if one.name != "prompt")
    # From behind, the cube that the prompt has on the left is on the right: a good scene would be called wrong.
    assert [one.views for one in found if one.name == "prompt"] == [(0,)]
    assert all(one.together for one in questions("consistency"))


def test_only_what_has_a_weight_is_built():
    config = GuidanceConfig(analytic=[0, 0.0, 1.0, 10])
    assert set(build(config, PROMPT, 0).terms) == {"analytic"}
    with pytest.raises(UsageError, match="there is no guidance"):
        build(GuidanceConfig(), PROMPT, 0)
    for name in ("sds.weight", "clip.weight", "vlm.spatial"):
        part, entry = name.split(".")
        config = GuidanceConfig()
        setattr(getattr(config, part), entry, 1.0)
        with pytest.raises(UsageError, match=rf"guidance\.{part}\.(model|name) is empty"):
            build(config, PROMPT, 0)


def test_all_of_them_shape_a_scene_together(models, tmp_path):
    options = [
        *("--optimise.steps=3", "--optimise.size=28", "--optimise.viewpoints.views=2", "--scene.voxel.resolution=12"),
        *("--export.resolution=24", "--export.frames=2", "--export.size=28", "--export.views=2"),
        *("--guidance.analytic=0.0", "--guidance.sds.weight=0.1", f"--guidance.sds.model={models['sds']}"),
        *(
            "--guidance.clip.weight=1.0",
            f"--guidance.clip.name={models['clip']}",
            f"--guidance.vlm.model={models['vlm']}",
        ),
        *("--guidance.vlm.semantic=1.0", "--guidance.vlm.spatial=[0, 0.0, 1.0, 2]", "--guidance.vlm.consistency=0.5"),
        f"--runs={tmp_path}",
    ]
    config = load(Text3dConfig, POCKET, options)
    assert run_generate(config, "a red cube left of a blue sphere", name="all") == 0
    terms = ("sds", "clip", "vlm.semantic", "vlm.spatial", "vlm.consistency")
    rows = [row for row in logged(tmp_path / "all") if row["stage"] == "scene"]
    for name in terms:
        assert rows[-1][f"{name}.share"] > 0
        assert rows[-1][f"{name}.gradient"] > 0
    assert "vlm.spatial" not in rows[0]  # its weight begins at 0: it was not asked
    assert rows[1]["vlm.spatial.weight"] == pytest.approx(0.5)
    assert sum(rows[-1][f"{name}.share"] for name in terms) == pytest.approx(1.0)
    assert read_json(tmp_path / "all" / "result.json")["note"] == ""


def logged(folder: Path):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_seed_is_the_distillations_too(models):
    config = GuidanceConfig()
    config.sds.weight, config.sds.model = 1.0, models["sds"]
    rgb = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    values = [
        float(build(config, PROMPT, seed).loss(views_of(rgb), orbit([0.0, 90.0], size=16), 0)[0]) for seed in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]


def vlm_config(models, **options) -> GuidanceConfig:
    config = GuidanceConfig()
    config.vlm.model, config.vlm.semantic = models["vlm"], 1.0
    for name, value in options.items():
        setattr(config.vlm, name, value)
    return config


def test_every_setting_of_the_distillation_reaches_it(models):
    given = {"weighting": "fantasia3d", "rescale": 0.25, "same_timestep": True, "rows_at_once": 3, "form": "x0"}
    config = GuidanceConfig(sds=SdsConfig(1.0, str(models["sds"]), **given))
    settings = build(config, PROMPT, 0).terms["sds"].guidance.settings
    assert {name: getattr(settings, name) for name in given} == given


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: SdsConfig(judge={"name": "exact_match"}, form="x0"),
            r"guidance\.sds\.judge .* not x0",
        ),
        (lambda: SdsConfig(rows_at_once=-1), r"guidance\.sds\.rows_at_once -1 must be at least 0"),
        (lambda: VlmConfig(at_once=-1), r"guidance\.vlm\.per_step 0, at_once -1"),
        (lambda: ExportConfig(resolution=2), r"export\.resolution 2: use 4 or more"),
        (lambda: ExportConfig(smallest=1.0), r"export\.smallest 1\.0 in \[0, 1\)"),
        (lambda: ExportConfig(views=0), r"export\.views 0 at least 1"),
    ],
)
def test_settings_that_would_fail_in_the_middle_of_a_run_are_refused_before_it(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_a_few_questions_are_drawn_for_a_step_and_a_resumed_run_draws_the_same(models, monkeypatch):
    rgb, cameras = torch.rand(2, 3, 28, 28), orbit([0.0, 90.0], size=28)
    opened = Models()
    whole = build(vlm_config(models), PROMPT, 0, opened).terms["vlm.semantic"].guidance
    few = build(vlm_config(models, per_step=3), PROMPT, 0, opened).terms["vlm.semantic"].guidance
    told: list[list[str]] = []
    answer = opened.get(("vlm", models["vlm"], "auto", "auto"), None).yes_logit

    def listening(pictures, texts, *rest):
        told.append(list(texts))
        return answer(pictures, texts, *rest)

    monkeypatch.setattr(few.vlm, "yes_logit", listening)
    assert whole.vlm is few.vlm
    few.loss(views_of(rgb), cameras, 0)
    state = copy.deepcopy(few.state_dict())
    few.loss(views_of(rgb), cameras, 1)
    few.load_state_dict(state)
    few.loss(views_of(rgb), cameras, 1)
    assert [len(texts) for texts in told] == [3, 3, 3]
    assert told[0] != told[1] == told[2]
    assert len({text for _ in range(40) for text in few.loss(views_of(rgb), cameras, 0) and told[-1]}) > 8
    many = build(vlm_config(models, per_step=1000), PROMPT, 0, opened).terms["vlm.semantic"].guidance
    assert torch.equal(many.loss(views_of(rgb), cameras, 0)[0], whole.loss(views_of(rgb), cameras, 0)[0])


def test_what_is_said_of_a_size_is_said_once_for_many_scenes(models, caplog):
    opened = Models()
    for prompt in ("a red cube", "a blue sphere"):
        guidance = build(vlm_config(models, spatial=1.0), parse(prompt), 0, opened)
        guidance.loss(views_of(torch.rand(1, 3, 28, 28)), orbit([0.0], size=28), 0)
    assert sum("are resized" in record.message for record in caplog.records) == 1
