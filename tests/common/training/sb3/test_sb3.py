"""PPO and SAC in a run's folder: they learn, and a run that was killed goes on as if it had not been."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")

from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from common.errors import DataError, GraderFailure, UsageError
from common.rewards.adapters.gym import VecRewardWrapper
from common.rewards.adapters.scores import Scoring
from common.rewards.adapters.transitions import Columns, Picture
from common.rewards.transforms import HistoryQuantile
from common.training.run import Interrupted, Run, last_checkpoint
from common.training.sb3 import checkpoint as sb3_checkpoint
from common.training.sb3.config import ControlConfig, PpoConfig, SacConfig
from common.training.sb3.model import Features, Line, build, load_policy
from common.training.sb3.relabel import RelabelReplay, RelabelRollout
from common.training.sb3.replayed import Replayed
from common.training.sb3.spaces import space_from_plain, space_to_plain
from common.training.sb3.train import train_policy
from tests.common.training.sb3.test_relabel import Flat
from tests.common.worlds import Corridor, Failing, Near, Redness

PICTURES = Columns(picture=Picture("info", "picture"))
PPO = ControlConfig("ppo", 240, net=[8], save_every=60, ppo=PpoConfig(rollout=20, batch_size=20, epochs=2))
SAC = ControlConfig(
    "sac",
    240,
    net=[8],
    save_every=50,
    log_every=30,
    sac=SacConfig(buffer_size=100, learning_starts=40, batch_size=8, collect=5, updates=2),
)
MASKS = replace(SAC, sac=replace(SAC.sac, binary=["masks"]))


def make(number: int = 2, kind=DummyVecEnv, **settings):
    return kind([lambda: Corridor(**settings) for _ in range(number)])


def folder(tmp_path, name: str) -> Run:
    return Run.create(tmp_path / "toy", name, {}, 3)


class Die(BaseCallback):
    """What a power cut is to a run: an error that nobody expects, in the middle of a collection."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.step:
            raise MemoryError
        return True


def ppo_stepwise(extra=()):
    reward = HistoryQuantile(Redness(), warmup=4)
    return PPO, VecRewardWrapper(make(), reward, PICTURES, Scoring(stride=3)), list(extra), {}


def ppo_relabelled(extra=()):
    return PPO, make(discrete=True), [RelabelRollout(Redness(), PICTURES), *extra], {}


def ppo_normalised(extra=()):
    config = ControlConfig("ppo", 240, 1e-3, 1e-4, net=[8], sde=True, save_every=60, ppo=PPO.ppo)
    envs = DummyVecEnv([lambda: TimeLimit(Corridor(limit=100), 7)] * 2)
    return config, VecNormalize(VecRewardWrapper(envs, Near())), list(extra), {}


def sac_relabelled(extra=()):
    return SAC, make(), [RelabelReplay(HistoryQuantile(Redness(), warmup=4), PICTURES), *extra], {}


def sac_masks(extra=()):
    return MASKS, VecRewardWrapper(make(masks=True), Near()), list(extra), {"features": Features(Flat)}


def weights(policy) -> dict[str, torch.Tensor]:
    return policy.network.state_dict()


def told(run: Run) -> list[dict]:
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in run.rows()]


def assert_equal_runs(one: Run, other: Run, policy, other_policy) -> None:
    first, second = weights(policy), weights(other_policy)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert told(one) == told(other)


class Pause(BaseCallback):
    """Time to be killed in."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def _on_step(self) -> bool:
        time.sleep(self.seconds)
        return True


def _train_alone(path: str) -> None:
    """The work of another process; here so that it can be killed."""
    torch.set_num_threads(1)
    config, venv, callbacks, settings = sac_masks([Pause(0.01)])
    train_policy(Run.resume(path), "rl", config, venv, callbacks, **settings)


def test_a_run_that_was_killed_outright_goes_on_equal(tmp_path):
    """SIGKILL, at whatever moment it comes: between steps, in an update, while a checkpoint is written."""
    whole = folder(tmp_path, "whole")
    config, venv, callbacks, settings = sac_masks([Pause(0.0)])
    expected = train_policy(whole, "rl", config, venv, callbacks, **settings)
    run = folder(tmp_path, "killed")
    for number in range(3):
        process = multiprocessing.get_context("fork").Process(target=_train_alone, args=(str(run.folder),))
        process.start()
        until = time.monotonic() + 30
        while process.is_alive() and time.monotonic() < until:
            if len(run.rows("rl")) > 2 * number + 1 or list(run.stage("rl").glob(".unfinished-*")):
                break
            time.sleep(0.002)
        process.kill()
        process.join()
    assert not run.finished("rl")
    config, venv, callbacks, settings = sac_masks([Pause(0.0)])
    policy = train_policy(run, "rl", config, venv, callbacks, **settings)
    assert_equal_runs(whole, run, expected, policy)


@pytest.mark.parametrize("begin", [ppo_stepwise, ppo_relabelled, ppo_normalised, sac_relabelled, sac_masks])
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, begin):
    """Bit for bit: weights and log, wherever it was killed."""
    whole = folder(tmp_path, "whole")
    config, venv, callbacks, settings = begin()
    expected = train_policy(whole, "rl", config, venv, callbacks, **settings)
    assert len(told(whole)) >= 6
    for step in (30, 101, 199):
        run = folder(tmp_path, f"killed-{step}")
        config, venv, callbacks, settings = begin([Die(step)])
        with pytest.raises(MemoryError):
            train_policy(run, "rl", config, venv, callbacks, **settings)
        assert not run.finished("rl")
        assert (last_checkpoint(run, "rl") is None) == (step == 30)
        # Whatever was drawn in between does not count.
        torch.rand(5), np.random.rand(3)
        config, venv, callbacks, settings = begin([Die(10_000)])
        policy = train_policy(run, "rl", config, venv, callbacks, **settings)
        assert_equal_runs(whole, run, expected, policy)


def test_a_run_goes_on_in_other_processes_too(tmp_path):
    def begin(*extra):
        venv = make(kind=lambda envs: SubprocVecEnv(envs, start_method="fork"))
        return PPO, VecRewardWrapper(venv, Near()), list(extra)

    runs = []
    for name, steps in (("whole", (10_000,)), ("killed", (150, 10_000))):
        run = folder(tmp_path, name)
        for step in steps:
            config, venv, callbacks = begin(Die(step))
            try:
                policy = train_policy(run, "rl", config, venv, callbacks)
            except MemoryError:
                assert step == 150
            finally:
                venv.close()
        runs.append((run, policy))
    assert_equal_runs(runs[0][0], runs[1][0], runs[0][1], runs[1][1])


def test_environments_without_state_go_on_equal_where_they_are_replayed(tmp_path):
    def begin(*extra):
        venv = DummyVecEnv([lambda: Replayed(TimeLimit(Corridor(limit=100, keep_state=False), 7))] * 2)
        return SAC, VecRewardWrapper(venv, Near()), list(extra)

    whole, run = folder(tmp_path, "whole"), folder(tmp_path, "killed")
    expected = train_policy(whole, "rl", *begin(Die(10_000)))
    with pytest.raises(MemoryError):
        train_policy(run, "rl", *begin(Die(133)))
    assert_equal_runs(whole, run, expected, train_policy(run, "rl", *begin(Die(10_000))))


def test_environments_without_state_begin_other_episodes(tmp_path):
    run = folder(tmp_path, "one")
    with pytest.raises(MemoryError):
        train_policy(run, "rl", PPO, VecRewardWrapper(make(keep_state=False), Near()), [Die(150)])
    venv = VecRewardWrapper(make(keep_state=False), Near())
    train_policy(run, "rl", PPO, venv, [Die(10_000)])
    assert [row["step"] for row in told(run)] == [40, 80, 120, 160, 200, 240]


def test_ctrl_c_saves_after_the_update_and_the_run_goes_on_equal(tmp_path):
    class Press(BaseCallback):
        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

        def _on_step(self) -> bool:
            if self.num_timesteps == self.step:
                os.kill(os.getpid(), signal.SIGINT)
            return True

    whole, run = folder(tmp_path, "whole"), folder(tmp_path, "stopped")
    # Step 96 lies between two lines of the log, and between two checkpoints.
    expected = train_policy(whole, "rl", *sac_relabelled([Press(-1)])[:3])
    with pytest.raises(Interrupted, match=r"step 100 of 240 \(rl\); go on with"):
        train_policy(run, "rl", *sac_relabelled([Press(96)])[:3])
    policy = train_policy(run, "rl", *sac_relabelled([Press(-1)])[:3])
    assert_equal_runs(whole, run, expected, policy)

    last = folder(tmp_path, "last")
    with pytest.raises(Interrupted, match=r"rl"):
        train_policy(last, "rl", *sac_relabelled([Press(240)])[:3])
    assert_equal_runs(whole, last, expected, train_policy(last, "rl", *sac_relabelled([Press(-1)])[:3]))


def test_a_grader_that_fails_stops_the_run_and_says_how_to_go_on(tmp_path):
    run = folder(tmp_path, "one")
    venv = VecRewardWrapper(make(push=0.02), Failing(3, 4, 5), scoring=Scoring(failed_rows=90))
    with pytest.raises(GraderFailure, match=r"(?s)judge is down.*8 steps later than the checkpoint.*--resume"):
        train_policy(run, "rl", PPO, venv)
    assert [alarm["kind"] for alarm in run.alarms()] == ["failed"]
    venv = VecRewardWrapper(make(push=0.02), Failing(), scoring=Scoring(failed_rows=90))
    train_policy(run, "rl", PPO, venv)
    assert run.finished("rl")


def test_a_half_written_checkpoint_is_never_taken(tmp_path, monkeypatch):
    run = folder(tmp_path, "one")
    real = sb3_checkpoint.write_json

    def fail(path, value):
        if run.stage("rl").exists() and len(list(run.stage("rl").glob("checkpoint-*"))) == 1:
            raise OSError("disk full")
        return real(path, value)

    monkeypatch.setattr(sb3_checkpoint, "write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        train_policy(run, "rl", *sac_masks()[:3], **sac_masks()[3])
    monkeypatch.undo()
    assert [path.name for path in run.stage("rl").iterdir()] == ["checkpoint-000000050"]
    train_policy(run, "rl", *sac_masks()[:3], **sac_masks()[3])


def test_only_the_newest_checkpoints_stay_and_none_once_it_is_done(tmp_path):
    run = folder(tmp_path, "one")
    seen = []

    class Look(BaseCallback):
        def _on_step(self) -> bool:
            seen.append(sorted(path.name for path in run.stage("rl").glob("checkpoint-*")))
            return True

    train_policy(run, "rl", SAC, VecRewardWrapper(make(), Near()), [Look()])
    assert seen[-1] == ["checkpoint-000000150", "checkpoint-000000200"]
    assert sorted(path.name for path in run.stage("rl").iterdir()) == ["final"]


def test_a_checkpoint_holds_nothing_that_could_be_executed(tmp_path):
    run = folder(tmp_path, "one")
    with pytest.raises(MemoryError):
        train_policy(run, "rl", *sac_relabelled([Die(150)])[:3])
    newest = last_checkpoint(run, "rl")
    names = {path.name for path in newest.iterdir()}
    assert names == {"complete.json", "replay.npz", "state.json", "tensors.safetensors"}
    json.loads((newest / "state.json").read_text())


def test_a_damaged_checkpoint_is_named(tmp_path):
    run = folder(tmp_path, "one")
    with pytest.raises(MemoryError):
        train_policy(run, "rl", PPO, VecRewardWrapper(make(), Near()), [Die(150)])
    path = last_checkpoint(run, "rl") / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="checkpoint-"):
        train_policy(run, "rl", PPO, VecRewardWrapper(make(), Near()), [Die(1000)])


def test_the_log_tells_what_happened(tmp_path):
    run = folder(tmp_path, "one")
    measured = []

    def evaluate(policy):
        torch.rand(3)  # a measurement changes nothing that follows
        measured.append(float(policy.act(np.zeros(2, np.float32))[0]))
        return {"score": measured[-1]}

    config = ControlConfig("ppo", 240, net=[8], eval_every=100, ppo=PPO.ppo)
    policy = train_policy(run, "rl", config, VecRewardWrapper(make(), Near()), evaluate=evaluate)
    rows = run.rows("rl")
    for name in ("reward", "reward/environment", "reward/place", "reward/failed", "episode/return", "episode/length"):
        assert all(name in row for row in rows), name
    for name in ("episodes", "episode/success", "loss", "approx_kl", "value_loss", "learning_rate", "time/step"):
        assert all(name in row for row in rows), name
    assert [row["step"] for row in rows if "heldout/score" in row] == [120, 200, 240]
    assert all(0 <= row["reward/failed"] <= 1 for row in rows)
    unmeasured = folder(tmp_path, "two")
    other = train_policy(unmeasured, "rl", config, VecRewardWrapper(make(), Near()))
    assert all(torch.equal(weights(policy)[key], weights(other)[key]) for key in weights(policy))


def test_relabelled_rewards_are_those_in_the_log(tmp_path):
    stepwise, relabelled = folder(tmp_path, "one"), folder(tmp_path, "two")
    train_policy(stepwise, "rl", SAC, VecRewardWrapper(make(), Near()))
    train_policy(relabelled, "rl", SAC, make(), [RelabelReplay(Near())])
    for one, other in zip(stepwise.rows(), relabelled.rows(), strict=True):
        for name in ("reward", "reward/environment", "reward/place", "reward/failed"):
            assert one[name] == pytest.approx(other[name], abs=1e-5), name


@pytest.mark.parametrize("begin", [ppo_relabelled, ppo_normalised, sac_masks])
def test_a_policy_that_was_saved_acts_the_same(tmp_path, begin):
    run = folder(tmp_path, "one")
    config, venv, callbacks, settings = begin()
    config = ControlConfig(config.algorithm, 80, net=[8], sde=config.sde, ppo=config.ppo, sac=config.sac)
    trained = {}

    class Keep(BaseCallback):
        def _on_step(self) -> bool:
            trained["model"] = self.model
            return True

    train_policy(run, "rl", config, venv, [*callbacks, Keep()], **settings)
    policy = load_policy(run.final("rl"), settings.get("features"))
    model = trained["model"]
    raw = model.env
    while hasattr(raw, "venv"):
        raw = raw.venv
    raw.seed(0)
    observation = raw.reset()
    normaliser = model.get_vec_normalize_env()
    seen = normaliser.normalize_obs(observation) if normaliser is not None else observation
    expected, _ = model.policy.predict(seen, deterministic=True)
    assert np.array_equal(policy.act(observation), expected)
    one = {key: value[0] for key, value in observation.items()} if isinstance(observation, dict) else observation[0]
    assert np.array_equal(policy.act(one), expected[0])
    # Once done it is loaded, not trained again.
    again = train_policy(run, "rl", config, venv, callbacks, **settings)
    assert np.array_equal(again.act(observation), expected)


def test_a_policy_with_other_features_is_refused(tmp_path):
    run = folder(tmp_path, "one")
    train_policy(run, "rl", PPO, VecRewardWrapper(make(), Near()))
    about = json.loads((run.final("rl") / "config.json").read_text())
    (run.final("rl") / "config.json").write_text(json.dumps({**about, "net": [9]}))
    with pytest.raises(DataError, match="another network"):
        load_policy(run.final("rl"))
    (run.final("rl") / "config.json").write_text("{}")
    with pytest.raises(DataError, match="no policy"):
        load_policy(run.final("rl"))


def test_settings_that_do_not_fit_are_named():
    for config, told_of in (
        (ControlConfig("ppo", ppo=PpoConfig(rollout=10, batch_size=7)), "batch_size 7"),
        (ControlConfig("sac", sac=SacConfig(tau=0.0)), "sac.tau"),
        (ControlConfig("ppo", steps=0), "steps"),
        (ControlConfig("ppo", gamma=1.5), "gamma"),
        (ControlConfig("dqn"), "ppo or sac"),
    ):
        with pytest.raises(UsageError, match=told_of):
            build(config, make(), 0)
    with pytest.raises(UsageError, match="continuous"):
        build(SAC, make(discrete=True), 0)
    with pytest.raises(UsageError, match="binary"):
        build(MASKS, make(), 0)


def test_the_learning_rate_goes_in_a_line():
    assert [Line(1.0, 0.2)(remaining) for remaining in (1.0, 0.5, 0.0)] == pytest.approx([1.0, 0.6, 0.2])
    assert [Line(0.3)(remaining) for remaining in (1.0, 0.0)] == [0.3, 0.3]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-np.inf, 3.5, (2, 3), np.float32),
        spaces.Box(np.array([0, 1]), np.array([5, 9]), dtype=np.int64),
        spaces.Discrete(5, start=2),
        spaces.MultiDiscrete([3, 4]),
        spaces.MultiBinary(7),
        spaces.MultiBinary((2, 3)),
        spaces.Dict({"a": spaces.Box(0, 255, (4, 4, 3), np.uint8), "b": spaces.Discrete(2)}),
    ],
)
def test_spaces_survive_json(space):
    assert space_from_plain(json.loads(json.dumps(space_to_plain(space)))) == space


def test_spaces_that_cannot_be_kept_are_refused():
    with pytest.raises(UsageError, match="cannot be saved"):
        space_to_plain(spaces.Text(5))
    for wrong in ({"kind": "Pickle"}, {}, {"kind": "Box", "low": "x"}):
        with pytest.raises(DataError):
            space_from_plain(wrong)


class Target(gymnasium.Env):
    """Say the number that is shown, in ten steps of which each pays the nearness."""

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, discrete: bool) -> None:
        self.action_space = spaces.Discrete(3) if discrete else spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.discrete = discrete

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._show(), {}

    def _show(self):
        self.wanted = float(self.np_random.choice([-1.0, 0.0, 1.0]))
        return np.array([self.wanted], np.float32)

    def step(self, action):
        said = float(action) - 1 if self.discrete else float(np.clip(action[0], -1, 1))
        info = {"state": {"place": said - self.wanted}}
        self.steps += 1
        # The environment itself pays nothing: what is learnt is learnt from the reward.
        return self._show(), 0.0, False, self.steps == 10, info


@pytest.mark.parametrize(
    ("algorithm", "discrete", "relabelled"),
    [("ppo", True, False), ("ppo", False, True), ("sac", False, True)],
)
def test_policies_learn_from_the_reward(tmp_path, algorithm, discrete, relabelled):
    """Chance is 0.44 for three actions and about 0.42 for a number; learnt is nearly 1."""
    config = ControlConfig(
        algorithm,
        3600 if algorithm == "ppo" else 1800,
        learning_rate=1e-2 if algorithm == "ppo" else 5e-3,
        gamma=0.5,
        net=[16],
        save_every=0,
        ppo=PpoConfig(rollout=60, batch_size=60, epochs=6),
        sac=SacConfig(
            buffer_size=2000, learning_starts=200, batch_size=64, collect=8, updates=8, tau=0.05, entropy=0.01
        ),
    )
    venv = DummyVecEnv([lambda: Target(discrete)] * 4)
    kind = RelabelRollout if algorithm == "ppo" else RelabelReplay
    callbacks = [kind(Near())] if relabelled else []
    policy = train_policy(
        folder(tmp_path, "one"), "rl", config, venv if relabelled else VecRewardWrapper(venv, Near()), callbacks
    )
    shown = np.array([[-1.0], [0.0], [1.0]], np.float32)
    acts = policy.act(shown).reshape(-1).astype(float) - discrete
    assert 1 - np.abs(acts - shown[:, 0]).mean() > 0.9
