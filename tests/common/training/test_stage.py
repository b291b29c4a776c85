"""A stage of a run: atomic checkpoints, a clean stop, and alarms."""

from __future__ import annotations

import json
import os
import pickle
import signal
from dataclasses import dataclass

import pytest
import torch

from common.errors import DataError, GraderFailure, MissingColumn, UsageError
from common.training.run import Interrupted, Run
from common.training.stage import (
    drop_checkpoints,
    newest_checkpoint,
    open_run,
    read_checkpoint,
    run_stage,
    write_checkpoint,
)


class Counter:
    """A learner whose figures depend on all its steps so far."""

    def __init__(self, at: int = -1, act=None) -> None:
        self.steps, self.value = 0, torch.zeros(3)
        self.at, self.act = at, act

    def step(self) -> dict[str, float]:
        if self.steps == self.at:
            self.act()
        self.value = self.value * 1.5 + self.steps
        self.steps += 1
        return {"loss": float(self.value[0])}

    def state(self):
        return {"steps": self.steps, "value": self.value}

    def restore(self, state):
        self.steps, self.value = state["steps"], state["value"]


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.create(tmp_path / "captioning", "one", {"a": 1}, 0)


def losses(run: Run) -> list[float]:
    return [row["loss"] for row in run.rows("rl")]


def whole(tmp_path, steps: int = 7) -> list[float]:
    other = Run.create(tmp_path / "whole", "one", {}, 0)
    run_stage(other, "rl", Counter(), steps)
    return losses(other)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def press_twice() -> None:
    press()
    press()


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def test_a_stage_goes_to_its_last_step_and_logs_each(run, tmp_path):
    seen = []
    run_stage(run, "rl", Counter(), 7, after_step=lambda step, figures: seen.append(step) or {"more": float(step)})
    rows = run.rows("rl")
    assert [row["step"] for row in rows] == seen == [1, 2, 3, 4, 5, 6, 7]
    assert [row["more"] for row in rows] == seen
    assert all(row["time/step"] >= 0 for row in rows)
    assert losses(run) == whole(tmp_path)


def test_one_ctrl_c_ends_the_step_saves_and_goes_on_where_it_was(run, tmp_path):
    with pytest.raises(Interrupted, match=r"stopped at step 4 of 7 \(rl\); go on with:\n.*--resume"):
        run_stage(run, "rl", Counter(3, press), 7)
    assert newest_checkpoint(run, "rl").name == "checkpoint-000004.pt"
    run_stage(run, "rl", Counter(), 7)
    assert losses(run) == whole(tmp_path)
    # Ctrl-C is Python's own again.
    with pytest.raises(KeyboardInterrupt):
        press()


def test_ctrl_c_in_the_last_step_does_not_go_on_to_the_next_stage(run, tmp_path):
    with pytest.raises(Interrupted, match=r"stopped at step 7 of 7"):
        run_stage(run, "rl", Counter(6, press), 7)
    last = Counter()
    run_stage(run, "rl", last, 7)
    assert last.steps == 7
    assert losses(run) == whole(tmp_path)


@pytest.mark.parametrize("act", [press_twice, raise_interrupt])
def test_a_hard_stop_goes_on_from_the_last_checkpoint(run, tmp_path, act):
    extra = {"seen": 5}
    with pytest.raises(Interrupted, match=r"step 5 of 7 \(rl\) \(1 steps later than the checkpoint\)"):
        run_stage(run, "rl", Counter(5, act), 7, save_every=2, extra=lambda: extra)
    back = {}
    run_stage(run, "rl", Counter(), 7, save_every=2, restore_extra=back.update)
    assert back == extra
    assert losses(run) == whole(tmp_path)


def test_nothing_saved_yet_is_said(run):
    with pytest.raises(Interrupted, match="nothing of this stage saved yet; begin it again"):
        run_stage(run, "rl", Counter(2, raise_interrupt), 7)
    assert newest_checkpoint(run, "rl") is None


@pytest.mark.parametrize("error", [GraderFailure("the judge is down"), MissingColumn("bleu", "reference", ["images"])])
def test_a_failure_is_an_alarm_and_says_how_to_go_on(run, error):
    def fail() -> None:
        raise error

    with pytest.raises(type(error), match=r"(?s)stopped at step 4 of 7.*--resume"):
        run_stage(run, "rl", Counter(4, fail), 7, save_every=3)
    (alarm,) = run.alarms("rl")
    assert alarm["kind"] == "failed"
    assert newest_checkpoint(run, "rl").name == "checkpoint-000003.pt"


def test_only_the_newest_checkpoints_are_kept(run):
    run_stage(run, "rl", Counter(), 9, save_every=2)
    assert sorted(path.name for path in run.stage("rl").iterdir()) == ["checkpoint-000006.pt", "checkpoint-000008.pt"]
    drop_checkpoints(run, "rl")
    assert list(run.stage("rl").iterdir()) == []


def test_killing_a_save_leaves_the_earlier_checkpoint(run, monkeypatch):
    write_checkpoint(run, "rl", 2, {"learner": {"value": torch.ones(2)}, "extra": {}})

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(run, "rl", 4, {"learner": {"value": torch.zeros(2)}})
    monkeypatch.undo()
    newest = newest_checkpoint(run, "rl")
    assert newest.name == "checkpoint-000002.pt"
    assert read_checkpoint(newest)["learner"]["value"].tolist() == [1, 1]
    # What a killed process leaves, a file half written under a temporary name, is not taken for one.
    (run.stage("rl") / ".checkpoint-000006.pt.x1y2").write_bytes(b"half")
    assert newest_checkpoint(run, "rl") == newest


def test_a_save_that_fails_raises(run, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        run_stage(run, "rl", Counter(), 7, save_every=2)


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "pickle"])
def test_a_damaged_checkpoint_is_named(run, damage):
    path = write_checkpoint(run, "rl", 2, {"learner": {"value": torch.ones(500)}})
    data = path.read_bytes()
    path.write_bytes(
        {"cut": data[: len(data) // 2], "empty": b"", "noise": b"\x00\x7f" * 400, "pickle": pickle.dumps({"a": Run})}[
            damage
        ]
    )
    with pytest.raises(DataError, match=r"checkpoint-000002\.pt: damaged checkpoint .*; delete it"):
        run_stage(run, "rl", Counter(), 7)


def test_a_checkpoint_without_its_parts_is_named(run):
    write_checkpoint(run, "rl", 2, {"something": 1})
    with pytest.raises(DataError, match=r"checkpoint-000002\.pt: .*delete it"):
        run_stage(run, "rl", Counter(), 7)


def test_the_log_is_rewound_to_the_checkpoint(run):
    with pytest.raises(Interrupted):
        run_stage(run, "rl", Counter(5, raise_interrupt), 7, save_every=3)
    run.alarm("length", "rl", 5, "later than the checkpoint")
    run.log(1, "init", loss=9.0)
    run_stage(run, "rl", Counter(), 7, save_every=3)
    assert [row["step"] for row in run.rows("rl")] == [1, 2, 3, 4, 5, 6, 7]
    assert run.alarms() == []
    assert len(run.rows("init")) == 1
    assert all(json.loads(line) for line in run.log_file.read_text().splitlines())


@dataclass
class Settings:
    rate: float = 0.5
    layers: tuple[int, ...] = (1, 2)


def test_a_command_given_again_goes_on_with_its_run(tmp_path):
    folder = tmp_path / "captioning" / "pretrain"
    first = open_run(folder, Settings(), 3, "again")
    write_checkpoint(first, "rl", 2, {"learner": {}, "extra": {}})
    second = open_run(folder, Settings(), 3, "again")
    assert second.folder == folder
    assert newest_checkpoint(second, "rl") is not None
    assert second.resume_command == "again"


def test_a_run_with_other_settings_is_refused_by_name(tmp_path):
    folder = tmp_path / "captioning" / "pretrain"
    open_run(folder, Settings(), 3, "again")
    with pytest.raises(UsageError, match="pretrain"):
        open_run(folder, Settings(rate=0.7), 3, "again")


def test_a_stage_that_has_enough_ends_early_and_can_be_gone_on_with(run, tmp_path):
    learner = Counter()
    run_stage(run, "rl", learner, 7, enough=lambda: learner.steps == 3)
    assert learner.steps == 3
    run_stage(run, "rl", Counter(), 7)
    assert losses(run) == whole(tmp_path)


def test_the_end_is_kept_where_it_is_asked_for_and_not_done_again(run):
    run_stage(run, "a", Counter(), 3)
    assert newest_checkpoint(run, "a") is None
    run_stage(run, "b", Counter(), 3, keep_end=True)
    kept = newest_checkpoint(run, "b")
    assert kept is not None
    assert kept.name == "checkpoint-000003.pt"
    written = kept.stat().st_mtime_ns
    again = Counter()
    run_stage(run, "b", again, 3, keep_end=True)
    assert again.steps == 3
    assert kept.stat().st_mtime_ns == written
    assert len(run.rows("b")) == 3
