"""`generate --best_of N`: which seed is taken, what is kept of the others, and going on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from apps.text3d import generate
from apps.text3d.__main__ import APP
from apps.text3d.best_of import GEOMETRY, WORDING, scorer, scores_of
from apps.text3d.config import Text3dConfig
from apps.text3d.export.kept import SCENE
from apps.text3d.generate import run_generate
from apps.text3d.guidance.build import Models
from apps.text3d.measures.assets import read_assets
from apps.text3d.measures.got import GotJudge, GotScore
from apps.text3d.optimisation.learner import Collapsed, SceneFailure, SceneLearner
from apps.text3d.prompts.parser import parse
from common.config import load
from common.errors import UsageError
from common.files import read_json
from common.training.run import Interrupted

POCKET = Path(__file__).resolve().parents[3] / "configs" / "text3d" / "pocket.yaml"
SHORT = [
    *("--optimise.steps=3", "--optimise.size=16", "--optimise.viewpoints.views=2", "--export.resolution=20"),
    *("--export.frames=2", "--export.size=24", "--export.views=2", "--evaluate.views=2", "--preview_every=0"),
    *("--scene.voxel.resolution=10", "--scene.voxel.march.samples=12"),
]
SCORES = {0: 0.25, 1: 0.75, 2: 0.75}


def settings(folder: Path, *more: str) -> Text3dConfig:
    return load(Text3dConfig, POCKET, [*SHORT, f"--runs={folder}", *more])


@pytest.fixture(autouse=True)
def _scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """So short a run shows the judge nothing: its verdicts are given by seed."""
    monkeypatch.setattr(
        "apps.text3d.best_of._share",
        lambda told: math.nan if not told["steps"] else SCORES[told["fingerprint"]["seed"]],
    )
    export = generate.export

    def marked(result: Any, config: Text3dConfig, prompt: str) -> None:
        export(result, config, prompt)
        path = result.run.folder / "result.json"
        told = read_json(path)
        told["fingerprint"]["seed"] = config.seed
        path.write_text(json.dumps(told))

    monkeypatch.setattr(generate, "export", marked)


def test_the_best_seed_is_taken_and_all_are_kept_with_their_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert APP.main(["generate", "a red cube", "--best_of", "3", "--name", "run", *SHORT, f"--runs={tmp_path}"]) == 0
    run = tmp_path / "run"
    told = read_json(run / "result.json")["best_of"]
    # The first among equals.
    assert told == {"by": GEOMETRY, "scores": {"seed-0": 0.25, "seed-1": 0.75, "seed-2": 0.75}, "picked": "seed-1"}
    said = " ".join(capsys.readouterr().err.split())
    assert "seed-1 of 3, by the judge of geometry: seed-0 0.250, seed-1 0.750, seed-2 0.750" in said
    candidates = run / "candidates"
    assert sorted(path.name for path in candidates.iterdir()) == ["seed-0", "seed-1", "seed-2"]
    for name in ("scene.glb", "scene.ply", SCENE, "turntable.mp4", "views/01.png", "views/cameras.json"):
        assert (run / name).read_bytes() == (candidates / "seed-1" / name).read_bytes(), name
    assert (run / SCENE).read_bytes() != (candidates / "seed-0" / SCENE).read_bytes()
    with Image.open(run / "sheet.png") as whole, Image.open(candidates / "seed-0" / "sheet.png") as one:
        assert whole.height > 2 * (one.height - 30)
    # `evaluate` sees one scene, and each candidate where it is asked for that.
    assert [asset.folder for asset in read_assets(tmp_path).found] == [run]
    assert len(read_assets(candidates).found) == 3
    # A seed's scene is the one that `generate --seed` makes.
    assert run_generate(settings(tmp_path, "--seed=2"), "a red cube", name="alone") == 0
    assert (tmp_path / "alone" / "scene.ply").read_bytes() == (candidates / "seed-2" / "scene.ply").read_bytes()


def test_an_interrupted_choice_goes_on_and_does_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, taken = SceneLearner.step, [0]

    def counted(self: SceneLearner) -> dict[str, float]:
        taken[0] += 1
        if taken[0] == 5:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(SceneLearner, "step", counted)
    with pytest.raises(Interrupted, match=r"generate --resume .*run\b"):
        run_generate(settings(tmp_path, "--save_every=1"), "a red cube", name="run", best_of=2)
    assert not (tmp_path / "run" / "result.json").exists()
    taken[0] = 10
    assert run_generate(Text3dConfig(), resume=str(tmp_path / "run")) == 0
    assert taken[0] == 12  # the second seed's last two
    assert read_json(tmp_path / "run" / "result.json")["best_of"]["picked"] == "seed-1"
    with pytest.raises(UsageError, match=r"goes on longer by --resume .*candidates"):
        run_generate(Text3dConfig(), resume=str(tmp_path / "run"), given=["--optimise.steps=9"])


def test_a_seed_that_came_to_nothing_is_kept_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, lost = SceneLearner.step, {1}

    def failing(self: SceneLearner) -> dict[str, float]:
        if self.generator.initial_seed() in lost:
            raise Collapsed("density collapsed")
        return step(self)

    monkeypatch.setattr(SceneLearner, "step", failing)
    assert run_generate(settings(tmp_path), "a red cube", name="some", best_of=2) == 0
    told = read_json(tmp_path / "some" / "result.json")["best_of"]
    assert (told["scores"], told["picked"]) == ({"seed-0": 0.25, "seed-1": None}, "seed-0")
    lost.add(0)
    with pytest.raises(SceneFailure, match="no scene has a score"):
        run_generate(settings(tmp_path), "a red cube", name="none", best_of=2)


def test_who_chooses_and_that_somebody_must(tmp_path: Path) -> None:
    judged = settings(tmp_path, "--evaluate.judge.url=http://localhost:1/v1", "--evaluate.judge.model=sees")
    assert scorer(judged, parse("a dragon")) == "GoT-R1's scores of picture and layout, judge sees"
    assert scorer(settings(tmp_path), parse("a red cube")) == GEOMETRY
    assert scorer(settings(tmp_path, "--guidance.vlm.semantic=1"), parse("a dragon")) == WORDING
    with pytest.raises(UsageError, match=r"nothing here can say which scene is the best.*evaluate\.judge\.url"):
        scorer(settings(tmp_path, "--guidance.sds.weight=1"), parse("a dragon"))
    with pytest.raises(UsageError, match="judge's model is empty"):
        scorer(settings(tmp_path, "--evaluate.judge.url=http://localhost:1/v1"), parse("a dragon"))
    with pytest.raises(UsageError, match="1 or more"):
        run_generate(settings(tmp_path), "a red cube", best_of=0)
    assert not list(tmp_path.iterdir())


def test_gots_scores_are_those_of_the_parts_that_a_scene_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_generate(settings(tmp_path), "a red cube", name="run", best_of=2) == 0
    folders = sorted((tmp_path / "run" / "candidates").iterdir())
    judged = settings(tmp_path, "--evaluate.judge.url=http://localhost:1/v1", "--evaluate.judge.model=sees")

    def score(self: GotJudge, candidates: Any) -> list[GotScore]:
        assert all(one.picture is not None for one in candidates)
        given = [(0.8, 0.5), (math.nan, 0.9)]
        return [GotScore(math.nan, layout, math.nan, picture, {}) for picture, layout in given]

    monkeypatch.setattr(GotJudge, "score", score)
    for text, wanted in (("a red cube", 0.8 * 0.5), ("a cube", 0.8)):
        first, second = scores_of(judged, parse(text), folders, scorer(judged, parse(text)), Models())
        assert first == pytest.approx(wanted)
        assert math.isnan(second)
