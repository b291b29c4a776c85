"""Thresholds of z: fitted where danger is known, measured on other pictures, refused where they do not belong."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from apps.driving.calibration import Calibration, calibrate, digest_of, gaps, read_calibration
from apps.driving.calibration_rule import brier, choose, curve, ramp, success_cosine
from apps.driving.reward_config import GoalConfig, RewardConfig, worded
from apps.driving.rewards import build
from common.errors import DataError, UsageError
from common.models.clip import Clip
from common.rewards.image import ContrastiveGoal
from tests.apps.driving.states import state
from tests.common.models.tiny_clip import tiny_clip_folder

pytest.importorskip("open_clip")

GOALS = GoalConfig()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip_folder(tmp_path_factory.mktemp("clip") / "tiny", list(vars(worded(GOALS)).values()))


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    return Clip(folder)


def scenes(clip: Clip, size: int = 200, seed: int = 0, told: float = 1.0) -> tuple[Tensor, np.ndarray]:
    """Features that lean towards the negative goal where there is danger, and towards the others where not."""
    goals = worded(GOALS)
    positive, negative, safe = clip.text([goals.positive, goals.negative, goals.safe])
    generator = torch.Generator().manual_seed(seed)
    danger = (torch.rand(size, generator=generator) < 0.3).double()
    lean = torch.where(danger[:, None] > 0, negative, (positive + safe) / 2)
    noise = torch.randn(size, clip.dim, generator=generator) / clip.dim**0.5
    return torch.nn.functional.normalize(told * lean + noise, dim=1), danger.numpy()


@pytest.fixture(scope="module")
def known(clip: Clip) -> Calibration:
    return calibrate(clip, GOALS, *scenes(clip))


class TestRule:
    def test_it_finds_the_ramp_that_made_the_danger(self) -> None:
        z = np.random.default_rng(0).uniform(-0.1, 0.3, 4000)
        low, high = choose(z, ramp(z, 0.0, 0.1))
        # The quantiles lie 0.02 apart.
        assert low == pytest.approx(0.0, abs=0.02)
        assert high == pytest.approx(0.1, abs=0.02)

    def test_rare_danger_weighs_as_much_as_safety(self) -> None:
        rng = np.random.default_rng(0)
        z = np.concatenate([rng.normal(0, 0.02, 980), rng.normal(0.2, 0.02, 20)])
        danger = np.repeat([0.0, 1.0], [980, 20])
        low, high = choose(z, danger)
        assert 1 - ramp(z[980:], low, high).mean() < 0.2
        assert brier(np.zeros(1000), danger) == pytest.approx(0.5)
        assert brier(np.full(1000, 0.5), danger) == pytest.approx(0.25)

    def test_thresholds_never_lie_so_near_that_rounding_counts(self) -> None:
        z = np.concatenate([np.full(50, -0.001), np.full(50, 0.001), [-0.1, 0.1]])
        low, high = choose(z, np.concatenate([np.zeros(50), np.ones(50), [0, 1]]))
        assert high - low >= 0.005
        with pytest.raises(UsageError, match="other goals"):
            choose(np.linspace(0, 0.001, 50), np.linspace(0, 1, 50))

    def test_the_success_cosine_divides_best(self) -> None:
        likeness, danger = np.array([0.1, 0.2, 0.3, 0.5, 0.6]), np.array([1.0, 1.0, 1.0, 0.0, 0.0])
        assert success_cosine(likeness, danger) == pytest.approx(0.4)
        assert success_cosine(np.full(3, 0.2), danger[:3]) < 0.2

    def test_the_curve_has_intervals(self) -> None:
        z = np.linspace(0, 1, 80)
        danger = (z > 0.5).astype(float)
        points = curve(z, z, danger)
        assert [round(one.danger.mean) for one in points] == [0, 0, 0, 0, 1, 1, 1, 1]
        assert all(one.danger.low <= one.danger.mean <= one.danger.high and one.danger.n == 10 for one in points)
        assert points[0].danger.high > 0
        grouped = curve(z, z, danger, groups=np.repeat(np.arange(8), 10))
        assert [one.danger.n for one in grouped] == [10] * 8


class TestCalibrate:
    def test_it_tells_danger(self, known: Calibration) -> None:
        assert known.informative
        assert known.auc.mean > 0.8
        assert known.brier < 0.2
        assert known.low < known.high
        assert known.fitted == 100
        assert known.auc.n == 100
        assert known.curve[0].danger.mean < known.curve[-1].danger.mean
        assert known.curve[0].said < known.curve[-1].said

    def test_c_is_what_the_reward_says(self, clip: Clip, known: Calibration, tmp_path: Path) -> None:
        chosen = RewardConfig()
        chosen.thresholds.file = str(known.write(tmp_path / "calibration.json"))
        features, danger = scenes(clip, seed=1)
        reward = build(chosen, clip)
        c = reward(images=features, state=state(speed=[1.0] * len(features))).parts["goal"].numpy()
        assert c[danger == 0].mean() - c[danger == 1].mean() > 0.5
        assert build(RewardConfig("vlm_sr", thresholds=chosen.thresholds), clip).threshold == known.success  # type: ignore[attr-defined]

    def test_z_is_the_cores(self, clip: Clip) -> None:
        pictures = torch.rand(5, 3, 40, 40, generator=torch.Generator().manual_seed(0))
        goals = worded(GOALS)
        z, safe = gaps(clip, goals, (0.5, 2.0), pictures)
        parts = ContrastiveGoal(clip, goals.positive, goals.negative, weights=(0.5, 2.0))(images=pictures).parts
        assert z.tolist() == pytest.approx(parts["z"].tolist(), abs=1e-6)
        assert np.isfinite(safe).all()
        features = torch.zeros(2, clip.dim)
        features[1] = math.nan
        assert np.isnan(gaps(clip, goals, (1.0, 1.0), features)[0]).all()

    def test_equal_seeds_give_equal_thresholds_and_scenes_stay_together(self, clip: Clip, known: Calibration) -> None:
        features, danger = scenes(clip)
        again = calibrate(clip, GOALS, features, danger)
        assert again == known
        # Ten copies of each picture: were they split, both halves would hold the same.
        groups = np.repeat(np.arange(40), 5).tolist()
        grouped = calibrate(clip, GOALS, features, danger, groups)
        assert grouped.fitted == 100
        assert grouped.auc.n == 100

    def test_a_clip_that_sees_nothing_is_reported(self, clip: Clip, caplog: pytest.LogCaptureFixture) -> None:
        blind = calibrate(clip, GOALS, *scenes(clip, told=0.0))
        assert not blind.informative
        assert "noise" in caplog.text

    def test_wrong_input(self, clip: Clip) -> None:
        features, danger = scenes(clip)
        for wrong in (danger[:-1], danger + 1, np.zeros_like(danger)):
            with pytest.raises(UsageError):
                calibrate(clip, GOALS, features, wrong)
        with pytest.raises(UsageError, match="groups"):
            calibrate(clip, GOALS, features, danger, [0])
        with pytest.raises(UsageError, match="halves"):
            calibrate(clip, GOALS, features[:8], danger[:8])


class TestFile:
    def test_it_comes_back_as_it_was(self, clip: Clip, known: Calibration, tmp_path: Path) -> None:
        assert read_calibration(known.write(tmp_path / "c.json"), clip, GOALS) == known

    def test_other_weights_are_refused(self, folder: Path, known: Calibration, tmp_path: Path) -> None:
        file = known.write(tmp_path / "c.json")
        other = Clip(tiny_clip_folder(tmp_path / "other", list(vars(worded(GOALS)).values()), seed=1))
        with pytest.raises(UsageError, match="other weights"):
            read_calibration(file, other, GOALS)
        # The same weights elsewhere are the same model.
        assert digest_of(Clip(folder), worded(GOALS), (1.0, 1.0)) == known.digest

    @pytest.mark.parametrize("change", [{"negative": "a crash"}, {"safe": "fine"}, {"weight_negative": 2.0}])
    def test_other_goals_are_refused(self, clip: Clip, known: Calibration, tmp_path: Path, change: dict) -> None:
        with pytest.raises(UsageError, match="goals"):
            read_calibration(known.write(tmp_path / "c.json"), clip, GoalConfig(**change))

    @pytest.mark.parametrize("change", [{"format": 2}, {"low": 9.0}, {"curve": 1}, {"goals": {}}, {"auc": None}])
    def test_a_broken_file_is_named(self, clip: Clip, known: Calibration, tmp_path: Path, change: dict) -> None:
        file = known.write(tmp_path / "c.json")
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
        with pytest.raises(DataError, match=r"c\.json"):
            read_calibration(file, clip, GOALS)
        with pytest.raises(DataError, match="no such file"):
            read_calibration(tmp_path / "none.json", clip, GOALS)
