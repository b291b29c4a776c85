"""Picture rewards: the papers' numbers, whose fault what is, and the same value in any batch."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from common.errors import MissingColumn, RewardError, UsageError
from common.models.clip import Clip
from common.rewards import check_reward
from common.rewards.image import (
    BoxIou,
    ClipScore,
    ContrastiveGoal,
    GoalBaseline,
    PictureReward,
    RefClipScore,
    functional,
)
from common.rewards.image.boxes import read_boxes
from tests.common.models.tiny_clip import TEXTS, tiny_clip_folder

pytest.importorskip("open_clip")

CAPTIONS = [f"{word} {text}" for word, text in zip(("a", "two", "a", "the"), TEXTS, strict=True)]


class Directions:
    """A CLIP of the plane: a text names its angle in degrees, "fail" fails and "nan" is no number."""

    dim = 2
    name = "directions"
    background = (255, 255, 255)

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def text(self, texts: Sequence[str]) -> Tensor:
        self.asked.append(list(texts))
        if any("fail" in text for text in texts):
            raise RuntimeError("out of memory")
        return torch.stack([self.at(text.removeprefix("A photo depicts ")) for text in texts])

    def at(self, text: str) -> Tensor:
        if text in ("nan", "zero"):
            return torch.full((2,), math.nan if text == "nan" else 0.0)
        angle = math.radians(float(text.strip() or 0))
        return torch.tensor([math.cos(angle), math.sin(angle)])

    def image(self, pictures: Any) -> Tensor:
        """The angle is a picture's mean brightness times 360."""
        if isinstance(pictures, Tensor):
            angles = pictures.mean((1, 2, 3)) * 2 * math.pi
        else:
            angles = torch.tensor([np.asarray(one).mean() / 255 * 2 * math.pi for one in pictures])
        return torch.stack([angles.cos(), angles.sin()], 1)


def pointing(*degrees: float) -> Tensor:
    """Pictures that `Directions` sees at these angles."""
    return torch.stack([torch.full((3, 2, 2), degree / 360) for degree in degrees])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip(tiny_clip_folder(tmp_path_factory.mktemp("clip") / "tiny"), batch_size=3)


def rewards(clip: Clip) -> list[PictureReward]:
    path = clip.model_name
    # A random CLIP's cosines of pictures and texts lie around 0: thresholds as wide as they are.
    return [
        ClipScore(path),
        ClipScore(path, scale=1.0, prefix="", text="caption"),
        RefClipScore(path),
        ContrastiveGoal(path, TEXTS[0], TEXTS[1], low=-1.0, high=1.0),
        ContrastiveGoal(path, TEXTS[0], TEXTS[1], form="softmax"),
        ContrastiveGoal(path, TEXTS[0], TEXTS[1], form="difference", weights=(1.0, 0.5)),
        GoalBaseline(path, TEXTS[0], TEXTS[1]),
    ]


def batch() -> dict[str, Any]:
    pictures = torch.rand(6, 3, 48, 80, generator=torch.Generator().manual_seed(0))
    completions = [*CAPTIONS, CAPTIONS[0], "circle"]
    references = [*TEXTS, [TEXTS[0], TEXTS[1]], TEXTS[2]]
    return {"images": pictures, "completion": completions, "caption": completions, "reference": references}


@pytest.mark.parametrize("index", range(7))
def test_the_contract(clip: Clip, index: int) -> None:
    reward = rewards(clip)[index]
    clip_opened = reward.open()
    bias = clip_opened.text(TEXTS).mean(0) / 2 + 0.5

    # Moves pictures towards the texts, so that no cosine is cut at 0 and every gradient shows.
    def image(pictures: Any, real: Any = clip_opened.image) -> Tensor:
        return torch.nn.functional.normalize(real(pictures) + bias, dim=-1)

    clip_opened.image = image  # type: ignore[method-assign]
    columns = batch()
    values = reward(**columns).values
    assert len(set(values.tolist())) >= 5
    low, high = reward.bounds
    assert ((values >= low) & (values <= high)).all()
    alone = torch.cat(
        [reward(**{name: column[row : row + 1] for name, column in columns.items()}).values for row in range(6)]
    )
    torch.testing.assert_close(values, alone, atol=1e-5, rtol=0)
    assert len(pickle.dumps(reward)) < 2000


@pytest.mark.parametrize("index", [0, 2, 3, 4, 5, 6])
def test_the_checker_passes(clip: Clip, index: int) -> None:
    reward = rewards(clip)[index]
    columns = batch()
    # Features are a column too; these point where texts do, so that no cosine is cut at 0.
    columns["images"] = clip.text(columns["completion"]) + 0.3 * clip.image(columns["images"])
    check_reward(reward, columns)


@pytest.mark.parametrize("index", [0, 2, 3, 4, 5, 6])
def test_the_checker_passes_on_pictures(clip: Clip, index: int) -> None:
    reward = rewards(clip)[index]
    reward.differentiable = False
    check_reward(reward, batch())
    check_reward(
        reward, {**batch(), "images": [Image.new("RGB", (9, 7 + row), (40 * row, 0, 99)) for row in range(6)]}
    )


class TestClipScore:
    def test_the_formula(self) -> None:
        output = ClipScore(Directions())(images=pointing(0, 60, 90, 180), completion=["0"] * 4)
        assert output.values.tolist() == pytest.approx([2.5, 1.25, 0.0, 0.0], abs=1e-5)
        plain = ClipScore(Directions(), scale=1.0, prefix="")
        assert plain(images=pointing(30), completion=["60"]).values.item() == pytest.approx(math.cos(math.pi / 6))
        assert plain.bounds == (0.0, 1.0)

    def test_the_prefix_and_duplicates(self) -> None:
        clip = Directions()
        ClipScore(clip)(images=pointing(0, 1, 2), completion=["5", "6", "5"])
        assert clip.asked == [["A photo depicts 5", "A photo depicts 6"]]

    def test_whose_fault(self) -> None:
        pictures = pointing(0, 0, 0, 0, 0)
        pictures[3] = math.nan
        output = ClipScore(Directions())(images=pictures, completion=["", " \n", "nan", "0", "zero"])
        assert output.values[[0, 1, 4]].tolist() == [0.0, 0.0, 0.0]
        assert output.values[2:4].isnan().all()
        assert output.info["reason"][0] == "the caption is empty"
        assert "no number" in output.info["reason"][2]
        assert output.info["reason"][4] == ""

    def test_a_failing_encoder_is_nan_and_a_missing_one_raises(self, caplog: pytest.LogCaptureFixture) -> None:
        output = ClipScore(Directions())(images=pointing(0, 0), completion=["fail", ""])
        assert output.values[0].isnan()
        assert output.values[1] == 0.0
        assert "out of memory" in caplog.text
        with pytest.raises(UsageError, match="no CLIP"):
            ClipScore("local-dir:no/such")(images=pointing(0), completion=["x"])

    def test_lists_of_pictures(self, tmp_path: Path) -> None:
        white = Image.new("RGB", (3, 2), "white")
        white.save(tmp_path / "white.png")
        (tmp_path / "bad.png").write_bytes(b"")
        pictures = [white, tmp_path / "white.png", (tmp_path / "white.png").read_bytes(), None, tmp_path / "bad.png"]
        output = ClipScore(Directions())(images=[*pictures, None], completion=["0"] * 5 + [""])
        assert output.values[:3].tolist() == pytest.approx([2.5] * 3)
        assert output.values[3:5].isnan().all()
        assert output.values[5] == 0.0
        assert "no picture" in output.info["reason"][3]
        assert "file is empty" in output.info["reason"][4]
        nothing = ClipScore(Directions())(images=[None], completion=["0"])
        assert nothing.values.isnan().all()

    def test_features(self) -> None:
        reward = ClipScore(Directions())
        features = torch.tensor([[3.0, 0.0], [0.0, 0.0], [math.inf, 0.0]])
        output = reward(images=features, completion=["60"] * 3)
        assert output.values[:2].tolist() == pytest.approx([1.25, 0.0], abs=1e-5)
        assert output.values[2].isnan()
        with pytest.raises(RewardError, match="floats"):
            reward(images=torch.zeros(3, 5), completion=["0"] * 3)

    def test_callers_faults_raise(self) -> None:
        reward = ClipScore(Directions(), pictures="frames")
        with pytest.raises(MissingColumn):
            reward(images=pointing(0), completion=["0"])
        with pytest.raises(RewardError, match="differ in length"):
            reward(frames=pointing(0, 1), completion=["0"])
        with pytest.raises(RewardError, match="NoneType"):
            reward(frames=pointing(0), completion=[None])
        with pytest.raises(RewardError, match="scale"):
            ClipScore(Directions(), scale=0.0)

    def test_no_rows(self, clip: Clip) -> None:
        for reward in (ClipScore(clip), RefClipScore(clip), GoalBaseline(clip, "a", "b")):
            output = reward(images=torch.zeros(0, 3, 8, 8), completion=[], reference=[])
            assert output.values.shape == (0,)
            assert set(output.parts) == set(reward.part_names)

    def test_gradient_reaches_the_picture_alone(self, clip: Clip) -> None:
        pictures = torch.rand(2, 3, 70, 90, requires_grad=True)
        values = ClipScore(clip, prefix="")(images=pictures, completion=[TEXTS[1], TEXTS[1]]).values
        assert (values > 0).all()
        values[0].backward()
        assert pictures.grad is not None
        assert pictures.grad[0].abs().sum() > 0
        assert not pictures.grad[1].any()
        assert all(weight.grad is None for weight in clip.model.parameters())

    def test_a_nan_picture_leaves_the_others_gradient(self, clip: Clip) -> None:
        pictures = torch.rand(2, 3, 64, 64)
        pictures[1] = math.nan
        pictures.requires_grad_()
        ClipScore(clip, prefix="")(images=pictures, completion=[TEXTS[1]] * 2).values.nansum().backward()
        assert pictures.grad is not None
        assert pictures.grad[0].isfinite().all()
        assert pictures.grad[0].any()


class TestRefClipScore:
    def test_the_harmonic_mean_has_w_on_one_side_only(self) -> None:
        reward = RefClipScore(Directions())
        output = reward(
            images=pointing(0, 0, 0, 180), completion=["60"] * 4, reference=["60", ["240", "0"], "240", "240"]
        )
        a, b = 2.5 * 0.5, 0.5
        assert output.values.tolist() == pytest.approx([2 * a / (a + 1), 2 * a * b / (a + b), 0, 0], abs=1e-5)
        assert output.parts["image"].tolist() == pytest.approx([a, a, a, 0.0], abs=1e-5)
        assert output.parts["reference"].tolist() == pytest.approx([1.0, 0.5, 0.0, 0.0], abs=1e-5)
        perfect = reward(images=pointing(60), completion=["60"], reference=["60"]).values.item()
        assert perfect == pytest.approx(reward.bounds[1]) == pytest.approx(2 * 2.5 / 3.5)

    def test_without_reference_is_nan_and_without_caption_0(self) -> None:
        references = ["", None, [], [""], "0"]
        output = RefClipScore(Directions())(
            images=pointing(*[0] * 5), completion=["0", "", "0", "0", ""], reference=references
        )
        assert output.values.isnan().tolist() == [True] * 4 + [False]
        assert output.values[4] == 0.0
        assert output.info["reason"][1] == "there is no reference"


class TestContrastiveGoal:
    def test_the_clipped_form(self) -> None:
        reward = ContrastiveGoal(Directions(), "0", "90", low=0.0, high=0.5)
        output = reward(images=pointing(0, 45, 90, 60))
        z = math.sin(math.radians(60)) - math.cos(math.radians(60))
        assert output.values.tolist() == pytest.approx([1.0, 1.0, 0.0, 1 - z / 0.5], abs=1e-5)
        assert output.parts["z"].tolist() == pytest.approx([-1.0, 0.0, 1.0, z], abs=1e-5)
        assert set(output.parts) == set(reward.part_names)

    def test_the_other_forms(self) -> None:
        soft = ContrastiveGoal(Directions(), "0", "90", form="softmax", temperature=0.5)
        assert soft(images=pointing(0, 45)).values.tolist() == pytest.approx([1 / (1 + math.exp(-2)), 0.5])
        bare = ContrastiveGoal(Directions(), "0", "90", form="difference", weights=(1.0, 0.5))
        assert bare(images=pointing(90, 180)).values.tolist() == pytest.approx([-0.5, -1.0], abs=1e-5)
        assert bare.bounds == (-1.5, 1.5)

    def test_the_weights_hold_in_the_clipped_form_too(self) -> None:
        reward = ContrastiveGoal(Directions(), "0", "90", low=-1.0, high=1.0, weights=(0.5, 2.0))
        output = reward(images=pointing(60))
        z = 2 * math.sin(math.radians(60)) - 0.5 * math.cos(math.radians(60))
        assert output.parts["z"].item() == pytest.approx(z, abs=1e-6)
        assert output.values.item() == 0.0

    def test_swapping_the_goals_negates_z(self) -> None:
        first, second = (ContrastiveGoal(Directions(), *goals) for goals in (("0", "90"), ("90", "0")))
        pictures = pointing(0, 10, 60, 200)
        torch.testing.assert_close(first(images=pictures).parts["z"], -second(images=pictures).parts["z"])

    @pytest.mark.parametrize(
        "reward", [ContrastiveGoal(Directions(), "0", "90"), GoalBaseline(Directions(), "0", "90")]
    )
    def test_a_picture_that_points_nowhere_is_nan_and_not_safe(self, reward: PictureReward) -> None:
        output = reward(images=torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        assert output.values.isnan().tolist() == [True, False]
        assert "no number" in output.info["reason"][0]

    def test_goals_are_encoded_once(self) -> None:
        clip = Directions()
        reward = ContrastiveGoal(clip, "0", "90")
        for _ in range(3):
            reward(images=pointing(0, 1))
        assert clip.asked == [["0"], ["90"]]

    def test_missing_frames_and_failing_goals_are_nan(self) -> None:
        output = ContrastiveGoal(Directions(), "0", "90")(images=[None, Image.new("RGB", (2, 2))])
        assert output.values[0].isnan()
        assert output.values[1] == 1.0
        assert ContrastiveGoal(Directions(), "0", "fail")(images=pointing(0)).values.isnan().all()

    @pytest.mark.parametrize(
        "options",
        [
            {"negative": "0"},
            {"negative": " "},
            {"low": 1.0},
            {"temperature": 0.0},
            {"weights": (-1, 1)},
            {"form": "x"},
            {"form": "softmax", "weights": (1.0, 2.0)},
        ],
    )
    def test_wrong_options_are_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(RewardError):
            ContrastiveGoal(**{"clip": Directions(), "positive": "0", "negative": "90", **options})


class TestGoalBaseline:
    def test_alpha_0_is_the_cosine(self) -> None:
        values = GoalBaseline(Directions(), "0", "90", alpha=0.0)(images=pointing(0, 60, 180, 250)).values
        expected = [math.cos(math.radians(angle)) for angle in (0, 60, 180, 250)]
        assert values.tolist() == pytest.approx(expected, abs=1e-5)

    @given(
        st.lists(st.floats(-1, 1, width=32), min_size=9, max_size=9).filter(
            lambda numbers: all(np.linalg.norm(numbers[at : at + 3]) > 0.1 for at in (0, 3, 6))
        ),
        st.floats(0, 1),
    )
    @settings(deadline=None)
    def test_it_is_the_papers_projection(self, numbers: list[float], alpha: float) -> None:
        state, goal, baseline = (
            vector / np.linalg.norm(vector) for vector in np.array(numbers, dtype=np.float64).reshape(3, 3)
        )
        direction = goal - baseline
        if np.linalg.norm(direction) < 1e-2:
            return
        unit = direction / np.linalg.norm(direction)
        projected = baseline + unit * np.dot(unit, state - baseline)
        expected = 1 - np.sum((alpha * projected + (1 - alpha) * state - goal) ** 2) / 2
        tensors = [torch.from_numpy(vector) for vector in (state, goal, baseline)]
        value = functional.goal_baseline(tensors[0][None], tensors[1], tensors[2], alpha).item()
        assert value == pytest.approx(expected, abs=1e-9)
        assert -1 - 1e-9 <= value <= 1 + 1e-9

    def test_wrong_options_are_refused(self) -> None:
        for options in ({"alpha": 1.5}, {"baseline": "0"}):
            with pytest.raises(RewardError):
                GoalBaseline(**{"clip": Directions(), "goal": "0", "baseline": "90", **options})


BOX = st.tuples(*[st.integers(0, 6)] * 4)


class TestBoxes:
    def test_iou(self) -> None:
        left = torch.tensor([[0, 0, 2, 2], [1, 1, 1, 5], [2, 2, 0, 0.0]])
        right = torch.tensor([[0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 2.0]])
        torch.testing.assert_close(
            functional.box_iou(left, right), torch.tensor([[1, 1 / 7, 0], [0, 0, 0], [0, 0, 0]])
        )
        assert not functional.box_iou(left[1:], left[1:]).any()

    @given(st.lists(BOX, min_size=1, max_size=4), st.lists(BOX, min_size=1, max_size=4))
    @settings(deadline=None)
    def test_it_counts_cells(self, left: list[tuple[int, ...]], right: list[tuple[int, ...]]) -> None:
        def cells(box: tuple[int, ...]) -> set[tuple[int, int]]:
            return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

        table = functional.box_iou(torch.tensor(left).double(), torch.tensor(right).double())
        for (row, one), (column, two) in itertools.product(enumerate(left), enumerate(right)):
            union = cells(one) | cells(two)
            solid = cells(one) and cells(two)
            expected = len(cells(one) & cells(two)) / len(union) if solid else 0.0
            assert table[row, column].item() == pytest.approx(expected)

    @given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6))
    @settings(deadline=None)
    def test_the_matching_is_the_best(self, rows: int, columns: int, seed: int) -> None:
        scores = torch.randint(0, 8, (rows, columns), generator=torch.Generator().manual_seed(seed)) / 8
        pairs = functional.match(scores)
        assert len(pairs) == min(rows, columns)
        assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
        small, large = sorted((rows, columns))
        wide = scores if rows <= columns else scores.T
        best = max(
            sum(wide[row, column].item() for row, column in enumerate(chosen))
            for chosen in itertools.permutations(range(large), small)
        )
        assert sum(scores[row, column].item() for row, column in pairs) == pytest.approx(best)

    @pytest.mark.parametrize(
        ("said", "right", "value"),
        [
            ("the cat [0, 0, 2, 2] and (5,5,7,7)", [[5, 5, 7, 7], [0, 0, 2, 2]], 1.0),
            ([0, 0, 2, 2], "[0, 0, 2, 1]", 0.5),
            (torch.tensor([[0, 0, 2, 2], [8, 8, 9, 9]]), torch.tensor([[0, 0, 2, 2]]), 0.5),
            ([[0, 0, 2, 2]] * 9, [[0, 0, 2, 2]], 1 / 9),
            ("no box", [[0, 0, 2, 2]], 0.0),
            ("[1, 2, 3]", [[0, 0, 2, 2]], 0.0),
            ([[2, 2, 0, 0]], [[0, 0, 2, 2]], 0.0),
            ([[0, 0, math.nan, 2]], [[0, 0, 2, 2]], 0.0),
            (None, [[0, 0, 2, 2]], 0.0),
            ([["x", 1, 2, 3]], [[0, 0, 2, 2]], 0.0),
            ("none", [], 1.0),
            ("[0, 0, 2, 2]", [], 0.0),
        ],
    )
    def test_rows(self, said: Any, right: Any, value: float) -> None:
        output = BoxIou()(completion=[said], reference=[right])
        assert output.values.item() == pytest.approx(value)

    @pytest.mark.parametrize("said", ["no box", "[1, 2, 3]", [[0, 0, math.nan, 2]], None, [["x", 1, 2, 3]]])
    def test_boxes_that_cannot_be_read_have_a_reason(self, said: Any) -> None:
        output = BoxIou()(completion=[said], reference=[[[0, 0, 2, 2]]])
        assert output.values.item() == 0.0
        assert "box" in output.info["reason"][0]

    @pytest.mark.parametrize("right", [None, [[2, 2, 0, 0]], [[0, 0, math.inf, 1]], [[1, 2, 3]]])
    def test_a_broken_reference_is_nan(self, right: Any) -> None:
        assert BoxIou()(completion=["[0, 0, 2, 2]"], reference=[right]).values.isnan().all()

    def test_the_contract(self) -> None:
        said = ["[0, 0, 2, 2]", "[1, 1, 3, 3] [5, 5, 9, 9]", "nothing", "[4, 4, 5, 5]"]
        check_reward(BoxIou(), {"completion": said, "reference": [[[0, 0, 2, 2]]] * 4})

    def test_numbers_in_texts(self) -> None:
        boxes = read_boxes("[ 1 ,-2, 3.5,.5] [1, 2, 3, 4, 5] (1e1, 2, 3, 4)")
        assert boxes is not None
        assert boxes.tolist() == [[1, -2, 3.5, 0.5], [10, 2, 3, 4]]
