"""Gaussians added and taken away while the loop runs: that it happens, that it resumes, and whom it is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.text3d.config import Text3dConfig
from apps.text3d.export.splats import read_splats
from apps.text3d.generate import run_generate
from apps.text3d.guidance.analytic import AnalyticCritic
from apps.text3d.guidance.base import Term, Weighted
from apps.text3d.optimisation.learner import SceneLearner
from apps.text3d.optimise_config import OptimiseConfig, ViewpointConfig
from apps.text3d.prompts.parser import parse
from apps.text3d.scenes.config import DensifyConfig, GaussianConfig, VoxelConfig
from apps.text3d.scenes.densify import Densifier
from apps.text3d.scenes.gaussians import PARAMETERS, GaussianScene
from apps.text3d.scenes.voxel import VoxelScene
from common.config import load
from common.errors import UsageError
from common.training.run import Interrupted

POCKET = Path(__file__).resolve().parents[4] / "configs" / "text3d" / "pocket.yaml"
GROW = DensifyConfig(every=3, begin=3, end=7, gradient=0.0, opacity=0.01, most=70)
SHORT = OptimiseConfig(steps=9, size=16, viewpoints=ViewpointConfig(views=2), densify=GROW)


def gaussians(generator: torch.Generator) -> GaussianScene:
    return GaussianScene(GaussianConfig(count=40), generator)


def learner(
    config: OptimiseConfig = SHORT, seed: int = 0, make: Any = gaussians, guidance: Any = None
) -> SceneLearner:
    guidance = guidance or AnalyticCritic(parse("a red sphere"))
    return SceneLearner(make, Weighted({"one": Term(guidance)}), config, seed)


def test_their_number_changes_at_the_told_steps_and_is_told() -> None:
    config = replace(SHORT, densify=replace(GROW, most=45))
    one = learner(config)
    told = [one.step() for _ in range(9)]
    assert [row["gaussians"] for row in told] == [40, 40, 45, 45, 45, 45, 45, 45, 45]
    # After step 7 nothing is changed; those between are no multiples of 3.
    assert ["densify.cloned" in row for row in told] == [False, False, True, False, False, True, False, False, False]
    assert told[2]["densify.cloned"] + told[2]["densify.split"] == 5
    assert len(one.scene.state_dict()["means"]) == 45


def test_the_faint_are_taken_away() -> None:
    def faint(generator: torch.Generator) -> GaussianScene:
        scene = gaussians(generator)
        with torch.no_grad():
            scene.opacity_logits[:6] = -9.0
        return scene

    one = learner(replace(SHORT, densify=replace(GROW, gradient=1e9)), make=faint)
    told = [one.step() for _ in range(3)]
    assert [row["gaussians"] for row in told] == [40, 40, 34]
    assert told[2]["densify.pruned"] == 6


def test_those_who_stay_keep_their_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam would else leap: a first step is as long as the learning rate, whatever the gradient."""
    one = learner(replace(SHORT, densify=replace(GROW, most=45)))
    before: dict[str, Any] = {}
    apply = Densifier.apply

    def watched(self: Densifier, scene: GaussianScene, optimiser: Any, generator: Any) -> Any:
        before["rows"] = self.chosen(torch.zeros(len(scene), dtype=torch.bool)).tolist()
        before["moments"] = {name: optimiser.state[getattr(scene, name)]["exp_avg_sq"].clone() for name in PARAMETERS}
        return apply(self, scene, optimiser, generator)

    monkeypatch.setattr(Densifier, "apply", watched)
    for _ in range(3):
        one.step()
    stay = [row for row in range(40) if row not in before["rows"]]
    assert len(stay) == 35
    for name in PARAMETERS:
        now = one.optimizer.state[getattr(one.scene, name)]
        assert torch.equal(now["exp_avg_sq"][:35], before["moments"][name][stay]), name
        assert now["step"].item() == 3
    assert bool((before["moments"]["means"] > 0).any())


@pytest.mark.parametrize("cut", [2, 3, 4, 8])
def test_a_resumed_run_equals_the_uninterrupted_one_across_a_change(cut: int) -> None:
    whole, first = learner(), learner()
    losses = [whole.step()["loss"] for _ in range(9)]
    for _ in range(cut):
        first.step()
    second = learner(seed=5)
    second.restore(first.state())
    assert [second.step()["loss"] for _ in range(9 - cut)] == losses[cut:]
    wanted, found = whole.scene.state_dict(), second.scene.state_dict()
    assert len(wanted["means"]) > 40
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_a_checkpoint_from_before_it_was_turned_on_is_gone_on_with() -> None:
    first, second = learner(replace(SHORT, densify=DensifyConfig())), learner()
    first.step()
    assert "densify" not in first.state()
    second.restore(first.state())
    assert [second.step()["gaussians"] for _ in range(2)] == [40, 70]


class Emptying:
    """Wants nothing to be there."""

    def loss(self, views: Any, cameras: Any, step: int, generator: Any = None) -> Any:
        return views.opacity.mean(), {}


def test_a_scene_that_is_seeded_anew_is_counted_anew() -> None:
    densify = replace(GROW, every=2, begin=2, end=0, opacity=0.0)
    config = replace(SHORT, learning_rate=3.0, empty_steps=3, empty_opacity=1e-2, densify=densify)
    one = learner(config, guidance=Emptying())
    sizes = []
    while not one.seeded_anew:
        sizes.append(one.step()["gaussians"])
    assert max(sizes) > 40
    assert len(one.scene.state_dict()["means"]) == 40
    one.step()


def test_other_scenes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"set optimise.densify.every to 0 or scene.kind to gaussians"):
        learner(make=lambda generator: VoxelScene(VoxelConfig(resolution=8), generator))
    with pytest.raises(UsageError, match=r"scene.kind is voxel"):
        load(Text3dConfig, POCKET, ["--optimise.densify.every", "10"])
    with pytest.raises(UsageError, match="begin 50 and end 20"):
        DensifyConfig(every=5, end=20)


def test_it_is_reached_from_the_command_line_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [
        *("--scene.kind=gaussians", "--scene.gaussians.count=40", "--optimise.size=16", "--optimise.steps=4"),
        *("--optimise.densify.every=2", "--optimise.densify.begin=2", "--optimise.densify.gradient=0"),
        *("--optimise.densify.most=60", "--export.resolution=16", "--export.frames=0", "--export.size=24"),
        *("--export.views=2", "--evaluate.views=2", "--preview_every=3", "--save_every=2", f"--runs={tmp_path}"),
    ]
    assert run_generate(load(Text3dConfig, POCKET, options), "a red sphere", name="whole") == 0
    rows = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    # A preview between two changes renders without gradient, and takes nothing from what was gathered.
    assert [row["gaussians"] for row in rows] == [40, 60, 60, 60]
    assert len(read_splats(tmp_path / "whole" / "splats.ply")) == 60
    step = SceneLearner.step

    def stopped(self: SceneLearner) -> Any:
        if self.steps == 3:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(SceneLearner, "step", stopped)
    with pytest.raises(Interrupted):
        run_generate(load(Text3dConfig, POCKET, options), "a red sphere", name="cut")
    monkeypatch.undo()
    assert run_generate(Text3dConfig(), resume=str(tmp_path / "cut")) == 0
    assert (tmp_path / "cut" / "splats.ply").read_bytes() == (tmp_path / "whole" / "splats.ply").read_bytes()
