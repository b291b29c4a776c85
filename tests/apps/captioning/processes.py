"""What each of two processes does in `test_processes.py`: steps of the learners, then whole runs; no test itself."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.captioning import train
from apps.captioning.learning.initialise import Initialiser
from apps.captioning.learning.reinforce import Reinforcer
from apps.captioning.model import Captioner
from apps.captioning.train_config import InitConfig
from common.errors import TouchstoneError, UsageError
from common.training.run import Interrupted
from common.training.workers import ALONE, MainFailed, Workers, join
from tests.apps.captioning.learning.toys import (
    CORPUS,
    TOKENS,
    Vowels,
    config,
    features,
    material,
    new_judge,
)
from tests.apps.captioning.test_train import settings
from tests.apps.captioning.tiny import new_tiny_captioner

PICTURES, SAMPLES = 4, 3
#: By name: settings of a reinforcement step. Together they go through everything that is summed over processes.
STEPS: dict[str, dict[str, Any]] = {
    "scst": {"baseline": "greedy", "scale": "batch", "beta": 0.5, "text_weight": 0.3},
    "leave one out": {"scale": "batch", "length_normalise": False},
    "grpo": {"algorithm": "grpo", "beta": 0.5},
    "dico": {"algorithm": "dico", "beta": 0.3, "text_weight": 0.3},
}


class Scripted(Captioner):
    """Says the samples of a picture greedily, from its feature shifted by the sample's number: nothing is drawn."""

    def generate(self, features: torch.Tensor, longest: int, *rest: Any) -> Any:
        if rest:
            shifts = torch.randn(SAMPLES, features.shape[1], generator=torch.Generator().manual_seed(5))
            features = features + 0.2 * shifts.repeat(len(features) // SAMPLES, 1)
        return super().generate(features, longest)


def initialiser(workers: Workers = ALONE, **changes: Any) -> Initialiser:
    """Sentences of unlike lengths, so that the processes' parts weigh unequally."""
    texts = [text * (1 + row % 3) for row, text in enumerate(CORPUS)]
    chosen = InitConfig(batch_size=6, steps=5, warmup=1, label_smoothing=0.1, **changes)
    return Initialiser(new_tiny_captioner(), chosen, texts, features(20, 1), 30, 0, workers)


def reinforcer(judge_folder: Path, name: str, workers: Workers = ALONE, **changes: Any) -> Reinforcer:
    judge = new_judge(judge_folder, gate=0.0, gradient_penalty=0.1, **changes.pop("judge", {}))
    judge.workers = workers
    captioner = new_tiny_captioner()
    captioner.__class__ = Scripted
    rewards = {"vowels": (Vowels(), 1.0), "naturalness": (judge.reward(), 0.5)}
    chosen = config(**{"pictures_per_step": PICTURES, "samples": SAMPLES, **STEPS[name], **changes})
    return Reinforcer(captioner, chosen, rewards, material(7, 9), TOKENS, 0, judge, workers)


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def outcome(learner: Any) -> dict[str, Any]:
    """One step's figures and gradients, the judge's too."""
    figures = {name: value for name, value in learner.step().items() if "time/" not in name}
    judge = getattr(learner, "judge", None)
    return {
        "figures": figures,
        "captioner": gradients(learner.captioner),
        "judge": {} if judge is None else gradients(judge.model),
    }


def outcomes(judge_folder: Path, workers: Workers = ALONE) -> dict[str, Any]:
    found = {"init": outcome(initialiser(workers))}
    return found | {name: outcome(reinforcer(judge_folder, name, workers)) for name in STEPS}


def refusals(workers: Workers, models: Path, runs: Path) -> None:
    """What ends in an error, in every process, before anything is written."""
    for part, setting, value in (("init", "batch_size", 7), ("rl", "pictures_per_step", 3)):
        chosen = settings(models, runs)
        chosen.rl.pictures_per_step = 4
        setattr(getattr(chosen, part), setting, value)
        message = rf"{part}\.{setting}: {value} does not divide" if workers.main else "the main process failed"
        with pytest.raises(UsageError if workers.main else MainFailed, match=message) as raised:
            train.train_one(chosen, name="refused", workers=workers)
        assert raised.value.exit_code == 2
    chosen.comparison.methods = ["cgtgan"]
    with pytest.raises(UsageError, match="in one process, and 2 were launched"):
        train._train(chosen, None, "compare", True, workers)
    assert not runs.exists()


def whole_runs(workers: Workers, models: Path, runs: Path) -> None:
    """A run, and one that is interrupted in each stage and resumed; a signal reaches one process only."""
    chosen = settings(models, runs)
    chosen.rl.pictures_per_step = 4
    # No report, which takes longer than all the rest.
    from apps.captioning import training_report

    training_report.write_report = lambda *_: None  # type: ignore[assignment]
    result = train.train_one(chosen, name="whole", workers=workers)
    assert result.after.items
    stops = {(Initialiser, 1), (Reinforcer, 2)}
    for kind in (Initialiser, Reinforcer):
        kind.step = _stopping(kind.step, stops, workers)  # type: ignore[method-assign]
    folder = None
    for _ in range(2):
        with pytest.raises(Interrupted, match=r"2 -m apps\.captioning train --resume"):
            train.train_one(chosen, name="cut", resume=folder, workers=workers)
        folder = runs / "cut"
        torch.manual_seed(777)
    train.train_one(chosen, resume=folder, workers=workers)


def _stopping(step: Any, stops: set[tuple[type, int]], workers: Workers) -> Any:
    def stopped(self: Any) -> Any:
        if (type(self), self.steps) in stops:
            stops.remove((type(self), self.steps))
            if workers.rank == 1:
                os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    return stopped


def main() -> None:
    folder, models, judge_folder = map(Path, sys.argv[1:4])
    torch.set_num_threads(1)
    workers = join(cpu=True)
    torch.set_num_threads(1)
    found = workers.main_only(lambda: "main") or "other"
    assert (found == "main") == workers.main
    assert workers.agreed(lambda: workers.rank) == 0
    torch.save(outcomes(judge_folder, workers), folder / f"steps-{workers.rank}.pt")
    refusals(workers, models, folder / "refused")
    whole_runs(workers, models, folder / "runs")
    (folder / f"done-{workers.rank}").touch()

    def fail() -> None:
        raise TouchstoneError("the disk is full")

    # The last word: the main process fails alone, and the other must come to an end too.
    workers.main_only(fail)


if __name__ == "__main__":
    main()
