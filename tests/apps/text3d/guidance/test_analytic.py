"""The analytic critic: true views are best, each term sees its own fault, and every gradient is right."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from apps.text3d.auditing import mutations
from apps.text3d.cameras import Cameras, orbit
from apps.text3d.guidance.analytic import AnalyticCritic, Weights
from apps.text3d.pocket.prompts import prompts
from apps.text3d.pocket.render import render
from apps.text3d.pocket.world import World
from apps.text3d.prompts import parse
from apps.text3d.prompts.vocabulary import COLOURS
from apps.text3d.scenes.base import Views
from common.errors import UsageError

AROUND = orbit([0.0, 90.0, 180.0, 270.0], size=40)


def seen(world: World, cameras: Cameras = AROUND) -> Views:
    return render([world], cameras)


def cost(critic: AnalyticCritic, world: World) -> float:
    return float(critic.loss(seen(world), AROUND)[0])


def test_no_wrong_world_is_better_than_the_layout() -> None:
    for prompt in prompts("train", 3, seed=2, level="related"):
        critic = AnalyticCritic(prompt)
        best = cost(critic, critic.layout)
        for change in mutations.WORLDS.values():
            mutant = change(critic.layout, random.Random(1))
            assert mutant is None or cost(critic, mutant) > best


def test_each_term_sees_its_own_fault() -> None:
    critic = AnalyticCritic(parse("two red cubes left of a blue sphere"))
    true = critic.loss(seen(critic.layout), AROUND)[1]
    assert set(true) == {"colour", "coverage", "shape", "box", "relation", "count"}
    assert true["relation"] < 0.02
    assert true["count"] < 0.2
    solids = critic.layout.solids
    wrong = {
        "colour": replace(critic.layout, solids=(*solids[:2], replace(solids[2], colour="green"))),
        "coverage": replace(critic.layout, solids=solids[:2]),
        "relation": mutations.turned_round(critic.layout, random.Random(0)),
    }
    for term, world in wrong.items():
        assert world is not None
        assert critic.loss(seen(world), AROUND)[1][term] > true[term] + 0.1, term
    four = AnalyticCritic(parse("four blue spheres"), Weights(0, 0, 0, 0, 0, 1))
    costs = [cost(four, replace(four.layout, solids=four.layout.solids[:number])) for number in (4, 3, 2, 1)]
    assert costs == sorted(costs)
    assert costs[1] > costs[0] + 0.1


@pytest.mark.parametrize("azimuth", range(0, 360, 45))
def test_relations_follow_the_camera(azimuth: int) -> None:
    """From every side the true order costs nothing and the exchanged one much, though left and right change."""
    camera = orbit([float(azimuth)], size=40)
    for text in (
        "a red cube left of a blue sphere",
        "a red cube behind a blue sphere",
        "a red cube above a blue ball",
    ):
        critic = AnalyticCritic(parse(text), Weights(0, 0, 0, 0, 1, 0))
        swapped = mutations.turned_round(critic.layout, random.Random(0))
        assert swapped is not None
        right, wrong = (critic.loss(seen(world, camera), camera)[1]["relation"] for world in (critic.layout, swapped))
        # Where one thing hides the other there is nothing to compare.
        assert right < 0.05
        assert wrong > 0.3 or wrong == right == 0


def discs(first: Tensor, second: Tensor, size: int = 40) -> Views:
    """A red and a blue disc at two places `(2,)`, x to the right and y down as shares of the picture."""
    axis = (torch.arange(size) + 0.5) / size
    masks = [
        torch.sigmoid((0.12 - ((axis - place[0]) ** 2 + (axis[:, None] - place[1]) ** 2).sqrt()) / 0.02)
        for place in (first, second)
    ]
    red, blue = (torch.tensor(COLOURS[name])[:, None, None] for name in ("red", "blue"))
    opacity = (masks[0] + masks[1]).clamp(0, 1)
    rgb = 1 - opacity + (masks[0] * red + masks[1] * blue) * opacity / (masks[0] + masks[1]).clamp_min(1e-6)
    return Views(rgb[None], opacity[None, None], 3.2 * opacity[None, None], torch.zeros(1, 3, size, size))


@pytest.mark.parametrize("azimuth", range(0, 360, 45))
def test_the_loss_pulls_to_the_side_where_the_camera_must_see_it(azimuth: int) -> None:
    critic = AnalyticCritic(parse("a red cube left of a blue sphere"), Weights(0, 0, 0, 0, 1, 0))
    camera = orbit([float(azimuth)], size=40)
    place = torch.tensor([0.5, 0.35]).requires_grad_()
    critic.loss(discs(place, torch.tensor([0.5, 0.65])), camera)[0].backward()
    assert place.grad is not None
    side = math.cos(math.radians(azimuth))  # 1: it belongs on the left, -1: on the right, 0: before or behind
    if abs(side) < 0.1:
        assert float(place.grad[0]) == pytest.approx(0, abs=1e-3)
    else:
        assert float(place.grad[0]) * side > 0.1


def field(size: int = 12) -> Views:
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, dtype=torch.float64, generator=generator) * 0.9 + 0.05

    views = Views(draw(2, 3, size, size), draw(2, 1, size, size), 3 * draw(2, 1, size, size), draw(2, 3, size, size))
    return Views(*(entry.requires_grad_() for entry in (views.rgb, views.opacity, views.depth)), views.normals)


@pytest.mark.parametrize("text", ["a red cube left of a blue sphere", "two gray tori beside a cone"])
def test_gradients_are_those_of_finite_differences(text: str) -> None:
    critic, views, cameras = AnalyticCritic(parse(text)), field(), orbit([20.0, 140.0], size=12)

    def value(*entries: Tensor) -> Tensor:
        return critic.loss(Views(*entries, views.normals), cameras)[0]

    inputs = (views.rgb, views.opacity, views.depth)
    gradients = torch.autograd.grad(value(*inputs), inputs)
    generator = torch.Generator().manual_seed(5)
    for at, entry in enumerate(inputs):
        way = torch.randn(entry.shape, dtype=torch.float64, generator=generator)
        ends = []
        for sign in (1, -1):
            moved = list(inputs)
            moved[at] = (entry + sign * 1e-6 * way).detach()
            ends.append(value(*moved).item())
        slope = (ends[0] - ends[1]) / 2e-6
        assert float((gradients[at] * way).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_an_empty_scene_has_a_way_out() -> None:
    critic = AnalyticCritic(parse("a red cube left of a blue sphere"))
    white = Views(
        *(torch.full((4, depth, 40, 40), value) for depth, value in ((3, 1.0), (1, 1e-3), (1, 0.0), (3, 0.0)))
    )
    opacity, rgb = white.opacity.clone().requires_grad_(), white.rgb.clone().requires_grad_()
    loss, figures = critic.loss(replace(white, opacity=opacity, rgb=rgb), AROUND)
    loss.backward()
    assert all(map(torch.isfinite, (opacity.grad.sum(), rgb.grad.sum())))
    within = critic._outlines(AROUND).sum(1, keepdim=True) > 0
    assert (opacity.grad[within] < 0).all()
    assert (opacity.grad[~within] >= 0).all()
    assert figures["coverage"] == pytest.approx(1, abs=0.01)


def test_pictures_reach_the_prompt_by_gradient() -> None:
    """Free pixels: the critic alone turns noise into views in which each thing has its colour and place."""
    critic, around = AnalyticCritic(parse("a red cube left of a blue sphere")), orbit([0.0, 120.0], size=24)
    raw = torch.randn(2, 4, 24, 24, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimiser = torch.optim.Adam([raw], 0.3)
    losses = []
    for _ in range(40):
        opacity = raw[:, 3:].sigmoid()
        rgb = raw[:, :3].sigmoid() * opacity + 1 - opacity
        loss, figures = critic.loss(Views(rgb, opacity, 3.2 * opacity, torch.zeros(2, 3, 24, 24)), around)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.2 * losses[0]
    assert figures["shape"] < 0.2
    assert figures["colour"] < 0.2


def test_what_colours_cannot_tell_is_counted_and_weights_of_zero_cost_nothing() -> None:
    alike = AnalyticCritic(parse("a red cube left of a red sphere"))
    assert alike.skipped == 1
    assert alike.loss(seen(alike.layout), AROUND)[1]["relation"] == 0
    only = AnalyticCritic(parse("a red cube"), Weights(1, 0, 0, 0, 0, 0))
    assert only.name == "analytic"
    assert set(only.loss(seen(only.layout), AROUND)[1]) == {"colour"}
    with pytest.raises(UsageError):
        AnalyticCritic(parse("a dog"))
