"""`train`: a prompt set and a comparison made short; going on; what a collapse counts as."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.text3d import generate
from apps.text3d.comparison import RECIPES, summarise, with_recipe
from apps.text3d.config import Text3dConfig
from apps.text3d.guidance.build import Models
from apps.text3d.optimisation.learner import Collapsed, SceneLearner
from apps.text3d.pocket.combinations import held
from apps.text3d.prompts.parser import parse
from apps.text3d.train import Made, Result, prompt_set, run_train
from apps.text3d.train_config import TrainConfig
from common.config import load
from common.errors import DataError, UsageError
from common.files import read_json
from common.training.run import Interrupted

POCKET = Path(__file__).resolve().parents[3] / "configs" / "text3d" / "pocket.yaml"
SHORT = [
    *("--optimise.steps=4", "--optimise.size=16", "--optimise.learning_rate=0.3", "--scene.voxel.resolution=12"),
    *("--optimise.viewpoints.views=2", "--scene.voxel.march.samples=16"),
    *("--export.resolution=0", "--export.frames=0", "--export.size=32", "--export.views=2", "--preview_every=0"),
    *("--evaluate.views=2", "--train.count=2", "--guidance.sds.weight=0", "--guidance.analytic=1"),
    *("--guidance.vlm.semantic=0", "--guidance.vlm.spatial=0", "--save_every=2"),
]


def settings(folder: Path, *more: str) -> Text3dConfig:
    return load(Text3dConfig, POCKET, [*SHORT, "--runs", str(folder), *more])


def test_a_prompt_set_is_made_judged_and_shown(tmp_path, capsys):
    assert run_train(settings(tmp_path), name="a", json_output=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["right"]) == {"object", "colour", "count", "relation", "correct"}
    folder = tmp_path / "a"
    scenes = sorted((folder / "scenes").iterdir())
    assert len(scenes) == 2
    for scene in scenes:
        assert (scene / "result.json").is_file()
        assert (scene / "views" / "00.png").is_file()
        # Meshes and turntables take longer than the scenes here: they were not asked for.
        assert not (scene / "scene.glb").exists()
        assert not (scene / "turntable.mp4").exists()
    page = (folder / "report.html").read_text("utf-8")
    assert all(read_json(scene / "result.json")["prompt"] in page for scene in scenes)
    assert "upper bound" in page


def test_a_reward_of_the_catalogue_guides_a_scene(tmp_path, capsys):
    own = "{name: clip_score, clip: 'local-dir:assets/text3d/clip', prefix: '', scale: 1.0}"
    more = ("--guidance.analytic=0", "--guidance.own.weight=[0, 2.0, 1.0, 2]", f"--guidance.own.reward={own}")
    assert run_train(settings(tmp_path, *more, "--train.count=1"), name="own", json_output=True) == 0
    (scene,) = (tmp_path / "own" / "scenes").iterdir()
    rows = [json.loads(line) for line in (scene / "log.jsonl").read_text("utf-8").splitlines()]
    assert [row["own.weight"] for row in rows] == [2.0, 1.5, 1.0, 1.0]
    assert all(row["own"] == -row["own.reward"] and row["own.gradient"] > 0 for row in rows)
    assert "upper bound" not in (tmp_path / "own" / "report.html").read_text("utf-8")
    capsys.readouterr()
    assert run_train(settings(tmp_path, *more), dry_run=True) == 0
    assert "clip_score: it has a gradient" in capsys.readouterr().out


def test_a_stopped_comparison_goes_on_and_comes_to_the_same(tmp_path, monkeypatch, capsys):
    more = ("--comparison.recipes=[analytic]", "--comparison.seeds=[0,1]")
    run_train(settings(tmp_path, *more), name="whole")
    step = SceneLearner.step

    def stopping(self):
        if self.steps == 3 and "seed1" in str(started[-1]):
            raise KeyboardInterrupt
        return step(self)

    started: list[Path] = []
    shape = generate.shape

    def watched(config, prompt, run, models=None):
        started.append(run.folder)
        return shape(config, prompt, run, models)

    with monkeypatch.context() as patch:
        patch.setattr(SceneLearner, "step", stopping)
        patch.setattr(generate, "shape", watched)
        with pytest.raises(Interrupted, match=r"train --resume .*parts"):
            run_train(settings(tmp_path, *more), name="parts")
    assert [folder.parents[1].name for folder in started] == ["analytic-seed0"] * 2 + ["analytic-seed1"]
    assert run_train(settings(tmp_path), resume=str(tmp_path / "parts")) == 0
    whole, parts = (read_json(tmp_path / name / "comparison.json") for name in ("whole", "parts"))
    assert whole == parts
    assert whole["prompts"] == 2
    # Seeds and prompts see viewpoints of their own.
    assert {read_json(path)["seed"] for path in tmp_path.glob("whole/*/scenes/*/run.json")} == {0, 1, 1000, 1001}
    log = (tmp_path / "parts" / "analytic-seed0" / "scenes").glob("*/log.jsonl")
    assert all(len(path.read_text().splitlines()) == 4 for path in log)
    assert "analytic" in (tmp_path / "parts" / "report.html").read_text("utf-8")


def test_a_comparison_takes_further_seeds_and_recipes_and_keeps_what_it_has(tmp_path, monkeypatch, capsys):
    run = tmp_path / "grown"
    more = ("--comparison.recipes=[analytic]", "--guidance.clip.weight=0.1", "--train.count=1", "--optimise.steps=2")
    run_train(settings(tmp_path, *more), name="grown")
    kept = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.glob("*/scenes/*/*") if path.is_file()}
    assert run_train(Text3dConfig(), resume=str(run), given=["--comparison.seeds=[0,1]"]) == 0
    assert sorted(path.parent.name for path in run.glob("*/scenes")) == ["analytic-seed0", "analytic-seed1"]
    assert kept
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in kept} == kept
    # It stays so: the next time nothing need be said, and nothing is made.
    monkeypatch.setattr(generate, "shape", None)
    assert run_train(Text3dConfig(), resume=str(run)) == 0
    assert read_json(run / "comparison.json")["seeds"] == [0, 1]
    made: list[tuple[str, int]] = []

    def train_one(config, name, begun, command, models):
        made.append((name, config.seed))
        raise Interrupted

    monkeypatch.setattr("apps.text3d.comparison.train_one", train_one)
    with pytest.raises(Interrupted):
        run_train(Text3dConfig(), resume=str(run), given=["--comparison.recipes=[clip,analytic]"])
    assert made == [("clip-seed0", 0)]


@pytest.mark.parametrize(
    ("begun", "given", "message"),
    [
        (["recipes=[analytic]", "seeds=[0,1]"], ["--comparison.seeds=[1,2]"], r"seeds \[1, 2\]: .* has 0 too"),
        (["recipes=[analytic]"], ["--comparison.seeds=[1]"], "has 0 too"),
        (["recipes=[analytic]"], ["--comparison.recipes=[]"], "has analytic too"),
        (["seeds=[0]"], ["--comparison.recipes=[analytic]"], "has the settings without a recipe too"),
        (["recipes=[analytic]"], ["--comparison.recipes=[analytic,magic]"], "choose from"),
        (["recipes=[analytic]"], ["--comparison.recipes=[analytic,clip]"], r"needs guidance\.clip\.weight"),
        (["seeds=[0]"], ["--comparison.seeds=[0,1]", "--optimise.steps=9"], r"optimise\.steps \(4 there, 9 now\)"),
        (None, ["--seed=3"], r"seed \(0 there, 3 now\)\. Leave that away"),
        (None, ["--comparison.seeds=[0,1]"], r"comparison\.seeds \(\[\] there, \[0, 1\] now\)"),
    ],
)
def test_any_other_change_is_refused_and_nothing_is_touched(tmp_path, monkeypatch, begun, given, message):
    monkeypatch.setattr("apps.text3d.train.prompt_set", lambda *given: [])
    monkeypatch.setattr("apps.text3d.comparison.run_comparison", lambda *given: 0)
    monkeypatch.setattr("apps.text3d.training_report.write_report", lambda *given: None)
    monkeypatch.setattr("apps.text3d.training_report.show", lambda *given: None)
    run_train(settings(tmp_path, *(f"--comparison.{each}" for each in begun or ())), name="a")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert before
    with pytest.raises(UsageError, match=message):
        run_train(Text3dConfig(), resume=str(tmp_path / "a"), given=given)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_emptied_scene_has_nothing_right_and_the_others_are_made(tmp_path, monkeypatch):
    shape = generate.shape

    def emptied(config, prompt, run, models=None):
        if run.folder.name.startswith("00"):
            raise Collapsed("density collapsed: nothing is left")
        return shape(config, prompt, run, models)

    monkeypatch.setattr(generate, "shape", emptied)
    run_train(settings(tmp_path), name="a")
    first, second = (read_json(path) for path in sorted((tmp_path / "a").glob("scenes/*/result.json")))
    assert first["geometry"]["object"] == 0.0
    assert first["geometry"]["correct"] is False
    assert second["reasons"] != first["reasons"]
    assert "density collapsed" in (tmp_path / "a" / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("prompt", "missing"),
    [
        ("a cube", ["object", "count"]),
        ("a red cube left of a ball", ["object", "colour", "count", "relation"]),
        ("a corgi in a hat", []),  # nothing that the judge knows
    ],
)
def test_an_emptied_scene_lacks_what_its_prompt_asks_for_and_the_judge_knows(tmp_path, monkeypatch, prompt, missing):
    def emptied(*_):
        raise Collapsed("density collapsed")

    monkeypatch.setattr(generate, "shape", emptied)
    generate.shape_once(Text3dConfig(), prompt, tmp_path / "one", "", Models())
    geometry = read_json(tmp_path / "one" / "result.json")["geometry"]
    assert [name for name, share in geometry.items() if share == 0.0 and name != "correct"] == missing
    assert geometry["correct"] is False


def test_prompts_are_held_out_of_all_kinds_and_the_same_for_every_recipe():
    texts = prompt_set(TrainConfig(count=12), 0)
    assert len(set(texts)) == 12
    found = [parse(text) for text in texts]
    assert all(held(prompt) for prompt in found)
    assert sum(bool(prompt.relations) for prompt in found[:6]) == 3
    assert any(prompt.total > 1 and len(prompt.objects) == 1 for prompt in found[:6])
    assert prompt_set(TrainConfig(count=6), 0) == texts[:6]


def test_prompts_of_a_file(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("a red cube\n\n# no prompt\ntwo cones\n", "utf-8")
    assert prompt_set(TrainConfig(prompts=str(path)), 0) == ["a red cube", "two cones"]
    with pytest.raises(DataError, match=r"none\.txt"):
        prompt_set(TrainConfig(prompts=str(tmp_path / "none.txt")), 0)
    with pytest.raises(UsageError, match=r"train\.count"):
        prompt_set(TrainConfig(count=0), 0)


def test_a_recipe_has_its_guidances_alone_with_the_settings_weights(tmp_path):
    config = settings(tmp_path, "--guidance.sds.weight=0.5", "--guidance.vlm.semantic=2", "--guidance.vlm.spatial=3")
    own = with_recipe(config, "sds-vlm-semantic")
    guidance = own.guidance
    assert (guidance.sds.weight, guidance.vlm.semantic, guidance.vlm.spatial, guidance.analytic) == (0.5, 2, 0, 0)
    assert config.guidance.analytic == 1
    with pytest.raises(UsageError, match=r"clip\.weight"):
        with_recipe(config, "sds-clip")
    with pytest.raises(UsageError, match="choose from"):
        with_recipe(config, "magic")
    assert {"sds", "sds-clip", "sds-vlm-semantic", "sds-vlm"} <= set(RECIPES)


def test_a_comparison_that_would_stop_halfway_does_not_begin(tmp_path):
    with pytest.raises(UsageError, match=r"clip\.weight"):
        run_train(settings(tmp_path, "--comparison.recipes=[analytic,clip]"), name="c")
    assert not (tmp_path / "c").exists()


def test_a_dry_run_checks_prompt_recipes_and_models_and_leaves_nothing(tmp_path, capsys):
    assert run_train(settings(tmp_path / "runs"), dry_run=True, json_output=True) == 0
    told = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert told["prompt"]["passed"]
    assert told["stand-ins"]["passed"]
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UsageError, match=r"clip\.weight"):
        run_train(settings(tmp_path, "--comparison.recipes=[analytic,clip]"), dry_run=True)


def test_differences_are_paired_by_prompt_and_what_is_not_asked_does_not_count():
    def made(prompt, share, relation):
        geometry = {"object": share, "colour": share, "count": share, "relation": relation, "correct": share == 1}
        return Made(Path(), {"prompt": prompt, "geometry": geometry})

    def result(*shares):
        return Result(None, [made(str(at), share, relation) for at, (share, relation) in enumerate(shares)])

    results = {
        ("sds", 0): result((0.0, None), (0.5, 0.0)),
        ("sds", 1): result((0.0, None), (0.5, 0.0)),
        ("sds-vlm", 0): result((1.0, None), (1.0, 1.0)),
        ("sds-vlm", 1): result((1.0, None), (1.0, 0.0)),
    }
    found = summarise(results)["recipes"]
    assert found["sds"]["right"]["object"]["mean"] == 0.25
    assert found["sds-vlm"]["right"]["relation"]["n"] == 1
    assert found["sds-vlm"]["right"]["relation"]["mean"] == 0.5
    assert found["sds-vlm"]["difference"]["object"]["difference"]["mean"] == 0.75
    assert found["sds-vlm"]["seeds"]["relation"] == [1.0, 0.0]
