"""`train`: figures beside baselines, the same with an interruption as without, and probes that know what they can."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.config import load
from common.rewards.__main__ import APP, TRAINING
from common.rewards.trained import figures
from common.rewards.trained.config import TrainRewardConfig
from common.rewards.trained.learned_reward import LearnedReward
from common.rewards.trained.preferences import Preference, read_preferences
from common.rewards.trained.train import train_reward
from common.training.run import Interrupted
from tests.common.rewards.trained.preferring import rows, write


def arguments(tmp_path: Path, **more: Any) -> list[str]:
    pairs = write(tmp_path / "pairs.jsonl", rows(160))
    given = {
        "pairs": pairs,
        "backbone.path": "hash",
        "hidden": 8,
        "steps": 80,
        "batch_size": 32,
        "learning_rate": 0.003,
        "runs": tmp_path / "runs",
        "threads": 1,
        **more,
    }
    return [part for name, value in given.items() for part in (f"--{name}", str(value))]


def test_the_verb_from_pairs_to_a_reward(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert APP.main(["train", *arguments(tmp_path), "--name", "one", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    right = {name: one["all"]["mean"] for name, one in told["accuracy"].items()}
    assert list(right) == ["learned", "longer wins", "random", "token F1"]
    assert right["learned"] > right["token F1"] > 0.5
    assert told["accuracy"]["learned"]["all"]["low"] > 0.6
    assert told["accuracy"]["longer wins"]["shorter"]["mean"] == 0
    assert told["accuracy"]["longer wins"]["length"]["mean"] == pytest.approx(1.0)
    assert told["over_length"]["difference"]["low"] > 0
    assert set(told["probes"]) == {"correct", "verbose", "length"}
    assert told["probes"]["verbose"]["accuracy"]["mean"] > 0.95
    run = tmp_path / "runs" / "one"
    assert {"config.yaml", "log.jsonl", "evaluation.json", "report.html"} <= {file.name for file in run.iterdir()}
    page = (run / "report.html").read_text()
    assert "longer wins" in page
    assert page.count("<svg role") == 3
    reward = LearnedReward(run / "reward")
    good, bad = reward(
        prompt=["which of the two is right of the red ball 999"] * 2, completion=["it is red", "it is blue"]
    ).values.tolist()
    assert good > bad


def test_stopped_and_resumed_it_ends_as_if_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from common.rewards.trained import learner

    given = arguments(tmp_path, steps=30, save_every=10)
    config = load(TrainRewardConfig, TRAINING / "pocket.yaml", given)
    whole = train_reward(config, "whole", quiet=True)
    step = learner.PreferenceLearner.step

    def interrupted(self: Any) -> dict[str, float]:
        if self.steps == 17:
            signal.raise_signal(signal.SIGINT)
        return step(self)

    monkeypatch.setattr(learner.PreferenceLearner, "step", interrupted)
    with pytest.raises(Interrupted, match=r"train --resume .*halved"):
        train_reward(config, "halved", quiet=True)
    monkeypatch.setattr(learner.PreferenceLearner, "step", step)
    assert list((tmp_path / "runs" / "halved" / "features").iterdir())
    halved = tmp_path / "runs" / "halved"
    assert APP.main(["train", "--resume", str(halved), "--json"]) == 0
    assert (halved / "reward" / "head.safetensors").read_bytes() == (whole.folder / "head.safetensors").read_bytes()
    assert json.loads((halved / "evaluation.json").read_text()) == json.loads(
        (whole.run.folder / "evaluation.json").read_text()
    )
    write(tmp_path / "pairs.jsonl", rows(160, seed=1))
    assert APP.main(["train", "--resume", str(halved)]) == 2


def test_stopped_while_reading_it_keeps_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from common.models import backbone
    from common.rewards.trained import features as pair_features

    config = load(TrainRewardConfig, TRAINING / "pocket.yaml", arguments(tmp_path, steps=2))
    monkeypatch.setattr(pair_features, "BLOCK", 50)
    read, sizes = backbone.read_features, []

    def stopped(reader: Any, several: Any, *more: Any) -> torch.Tensor:
        sizes.append(len(several))
        if len(sizes) == 3:
            raise KeyboardInterrupt
        return read(reader, several, *more)

    monkeypatch.setattr(backbone, "read_features", stopped)
    with pytest.raises(Interrupted, match=r"train --resume .*one"):
        train_reward(config, "one", quiet=True)
    assert sizes == [50, 50, 50]
    train_reward(config, resume=tmp_path / "runs" / "one", quiet=True)
    # The third block again and the rest, then the row that the card holds: not the first two blocks.
    distinct = pair_features.distinct(read_preferences(config.pairs).rows)
    assert sum(sizes[3:-1]) == distinct - 100


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--resume", "runs/x", "--steps", "3"], "leave out --steps=3"),
        ([], "name a file with --pairs"),
        (["--pairs", "nowhere.jsonl"], "no such file"),
        (["--pairs", "p", "--steps", "0"], "steps 0: 1 or more"),
        (["--pairs", "p", "--stepz", "3"], "did you mean '--steps'"),
    ],
)
def test_wrong_use_is_one_line_and_2(more: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert APP.main(["train", *more]) == 2
    assert told in capsys.readouterr().err


def test_a_dry_run_trains_nothing_and_finds_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert APP.main(["train", *arguments(tmp_path), "--dry_run", "--json"]) == 0
    told = {one["name"]: one["detail"] for one in json.loads(capsys.readouterr().out)}
    assert "160 pairs" in told["pairs"]
    assert "correct, verbose" in told["pairs"]
    assert "held out 32 pairs of " in told["split by prompt"]
    assert not (tmp_path / "runs").exists()
    for path, passed, code in (("./nowhere", False, 2), ("nobody/nothing", None, 0)):
        wrong = arguments(tmp_path, **{"backbone.path": path})
        assert APP.main(["train", *wrong, "--dry_run", "--json"]) == code
        found = {one["name"]: one["passed"] for one in json.loads(capsys.readouterr().out)}
        assert found["backbone"] is passed
    recipe = TRAINING / "qwen2.5-vl-7b.yaml"
    assert load(TrainRewardConfig, recipe).backbone.tune == "lora"


def pair(chosen: str, rejected: str, group: int, right: tuple[bool, bool] = (True, False)) -> Preference:
    return Preference("p", chosen, rejected, group=str(group), labels={"right": right})


def test_accuracy_truth_table() -> None:
    pairs = [pair("aa", "a", 0), pair("a", "aa", 1), pair("a", "a", 2), pair("a", "aa", 3)]
    found = figures.accuracy("one", np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5], [math.nan, 1.0]]), pairs)
    # Right, right, a tie, and one that was not scored.
    assert (found.all.mean, found.all.n) == (pytest.approx(2.5 / 3), 3)
    assert (found.shorter.mean, found.shorter.n) == (1.0, 1)
    assert (found.longer.mean, found.longer.n) == (1.0, 1)


def test_a_probe_reads_what_is_there_and_nothing_else() -> None:
    generator = torch.Generator().manual_seed(0)
    count = 120
    features = torch.randn(count, 2, 6, generator=generator)
    seen = [(bool(one[0, 2] > 0), bool(one[1, 2] > 0)) for one in features]
    lost = torch.rand(count, 2, generator=generator) > 0.5
    pairs = [
        Preference("p", f"a{at}", f"b{at}", group=str(at), labels={"seen": seen[at], "lost": tuple(lost[at].tolist())})
        for at in range(count)
    ]
    found = {one.name: one for one in figures.probes(features, pairs, range(80), range(80, count), ["seen", "lost"])}
    assert found["seen"].accuracy.mean > 0.9
    assert found["seen"].auc > 0.95
    assert found["lost"].accuracy.low < 0.6
    # All completions are of one length: there is nothing to tell.
    assert math.isnan(found["length"].accuracy.mean)


def test_medvqas_pairs_hold_right_against_wrong(tmp_path: Path) -> None:
    from apps.medvqa.__main__ import APP as MEDVQA

    assert MEDVQA.main(["pairs", "--out", str(tmp_path), "--rows", "12", "--each", "2", "--json"]) == 0
    found = read_preferences(tmp_path / "pairs.jsonl")
    assert found.dimensions == ("correct", "verbosity")
    assert len(found.rows) > 12
    for row in found.rows:
        assert row.images[0].is_file()
        assert row.labels["correct"] == (True, False)
        assert any(text in row.chosen for text in row.references) or row.labels["verbosity"][0]
        assert not any(row.rejected == f"<answer>{text}</answer>" for text in row.references)
