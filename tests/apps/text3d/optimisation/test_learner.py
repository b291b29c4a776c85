"""The loop over one scene: what it reaches, that it can be gone on with, and what it says where it goes wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from apps.text3d.cameras import around, drawn
from apps.text3d.guidance.analytic import AnalyticCritic
from apps.text3d.guidance.base import Term, Weighted
from apps.text3d.judging.geometry import judge
from apps.text3d.optimisation.learner import SceneFailure, SceneLearner
from apps.text3d.optimise_config import OptimiseConfig, ViewpointConfig
from apps.text3d.prompts.parser import parse
from apps.text3d.scenes.config import BlobConfig, VoxelConfig
from apps.text3d.scenes.voxel import VoxelScene
from common.errors import UsageError
from common.schedule import read_schedule
from common.training.run import Interrupted, Run
from common.training.stage import run_stage

SHORT = OptimiseConfig(steps=8, size=24, viewpoints=ViewpointConfig(views=2))
PROMPT = parse("a red sphere")


def scene(generator: torch.Generator) -> VoxelScene:
    return VoxelScene(VoxelConfig(resolution=16, blob=BlobConfig(radius=0.8)), generator)


class Noisy:
    """A guidance that draws from a generator of its own: the picture should be grey, more or less."""

    def __init__(self, at: int = -1, value: float = math.nan) -> None:
        self.generator = torch.Generator().manual_seed(3)
        self.at, self.value = at, value

    def loss(self, views, cameras, step, generator=None):
        wanted = 0.5 + 0.1 * torch.rand(views.rgb.shape, generator=self.generator)
        loss = (views.rgb - wanted).square().mean()
        return (loss * self.value if step >= self.at >= 0 else loss), {"mean": float(views.rgb.detach().mean())}

    def state_dict(self):
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state):
        self.generator.set_state(state["generator"])


def learner(config: OptimiseConfig = SHORT, seed: int = 0, **terms) -> SceneLearner:
    terms = terms or {"analytic": AnalyticCritic(PROMPT), "noisy": Noisy()}
    return SceneLearner(scene, Weighted({name: Term(one) for name, one in terms.items()}), config, seed)


def same(one: SceneLearner, other: SceneLearner) -> bool:
    first, second = one.scene.state_dict(), other.scene.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_resumed_optimisation_equals_the_uninterrupted_one(tmp_path, monkeypatch):
    whole = learner()
    told = [whole.step() for _ in range(8)]
    run = Run.create(tmp_path, "cut", {}, 0, "python -m apps.text3d generate …")
    cut = learner()
    step = cut.step

    def stopped():
        if cut.steps == 5:
            raise KeyboardInterrupt
        return step()

    monkeypatch.setattr(cut, "step", stopped)
    with pytest.raises(Interrupted):
        run_stage(run, "scene", cut, 8, save_every=3)
    again = learner(seed=77)  # so that there is something to put back
    run_stage(run, "scene", again, 8, save_every=3)
    assert same(whole, again)
    rows = run.rows("scene")
    assert [row["loss"] for row in rows] == [row["loss"] for row in told]
    assert [row["step"] for row in rows] == list(range(1, 9))


def test_the_seed_decides_everything():
    first, second, other = learner(), learner(), learner(seed=1)
    for one in (first, second, other):
        for _ in range(3):
            one.step()
    assert same(first, second)
    assert not same(first, other)


def test_a_guidance_of_weight_nothing_changes_no_bit():
    terms = {"noisy": Term(Noisy()), "analytic": Term(AnalyticCritic(PROMPT), read_schedule(0.0, "analytic"))}
    both = SceneLearner(scene, Weighted(terms), SHORT, 0)
    alone = learner(noisy=Noisy())
    for _ in range(3):
        both.step(), alone.step()
    assert same(both, alone)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_moves_nothing_and_is_named(value):
    config = replace(SHORT, patience=3)
    bad = learner(config, noisy=Noisy(at=2, value=value))
    for _ in range(2):
        bad.step()
    before = {name: one.clone() for name, one in bad.scene.state_dict().items()}
    assert bad.step()["skipped"] == 1
    bad.step()
    with pytest.raises(SceneFailure, match="3 steps in a row were no numbers, the last by noisy"):
        bad.step()
    assert all(torch.equal(before[name], one) for name, one in bad.scene.state_dict().items())


class Emptying:
    """Wants nothing to be there."""

    def loss(self, views, cameras, step, generator=None):
        return views.opacity.mean(), {}


def test_an_empty_scene_is_seeded_anew_once_and_then_given_up():
    config = replace(SHORT, learning_rate=3.0, empty_steps=3, empty_opacity=1e-2)
    lost = learner(config, emptying=Emptying())
    opacities: list[float] = []

    def go_on():
        while len(opacities) < 200:
            opacities.append(lost.step()["opacity"])

    with pytest.raises(SceneFailure, match="density collapsed"):
        go_on()
    assert lost.seeded_anew
    again = next(at for at in range(3, len(opacities)) if opacities[at] > 0.05 > opacities[at - 1])
    assert max(opacities[again - 3 : again]) < 1e-2


@pytest.mark.parametrize(
    "message", ["[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory", "x"]
)
def test_memory_that_runs_out_is_told_with_what_to_change(monkeypatch, message):
    one = learner()

    def fail(*arguments):
        raise RuntimeError(message)

    monkeypatch.setattr(VoxelScene, "render", fail)
    if message == "x":
        with pytest.raises(RuntimeError, match=r"^x$"):
            one.step()
    else:
        with pytest.raises(SceneFailure, match=r"no memory left for 2 views of 24 x 24.*views smaller"):
            one.step()


def test_the_sides_grow_as_they_are_told_to():
    grown = learner(replace(SHORT, size=[28, 56, 4]))
    assert [grown.step()["size"] for _ in range(6)] == [28, 28, 28, 56, 56, 56]


def test_views_stand_at_equal_steps_and_the_front_is_often_among_them():
    generator = torch.Generator().manual_seed(0)
    config = ViewpointConfig(views=4, front=0.5)
    front = 0
    for _ in range(60):
        cameras = drawn(config, 8, generator)
        assert (cameras.height, len(cameras)) == (8, 4)
        x, y, z = cameras.positions.T
        turns = torch.rad2deg(torch.atan2(y, x))
        assert torch.allclose((turns.diff() % 360), torch.full((3,), 90.0), atol=1e-3)
        assert 5 <= float(torch.rad2deg(torch.asin(z / 3.2))[0]) <= 35
        front += abs(float(turns[0])) < 1e-3
    assert 20 <= front <= 40
    assert torch.allclose(around(4, 8).positions[0, :2], torch.tensor([3.09096, 0.0]), atol=1e-3)
    with pytest.raises(UsageError, match="the first must not be above the second"):
        ViewpointConfig(elevation=[30.0, 5.0])


def test_a_scene_comes_to_show_its_prompt():
    """By the analytic critic; the judge is another one, and reads the field itself."""
    prompt = parse("a green sphere")
    config = OptimiseConfig(size=28, learning_rate=0.3, viewpoints=ViewpointConfig(views=4))
    found = SceneLearner(scene, Weighted({"analytic": Term(AnalyticCritic(prompt))}), config, 0)
    first = judge(found.scene, prompt, 32)
    for _ in range(40):
        found.step()
    verdict = judge(found.scene, prompt, 32)
    assert not first.correct
    assert (verdict.colour, verdict.count) == (1.0, 1.0), verdict.reasons
