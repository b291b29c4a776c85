"""Training in two processes and in passes that fit into memory: the same step as in one process, all at once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.captioning.batches import check_processes
from apps.captioning.train import finished
from common.errors import UsageError
from tests.apps.captioning import processes
from tests.apps.captioning.test_train import captions, log, models, settings, train_run  # noqa: F401
from tests.apps.captioning.tiny_judge import tiny_judge_folder

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def judge_folder(tmp_path_factory):
    """Without dropout, whose masks are another's where a step is shared out."""
    return tiny_judge_folder(tmp_path_factory.mktemp("judge"), dropout=0.0)


@pytest.fixture(scope="module")
def alone(judge_folder) -> dict[str, Any]:
    return processes.outcomes(judge_folder)


@pytest.fixture(scope="module")
def launched(tmp_path_factory, models, judge_folder) -> tuple[Path, list[tuple[int, str]]]:  # noqa: F811
    """Two processes as `torchrun` starts them: folder, and how each ended with what it said last."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "models").symlink_to(models)
    settings(models, folder / "runs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(2):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "OMP_NUM_THREADS": 1}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [
            sys.executable,
            "-m",
            "tests.apps.captioning.processes",
            str(folder),
            str(models),
            str(judge_folder),
        ]
        environment = {**os.environ, **{name: str(value) for name, value in place.items()}}
        started.append(
            subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, encoding="utf-8")
        )
    try:
        ended = [(process.communicate(timeout=300)[1], process.returncode) for process in started]
    finally:
        for process in started:
            process.kill()
    return folder, [(code, said[-3000:]) for said, code in ended]


def close(one: dict[str, Any], other: dict[str, Any]) -> None:
    """The same figures and gradients up to rounding."""
    assert one["figures"] == pytest.approx(other["figures"], rel=1e-4, abs=1e-5, nan_ok=True)
    for part in ("captioner", "judge"):
        assert one[part].keys() == other[part].keys()
        for name, gradient in one[part].items():
            assert torch.allclose(gradient, other[part][name], rtol=1e-4, atol=1e-5), (part, name)


def without_validation(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("validation/")}


@pytest.mark.parametrize("name", ["init", *processes.STEPS])
def test_a_step_of_two_processes_is_that_of_one(launched, alone, name):
    folder, ended = launched
    files = [folder / f"steps-{rank}.pt" for rank in range(2)]
    assert all(file.is_file() for file in files), ended
    first, second = (torch.load(file) for file in files)
    assert alone[name]["figures"]["gradient"] > 1e-3
    close(first[name], alone[name])
    # All processes go on with the same weights: their gradients are equal to the last bit.
    for part in ("captioner", "judge"):
        assert all(torch.equal(value, second[name][part][key]) for key, value in first[name][part].items())


def test_two_processes_leave_one_run_and_resume_it_bit_for_bit(launched):
    folder, ended = launched
    assert all((folder / f"done-{rank}").is_file() for rank in range(2)), ended
    whole, cut = folder / "runs" / "whole", folder / "runs" / "cut"
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["cut", "whole"]
    # Written once: every step has one line.
    assert [(row["stage"], row["step"]) for row in log(whole)] == [
        *(("init", step) for step in (1, 2, 3)),
        *(("rl", step) for step in (1, 2, 3, 4)),
    ]
    # Validation asks CLIP, whose vectors of texts one run remembered and the other reckoned in another batch.
    assert [without_validation(row) for row in log(cut)] == [without_validation(row) for row in log(whole)]
    for row, other in zip(log(cut), log(whole), strict=True):
        validation = [
            {name: one[name] for name in one.keys() - without_validation(one).keys()} for one in (row, other)
        ]
        assert validation[0] == pytest.approx(validation[1], rel=1e-5)
    for part in ("model", "discriminator"):
        files = list((whole / part).rglob("*.safetensors"))
        assert files
        for path in files:
            assert path.read_bytes() == (cut / path.relative_to(whole)).read_bytes(), path
    assert captions(finished(train_run(cut)).after) == captions(finished(train_run(whole)).after)
    assert not list(whole.glob("checkpoints/*/*.pt"))


def test_where_the_main_process_fails_the_other_ends_too(launched):
    _, ((main, said), (other, waited)) = launched
    assert main == other == 1
    assert "the disk is full" in said
    assert "MainFailed: the main process failed" in waited


# --- passes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 4, 100])
def test_the_initialisation_in_passes_is_that_at_once(alone, size):
    close(processes.outcome(processes.initialiser(micro_batch=size)), alone["init"])


# Five captions a pass: parts of unlike sizes, and for DiCO one picture.
@pytest.mark.parametrize("size", [5, 7])
@pytest.mark.parametrize("name", list(processes.STEPS))
def test_a_reinforcement_step_in_passes_is_that_at_once(alone, judge_folder, name, size, monkeypatch):
    from apps.captioning.model import Captioner

    rows = []
    logits = Captioner.logits
    monkeypatch.setattr(Captioner, "logits", lambda self, *given: rows.append(len(given[0])) or logits(self, *given))
    one = processes.reinforcer(judge_folder, name, micro_batch=size, judge={"micro_batch": 3})
    close(processes.outcome(one), alone[name])
    assert max(rows) <= size


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rl.micro_batch": -1}, r"rl\.micro_batch must be 0"),
        ({"init.micro_batch": -1}, r"init\.micro_batch must be 0"),
        ({"discriminator.micro_batch": -2}, r"discriminator\.micro_batch must be 0"),
        ({"rl.algorithm": "dico", "rl.micro_batch": 2}, r"rl\.micro_batch 2: dico .* use rl\.samples \(3\) or more"),
        ({"rl.pictures_per_step": 5}, r"rl\.pictures_per_step: 5 does not divide by 2 processes"),
        ({"init.batch_size": 9}, r"init\.batch_size: 9 does not divide by 2 processes"),
        ({"captioner.device": "cuda:0"}, r"captioner\.device cuda:0: each of 2 processes has a GPU of its own"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_by_name(models, tmp_path, change, message):  # noqa: F811
    chosen = settings(models, tmp_path)
    chosen.rl.pictures_per_step = 4
    check_processes(chosen, 2)
    for name, value in change.items():
        part, setting = name.split(".")
        setattr(getattr(chosen, part), setting, value)
    with pytest.raises(UsageError, match=message):
        check_processes(chosen, 2)


def test_further_steps_are_shared_out_too(models, tmp_path):  # noqa: F811
    chosen = settings(models, tmp_path)
    chosen.rl.pictures_per_step, chosen.init.path, chosen.init.batch_size = 4, "shipped", 9
    check_processes(chosen, 2)
    chosen.init.further = 1
    with pytest.raises(UsageError, match=r"init\.batch_size: 9 does not divide by 2 processes"):
        check_processes(chosen, 2)


def test_help_and_one_process_load_nothing_of_several():
    code = "import sys, apps.captioning.__main__, apps.captioning.train; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
