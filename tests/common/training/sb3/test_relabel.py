"""Rewards that are computed at the end of a rollout: the same as step by step, in one call."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from stable_baselines3 import PPO, SAC
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from common.errors import GraderFailure, RewardError, UsageError
from common.rewards.adapters.gym import VecRewardWrapper
from common.rewards.adapters.scores import Scoring
from common.rewards.adapters.transitions import Columns, Picture
from common.training.plain_state import load_state, save_state
from common.training.sb3.relabel import RelabelReplay, RelabelRollout
from common.training.sb3.replay import FrameReplayBuffer
from tests.common.worlds import Corridor, Counting, Failing, Near, RedAndNear, Redness, mean_colour

PICTURES = Columns(picture=Picture("info", "picture"))


class Steps(BaseCallback):
    """What each step told, as a witness."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = []

    def _on_step(self) -> bool:
        for number, info in enumerate(self.locals["infos"]):
            self.rows.append({"environment": number, "done": bool(self.locals["dones"][number]), **info})
        return True


def wanted(row) -> float:
    place = abs(row["state"]["place"])
    return -10.0 if place > 1 else 1 - place


def make(number: int = 3, **settings) -> DummyVecEnv:
    return DummyVecEnv([lambda: Corridor(**settings) for _ in range(number)])


def ppo(venv, **settings):
    policy = "MultiInputPolicy" if hasattr(venv.observation_space, "spaces") else "MlpPolicy"
    return PPO(policy, venv, n_steps=40, batch_size=20, n_epochs=1, seed=1, device="cpu", **settings)


def sac(venv, kind=FrameReplayBuffer, size: int = 600, every: int = 16, starts: int = 60, **settings):
    return SAC(
        "MlpPolicy",
        venv,
        buffer_size=size,
        learning_starts=starts,
        train_freq=every,
        gradient_steps=1,
        batch_size=8,
        seed=1,
        device="cpu",
        replay_buffer_class=kind,
        policy_kwargs={"net_arch": [8]},
        **settings,
    )


def collect(model, callback) -> None:
    """One rollout of PPO, without the update."""
    _, callback = model._setup_learn(10_000, callback)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)


def test_a_rollout_of_all_environments_is_relabelled_like_step_by_step():
    """Rewards with their time-limit bootstrap, returns and advantages: as if the wrapper had been there."""
    steps = Steps()
    stepwise = ppo(VecRewardWrapper(make(), Near()))
    collect(stepwise, None)
    at_end = ppo(make())
    collect(at_end, CallbackList([RelabelRollout(Near()), steps]))
    for name in ("rewards", "returns", "advantages"):
        one, other = getattr(stepwise.rollout_buffer, name), getattr(at_end.rollout_buffer, name)
        assert other == pytest.approx(one, abs=1e-5), name
    assert (stepwise.rollout_buffer.actions == at_end.rollout_buffer.actions).all()
    limits = [row for row in steps.rows if row["TimeLimit.truncated"]]
    penalties = [row for row in steps.rows if wanted(row) == -10]
    assert limits
    assert penalties
    rewards = at_end.rollout_buffer.rewards.reshape(-1)
    for row, reward in zip(steps.rows, rewards, strict=True):
        if row["TimeLimit.truncated"]:
            ending = at_end.policy.obs_to_tensor(row["terminal_observation"])[0]
            value = float(at_end.policy.predict_values(ending).detach())
            assert abs(value) > 1e-4
            assert reward == pytest.approx(wanted(row) + at_end.gamma * value, abs=1e-5)
        else:
            assert reward == pytest.approx(wanted(row), abs=1e-5)


def test_advantages_are_those_of_the_new_rewards():
    model = ppo(make())
    callback = RelabelRollout(Near())
    collect(model, callback)
    buffer = model.rollout_buffer
    before = buffer.advantages.copy()
    buffer.compute_returns_and_advantage(callback.locals["values"], callback.locals["dones"])
    assert (buffer.advantages == before).all()
    plain = ppo(make())
    collect(plain, None)
    assert np.abs(plain.rollout_buffer.advantages - before).max() > 0.1


def test_one_call_scores_the_whole_rollout():
    reward = Redness()
    collect(ppo(make()), RelabelRollout(reward, PICTURES))
    assert reward.shown <= 120
    calls = []
    collect(
        ppo(make()), RelabelRollout(RedAndNear(), PICTURES, encode=lambda x: calls.append(len(x)) or mean_colour(x))
    )
    assert len(calls) == 1


@pytest.mark.parametrize("stride", [1, 3])
def test_pictures_hold_as_they_do_step_by_step(stride):
    scoring = Scoring(stride=stride)
    stepwise = ppo(VecRewardWrapper(make(), RedAndNear(), PICTURES, scoring, mean_colour))
    # Twice: what holds at the end of a rollout holds at the beginning of the next.
    for _ in range(2):
        stepwise.learn(120, reset_num_timesteps=False)
    at_end = ppo(make())
    callback = RelabelRollout(RedAndNear(), PICTURES, scoring, mean_colour)
    for _ in range(2):
        at_end.learn(120, callback, reset_num_timesteps=False)
    assert at_end.rollout_buffer.rewards == pytest.approx(stepwise.rollout_buffer.rewards, abs=1e-5)


def test_pictures_from_observations_are_read_as_the_algorithm_sees_them():
    """SB3 turns pictures into channels first by itself; the final picture of an episode is its own."""
    columns = Columns(picture=Picture("observation", "masks"))
    reference = VecRewardWrapper(make(masks=True), RedAndNear(), columns)
    settings = {"policy_kwargs": {"net_arch": [4], "features_extractor_class": Flat}}
    one = ppo(reference, **settings)
    collect(one, None)
    other = ppo(make(masks=True), **settings)
    collect(other, RelabelRollout(RedAndNear(), columns))
    assert other.rollout_buffer.rewards == pytest.approx(one.rollout_buffer.rewards, abs=1e-5)


def test_normalised_rewards_are_not_relabelled():
    with pytest.raises(UsageError, match="norm_reward=False"):
        ppo(VecNormalize(make())).learn(10, RelabelRollout(Near()))
    ppo(VecNormalize(make(), norm_reward=False)).learn(10, RelabelRollout(Near()))


def slots(model, steps) -> dict[tuple[int, int], dict]:
    """The newest step in each slot of the replay buffer."""
    number = model.n_envs
    return {
        (at // number % model.replay_buffer.buffer_size, row["environment"]): row for at, row in enumerate(steps.rows)
    }


@pytest.mark.parametrize("kind", [FrameReplayBuffer, ReplayBuffer])
@pytest.mark.parametrize(
    ("size", "every", "number"),
    [(600, 16, 3), (60, 16, 3), (45, 7, 2), (30, 25, 3), (1000, 1, 1)],
    ids=["roomy", "wraps", "odd", "window longer than the buffer", "single steps"],
)
def test_replayed_steps_of_all_environments_are_relabelled(kind, size, every, number):
    """Random first steps too; penalties kept; ends of episodes inside the window."""
    model, steps = sac(make(number), kind, size, every), Steps()
    model.learn(200, CallbackList([RelabelReplay(Near()), steps]))
    found = slots(model, steps)
    assert len(found) == model.replay_buffer.size() * number
    for (slot, environment), row in found.items():
        assert model.replay_buffer.rewards[slot, environment] == pytest.approx(wanted(row), abs=1e-5)
    assert any(row["done"] for row in found.values()) or size == 30
    # A time limit is no end, whatever the reward.
    timeouts = [model.replay_buffer.timeouts[key] for key, row in found.items() if row["TimeLimit.truncated"]]
    assert all(timeouts)


def test_nothing_is_sampled_before_it_was_relabelled():
    model = sac(make(), every=5, starts=0)
    sampled = []
    original = model.replay_buffer.sample

    def sample(*args, **settings):
        batch = original(*args, **settings)
        sampled.extend(batch.rewards.flatten().tolist())
        return batch

    model.replay_buffer.sample = sample
    model.learn(150, RelabelReplay(Near(), scoring=Scoring(keep_penalties=False)))
    assert len(sampled) >= 80
    assert not any(value == pytest.approx(0.1) or value == -10 for value in sampled)


def test_entries_of_earlier_windows_stay_as_they_are():
    model = sac(make(2), every=10, starts=1000)
    callback = RelabelReplay(Near())
    model.learn(100, callback)
    before = model.replay_buffer.rewards[:50].copy()
    model.replay_buffer.rewards[:50] = before = before + 7
    model.learn(40, callback, reset_num_timesteps=False)
    assert (model.replay_buffer.rewards[:50] == before).all()
    assert model.replay_buffer.pos == 70
    assert (model.replay_buffer.rewards[50:70] < 7).all()


class StopAt(BaseCallback):
    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def _on_step(self) -> bool:
        return self.n_calls < self.step


def test_a_window_may_be_saved_and_gone_on_with_in_its_middle(tmp_path):
    """The steps that wait are in the state, pictures and all; what follows equals a window that was not broken."""

    def begin(callback, stop):
        model = sac(make(2), every=20, starts=1000)
        model.learn(1000, CallbackList([callback, stop]))
        return model

    def relabel():
        return RelabelReplay(RedAndNear(), Columns(info=("word",), picture=PICTURES.picture), Scoring(stride=3))

    whole = begin(relabel(), StopAt(41))
    first = relabel()
    # Stopped in step 31, before it is stored: ten steps of the window wait, and one more that never comes.
    model = begin(first, StopAt(31))
    assert len(first.pending) == 11
    save_state(tmp_path / "state", first.state_dict())
    second = relabel()
    second.init_callback(model)
    second.load_state_dict(load_state(tmp_path / "state"))
    assert [slot for slot, _ in second.pending] == [slot for slot, _ in first.pending]
    second.on_rollout_end()
    assert (model.replay_buffer.rewards[:30] == whole.replay_buffer.rewards[:30]).all()


def test_a_reward_with_state_sees_the_steps_in_the_order_of_time():
    model = sac(make(2), every=4, starts=1000)
    model.learn(24, RelabelReplay(Counting(), scoring=Scoring(keep_penalties=False, batch_size=3)))
    assert model.replay_buffer.rewards[:12].reshape(-1).tolist() == list(range(24))


def test_failures_are_flagged_counted_and_stop_the_run():
    callback = RelabelReplay(Failing(3), scoring=Scoring(failed_rows=1000, fallback=0.5))
    model, steps = sac(make(2, push=0.02), every=20, starts=1000), Steps()
    model.learn(80, CallbackList([callback, steps]))
    for (slot, environment), row in slots(model, steps).items():
        expected = 0.5 if row["state"]["steps"] == 3 else wanted(row)
        assert model.replay_buffer.rewards[slot, environment] == pytest.approx(expected, abs=1e-5)
    assert callback.figures()["reward/failed"] == pytest.approx(4 / 40, abs=0.06)
    many = RelabelReplay(Failing(3, 4, 5, 6), scoring=Scoring(failed_rows=40))
    with pytest.raises(GraderFailure, match="judge is down"):
        sac(make(2, push=0.02), every=20, starts=1000).learn(200, many)


def test_penalties_are_told_from_what_the_environments_paid():
    """Not from what VecNormalize made of it; the buffer holds rewards as they were, and normalises when it samples."""
    model, steps = sac(VecNormalize(make(), norm_obs=False), every=8, starts=1000), Steps()
    model.learn(120, CallbackList([RelabelReplay(Near()), steps]))
    assert any(wanted(row) == -10 for row in steps.rows)
    for key, row in slots(model, steps).items():
        assert model.replay_buffer.rewards[key] == pytest.approx(wanted(row), abs=1e-5)


def test_a_reward_without_its_pictures_is_refused_before_the_first_step():
    with pytest.raises(RewardError, match="images"):
        sac(make(2)).learn(10, RelabelReplay(Redness()))


def test_dictionaries_are_relabelled_in_sb3s_buffer_too():
    model = SAC(
        "MultiInputPolicy",
        make(2, masks=True),
        buffer_size=200,
        learning_starts=1000,
        train_freq=8,
        seed=1,
        device="cpu",
        replay_buffer_class=DictReplayBuffer,
        policy_kwargs={"net_arch": [8], "features_extractor_class": Flat},
    )
    steps = Steps()
    model.learn(60, CallbackList([RelabelReplay(Near()), steps]))
    for key, row in slots(model, steps).items():
        assert model.replay_buffer.rewards[key] == pytest.approx(wanted(row), abs=1e-5)


def _flat():
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

    class Flattened(BaseFeaturesExtractor):
        """The measures alone: SB3's own network wants larger pictures."""

        def __init__(self, space) -> None:
            super().__init__(space, 2)

        def forward(self, observations):
            return observations["measures"]

    return Flattened


Flat = _flat()
