"""Trains a policy in vectorised Gymnasium environments with stable-baselines3's PPO or SAC, inside a run's folder.

The algorithms are SB3's own, and everything is attached to them by callbacks and a buffer class. Only the outermost
loop of `learn` (collect, update, again) is written here: a checkpoint must be taken, and put back, between an update
and the next collection, and SB3 has no callback there (with gSDE, noise is drawn before `on_rollout_start`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from common.errors import TouchstoneError
from common.training.alarms import AlarmMonitor
from common.training.callbacks import HELD_OUT, Progress, StopRequest
from common.training.run import (
    CHECKPOINT,
    Interrupted,
    Run,
    checkpoint_step,
    last_checkpoint,
    seed_everything,
    undisturbed_rng,
)
from common.training.sb3.checkpoint import read_checkpoint, remove_checkpoint, write_checkpoint
from common.training.sb3.config import ControlConfig
from common.training.sb3.episodes import Episodes
from common.training.sb3.model import Features, Policy, build, load_policy, policy_of, save_policy
from common.training.sb3.relabel import Relabel

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnv

logger = logging.getLogger(__name__)

Evaluate = Callable[[Policy], Mapping[str, float]]


def train_policy(
    run: Run,
    stage: str,
    config: ControlConfig,
    venv: VecEnv,
    callbacks: Sequence[BaseCallback] = (),
    features: Features | None = None,
    evaluate: Evaluate | None = None,
    monitor: AlarmMonitor | None = None,
    keys: Sequence[str] = (),
) -> Policy:
    """Take a policy to its last step, from the newest checkpoint where there is one; a finished stage is only loaded.

    Args:
        run: the run's folder; its seed is that of policy, actions and environments.
        stage: name of the stage in log and checkpoints.
        config: the settings.
        venv: the environments, not wrapped in Monitor; see `sb3_state` for what makes a resumed run equal.
        callbacks: SB3 callbacks, such as `RelabelRollout`; those with `state_dict` are kept in checkpoints, and those
            with `figures()` asked for figures after each update.
        features: of the observations, where SB3's choice is not wanted.
        evaluate: measures the policy on held-out episodes, in environments of its own; the first value is the metric,
            higher is better.
        monitor: raises the alarms.
        keys: numbers in the info of an episode's last step that are logged as `episode/<key>`.

    Raises:
        Interrupted: the user stopped the run; a checkpoint after the last whole update is saved, unless he would not
            wait for its end.
        TouchstoneError: what an environment or the reward raised (GraderFailure); the message says how to go on.
    """
    if run.finished(stage):
        return load_policy(run.final(stage), features, config.device)
    model = build(config, venv, run.seed, features)
    session = Session(run, stage, config, model, callbacks, evaluate, monitor or AlarmMonitor(), keys)
    session.train()
    save_policy(model, config, run.final(stage))
    for checkpoint in run.stage(stage).glob(f"{CHECKPOINT}*"):
        remove_checkpoint(checkpoint)
    if session.stop.asked:  # in the last update: another run of a comparison would begin
        raise Interrupted(f"stopped at the end of {stage}; go on with:\n  {run.resume_command}")
    return load_policy(run.final(stage), features, config.device)


class Session:
    """One training of one algorithm; see `train_policy`."""

    def __init__(
        self,
        run: Run,
        stage: str,
        config: ControlConfig,
        model: BaseAlgorithm,
        callbacks: Sequence[BaseCallback],
        evaluate: Evaluate | None,
        monitor: AlarmMonitor,
        keys: Sequence[str],
    ) -> None:
        self.run = run
        self.stage = stage
        self.config = config
        self.model = model
        self.evaluate = evaluate
        self.monitor = monitor
        self.episodes = Episodes(keys, relabelled=any(isinstance(one, Relabel) for one in callbacks))
        self.callbacks: list[BaseCallback] = [*callbacks, self.episodes]
        self.stop = StopRequest()
        self.progress = Progress(stage)
        self.saved = 0
        self.began = time.perf_counter()
        #: Step of the newest line in the log.
        self.logged = 0

    @property
    def step(self) -> int:
        """Transitions so far, of all environments together."""
        return self.model.num_timesteps

    def train(self) -> None:
        """Collect and update until the last step; see `train_policy` for what it raises."""
        model, total = self.model, self.config.steps
        model.set_logger(Logger(folder=None, output_formats=[]))
        _, callback = model._setup_learn(total, list(self.callbacks), reset_num_timesteps=True)
        callback.on_training_start({}, {})
        self._resume()
        self.progress.start(self.step, total)
        try:
            with self.stop.listening():
                while self.step < total:
                    before = self.step
                    self._update(callback)
                    self._after(before)
        except KeyboardInterrupt as error:
            raise Interrupted(self._way_on()) from error
        except Interrupted:
            raise
        except TouchstoneError as error:
            self.run.alarm("failed", self.stage, self.step, str(error))
            error.args = (f"{error}\n{self._way_on()}",)
            raise
        finally:
            callback.on_training_end()
            self.progress.close()

    def _update(self, callback: Any) -> None:
        """Collect once and learn from it, as SB3's `learn` does."""
        model, total = self.model, self.config.steps
        assert model.env is not None
        if isinstance(model, OnPolicyAlgorithm):
            model.collect_rollouts(model.env, callback, model.rollout_buffer, n_rollout_steps=model.n_steps)
            model._update_current_progress_remaining(model.num_timesteps, total)
            model.train()
        elif isinstance(model, OffPolicyAlgorithm):
            assert model.replay_buffer is not None
            collected = model.collect_rollouts(
                model.env,
                callback,
                model.train_freq,  # type: ignore[arg-type]
                model.replay_buffer,
                learning_starts=model.learning_starts,
                log_interval=None,
            )
            if model.num_timesteps > model.learning_starts:
                updates = model.gradient_steps if model.gradient_steps >= 0 else collected.episode_timesteps
                if updates:
                    model.train(batch_size=model.batch_size, gradient_steps=updates)
        figures = dict(model.logger.name_to_value)
        model.logger.dump()
        self.episodes.note({name.removeprefix("train/"): value for name, value in figures.items()})
        for one in self.callbacks:
            told = getattr(one, "figures", None)
            if told is not None and one is not self.episodes:
                self.episodes.note(told())

    def _after(self, before: int) -> None:
        """Write the line, measure, save and stop, whatever is due."""
        last = self.step >= self.config.steps
        if last or not self.config.log_every or _passed(before, self.step, self.config.log_every):
            self._log()
        if self.stop.asked and not last:
            self._save()
            raise Interrupted(self._way_on())
        if not last and _passed(before, self.step, self.config.save_every):
            self._save()

    def _log(self) -> None:
        row: dict[str, Any] = dict(self.episodes.figures())
        due = self.step >= self.config.steps or _passed(self.logged, self.step, self.config.eval_every)
        if self.evaluate is not None and due:
            row |= self._measured()
        now = time.perf_counter()
        row["time/step"], self.began, self.logged = now - self.began, now, self.step
        alarms = self.monitor.update(self.step, row)
        for alarm in alarms:
            logger.warning("step %d: %s", alarm.step, alarm.message)
            self.progress.say(f"step {alarm.step}: {alarm.message}")
            self.run.alarm(alarm.kind, self.stage, alarm.step, alarm.message, alarm.values)
        if alarms:
            row["alarms"] = [alarm.kind for alarm in alarms]
        self.run.log(self.step, self.stage, **row)
        self.progress.update(self.step, row)

    def _measured(self) -> dict[str, float]:
        assert self.evaluate is not None
        self.model.policy.set_training_mode(False)
        with undisturbed_rng():
            seed_everything(self.run.seed + self.step)
            measured = self.evaluate(policy_of(self.model))
        row = {HELD_OUT + name: float(value) for name, value in measured.items()}
        if self.monitor.gold is None:
            self.monitor.gold = next(iter(row), None)
        return row

    def _save(self) -> None:
        write_checkpoint(self.run, self.stage, self.model, self.callbacks)
        self.saved = self.step

    def _resume(self) -> None:
        """Go on from the newest checkpoint; without one, from nothing."""
        newest = last_checkpoint(self.run, self.stage)
        if newest is None:
            self.run.rewind(self.stage, 0)
            return
        step = checkpoint_step(newest)
        read_checkpoint(newest, self.model, self.callbacks)
        self.run.rewind(self.stage, step)
        for row in self.run.rows(self.stage):
            self.logged = row["step"]
            if self.monitor.gold is None:
                self.monitor.gold = next((name for name in row if name.startswith(HELD_OUT)), None)
            self.monitor.update(row["step"], row)
        self.saved = step

    def _way_on(self) -> str:
        at = f"stopped at step {self.step} of {self.config.steps} ({self.stage})"
        if last_checkpoint(self.run, self.stage) is None:
            return f"{at}, with nothing of this stage saved yet; begin it again with:\n  {self.run.resume_command}"
        lost = f" ({self.step - self.saved} steps later than the checkpoint)" if self.step > self.saved else ""
        return f"{at}{lost}; go on with:\n  {self.run.resume_command}"


def _passed(before: int, step: int, every: int) -> bool:
    """Whether a multiple of `every` lies after `before` and not after `step`."""
    return every > 0 and step // every > before // every
