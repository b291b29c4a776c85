"""The run folder: complete, reloadable, and never half written."""

from __future__ import annotations

import json
import math
import random
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from common.config import GrpoConfig, load
from common.errors import DataError, UsageError
from common.training import run as module
from common.training.run import Run, last_checkpoint, seed_everything, undisturbed_rng


@dataclass
class Settings:
    grpo: GrpoConfig = field(default_factory=GrpoConfig)
    name: str = "größe"
    path: str | None = None


@dataclass
class Seeded:
    runs: str
    seed: int = 0


def test_the_config_can_be_given_to_the_command_line_again(tmp_path: Path) -> None:
    settings = Settings(GrpoConfig(steps=7, extra={"warmup_steps": 3}))
    run = Run.create(tmp_path / "toy", "first", settings, seed=11)
    assert load(Settings, run.folder / "config.yaml") == settings
    text = (run.folder / "config.yaml").read_text()
    assert f"# torch: {torch.__version__.split('+')[0]}" in text
    assert "# git commit: " in text
    again = Run.resume(run.folder)
    assert again.config == run.config == yaml.safe_load(text)
    assert again.seed == 11
    assert again.resume_command == f"python -m apps.toy train --resume {run.folder}"


def test_names_do_not_clash(tmp_path: Path) -> None:
    Run.create(tmp_path, "taken", {}, seed=0)
    with pytest.raises(UsageError, match="--resume"):
        Run.create(tmp_path, "taken", {}, seed=0)
    unnamed = [Run.create(tmp_path, None, {}, seed=0).folder for _ in range(3)]
    assert len(set(unnamed)) == 3


def test_a_folder_with_a_space_is_quoted_in_the_command(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "toy", "my run", {}, seed=0)
    assert run.resume_command.endswith(f"--resume '{run.folder}'")


def test_runs_that_begin_in_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    config = Seeded(str(tmp_path / "my runs"))
    one, other = (Run.open("python -m apps.toy", config) for _ in range(2))
    assert one.folder != other.folder
    assert shlex.split(one.resume_command)[-1] == str(one.folder)


@pytest.mark.parametrize("broken", ["nothing", "no run.json", "bad json", "bad yaml"])
def test_what_is_no_run_cannot_be_resumed(tmp_path: Path, broken: str) -> None:
    folder = tmp_path / "toy" / "x"
    if broken != "nothing":
        folder = Run.create(tmp_path / "toy", "x", {}, seed=0).folder
    if broken == "no run.json":
        (folder / "run.json").unlink()
    if broken == "bad json":
        (folder / "run.json").write_text("{")
    if broken == "bad yaml":
        (folder / "config.yaml").write_text("a: [")
    with pytest.raises((UsageError, DataError)):
        Run.resume(folder)


def test_the_log_is_json_whatever_is_logged(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", {}, seed=0)
    run.log(1, "sft", loss=math.nan, norm=torch.tensor(2.5), count=np.int64(3), where=tmp_path, flag=True)
    run.log(2, "grpo", reward=np.float32(0.5), bad=-math.inf)
    assert run.rows() == [
        {"stage": "sft", "step": 1, "loss": None, "norm": 2.5, "count": 3, "where": str(tmp_path), "flag": True},
        {"stage": "grpo", "step": 2, "reward": 0.5, "bad": None},
    ]
    assert [row["step"] for row in run.rows("grpo")] == [2]
    assert len(run.log_file.read_text().splitlines()) == 2


def test_alarms_are_counted_up_not_repeated(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", {}, seed=0)
    assert run.alarms() == []
    run.alarm("truncated", "grpo", 5, "half are cut", {"share": 0.5})
    run.alarm("truncated", "grpo", 50, "more are cut", {"share": math.nan})
    run.alarm("truncated", "sft", 7, "another stage")
    first, second = run.alarms()
    assert (first["step"], first["last_step"], first["count"], first["message"]) == (5, 50, 2, "more are cut")
    assert first["values"] == {"share": None}
    assert second["stage"] == "sft"
    assert run.alarms("sft") == [second]


def test_rewinding_forgets_only_what_will_be_done_again(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", {}, seed=0)
    for step in range(1, 6):
        run.log(step, "sft")
        run.log(step, "grpo")
        run.alarm(f"kind{step}", "grpo", step, "")
    run.rewind("grpo", 3)
    assert [row["step"] for row in run.rows("sft")] == [1, 2, 3, 4, 5]
    assert [row["step"] for row in run.rows("grpo")] == [1, 2, 3]
    assert [alarm["step"] for alarm in run.alarms()] == [1, 2, 3]


def test_a_checkpoint_counts_once_it_is_whole(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", {}, seed=0)
    assert last_checkpoint(run, "grpo") is None
    for step in (9, 10, 100):
        (run.stage("grpo") / f"checkpoint-{step}").mkdir(parents=True)
    for step in (9, 10):
        (run.stage("grpo") / f"checkpoint-{step}" / "complete.json").write_text("{}")
    found = last_checkpoint(run, "grpo")
    assert found is not None
    assert found.name == "checkpoint-10"
    assert last_checkpoint(run, "sft") is None


def test_seeding_and_leaving_the_generators_alone() -> None:
    def draw() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(()))]

    seed_everything(3)
    first = draw()
    seed_everything(3)
    with undisturbed_rng():
        draw()
        seed_everything(99)
    assert draw() == first
    seed_everything(2**40 + 1)  # numpy alone takes no more than 32 bits


def test_a_crash_while_writing_leaves_the_old_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.create(tmp_path, "x", {}, seed=0)
    path = run.save_samples("grpo", 5, [{"completion": "SELECT 1", "reward": 1.0}])
    with pytest.raises(RuntimeError):
        run.save_samples("grpo", 5, rows_that_break())
    assert json.loads(path.read_text()) == {"step": 5, "completion": "SELECT 1", "reward": 1.0}
    assert list(run.samples.iterdir()) == [path]


def rows_that_break() -> Any:
    yield {"completion": "SELECT 2"}
    raise RuntimeError


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "__file__", str(tmp_path / "a" / "b" / "run.py"))
    assert module.git_commit() is None
