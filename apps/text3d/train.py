"""`train`: a scene for each prompt of a set, by the settings' guidances or by several recipes that are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.config import Text3dConfig
from apps.text3d.judging import MEASURES
from apps.text3d.train_config import TrainConfig
from common import ui
from common.errors import UsageError
from common.files import read_json

if TYPE_CHECKING:
    from apps.text3d.guidance.build import Models
    from common.training.run import Run

#: What is told of a scene: the judge's shares, and whether all of it is right.
FIGURES = (*MEASURES, "correct")
#: Folder of the scenes in a run's folder.
SCENES = "scenes"


@dataclass(frozen=True)
class Made:
    """One scene of a training.

    Attributes:
        folder: of its files, as `generate` leaves them.
        told: its `result.json`.
    """

    folder: Path
    told: dict[str, Any]

    @property
    def prompt(self) -> str:
        """What it was made for."""
        return str(self.told["prompt"])

    def share(self, name: str) -> float:
        """One of `FIGURES`; NaN where the prompt asks nothing of the sort."""
        told = self.told["geometry"][name]
        return math.nan if told is None else float(told)


@dataclass(frozen=True)
class Result:
    """A finished training.

    Attributes:
        run: its folder.
        scenes: in the order of the prompts.
    """

    run: Run
    scenes: list[Made]


def run_train(
    config: Text3dConfig,
    resume: str | None = None,
    name: str | None = None,
    dry_run: bool = False,
    json_output: bool = False,
    given: Sequence[str] = (),
) -> int:
    """Make a scene for each prompt, judge it by its geometry, and write `report.html`; recipes are compared if named.

    Args:
        config: `train` holds the prompts, `comparison` recipes and seeds.
        resume: folder of a run or comparison to go on with; its settings are taken, and a comparison may be given
            further recipes and seeds.
        name: of the run folder; the date and time where not given.
        dry_run: check config, first prompt and models without training.
        json_output: print JSON instead of a table.
        given: settings as they were typed, which tell what a resumed run is to do otherwise.

    Raises:
        UsageError: no prompt, an unknown recipe, a guidance without a model, or a change that a resumed run refuses.
        Interrupted: the user stopped it; the message holds the command that goes on.
    """
    from apps.text3d import comparison, training_report
    from apps.text3d import dry_run as checks
    from apps.text3d.resume import unchanged, widened
    from common.training.comparison import begin, reopen
    from common.training.run import set_threads

    set_threads(config.threads)
    if dry_run:
        comparison.check(config)
        return checks.show(checks.check(config, prompt_set(config.train, 0)[0]), json_output)
    folder = None if resume is None else Path(resume)
    whole = bool(config.comparison.recipes or config.comparison.seeds)
    if folder is not None:
        _, whole = reopen(folder, Text3dConfig)
        config = (widened if whole else unchanged)(folder, given)
    elif whole:
        comparison.check(config)
        folder = begin(config, config.runs, name)
    if whole:
        assert folder is not None
        return comparison.run_comparison(config, folder, json_output)
    result = train_one(config, name, folder)
    training_report.show(result, json_output)
    return 0


def prompt_set(config: TrainConfig, seed: int) -> list[str]:
    """The texts, in the order in which they are made, each once.

    Of the pocket world's levels one prompt after another is drawn, so that the first few already are of all kinds.

    Args:
        config: where they come from.
        seed: of those that are drawn; a file has none.

    Raises:
        UsageError: none are asked for, or the pocket world has not so many.
        DataError: the file cannot be read, or holds none.
    """
    from apps.text3d.measures.prompt_sets import read_prompts
    from apps.text3d.pocket.prompts import prompts

    if config.prompts:
        return read_prompts(config.prompts)
    if config.count < 1 or not config.levels:
        raise UsageError("train.count must be 1 or more, and train.levels name one at least")
    rounds = -(-config.count // len(config.levels))
    each = {
        level: prompts(config.split, rounds * config.levels.count(level), seed, level)
        for level in dict.fromkeys(config.levels)
    }
    return [each[level].pop(0).text for _ in range(rounds) for level in config.levels][: config.count]


def train_one(
    config: Text3dConfig,
    name: str | None = None,
    resume: Path | None = None,
    command: str | None = None,
    models: Models | None = None,
) -> Result:
    """One run: every prompt's scene, one after another; what is done already is only read.

    Args:
        config: the settings.
        name: of the run folder; the date and time where not given.
        resume: folder of an interrupted run to go on with.
        command: what a user types to go on, where that is not `train --resume FOLDER`.
        models: that were opened before, to be used again.

    Raises:
        UsageError: no prompt, or a guidance without a model.
    """
    from apps.text3d.guidance.build import Models
    from apps.text3d.training_report import write_report
    from common.training.run import Run

    folder = resume or Path(config.runs) / (name or f"{datetime.now():%Y%m%d-%H%M%S}")
    command = command or f"python -m apps.text3d train --resume {folder}"
    run = Run.resume(folder) if resume else Run.create(folder.parent, folder.name, config, config.seed, command)
    texts = prompt_set(config.train, 0)
    models = models or Models()
    scenes = []
    for number, text in enumerate(texts):
        ui.say(f"{number + 1} of {len(texts)}: {text}")
        scenes.append(make(config, number, text, run.folder / SCENES, command, models))
    result = Result(run, scenes)
    write_report(result)
    return result


def make(config: Text3dConfig, number: int, prompt: str, folder: Path, command: str, models: Models) -> Made:
    """One prompt's scene in `folder/NN-slug`, from where it was left."""
    from apps.text3d.export.names import slug
    from apps.text3d.generate import shape_once

    own = deepcopy(config)
    # So that two prompts of a seed do not see the same viewpoints and noise.
    own.seed = 1_000 * config.seed + number
    place = folder / f"{number:02d}-{slug(prompt)}"
    shape_once(own, prompt, place, command, models)
    return Made(place, read_json(place / "result.json"))
