"""`pretrain` from nothing to the folder that the rewards open; and what the shipped one sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.driving.calibration import read_calibration
from apps.driving.pocket.wordings import PAIRS
from apps.driving.pretrain import make_clip
from apps.driving.pretrain_config import THRESHOLDS, PretrainConfig
from apps.driving.pretraining import figures
from apps.driving.reward_config import GoalConfig, RewardConfig
from apps.driving.rewards import build
from common.files import locate, read_json
from common.models.clip import Clip
from common.ranks import auc
from tests.apps.driving.states import state

pytest.importorskip("open_clip")

SHIPPED = "local-dir:assets/driving/clip"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pretrain")
    config = PretrainConfig(
        width=8, embedding=32, text_width=32, text_layers=1, scenes=60, steps=20, batch_size=16, calibration=120,
        heldout=120, out=str(folder / "assets"), runs=str(folder / "runs"), save_every=20, learning_rate=3e-3,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "RESAMPLES", 50)
        patch.setattr(figures, "speed", lambda clip: 1000.0)
        make_clip(config, "python -m apps.driving pretrain")
    return folder / "assets" / "clip"


def test_it_writes_weights_thresholds_figures_and_a_card(made):
    names = {path.name for path in made.iterdir()}
    assert {"open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json", "README.md"} <= names
    assert {"figures.json", *THRESHOLDS.values()} <= names
    told = read_json(made / "figures.json")
    assert told["scenes"] == 120
    assert set(told["ranking"]) == {pair.name for pair in PAIRS}
    for one in told["ranking"].values():
        assert 0 <= one["right"]["low"] <= one["right"]["mean"] <= one["right"]["high"] <= 1
        assert (one["driven"] is None) == (one["dangerous, driven"] < 10)
    card = (made / "README.md").read_text()
    assert "no benchmark results" in card
    assert "nan" not in card.lower()


@pytest.mark.parametrize("wording", THRESHOLDS)
def test_its_thresholds_belong_to_it(made, wording):
    known = read_calibration(made / THRESHOLDS[wording], Clip(made), GoalConfig(wording=wording))
    assert known.low < known.high


needs_shipped = pytest.mark.skipif(
    not locate("assets/driving/clip/open_clip_config.json").is_file(), reason="no pocket CLIP in this checkout"
)


@needs_shipped
class TestShipped:
    """On few scenes that its card was not measured on: the village with another seed."""

    @pytest.fixture(scope="class")
    def reward(self):
        config = RewardConfig(recipe="vlm_rl_no_synthesis")
        config.thresholds.file = "assets/driving/clip/calibration.json"
        return build(config)

    def safety(self, reward, pictures) -> np.ndarray:
        from apps.driving.pretraining.figures import to_tensor

        return reward(state=state(speed=[5.0] * len(pictures)), images=to_tensor(pictures)).values.numpy()

    def test_the_language_goal_tells_dangerous_from_safe(self, reward, village):
        danger = village.danger("traffic")
        sure = (danger >= 0.5) | (danger <= 0.1)
        said = -self.safety(reward, village.pictures())
        assert auc(said[sure], danger[sure] >= 0.5) > 0.9

    def test_without_the_others_the_road_is_clear(self, reward, village):
        bad = village.danger("traffic") >= 0.5
        before, after = self.safety(reward, village.pictures()[bad]), self.safety(reward, village.emptied()[bad])
        assert before.mean() < 0.35
        assert after.mean() > 0.9

    def test_its_files_are_small(self):
        folder = locate("assets/driving/clip")
        assert sum(path.stat().st_size for path in folder.iterdir()) < 6_000_000
