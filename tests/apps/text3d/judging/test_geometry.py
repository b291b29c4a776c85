"""The judge on exact truth, on scenes made wrong, and on fields as optimisation leaves them."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from apps.text3d.auditing import mutations
from apps.text3d.judging import MEASURES
from apps.text3d.judging.field import otsu_level, read_field
from apps.text3d.judging.geometry import Verdict, judge
from apps.text3d.pocket.prompts import prompts, worlds
from apps.text3d.pocket.sdf_scene import SdfScene
from apps.text3d.pocket.solids import VOLUME, Solid
from apps.text3d.pocket.world import World
from apps.text3d.prompts import parse
from common.errors import TouchstoneError, UsageError

RESOLUTION = 48


def verdict(world: World) -> Verdict:
    return judge(SdfScene(world), world.prompt, RESOLUTION)


def test_the_truth_is_recognised() -> None:
    shares = defaultdict(list)
    for world in worlds(prompts("train", 20, seed=8) + prompts("test_held", 20, seed=8), seed=3):
        found = verdict(world)
        for measure in (*MEASURES, "size", "correct"):
            value = float(getattr(found, measure))
            if not math.isnan(value):
                shares[measure].append(value)
        assert bool(found.reasons) != found.correct
    assert {measure: np.mean(values) >= 0.95 for measure, values in shares.items()} == dict.fromkeys(shares, True)
    assert len(shares["relation"]) > 10


@pytest.mark.parametrize(
    ("name", "measure", "reasons"),
    [
        ("recoloured", "colour", ("wrong colour",)),
        ("reshaped", "object", ("wrong kind", "missing")),
        ("turned_round", "relation", ("not so",)),
        ("missing_object", "count", ("missing",)),
        ("extra_object", "count", ("extra",)),
    ],
)
def test_what_is_wrong_is_found(name: str, measure: str, reasons: tuple[str, ...]) -> None:
    found = tried = 0
    for world in worlds(prompts("train", 8, seed=9, level="related"), seed=1):
        mutant = mutations.WORLDS[name](world, random.Random(0))
        if mutant is not None:
            tried += 1
            told = verdict(mutant)
            found += getattr(told, measure) < 1 and any(one.startswith(reasons) for one in told.reasons)
    assert tried >= 5
    assert found == tried


def scene_of(text: str, *solids: Solid) -> Verdict:
    return verdict(World(parse(text), solids))


def test_each_measure_by_hand() -> None:
    red = Solid("cube", "red", 0.3, (0.0, -0.5, 0.0))
    blue = Solid("sphere", "blue", 0.3, (0.0, 0.5, 0.0))
    told = scene_of("a red cube right of a blue sphere", red, blue)
    assert [told.object, told.colour, told.count, told.relation] == [1, 1, 1, 0]
    told = scene_of("two red cubes and a blue sphere", red, blue)
    assert [told.object, told.colour, told.count] == [pytest.approx(2 / 3), pytest.approx(2 / 3), 0.5]
    assert math.isnan(told.relation)
    told = scene_of("a green cube left of a blue sphere", red, blue)
    assert [told.object, told.colour, told.count, told.relation] == [1, 0.5, 1, 1]
    told = scene_of("a cone", red)
    assert [told.object, told.count, told.correct] == [0, 0, False]
    told = scene_of("a red cube left of a blue sphere")
    assert [told.object, told.colour, told.count, told.relation, told.correct] == [0, 0, 0, 0, False]
    assert math.isnan(told.level)


def test_of_two_alike_the_left_one_is_taken_for_the_left_one() -> None:
    left, right = Solid("cube", "red", 0.3, (0.0, -0.5, 0.0)), Solid("cube", "red", 0.3, (0.0, 0.5, 0.0))
    for order in ((left, right), (right, left)):
        assert scene_of("a red cube left of a red cube", *order).correct
        assert scene_of("a red cube right of a cube", *order).relation == 1


def test_measures_of_a_component() -> None:
    told = scene_of("a large cone", Solid("cone", "cyan", 0.6, (0.1, -0.2, 0.0)))
    (one,) = told.components
    assert (one.kind, one.colour) == ("cone", "cyan")
    assert one.volume == pytest.approx(VOLUME["cone"] * 0.6**3, rel=0.12)
    assert one.size == pytest.approx(0.6, rel=0.05)
    assert one.centre[:2] == pytest.approx((0.1, -0.2), abs=0.02)
    assert told.size == 1


def test_things_that_touch_are_told_apart_by_colour() -> None:
    told = scene_of(
        "a red cube below a blue sphere",
        Solid("cube", "red", 0.4, (0.0, 0.0, -0.4)),
        Solid("sphere", "blue", 0.4, (0.0, 0.0, 0.25)),
    )
    assert told.correct, told.reasons


@pytest.mark.parametrize(("rotation", "position"), [(0.0, (0.0, 0.0, 0.0)), (37.0, (0.0, 0.3, 0.1))])
@pytest.mark.parametrize("kind", list(VOLUME))
def test_kinds_in_any_rotation(kind: str, position: tuple[float, float, float], rotation: float) -> None:
    assert scene_of(f"a gray {kind}", Solid(kind, "gray", 0.35, position, rotation)).correct


class Changed(SdfScene):
    """A scene with another density or colour."""

    def __init__(self, world: World, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(world)
        self.change = change

    def density(self, points: Tensor) -> Tensor:
        return self.change(super().density(points), points)


BALL = World(parse("a green sphere"), (Solid("sphere", "green", 0.5, (0.0, 0.0, 0.0)),))


@pytest.mark.parametrize("peak", [4.0, 20.0, 100.0, 1000.0])
def test_the_level_follows_the_density(peak: float) -> None:
    told = judge(Changed(BALL, lambda density, _: density * peak / 60), BALL.prompt, RESOLUTION)
    assert told.correct
    assert 0 < told.level < peak
    # The denser, the farther outside lies the surface that is seen.
    assert told.components[0].volume == pytest.approx(VOLUME["sphere"] / 8, rel=0.15 if peak <= 100 else 0.3)


def test_a_level_that_is_given_is_kept() -> None:
    assert judge(SdfScene(BALL), BALL.prompt, RESOLUTION, level=7.0).level == 7.0
    assert not judge(SdfScene(BALL), BALL.prompt, RESOLUTION, level=100.0).components


def test_hollow_shells_are_filled() -> None:
    shell = Changed(BALL, lambda density, points: torch.where(points.norm(dim=1) < 0.38, 0.0, density))
    told = judge(shell, BALL.prompt, RESOLUTION)
    assert told.correct
    assert told.filled == pytest.approx((0.38 / 0.5) ** 3, abs=0.06)


def test_haze_and_dust_do_not_count() -> None:
    dust = torch.tensor([[0.8, 0.8, 0.8], [-0.8, 0.7, 0.1], [0.7, -0.8, -0.6]])

    def dusty(density: Tensor, points: Tensor) -> Tensor:
        near = (torch.cdist(points, dust) < 0.06).any(1)
        return density + 0.3 + 40.0 * near

    told = judge(Changed(BALL, dusty), BALL.prompt, RESOLUTION)
    assert told.correct
    assert 0 < told.debris < 0.02


def test_air_alone_and_matter_everywhere() -> None:
    empty = judge(Changed(BALL, lambda density, _: density * 0), BALL.prompt, RESOLUTION)
    assert math.isnan(empty.level)
    assert empty.reasons == ("missing: 1 of green sphere",)
    full = judge(Changed(BALL, lambda density, _: density * 0 + 9.0), BALL.prompt, RESOLUTION)
    assert not full.correct
    assert full.components[0].volume == pytest.approx(8.0)


def test_odd_colours_have_no_name() -> None:
    class Pink(SdfScene):
        def colour(self, points: Tensor) -> Tensor:
            return points.new_tensor([1.0, 0.75, 0.8]).expand_as(points)

    told = judge(Pink(BALL), BALL.prompt, RESOLUTION)
    assert told.components[0].colour is None
    assert [told.object, told.colour] == [1, 0]


def test_shading_baked_into_the_colour_neither_splits_nor_renames() -> None:
    class Shaded(SdfScene):
        def colour(self, points: Tensor) -> Tensor:
            return super().colour(points) * (0.8 + 0.2 * points[:, 2:] / 0.5).clamp(0.6, 1)

    for world in worlds([parse(f"a {colour} sphere") for colour in ("red", "orange", "yellow", "blue", "purple")]):
        told = judge(Shaded(world), world.prompt, RESOLUTION)
        assert told.correct, told.reasons


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(TouchstoneError, match="not finite"):
        judge(Changed(BALL, lambda density, _: density / 0), BALL.prompt, 16)
    with pytest.raises(UsageError, match="nothing to judge"):
        judge(SdfScene(BALL), parse("a dog"), 16)
    with pytest.raises(UsageError, match="8 cells"):
        read_field(SdfScene(BALL), 4)


def test_otsu_by_hand() -> None:
    two = np.array([0.0] * 90 + [20.0] * 10, np.float32)
    level = otsu_level(two)
    assert level is not None
    assert 0.1 < level < 20
    assert otsu_level(np.zeros(5, np.float32)) is None
    assert otsu_level(np.full(5, 4.0, np.float32)) == 2.0
