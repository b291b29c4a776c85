"""When relations hold, from eight sides."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.text3d.cameras import orbit
from apps.text3d.prompts.relations import TRUE_TO_PROMPT, VIEWED, direction, expected, truth
from apps.text3d.prompts.vocabulary import RELATIONS
from common.errors import UsageError

Y, N, _ = True, False, None

# What "A is left of B", seen from azimuth 0, means from other sides: 0°, 45°, … 315°.
FROM_EIGHT_SIDES = {
    "left of": [Y, Y, N, N, N, N, N, Y],
    "right of": [N, N, N, Y, Y, Y, N, N],
    "in front of": [N, N, N, N, N, Y, Y, Y],
    "behind": [N, Y, Y, Y, N, N, N, N],
    "above": [N] * 8,
    "below": [N] * 8,
    "beside": [Y] * 8,
}


@pytest.mark.parametrize(("name", "answers"), FROM_EIGHT_SIDES.items())
def test_left_of_from_eight_sides(name: str, answers: list[bool]) -> None:
    offset = (0.0, -0.7, 0.0)
    assert [truth(name, offset, azimuth) for azimuth in range(0, 360, 45)] == answers


# What a prompt's "left of" lets expect, where the offset lies anywhere within 20° of it.
EXPECTED = {
    "left of": [Y, Y, _, N, N, N, _, Y],
    "right of": [N, N, _, Y, Y, Y, _, N],
    "in front of": [_, N, N, N, _, Y, Y, Y],
    "behind": [_, Y, Y, Y, _, N, N, N],
}


@pytest.mark.parametrize(("name", "answers"), EXPECTED.items())
def test_expected_from_eight_sides(name: str, answers: list[bool | None]) -> None:
    assert [expected("left of", name, azimuth) for azimuth in range(0, 360, 45)] == answers


@pytest.mark.parametrize(
    ("said", "asked", "answer"),
    [
        ("above", "above", Y),
        ("above", "below", N),
        ("below", "below", Y),
        ("above", "beside", N),
        ("beside", "beside", Y),
        ("beside", "above", N),
        ("left of", "above", _),
        ("left of", "beside", _),
        ("beside", "left of", _),
    ],
)
@pytest.mark.parametrize("azimuth", [0.0, 77.0, 200.0])
def test_expected_of_what_all_sides_see_alike(said: str, asked: str, answer: bool | None, azimuth: float) -> None:
    assert expected(said, asked, azimuth) is answer


@pytest.mark.parametrize("azimuth", range(0, 360, 45))
def test_sides_agree_with_the_camera(azimuth: int) -> None:
    camera = orbit([float(azimuth)])
    for name in VIEWED:
        seen, depth = camera.project(0.4 * camera.c2w.new_tensor([direction(name, azimuth), (0.0, 0.0, 0.0)]))
        right, nearer = float(seen[0, 0, 0] - seen[0, 1, 0]), float(depth[0, 1] - depth[0, 0])
        told = {"left of": -right, "right of": right, "in front of": nearer, "behind": -nearer}[name]
        assert told > 0.1


directions = st.sampled_from([name for name in RELATIONS if name != "beside"])
OFFSETS = st.tuples(*[st.floats(-2, 2)] * 3).filter(lambda offset: math.hypot(*offset) > 0.01)


@given(st.sampled_from(list(RELATIONS)), OFFSETS, st.floats(0, 360))
def test_opposites_say_the_same_from_the_other_end(
    name: str, offset: tuple[float, float, float], azimuth: float
) -> None:
    other = tuple(-part for part in offset)
    assert truth(name, offset, azimuth) is truth(RELATIONS[name], other, azimuth)
    if name != "beside":
        assert not (truth(name, offset, azimuth) and truth(RELATIONS[name], offset, azimuth))


@given(directions, st.sampled_from(list(RELATIONS)), OFFSETS, st.floats(0, 360))
def test_what_is_expected_is_true_of_every_scene_true_to_the_prompt(
    said: str, asked: str, offset: tuple[float, float, float], azimuth: float
) -> None:
    length = math.hypot(*offset)
    cosine = sum(a * b for a, b in zip(offset, direction(said), strict=True)) / length
    answer = expected(said, asked, azimuth)
    if cosine >= TRUE_TO_PROMPT + 1e-6 and answer is not None:
        assert truth(asked, offset, azimuth) is answer


def test_beside_has_no_direction_and_the_same_place_no_relation() -> None:
    with pytest.raises(UsageError):
        direction("beside")
    assert all(truth(name, (0.0, 0.0, 0.0)) is None for name in RELATIONS)
    assert truth("beside", (0.5, 0.0, 0.0)) is True
    assert truth("beside", (1.9, 0.0, 0.0)) is False
    assert truth("beside", (0.0, 0.1, 0.6)) is False
