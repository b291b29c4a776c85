"""Untrained models are named on every output, and a reward that is gamed is told of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from apps.text3d.config import Text3dConfig
from apps.text3d.export.splats import read_splats
from apps.text3d.generate import note, run_generate
from apps.text3d.guidance.prior import save_prior
from apps.text3d.guidance.provenance import says_untrained
from apps.text3d.guidance_config import GuidanceConfig, SdsConfig
from apps.text3d.optimisation.hacking import HackingWatch, reward_of
from apps.text3d.prompts.parser import parse
from common.config import load
from common.files import read_json, write_json
from common.training.run import Run
from tests.apps.text3d.export.solids import Solid, sphere, union
from tests.apps.text3d.guidance.tiny import pixel_prior

POCKET = Path(__file__).resolve().parents[4] / "configs" / "text3d" / "pocket.yaml"


@pytest.fixture
def prior(tmp_path: Path) -> Path:
    return save_prior(pixel_prior(), tmp_path / "tiny")


@pytest.mark.parametrize("how", ["card", "config", "folder"])
def test_a_model_says_that_it_is_untrained(prior: Path, tmp_path: Path, how: str) -> None:
    assert not says_untrained(str(prior))
    if how == "card":
        (prior / "README.md").write_text("# Tiny\n\nUntrained weights, to try the parts with.\n")
    elif how == "config":
        index = prior / "model_index.json"
        write_json(index, read_json(index) | {"untrained": True})
    else:
        prior = prior.rename(tmp_path / "sds-demo-weights")
    assert says_untrained(str(prior))
    config = Text3dConfig(guidance=GuidanceConfig(sds=SdsConfig(weight=1.0, model=str(prior))))
    assert note(config).startswith("untrained demo weights (guidance.sds.model):")
    config.guidance.analytic = [0, 1.0, 0.0, 10]
    assert "upper bound" in note(config)
    assert "untrained demo weights" in note(config)
    # A model that is never asked has no part in it, nor has a critic whose weight is 0 throughout.
    config.guidance.sds.weight, config.guidance.analytic = 0.0, [0, 0.0, 0.0, 10]
    assert note(config) == ""


def test_a_hub_id_and_what_is_not_there_are_trained_unless_named_otherwise() -> None:
    assert not says_untrained("Qwen/Qwen2.5-VL-7B-Instruct")
    assert not says_untrained("/nowhere/at-all")
    assert says_untrained("somebody/qwen2.5-vl-untrained")


def test_every_file_of_a_run_bears_the_mark(prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (prior / "README.md").write_text("Random weights.\n")
    options = [
        *("--guidance.analytic=0", "--guidance.sds.weight=0.1", f"--guidance.sds.model={prior}", "--threads=1"),
        *("--scene.kind=gaussians", "--scene.gaussians.count=40", "--optimise.size=16", "--optimise.steps=1"),
        *("--export.resolution=20", "--export.frames=2", "--export.size=64", "--export.views=2", "--preview_every=1"),
        *("--turntable_every=1", "--optimise.viewpoints.views=2", "--evaluate.views=2", f"--runs={tmp_path}"),
    ]
    assert run_generate(load(Text3dConfig, POCKET, options), "a red cube", name="marked") == 0
    assert "untrained demo weights" in " ".join(capsys.readouterr().out.split())
    run, mark = tmp_path / "marked", b"untrained demo weights"
    for name in ("scene.glb", "scene.ply", "splats.ply", "turntable.mp4", "result.json", "samples/turn-00001.gif"):
        assert mark in (run / name).read_bytes(), name
    for path in (run / "views").iterdir():
        assert mark in path.read_bytes(), path
    assert len(read_splats(run / "splats.ply")) == 40
    # Pictures say it in letters: the sheet is higher by a line, the video's frames by a strip.
    with Image.open(run / "sheet.png") as sheet:
        assert sheet.height > 64 + 40
    with Image.open(run / "samples" / "turn-00001.gif") as turning:
        assert turning.height > turning.width


def test_the_same_numbers_have_the_same_fingerprint_and_the_threads_beside_it(tmp_path: Path) -> None:
    """Cases 15, 16 and 33: one thread by the configuration, whatever torch had before."""
    options = [
        *("--scene.voxel.resolution=8", "--optimise.size=16", "--optimise.steps=2", "--export.resolution=0"),
        *(
            "--export.frames=0",
            "--export.size=24",
            "--export.views=2",
            "--evaluate.views=2",
            "--preview_every=0",
            f"--runs={tmp_path}",
        ),
    ]
    found = []
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        torch.set_num_threads(2)
        config = load(Text3dConfig, POCKET, [*options, f"--seed={seed}"])
        assert run_generate(config, "a red sphere", name=name) == 0
        found.append(read_json(tmp_path / name / "result.json")["fingerprint"])
    torch.set_num_threads(1)
    assert found[0] == found[1]
    assert found[0]["sha256"] != found[2]["sha256"]
    assert found[0]["threads"] == 1


def red_balls(count: int) -> Any:
    """Some of the four that the prompt asks for."""
    places = [(-0.6, 0.6, 0.6), (-0.6, -0.6, 0.6), (0.6, 0.6, -0.6), (0.6, -0.6, -0.6)]
    return Solid(union(*[sphere(place, 0.3) for place in places[:count]]), colour=torch.tensor([0.85, 0.1, 0.1]))


def test_a_reward_that_rises_while_the_scene_gets_worse_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Case 29."""
    prompt = parse("four red spheres")
    run = Run.create(tmp_path, "gamed", {}, 0, "…")
    watch = HackingWatch(run, "scene", prompt)
    for step in range(1, 4):
        told = watch(step, {"vlm.semantic.reward": 0.5 * step}, red_balls(5 - step))
        run.log(step, "scene", **told)
    assert told["reward"] == 1.5
    assert 0 < told["judge"] < 0.5
    assert not run.alarms()
    # Whoever resumes has not forgotten the first three.
    watch = HackingWatch(Run.resume(run.folder), "scene", prompt)
    watch(4, {"vlm.semantic.reward": 2.0}, red_balls(1))
    watch(5, {"vlm.semantic.reward": 2.5}, red_balls(1))
    (alarm,) = run.alarms("scene")
    assert alarm["kind"] == "proxy_gold"
    assert "games the reward" in caplog.text
    # An honest rise is none.
    honest = Run.create(tmp_path, "honest", {}, 0, "…")
    watch = HackingWatch(honest, "scene", prompt)
    for step in range(1, 5):
        watch(step, {"vlm.semantic.reward": 0.5 * step}, red_balls(step))
    assert not honest.alarms()


def test_a_scene_that_cannot_be_judged_is_no_verdict(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = HackingWatch(Run.create(tmp_path, "nan", {}, 0, "…"), "scene", parse("a red sphere"))
    assert watch(1, {"sds": 3.0}, Solid(sphere(), float("nan"))) == {}
    assert "cannot be judged" in caplog.text


def test_score_distillation_tells_no_reward() -> None:
    assert reward_of({"sds": 3.0, "sds.guidance": 1.0}) is None
    assert reward_of({"sds": 3.0, "vlm.spatial.reward": 1.0, "analytic": 0.5}) == 0.25


def test_it_is_in_the_log_of_a_run(tmp_path: Path) -> None:
    options = [
        *("--scene.voxel.resolution=8", "--optimise.size=16", "--optimise.steps=4", "--export.resolution=0"),
        *(
            "--export.frames=0",
            "--export.size=24",
            "--export.views=2",
            "--evaluate.views=2",
            "--preview_every=2",
            f"--runs={tmp_path}",
        ),
    ]
    assert run_generate(load(Text3dConfig, POCKET, options), "a red sphere", name="run") == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert ["judge" in row for row in rows] == [False, True, False, True]
    assert all(row["reward"] == pytest.approx(-row["analytic"]) for row in rows)
