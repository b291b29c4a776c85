"""The student of the pocket CLIP: made by `pretrain`, opened by the rewards, as good as its card says."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from PIL import Image

from apps.driving.config import DrivingConfig
from apps.driving.pretrain import run_pretrain
from apps.driving.pretrain_config import PretrainConfig, StudentConfig
from apps.driving.pretraining import student
from apps.driving.pretraining.figures import speed, to_tensor
from apps.driving.reward_config import RewardConfig
from apps.driving.rewards import build, configured_clip
from common.errors import UsageError
from common.files import locate, read_json
from common.models.clip import Clip
from common.ranks import auc, spearman
from tests.apps.driving.states import state

pytest.importorskip("open_clip")

STUDENT = "assets/driving/student"


def config(folder, **changes) -> DrivingConfig:
    short = StudentConfig(scenes=60, steps=12, batch_size=16, calibration=120, heldout=120, width=4)
    for name, value in changes.items():
        setattr(short, name, value)
    return DrivingConfig(pretrain=PretrainConfig(student=short, out=str(folder / "out"), runs=str(folder / "runs")))


def reward_config(student: str, thresholds: str) -> RewardConfig:
    found = RewardConfig(recipe="vlm_rl_no_synthesis")
    found.clip.student, found.thresholds.file = student, thresholds
    return found


@pytest.fixture(autouse=True)
def _short_measurements(monkeypatch):
    monkeypatch.setattr(student, "RESAMPLES", 50)
    monkeypatch.setattr(student, "speed", partial(speed, seconds=0.2))


def test_it_is_made_measured_and_opened_by_a_reward(tmp_path, village):
    assert run_pretrain(config(tmp_path), only="student") == 0
    folder = tmp_path / "out" / "student"
    figures = read_json(folder / "figures.json")
    assert figures["pictures"] == 120
    assert set(figures["goals"]) == {"vlm_rl", "pocket"}
    assert figures["pictures a second"]["student"] > figures["pictures a second"]["teacher"]
    assert "nan" not in (folder / "README.md").read_text().lower()

    reward = build(reward_config(str(folder), str(folder / "calibration.json")))
    paid = reward(state=state(speed=[5.0] * 20), images=to_tensor(village.pictures()[:20])).values
    assert paid.min() >= 0
    with pytest.raises(UsageError, match="other weights"):
        build(reward_config(str(folder), "assets/driving/clip/calibration.json"))


def test_it_learns_from_a_folder_of_pictures_too(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "frames").mkdir()
    for number in range(210):
        Image.fromarray(rng.integers(0, 256, (40, 56, 3), np.uint8)).save(tmp_path / "frames" / f"{number}.png")
    assert run_pretrain(config(tmp_path, pictures=str(tmp_path / "frames")), only="student") == 0
    folder = tmp_path / "out" / "student"
    assert read_json(folder / "figures.json")["pictures"] == 21
    assert not list(folder.glob("calibration*"))
    assert "210" not in (folder / "README.md").read_text()
    with pytest.raises(UsageError, match="holds 0 pictures"):
        run_pretrain(config(tmp_path, pictures=str(tmp_path / "out")), only="student")
    with pytest.raises(UsageError, match="there is no 'pupil'"):
        run_pretrain(config(tmp_path), only="pupil")


class TestShipped:
    """On scenes that its card was not measured on: the village with another seed."""

    def safety(self, student: str, scenes, emptied=False) -> np.ndarray:
        reward = build(reward_config(student, f"{student or 'assets/driving/clip'}/calibration.json"))
        pictures = scenes.emptied() if emptied else scenes.pictures()
        return reward(state=state(speed=[5.0] * len(pictures)), images=to_tensor(pictures)).values.numpy()

    def test_it_says_what_its_teacher_says(self, village):
        ours, theirs = self.safety(STUDENT, village), self.safety("", village)
        assert abs(ours - theirs).mean() < 0.1
        assert spearman(ours, theirs) > 0.9

    def test_it_tells_dangerous_from_safe_by_the_others(self, village):
        danger = village.danger("traffic")
        sure = (danger >= 0.5) | (danger <= 0.1)
        assert auc(-self.safety(STUDENT, village)[sure], danger[sure] >= 0.5) > 0.9
        assert self.safety(STUDENT, village, emptied=True)[danger >= 0.5].mean() > 0.9

    def test_its_words_are_its_teachers(self):
        small = configured_clip(reward_config(STUDENT, ""))
        texts = ["the road is clear", "a car is near"]
        assert (small.text(texts) - Clip("assets/driving/clip").text(texts)).abs().max() < 1e-6

    def test_its_files_are_small(self):
        assert sum(path.stat().st_size for path in locate(STUDENT).iterdir()) < 1_500_000
