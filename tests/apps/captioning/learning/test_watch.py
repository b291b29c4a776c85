from types import SimpleNamespace
from typing import Any

import pytest

from apps.captioning.config import CaptioningConfig
from apps.captioning.learning.watch import Watch, pleasing
from common.training.run import Run


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ([(1.0, 0.9), (2.0, 0.8)], False),  # too few to call it a fall
        ([(1.0, 0.90), (2.0, 0.88), (3.0, 0.86)], True),
        ([(1.0, 0.90), (2.0, 0.88), (1.5, 0.86)], False),  # the reward falls as well: not hacking but breaking
        ([(1.0, 0.90), (2.0, 0.92), (3.0, 0.91)], False),  # fell once
        ([(1.0, 0.900), (2.0, 0.899), (3.0, 0.898)], False),  # by a hair
        ([(1.0, 0.80), (2.0, 0.90), (3.0, 0.88), (4.0, 0.86)], True),
    ],
)
def test_a_captioner_that_pleases_its_reward_only(measured, expected):
    assert pleasing(measured) == expected


@pytest.mark.parametrize("collapsed", [True, False])
def test_a_discriminator_that_has_won_is_an_alarm(tmp_path, collapsed):
    config = CaptioningConfig()
    config.evaluate.second_clip, config.rl.eval_every = "", 0
    run = Run.create(tmp_path, "run", config, 0)
    learner: Any = SimpleNamespace(steps=1, judge=SimpleNamespace(collapsed=collapsed, accuracy=0.99))
    Watch(config, run, learner, data=SimpleNamespace()).after_step(1, {})
    assert [alarm["kind"] for alarm in run.alarms("rl")] == ["discriminator_won"] * collapsed


def test_a_second_clip_that_is_not_there_is_said(tmp_path, caplog):
    config = CaptioningConfig()
    config.evaluate.second_clip = f"local-dir:{tmp_path / 'nowhere'}"
    learner: Any = SimpleNamespace(steps=1, judge=None)
    Watch(config, Run.create(tmp_path, "run", config, 0), learner, data=SimpleNamespace())
    assert "nowhere" in caplog.text
