"""The published picture rewards: formulas, once an episode where the paper says so, and broken pictures."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from apps.driving.parts.language import Lord, RoboClip, VlmSr
from common.errors import MissingColumn, RewardError
from tests.apps.driving.states import TOP, state


class Plane:
    """A CLIP of the plane: a text is an angle in degrees, and so is a picture's brightness times 360."""

    dim = 2
    name = "plane"
    background = (255, 255, 255)

    def text(self, texts: Sequence[str]) -> Tensor:
        angles = torch.tensor([math.radians(float(text)) for text in texts])
        return torch.stack([angles.cos(), angles.sin()], 1)

    def image(self, pictures: Tensor) -> Tensor:
        angles = pictures.mean((1, 2, 3)) * 2 * math.pi
        return torch.stack([angles.cos(), angles.sin()], 1)


def pointing(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def cosine(*degrees: float) -> list[float]:
    return [math.cos(math.radians(one)) for one in degrees]


def test_vlm_sr() -> None:
    output = VlmSr(Plane(), "0", 0.5)(images=pointing(0, 59, 61, 180))
    assert output.values.tolist() == [1, 1, -1, -1]
    assert output.parts["cosine"].tolist() == pytest.approx(cosine(0, 59, 61, 180), abs=1e-6)
    with pytest.raises(RewardError, match="same"):
        VlmSr(Plane(), "0", 1.0)


def test_lord() -> None:
    values = Lord(Plane(), "0")(images=pointing(0, 60, 180)).values
    assert values.tolist() == pytest.approx([0, 0.5, 2], abs=1e-6)
    with pytest.raises(RewardError, match="text"):
        Lord(Plane(), " ")


class TestLordSpeed:
    def test_the_formula(self) -> None:
        reward = Lord(Plane(), "0", TOP, "lord_speed")
        values = reward(images=pointing(90, 90, 0, 180), state=state(speed=[TOP, 0.0, TOP / 2, 1e3])).values
        assert values.tolist() == pytest.approx([2, 1, 0.5, 1], abs=1e-6)
        assert reward.bounds == (-1.0, 3.0)

    def test_wrong_way_and_reverse(self) -> None:
        rows = state(speed=[TOP, -TOP], heading=[math.pi, 0.0])
        parts = Lord(Plane(), "0", TOP)(images=pointing(0, 0), state=rows).parts
        assert (parts["speed"] <= 0).all()

    def test_a_nan_in_the_state(self) -> None:
        output = Lord(Plane(), "0", TOP)(images=pointing(0, 0), state=state(speed=[math.nan, 1.0]))
        assert output.values.isnan().tolist() == [True, False]
        assert output.info["reason"][0] == "state.speed is not a number"


@pytest.mark.parametrize("reward", [VlmSr(Plane(), "0", 0.5), Lord(Plane(), "0")], ids=lambda one: one.name)
def test_a_picture_that_points_nowhere_is_nan(reward: Any) -> None:
    pictures = pointing(10, 20, 30)
    pictures[0], pictures[1] = 0.0, math.nan
    output = reward(images=pictures)
    assert output.values.isnan().tolist() == [True, True, False]
    assert output.info["reason"][0]
    assert reward(images=torch.zeros(0, 2)).values.shape == (0,)


def rows(groups: list[int], steps: list[int], last: Sequence[int] = (), cut: Sequence[int] = ()) -> dict[str, Any]:
    """Columns of frames, of which those at `last` end their episodes and those at `cut` are truncated."""
    found = state(step=[float(step) for step in steps])
    found["terminated"][list(last)] = 1
    found["truncated"][list(cut)] = 1
    return {"group": torch.tensor(groups), "state": found}


class TestRoboClip:
    def test_it_is_paid_once_and_for_the_whole_episode(self) -> None:
        output = RoboClip(Plane(), "0")(images=pointing(0, 90, 180, 30), **rows([7, 7, 7, 8], [1, 2, 3, 1], [2], [3]))
        # The mean of 0°, 90° and 180° points to 90°.
        assert output.values.tolist() == pytest.approx([0, 0, 0, math.cos(math.radians(30))], abs=1e-6)
        assert output.parts["frames"].tolist() == [3, 3, 3, 1]

    def test_pieces_order_and_repetition_change_nothing(self) -> None:
        frames = pointing(0, 40, 80, 10)
        whole = RoboClip(Plane(), "20")(images=frames, **rows([1] * 4, [1, 2, 3, 4], [3])).values[-1].item()
        assert whole > 0.5
        pieces = RoboClip(Plane(), "20")
        first = {"images": frames[:2], **rows([1, 1], [1, 2])}
        # Another episode comes in between, and rows come in another order.
        second = {"images": torch.cat([frames[3:], pointing(170), frames[2:3]]), **rows([1, 2, 1], [4, 1, 3], [0])}
        for batch in (first, first):
            assert pieces(**batch).values.tolist() == [0, 0]
        for _ in range(2):
            assert pieces(**second).values.tolist() == pytest.approx([whole, 0, 0], abs=1e-6)

    def test_an_episode_goes_on_after_a_checkpoint(self) -> None:
        frames = pointing(0, 40)
        before = RoboClip(Plane(), "0")
        before(images=frames[:1], **rows([1], [1]))
        after = RoboClip(Plane(), "0")
        after.load_state_dict(pickle.loads(pickle.dumps(before.state_dict())))
        value = after(images=frames[1:], **rows([1], [2], [0])).values.item()
        assert value == pytest.approx(math.cos(math.radians(20)), abs=1e-6)
        assert pickle.loads(pickle.dumps(before))(images=frames[1:], **rows([1], [2], [0])).values.item() == (value)

    def test_an_ended_episode_is_forgotten(self) -> None:
        reward = RoboClip(Plane(), "0")
        reward(images=pointing(0), **rows([1], [1], [0]))
        reward(images=pointing(0), **rows([2], [1]))
        assert 1 not in reward.episodes
        assert 2 in reward.episodes

    def test_broken_frames(self) -> None:
        frames = pointing(0, 0, 0)
        frames[1:] = math.nan
        output = RoboClip(Plane(), "0")(images=frames, **rows([1, 1, 2], [1, 2, 1], [1, 2]))
        assert output.values[:2].tolist() == pytest.approx([0, 1])
        assert output.values[2].isnan()
        assert "no frame" in output.info["reason"][2]

    def test_it_needs_to_know_the_episode(self) -> None:
        columns = {"images": pointing(0), **rows([1], [1])}
        with pytest.raises(MissingColumn, match="group"):
            RoboClip(Plane(), "0")(**{name: column for name, column in columns.items() if name != "group"})
        with pytest.raises(RewardError, match="whole"):
            RoboClip(Plane(), "0")(**{**columns, "group": torch.tensor([0.5])})
        del columns["state"]["step"]
        with pytest.raises(MissingColumn, match=r"state\.step"):
            RoboClip(Plane(), "0")(**columns)
