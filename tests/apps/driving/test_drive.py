"""`drive`: a live line, a film, and an end that leaves nothing open."""

from __future__ import annotations

import json
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from apps.driving.backends.backend_config import BackendConfig
from apps.driving.backends.base import BackendLost, BackendUnavailable, Traffic
from apps.driving.backends.embedded import EmbeddedBackend
from apps.driving.drive import drive, run_drive
from apps.driving.drive_view import end_line, hears_ctrl_c, status
from apps.driving.drivers.rule_based import RuleBased
from apps.driving.env_config import EndConfig, EnvConfig, RouteConfig
from apps.driving.environment.env import DrivingEnv
from apps.driving.evaluate_config import EvaluateConfig
from apps.driving.recording import open_recorder
from apps.driving.reward_config import RewardConfig
from common.errors import UsageError


def settings(seconds=4.0, seed=0):
    return SimpleNamespace(
        env=EnvConfig(),
        simulator=BackendConfig(),
        evaluate=EvaluateConfig(maps=["town"], end=EndConfig(seconds=seconds)),
        reward=RewardConfig(),
        seed=seed,
    )


class Watched(EmbeddedBackend):
    """Remembers that it was closed; dies where asked to."""

    closed = 0
    dies = False

    def step(self, control):
        if self.dies:
            raise BackendLost("gone")
        return super().step(control)

    def close(self):
        type(self).closed += 1
        super().close()


class Interrupting(RuleBased):
    """Presses Ctrl-C in its twentieth action, or has it pressed within its own code."""

    def __init__(self, config, press):
        super().__init__(config)
        self.press = press
        self.acted = 0

    def act(self, observation):
        self.acted += 1
        if self.acted == 20:
            self.press()
        return super().act(observation)


@pytest.fixture
def env():
    Watched.closed, Watched.dies = 0, False
    config = EnvConfig(routes=RouteConfig(maps=["town"], file="evaluation"), end=EndConfig(seconds=6.0))
    return DrivingEnv(config, Watched, render_mode="rgb_array")


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("press", [lambda: signal.raise_signal(signal.SIGINT), interrupt])
def test_ctrl_c_closes_the_simulator_and_keeps_the_film(env, tmp_path, press):
    path, before = tmp_path / "a.gif", signal.getsignal(signal.SIGINT)
    route = env.source.take(np.random.default_rng(0))
    found = drive(env, Interrupting(env.config, press), route, Traffic(2), recorder=open_recorder(path))

    assert found.interrupted
    assert found.film == str(path)
    assert found.episode.cause == "stopped by hand"
    assert 19 <= found.episode.steps <= 20
    assert 19 <= Image.open(path).n_frames <= 20
    assert Watched.closed == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_wait():
    with hears_ctrl_c() as pressed:
        assert not pressed()
        signal.raise_signal(signal.SIGINT)
        assert pressed()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_an_mp4_survives_ctrl_c(env, tmp_path):
    imageio = pytest.importorskip("imageio.v3")
    pytest.importorskip("imageio_ffmpeg")
    route = env.source.take(np.random.default_rng(0))
    driver = Interrupting(env.config, lambda: signal.raise_signal(signal.SIGINT))
    found = drive(env, driver, route, Traffic(), recorder=open_recorder(tmp_path / "a.mp4"))

    assert imageio.imread(found.film).shape == (20, 512, 512, 3)


def test_a_failure_closes_the_simulator_and_keeps_the_film(env, tmp_path):
    def fail():
        raise RuntimeError("broken")

    route = env.source.take(np.random.default_rng(0))
    with pytest.raises(RuntimeError, match="broken"):
        drive(env, Interrupting(env.config, fail), route, Traffic(), recorder=open_recorder(tmp_path / "a.gif"))

    assert Watched.closed == 1
    assert Image.open(tmp_path / "a.gif").n_frames > 10


def test_a_lost_simulator_is_no_fault_of_the_driver(env):
    Watched.dies = True
    route = env.source.take(np.random.default_rng(0))
    found = drive(env, RuleBased(env.config), route, Traffic())

    assert found.episode.cause == "backend lost"
    assert not found.interrupted
    assert Watched.closed == 1


def test_one_drive_is_told_in_a_line_and_filmed(tmp_path, capsys):
    path = tmp_path / "film.gif"
    assert run_drive(settings(seed=1), vehicles=2, record=str(path)) == 0
    told = capsys.readouterr()

    assert "pocket on town-" in told.err
    assert "2 vehicles, seed 1 (embedded): time limit." in told.err
    assert f"film: {path}" in told.err
    assert told.out == ""
    with Image.open(path) as opened:
        # The last frame may equal the one before and be shown for longer instead.
        assert 36 <= opened.n_frames <= 41


def test_the_summary_comes_as_json(capsys):
    assert run_drive(settings(), vehicles=0, json_output=True) == 0
    told = json.loads(capsys.readouterr().out)

    assert told["backend"] == "embedded"
    assert told["steps"] == 40
    assert told["film"] is None


def test_equal_seeds_drive_the_same_and_the_policy_is_the_one_asked_for(capsys):
    told = []
    for _ in range(2):
        run_drive(settings(seed=4), policy="random", json_output=True)
        told.append(json.loads(capsys.readouterr().out))

    assert told[0] == told[1]
    assert told[0]["policy"] == "random"


def test_a_recipes_parts_are_shown(monkeypatch):
    from apps.driving import drive as module

    lines = []
    real = module.status

    def kept(state, scores):
        lines.append(real(state, scores))
        return lines[-1]

    monkeypatch.setattr(module, "status", kept)
    run_drive(settings(1.0), parts="hand_written", vehicles=0, json_output=True)

    assert len(lines) == 10
    assert all("centring" in line and "reward +" in line for line in lines)


STATE = {"time": 12.34, "speed": 5.0, "progress": 0.456, "offset": -0.1, "hazard": 14.2, "off_route": 0.0}


def test_the_live_line_has_everything_in_one_line():
    line = status(STATE, {"reward": 0.5, "parts.speed": 0.25})

    assert "\n" not in line
    for part in ("12.3 s", "18.0 km/h", "route  46 %", "offset -0.10 m", "hazard 14 m", "reward +0.50 (speed 0.25)"):
        assert part in line
    assert "clear" in status({**STATE, "hazard": 1e3}, {"reward": 0.0})
    assert "off the route" in status({**STATE, "off_route": 1.0}, {"reward": 0.0})


def test_the_end_line_tells_what_was_hit():
    from tests.apps.driving.measures.made import episode

    line = end_line(episode(cause="collision with a vehicle", hits=[("vehicle", 21.4, 3)]), "a.mp4")

    assert "hit vehicle at 21 km/h" in line
    assert line.endswith("film: a.mp4")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"route": "nowhere"}, "no route 'nowhere' in 'town'; there are town-"),
        ({"town": "towm"}, "did you mean 'town'"),
        ({"record": "a.avi"}, "an .mp4 or a .gif"),
        ({"policy": "nobody"}, "no policy 'nobody'"),
        ({"parts": "nothing"}, "unknown reward recipe"),
    ],
)
def test_wrong_wishes_are_told(arguments, told):
    with pytest.raises(UsageError, match=told):
        run_drive(settings(), **arguments)


def test_a_seed_below_0_is_told():
    with pytest.raises(UsageError, match="--seed is -1"):
        run_drive(settings(seed=-1))


def test_without_a_server_carla_is_told_to_be_absent():
    with pytest.raises(BackendUnavailable, match=r"nothing listens on 127\.0\.0\.1:1"):
        run_drive(settings(), backend="carla", port=1)
