"""Every recipe in configs/text3d loads, has VLM3D's schedules, and dry-runs without its weights, a hub or a GPU."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from apps.text3d import dry_run, dry_run_models
from apps.text3d.config import Text3dConfig
from apps.text3d.dry_run import Check, check, show
from apps.text3d.dry_run_stand_ins import stable_diffusion
from apps.text3d.generate import run_generate
from apps.text3d.guidance.prior import save_prior
from common.config import load
from common.errors import UsageError
from common.models.small_vlm import make_small_vlm, save_small_vlm
from common.schedule import read_schedule

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "text3d"
FILES = sorted(CONFIGS.glob("*.yaml"))
RECIPES = [file for file in FILES if file.stem.startswith("vlm3d")]
POCKET = CONFIGS / "pocket.yaml"
BIG, SMALL = CONFIGS / "vlm3d-qwen2.5-vl-7b.yaml", CONFIGS / "vlm3d-qwen2.5-vl-3b-24gb.yaml"
PROMPT = "a red cube left of a blue sphere"
#: Weights of the published models, in millions.
SIZES = {BIG: "8,292.2 M", SMALL: "3,754.6 M"}


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answers on a machine that has the hub or its files."""
    monkeypatch.setattr(dry_run_models, "unreachable", lambda: "no connection to the hub")
    monkeypatch.setattr(dry_run_models, "cached", lambda *given: False)


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {found.name: found for found in checks}


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_every_file_loads_and_knows_its_keys(file: Path, tmp_path: Path) -> None:
    assert load(Text3dConfig, file).optimise.steps > 0
    changed = tmp_path / file.name
    changed.write_text(file.read_text("utf-8") + "\nthreds: 1\n")
    with pytest.raises(UsageError, match=r"unknown key 'threds'; did you mean 'threads'"):
        load(Text3dConfig, changed)


@pytest.mark.parametrize("file", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_how_to_run_it_on_what_how_long_and_what_is_not_known(file: Path) -> None:
    header = "".join(re.findall(r"^#.*\n", file.read_text("utf-8"), re.M))
    for word in ("Run:", "Hardware:", "Time:", "not run here", "Figure:", "Not as published:", "Unverified:"):
        assert word in header, f"{file.name} lacks {word}"
    assert f"--config configs/text3d/{file.name}" in header
    assert "--dry_run" in header


@pytest.mark.parametrize("file", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_has_vlm3ds_schedules(file: Path) -> None:
    config = load(Text3dConfig, file)
    sds, vlm = config.guidance.sds, config.guidance.vlm
    assert (sds.form, sds.scale) == ("x0", 50.0)
    low, high = read_schedule(sds.t_min), read_schedule(sds.t_max)
    assert [(low(step), high(step)) for step in (0, 8000, 20000)] == [(0.98, 0.98), (0.02, 0.5), (0.02, 0.5)]
    # 300 falling to 1 over 10,000 steps, shared by three kinds of questions, and nothing from there on.
    kinds = [read_schedule(getattr(vlm, kind)) for kind in ("semantic", "spatial", "consistency")]
    for step in (0, 2500, 5000, 9999):
        assert sum(kind(step) for kind in kinds) == pytest.approx(300 - 299 * step / 10_000, abs=0.02)
    assert [kind(10_000) for kind in kinds] == [0, 0, 0]
    # Their raw log-odds, which never saturate.
    assert (vlm.form, vlm.saturation) == ("log_odds", 0.0)
    orientation = read_schedule(config.optimise.regularisers.orientation)
    assert [orientation(step) for step in (0, 5000, 9000)] == [10, 1000, 1000]
    grid = config.scene.hashgrid
    assert (config.scene.kind, grid.levels, grid.features, grid.base, grid.growth) == ("hashgrid", 16, 2, 16, 1.447)
    assert (config.optimise.steps, config.optimise.learning_rate) == (20000, 0.01)
    # Every side is one that the VLM sees without a resize.
    assert config.optimise.size[1] % 28 == 0
    # What shapes it is neural alone: no output will say that a critic knew the answer.
    assert config.guidance.analytic == 0


@pytest.mark.parametrize("file", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_dry_run_without_its_weights_and_without_a_hub(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load(Text3dConfig, file, ["--runs", str(tmp_path / "runs")])
    found = by_name(check(config, PROMPT))
    assert not [f"{one.name}: {one.detail}" for one in found.values() if one.passed is False]
    unknown = {name for name, one in found.items() if one.passed is None}
    assert unknown == {"diffusion model", "vision-language model"}
    # The published sizes, counted on the meta device; what would be fetched, and why it is not.
    assert SIZES[file] in found["vision-language model"].detail
    assert "1,290.0 M weights, 512 pixels; about 2.6 GB to be fetched" in found["diffusion model"].detail
    assert "no connection to the hub, so it cannot be had from here" in found["diffusion model"].detail
    assert "sds 1, 1, 1" in found["guidances"].detail
    # The header tells the estimate that is made now, and it fits the hardware that it names.
    told = re.search(r"about (\d+) GB", found["memory"].detail)
    assert told
    header = " ".join(file.read_text("utf-8").replace("#", " ").split())
    assert f"about {told[1]} GB" in header
    hardware = re.search(r"one GPU of (\d+) GB", header)
    assert hardware
    assert int(told[1]) < 0.85 * int(hardware[1])
    for term in ("sds", "vlm.semantic", "vlm.spatial", "vlm.consistency"):
        assert f"{term} " in found["stand-ins"].detail
    assert show(list(found.values()), False) == 0
    printed = capsys.readouterr()
    assert "not checked" in printed.out
    assert "2 of 11 checks could not be made" in printed.err
    assert not (tmp_path / "runs").exists()


def test_a_prompt_about_anything_is_taken_where_no_critic_has_to_draw_it() -> None:
    found = by_name(check(load(Text3dConfig, BIG), "an astronaut riding a horse"))
    assert found["prompt"].passed
    assert "the judge judges nothing" in found["prompt"].detail
    assert found["stand-ins"].passed
    refused = by_name(check(load(Text3dConfig, POCKET), "an astronaut riding a horse"))
    assert refused["prompt"].passed is False
    assert "is known here" in refused["prompt"].detail


def test_the_default_passes_whole_and_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_generate(load(Text3dConfig, POCKET), dry_run=True, json_output=True) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert all(row["passed"] for row in rows.values())
    assert "analytic" in rows["stand-ins"]["detail"]


def test_clip_has_a_stand_in_too() -> None:
    options = ["--guidance.analytic", "0", "--guidance.clip.weight", "1", "--guidance.clip.name", "ViT-B-32:openai"]
    found = by_name(check(load(Text3dConfig, POCKET, options), PROMPT))
    # Which weights are not here; a step is taken all the same, guided by CLIP alone.
    assert found["clip"].passed is None
    assert found["stand-ins"].passed, found["stand-ins"].detail
    assert re.search(r"classes: clip -?[0-9.e-]+$", found["stand-ins"].detail)


def test_models_in_folders_pass(tmp_path: Path) -> None:
    save_prior(stable_diffusion(["a cube"]), tmp_path / "sds")
    save_small_vlm(*make_small_vlm(["yes no Yes No a cube"] * 3), tmp_path / "vlm")
    options = ["--guidance.sds.model", str(tmp_path / "sds"), "--guidance.vlm.model", str(tmp_path / "vlm")]
    found = by_name(check(load(Text3dConfig, SMALL, options), PROMPT))
    assert [f"{one.name}: {one.detail}" for one in found.values() if not one.passed] == []
    assert "64 pixels" in found["diffusion model"].detail


@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        (["--guidance.sds.model", "./nowhere"], "diffusion model", "no model at nowhere"),
        (["--guidance.sds.model", ""], "diffusion model", "guidance.sds.model is empty"),
        (["--guidance.vlm.model", "/nowhere/at/all"], "vision-language model", "no model at /nowhere/at/all"),
        (["--guidance.clip.weight", "1", "--guidance.clip.name", "ViT-L-41"], "clip", "knows no model 'ViT-L-41'"),
        (
            ["--guidance.clip.weight", "1", "--guidance.clip.name", "ViT-L-14:opnai"],
            "clip",
            "has no weights 'opnai'",
        ),
        (["--guidance.sds.t_min", "0.9", "--guidance.sds.t_max", "0.1"], "stand-ins", "t_min <= t_max"),
        (["--optimise.regularisers.smoothness", "1"], "stand-ins", "smoothness is of a voxel grid"),
    ],
)
def test_a_recipe_that_cannot_run_says_why(
    change: list[str], name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "stand-ins":
        monkeypatch.setattr(dry_run, "_stand_ins", lambda config, found: "left out")
    found = by_name(check(load(Text3dConfig, SMALL, change), PROMPT))
    assert found[name].passed is False, found[name]
    assert message in found[name].detail
    assert show(list(found.values()), False) == 2


def test_without_a_guidance_there_is_nothing_to_run() -> None:
    found = by_name(check(load(Text3dConfig, POCKET, ["--guidance.analytic", "0"]), PROMPT))
    assert found["guidances"].passed is False
    assert "there is no guidance" in found["guidances"].detail


def test_a_model_of_the_hub_whose_shape_nobody_knows_here_is_not_checked() -> None:
    options = ["--guidance.vlm.model", "someone/their-vlm", "--guidance.sds.weight", "0"]
    found = by_name(check(load(Text3dConfig, BIG, options), PROMPT))
    assert found["vision-language model"].passed is None
    assert "someone/their-vlm: its shape stands in the hub (no connection" in found["vision-language model"].detail
    assert found["memory"].passed is None
    assert found["diffusion model"].detail.startswith("not used")


def test_fewer_questions_at_a_time_take_less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "_stand_ins", lambda config, found: "left out")

    def gigabytes(*change: str) -> float:
        told = by_name(check(load(Text3dConfig, BIG, list(change)), PROMPT))["memory"].detail
        return float(told.removeprefix("about ").partition(" ")[0])

    assert gigabytes("--guidance.vlm.at_once", "8") < gigabytes("--optimise.size", "112") < gigabytes()


def test_a_scene_goes_on_without_a_judge_for_a_prompt_that_it_does_not_know(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_prior(stable_diffusion(["an astronaut"]), tmp_path / "sds")
    options = [
        *("--guidance.analytic=0", "--guidance.sds.weight=0.1", f"--guidance.sds.model={tmp_path / 'sds'}"),
        *("--optimise.steps=2", "--optimise.size=16", "--scene.voxel.resolution=8", "--optimise.viewpoints.views=2"),
        *("--export.resolution=20", "--export.frames=2", "--export.size=24", "--export.views=2", "--preview_every=1"),
        f"--runs={tmp_path}",
    ]
    assert run_generate(load(Text3dConfig, POCKET, options), "an astronaut", name="open") == 0
    told = json.loads((tmp_path / "open" / "result.json").read_text())
    assert set(told["geometry"].values()) == {None, False}
    assert "not judged" in told["reasons"][0]
    assert "nothing will be judged" in caplog.text
    assert (tmp_path / "open" / "scene.glb").stat().st_size > 500
