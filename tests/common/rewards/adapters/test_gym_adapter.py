"""A reward in the steps of vectorised environments."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")

from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from common.errors import GraderFailure, MissingColumn, RewardError
from common.rewards.adapters.gym import VecRewardWrapper, check_in_environment
from common.rewards.adapters.scores import REASON, SCORED, Scoring
from common.rewards.adapters.transitions import Columns, Picture, as_pictures
from common.rewards.base import RewardOutput
from common.rewards.transforms import HistoryQuantile
from tests.common.worlds import Corridor, Counting, Failing, Near, RedAndNear, Redness, mean_colour

PICTURES = Columns(picture=Picture("info", "picture"))


def make(number: int = 3, kind=DummyVecEnv, **settings):
    venv = kind([lambda: Corridor(**settings) for _ in range(number)])
    venv.seed(5)
    return venv


def walk(venv, steps: int = 30, seed: int = 0):
    """Rewards, dones and infos of random actions."""
    random = np.random.default_rng(seed)
    venv.reset()
    taken = []
    for _ in range(steps):
        _, rewards, dones, infos = venv.step(random.uniform(-1, 1, (venv.num_envs, 1)).astype(np.float32))
        taken.append((rewards.copy(), dones.copy(), infos))
    return taken


def near(info) -> float:
    return float(np.clip(1 - abs(info["state"]["place"]), 0, 1))


def fell(info) -> bool:
    return abs(info["state"]["place"]) > 1


def test_the_reward_replaces_the_environments_and_penalties_are_kept():
    penalties = ends = 0
    for rewards, dones, infos in walk(VecRewardWrapper(make(), Near()), 60):
        for row, info in enumerate(infos):
            penalties += fell(info)
            ends += dones[row]
            assert rewards[row] == pytest.approx(-10.0 if fell(info) else near(info), abs=1e-6)
            assert info[SCORED]["value"] == pytest.approx(near(info), abs=1e-6)
            assert info[SCORED]["environment"] == pytest.approx(-10.0 if fell(info) else 0.1)
            assert info[SCORED]["place"] == pytest.approx(info["state"]["place"], abs=1e-6)
            assert info[SCORED]["failed"] is False
            assert REASON not in info
    assert 0 < penalties < ends  # both kinds of ending were seen


def test_it_may_be_added_with_a_weight_or_replace_penalties_too():
    for scoring, expected in (
        (Scoring(mode="add", weight=2.0), lambda info: (-10.0 if fell(info) else 0.1) + 2 * near(info)),
        (Scoring(keep_penalties=False, weight=0.5), lambda info: 0.5 * near(info)),
    ):
        for rewards, _, infos in walk(VecRewardWrapper(make(), Near(), scoring=scoring), 60):
            assert rewards == pytest.approx([expected(info) for info in infos], abs=1e-6)


def test_observations_endings_and_time_limits_are_left_alone():
    plain, wrapped = walk(make(), 40), walk(VecRewardWrapper(make(), Near()), 40)
    for (_, dones, infos), (_, other_dones, other_infos) in zip(plain, wrapped, strict=True):
        assert (dones == other_dones).all()
        for info, other in zip(infos, other_infos, strict=True):
            assert info["TimeLimit.truncated"] == other["TimeLimit.truncated"]
            assert ("terminal_observation" in info) == ("terminal_observation" in other)


@pytest.mark.parametrize("encode", [None, mean_colour])
def test_all_environments_at_once_pay_what_each_alone_would(encode):
    together = walk(VecRewardWrapper(make(4), RedAndNear(), PICTURES, encode=encode), 40)
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 4, 1)).astype(np.float32)
    for number in range(4):
        alone = VecRewardWrapper(DummyVecEnv([Corridor]), RedAndNear(), PICTURES, encode=encode)
        alone.seed(5 + number)
        alone.reset()
        for step in range(40):
            _, rewards, _, _ = alone.step(actions[step, number][None])
            assert rewards[0] == pytest.approx(together[step][0][number], abs=1e-5)


def test_other_processes_give_the_same():
    settings = {"masks": True}
    here = walk(VecRewardWrapper(make(2, **settings), RedAndNear(), PICTURES, encode=mean_colour), 25)
    venv = make(2, kind=lambda envs: SubprocVecEnv(envs, start_method="fork"), **settings)
    try:
        there = walk(VecRewardWrapper(venv, RedAndNear(), PICTURES, encode=mean_colour), 25)
    finally:
        venv.close()
    for (rewards, dones, infos), (other, other_dones, other_infos) in zip(here, there, strict=True):
        assert (rewards == other).all()
        assert (dones == other_dones).all()
        assert [info[SCORED] for info in infos] == [info[SCORED] for info in other_infos]


def test_the_picture_of_an_ended_episode_is_its_own_last_one():
    """From the observation: the one returned beside it belongs to the next episode."""
    columns = Columns(picture=Picture("observation", "masks"))
    venv = VecRewardWrapper(make(3, masks=True), RedAndNear(), columns, Scoring(keep_penalties=False))
    ended = 0
    for _, dones, infos in walk(venv, 40):
        for row in np.flatnonzero(dones):
            last = infos[row]["terminal_observation"]["masks"]
            assert infos[row][SCORED]["red"] == pytest.approx(last[..., 0].mean() / 255, abs=1e-6)
            ended += 1
    assert ended > 5


def test_equal_frames_are_looked_at_once():
    class Paused(Corridor):
        def _picture(self):
            return np.full((4, 6, 3), 7, np.uint8)

    reward = Redness()
    venv = VecRewardWrapper(DummyVecEnv([Paused] * 3), reward, PICTURES, Scoring(keep_penalties=False))
    walked = walk(venv, 20)
    assert reward.shown == 1
    assert np.stack([rewards for rewards, _, _ in walked]) == pytest.approx(7 / 255)


def test_a_cache_changes_no_reward():
    small = walk(VecRewardWrapper(make(), Redness(), PICTURES, Scoring(cache=0)), 30)
    large = walk(VecRewardWrapper(make(), Redness(), PICTURES), 30)
    for (rewards, _, _), (other, _, _) in zip(small, large, strict=True):
        assert rewards == pytest.approx(other, abs=1e-6)


def test_with_a_stride_the_picture_holds_and_the_state_does_not():
    venv = VecRewardWrapper(
        make(2), RedAndNear(), PICTURES, Scoring(stride=4, keep_penalties=False), encode=mean_colour
    )
    held = [0.0, 0.0]
    clock = [0, 0]
    for rewards, dones, infos in walk(venv, 50):
        for row, info in enumerate(infos):
            if clock[row] % 4 == 0 or dones[row]:
                held[row] = info["picture"][..., 0].mean() / 255
            assert info[SCORED]["red"] == pytest.approx(held[row], abs=1e-6)
            assert rewards[row] == pytest.approx(held[row] * near(info), abs=1e-6)
            clock[row] = 0 if dones[row] else clock[row] + 1


def test_with_a_stride_pictures_need_not_be_made_in_between():
    class Seldom(Corridor):
        def step(self, action):
            observation, reward, terminated, truncated, info = super().step(action)
            if (self.steps - 1) % 3 and not (terminated or truncated):
                del info["picture"]
            return observation, reward, terminated, truncated, info

    often = walk(VecRewardWrapper(make(1), Redness(), PICTURES, Scoring(stride=3)), 40)
    venv = DummyVecEnv([Seldom])
    venv.seed(5)
    seldom = walk(VecRewardWrapper(venv, Redness(), PICTURES, Scoring(stride=3)), 40)
    assert [one[0].tolist() for one in often] == [one[0].tolist() for one in seldom]
    with pytest.raises(RewardError, match="no 'picture'"):
        walk(VecRewardWrapper(DummyVecEnv([Seldom]), Redness(), PICTURES), 5)


def test_a_failed_grader_is_flagged_and_the_last_value_holds():
    # Small pushes: nothing falls off, episodes last nine steps.
    venv = VecRewardWrapper(make(2, push=0.02), Failing(3, 4), scoring=Scoring(failed_rows=1000))
    before = [0.0, 0.0]
    seen = 0
    for rewards, _, infos in walk(venv, 30):
        for row, info in enumerate(infos):
            lost = info["state"]["steps"] in (3, 4)
            seen += lost
            assert info[SCORED]["failed"] is lost
            assert rewards[row] == pytest.approx(before[row] if lost else near(info), abs=1e-6)
            if lost:
                assert info[REASON] == "the judge is down"
            else:
                before[row] = float(rewards[row])
    assert seen > 5


def test_what_stands_for_a_failed_value_at_the_start_of_an_episode():
    """The other rows' mean, or the middle of the bounds; never the value of the episode before."""
    venv = VecRewardWrapper(make(2, push=0.02), Failing(1), scoring=Scoring(failed_rows=1000))
    for rewards, _, infos in walk(venv, 20):
        if infos[0]["state"]["steps"] == 1:
            assert rewards.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("fallback", "expected"), [("environment", 0.1), (0.25, 0.25)])
def test_other_fallbacks(fallback, expected):
    scoring = Scoring(fallback=fallback, failed_rows=1000)
    for rewards, _, infos in walk(VecRewardWrapper(make(2, push=0.02), Failing(3), scoring=scoring), 20):
        for row, info in enumerate(infos):
            assert rewards[row] == pytest.approx(expected if info["state"]["steps"] == 3 else near(info), abs=1e-6)


def test_too_many_failures_stop_the_run():
    venv = VecRewardWrapper(make(2, push=0.02), Failing(3, 4, 5), scoring=Scoring(failed_rows=50))
    with pytest.raises(GraderFailure, match=r"of the last 50 steps .*the judge is down"):
        walk(venv, 60)
    few = VecRewardWrapper(make(2, push=0.02), Failing(3), scoring=Scoring(failed_rows=50))
    assert len(walk(few, 60)) == 60


def test_a_model_that_fails_is_the_graders_fault():
    def broken(images):
        raise RuntimeError("out of memory")

    venv = VecRewardWrapper(make(2), RedAndNear(), PICTURES, Scoring(fallback=0.5, failed_rows=20), encode=broken)
    with pytest.raises(GraderFailure):
        walk(venv, 30)


def test_a_run_goes_on_from_the_state():
    def build():
        scoring = Scoring(stride=3)
        return VecRewardWrapper(make(2), HistoryQuantile(Redness(), warmup=4), PICTURES, scoring)

    whole, first, second = build(), build(), build()
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 2, 1)).astype(np.float32)
    whole.reset(), first.reset(), second.reset()
    expected = [whole.step(action)[1] for action in actions]
    assert len({float(one) for rewards in expected for one in rewards}) > 10
    for action in actions[:17]:
        first.step(action)
    second.load_state_dict(first.state_dict())
    for number in range(2):
        second.venv.envs[number].set_state(first.venv.envs[number].get_state())
    for step, action in enumerate(actions[17:], 17):
        assert (second.step(action)[1] == expected[step]).all()


def test_a_frozen_reward_takes_in_nothing():
    reward = HistoryQuantile(Near(), warmup=4)
    venv = VecRewardWrapper(make(2), reward)
    walk(venv, 10)
    known = reward.state_dict()
    venv.scorer.training = False
    walk(venv, 10)
    assert torch.equal(reward.state_dict()["seen"], known["seen"])
    assert torch.equal(reward.state_dict()["pending"], known["pending"])


def test_states_of_other_kinds_are_refused():
    state = VecRewardWrapper(make(2), Counting()).state_dict()
    with pytest.raises(RewardError, match="2 environments"):
        VecRewardWrapper(make(3), Counting()).load_state_dict(state)
    with pytest.raises(RewardError, match="parts"):
        VecRewardWrapper(make(2), Near()).load_state_dict(state)


def test_what_the_caller_forgot_is_said():
    with pytest.raises(RewardError, match="images"):
        VecRewardWrapper(make(), Redness())
    with pytest.raises(MissingColumn, match="state"):
        walk(VecRewardWrapper(make(), Near(), Columns(state="")), 1)
    with pytest.raises(RewardError, match="no 'nothing'"):
        walk(VecRewardWrapper(make(), Near(), Columns(info=("nothing",))), 1)
    with pytest.raises(RewardError, match="stride"):
        VecRewardWrapper(make(), Near(), scoring=Scoring(stride=0))
    with pytest.raises(RewardError, match="mode"):
        VecRewardWrapper(make(), Near(), scoring=Scoring(mode="instead"))


def test_further_columns_reach_the_reward():
    class Words(Near):
        needs = ("state", "word", "goal", "environment", "group", "first", "last", "step")
        seen: dict[int, tuple[int, float]] = {}

        def score(self, **columns):
            rows = zip(columns["word"], columns["first"].tolist(), strict=True)
            assert all((word == "step 1") == first for word, first in rows)
            assert columns["goal"] == ["a clear road"] * 3
            assert columns["environment"].tolist() == [0, 1, 2]
            self.last = columns["last"].tolist()
            # An episode has a number of its own, which stays the same from its first step to its last.
            for row, group in enumerate(columns["group"].tolist()):
                step = float(columns["state"]["steps"][row])
                environment, before = self.seen.get(group, (row, 0.0))
                assert (environment, step) == (row, before + 1)
                self.seen[group] = (row, step)
            return super().score(**columns)

    reward = Words()
    columns = Columns(info=("word",), constants={"goal": "a clear road"})
    venv = VecRewardWrapper(make(), reward, columns)
    venv.reset()
    for _ in range(15):
        _, _, dones, _ = venv.step(np.ones((3, 1), np.float32))
        assert reward.last == dones.tolist()
    assert len(reward.seen) > 6


@pytest.mark.parametrize(("reward", "encode"), [(Near(), None), (Redness(), None), (RedAndNear(), mean_colour)])
def test_a_reward_is_checked_on_steps_of_its_environment(reward, encode):
    check_in_environment(reward, make(), PICTURES, encode)


def test_a_reward_that_goes_by_its_neighbours_is_found_out():
    class Ranked(Near):
        def score(self, **columns):
            values = super().score(**columns).values
            return RewardOutput(values.argsort().argsort() / len(values))

    with pytest.raises(RewardError, match="row"):
        check_in_environment(Ranked(), make())


def test_pictures_come_in_the_layout_that_was_said():
    whole = np.arange(3 * 3 * 3, dtype=np.uint8).reshape(3, 3, 3)  # its shape fits both layouts
    assert torch.equal(as_pictures([whole], "CHW")[0], torch.from_numpy(whole).float() / 255)
    assert torch.equal(as_pictures([whole], "HWC")[0], torch.from_numpy(whole).permute(2, 0, 1).float() / 255)
    floats = whole.astype(np.float32) / 255
    assert torch.allclose(as_pictures([floats], "CHW"), as_pictures([whole], "CHW"))
    assert as_pictures([whole[..., :1]], "HWC").shape == (1, 3, 3, 3)
    for wrong, told in (
        (np.zeros((4, 5, 2), np.uint8), "2 channels"),
        (np.full((4, 5, 3), 7.0), r"\[0, 1\]"),
        (np.zeros((4, 5, 3), np.int64), "bytes or floats"),
        (np.zeros((4, 5), np.uint8), "three axes"),
    ):
        with pytest.raises(RewardError, match=told):
            as_pictures([wrong], "HWC")
    with pytest.raises(RewardError, match="alike"):
        as_pictures([whole, whole[:2]], "CHW")


@pytest.mark.parametrize("size", [1, 4, 7])
def test_a_ragged_last_batch_changes_nothing(size):
    whole = walk(VecRewardWrapper(make(5), RedAndNear(), PICTURES), 10)
    parts = walk(VecRewardWrapper(make(5), RedAndNear(), PICTURES, Scoring(batch_size=size)), 10)
    for (rewards, _, _), (other, _, _) in zip(whole, parts, strict=True):
        assert rewards == pytest.approx(other, abs=1e-5)
