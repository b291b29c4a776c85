"""The verb `train`: a learned reward from preference pairs, with what it is worth on prompts it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import DataError, RewardError, UsageError
from common.files import write_json

if TYPE_CHECKING:
    from torch import Tensor

    from common.models.backbone import Backbone
    from common.rewards.trained.config import TrainRewardConfig
    from common.rewards.trained.figures import Figures
    from common.rewards.trained.head import Calibration, RewardHead
    from common.rewards.trained.preferences import Preference, Preferences, Split
    from common.training.run import Run

STAGE = "reward"
#: Pairs whose features decide how those of a backbone that is tuned are standardised.
FIRST = 256


@dataclass(frozen=True)
class Trained:
    """What a training ends with.

    Attributes:
        run: its folder.
        folder: of the learned reward.
        preferences: what it was trained on.
        split: which of them.
        figures: measured on the held-out prompts.
        calibration: the reward's scale.
        scores: `(N, 2)` rewards of the held-out pairs, in the order of `split.test`.
    """

    run: Run
    folder: Path
    preferences: Preferences
    split: Split
    figures: Figures
    calibration: Calibration
    scores: Tensor


def run_train(
    config: TrainRewardConfig,
    resume: str | None = None,
    name: str | None = None,
    dry_run: bool = False,
    json_output: bool = False,
) -> int:
    """Fit a head, or a backbone with it, to the pairs of `config.pairs`, measure it on held-out prompts, and save it.

    Args:
        config: the settings.
        resume: run folder to go on with; it has its settings.
        name: of the run folder; the date and time where not given.
        dry_run: check pairs, split and backbone, and train nothing.
        json_output: print the figures as JSON.

    Raises:
        DataError: the pairs cannot be read; names file and row.
        UsageError: no pairs are named, or a setting does not fit.
        Interrupted: the user stopped it; the message holds the command that goes on.
    """
    from common.config import load
    from common.rewards.trained.training_report import tell, write_report
    from common.ui import say, warn

    if resume is not None:
        config = load(type(config), Path(resume) / "config.yaml")
    if not config.pairs:
        raise UsageError(
            "name a file with --pairs: JSONL with prompt, chosen and rejected a row. Without one, make some: "
            "python -m apps.medvqa pairs --out preferences"
        )
    if dry_run:
        from common.rewards.trained.dry_run import check
        from common.training.dry_run import show

        return show(check(config), json_output)
    done = train_reward(config, name, Path(resume) if resume else None, json_output, warn)
    report = write_report(done, config)
    tell(done, json_output)
    if not json_output:
        say(f"reward: {done.folder} (in a config: name: learned_reward, folder: {done.folder})\nreport: {report}")
    return 0


def train_reward(
    config: TrainRewardConfig,
    name: str | None = None,
    resume: Path | None = None,
    quiet: bool = False,
    warn: Any = None,
) -> Trained:
    """Train, measure and save a learned reward.

    Args:
        config: the settings.
        name: of the run folder; the date and time where not given.
        resume: folder of an interrupted run to go on with.
        quiet: no progress bars.
        warn: told of pairs that were left out.

    Raises:
        DataError: the pairs cannot be read, are too few, or are not those of the run that is resumed.
        RewardError: the head gives every completion the same number.
        Interrupted: the user stopped it; the message holds the command that goes on.
    """
    from common.models.backbone import open_backbone
    from common.rewards.trained.figures import LEARNED, Figures, accuracy, baselines, over_length, probes
    from common.rewards.trained.head import Calibration
    from common.rewards.trained.learned_reward import save_learned_reward
    from common.rewards.trained.preferences import read_preferences, split_preferences
    from common.training.run import seed_everything, set_threads
    from common.training.stage import drop_checkpoints

    check_numbers(config)
    preferences = read_preferences(config.pairs, config.dimensions)
    for note in preferences.notes() if warn else ():
        warn(f"{config.pairs}: {note}")
    pairs = preferences.rows
    split = split_preferences(pairs, config.held_out, config.validation, config.seed)
    run = _open_run(replace(config, pairs=str(Path(config.pairs).resolve())), name, resume, preferences.fingerprint)
    set_threads(config.threads)
    seed_everything(config.seed)
    backbone = open_backbone(config.backbone)
    if warn and not backbone.sees and any(pair.images for pair in pairs):
        warn(f"{config.backbone.path} does not look at images; those of the pairs are passed over")
    head, features = fit(config, run, backbone, pairs, split, quiet)
    calibration = Calibration.of(_scores(head, features, split.validation).flatten(), config.form, config.limit)
    raw = _scores(head, features, split.test)
    tested = [pairs[at] for at in split.test]
    # By the head's own numbers: a limit of the calibration makes ties.
    scores = raw.double().numpy()
    scorers = {LEARNED: scores, **baselines(tested, config.seed)}
    figures = Figures(
        tuple(accuracy(one, values, tested) for one, values in scorers.items()),
        over_length(scores, tested, config.seed),
        probes(features, pairs, split.train, split.test, preferences.dimensions),
        len(tested),
        len({pair.group for pair in tested}),
    )
    folder = save_learned_reward(
        run.folder / "reward",
        backbone,
        config.backbone,
        head,
        calibration,
        images=backbone.sees and any(pair.images for pair in pairs),
        figures=figures.to_dict(),
    )
    write_json(run.folder / "evaluation.json", {**figures.to_dict(), "calibration": calibration.to_dict()})
    drop_checkpoints(run, STAGE)
    return Trained(run, folder, preferences, split, figures, calibration, calibration.apply(raw))


def fit(
    config: TrainRewardConfig,
    run: Run,
    backbone: Backbone,
    pairs: Sequence[Preference],
    split: Split,
    quiet: bool = False,
) -> tuple[RewardHead, Tensor]:
    """Train a head on `split.train`, from the run's newest checkpoint where there is one.

    Returns:
        The head, and the `(N, 2, width)` features of all pairs, as the backbone is at the end.
    """
    from common.rewards.trained.features import distinct, pair_features
    from common.rewards.trained.head import RewardHead, bradley_terry
    from common.rewards.trained.learner import PreferenceLearner
    from common.training.run import Interrupted
    from common.training.stage import run_stage
    from common.ui import progress

    frozen, size = config.backbone.tune == "frozen", config.backbone.batch_size
    train, validation = ([pairs[at] for at in part] for part in (split.train, split.validation))

    def read(several: Sequence[Preference], what: str) -> Tensor:
        try:
            with progress(what, distinct(several), quiet) as bar:
                return pair_features(backbone, several, size, run.folder / "features" if frozen else None, bar)
        except KeyboardInterrupt as error:
            raise Interrupted(f"stopped while {what}; go on with:\n  {run.resume_command}") from error

    features = read(pairs if frozen else train[:FIRST], "reading the pairs")
    head = RewardHead(backbone.width, config.hidden)
    head.standardise((features[list(split.train)] if frozen else features).flatten(0, 1))
    learner = PreferenceLearner(
        head, train, features[list(split.train)] if frozen else None, None if frozen else backbone, config
    )

    def look(step: int, figures: dict[str, float]) -> dict[str, float]:
        if not config.eval_every or step % config.eval_every:
            return {}
        seen = features[list(split.validation)] if frozen else pair_features(backbone, validation, size)
        numbers = _scores(head, seen, range(len(validation)))
        right = (numbers[:, 0] > numbers[:, 1]).float().mean()
        return {"validation/loss": float(bradley_terry(*numbers.unbind(1))), "validation/accuracy": float(right)}

    run_stage(run, STAGE, learner, config.steps, config.save_every, look)
    head.eval().requires_grad_(False)
    if backbone.module is not None:
        backbone.module.eval()
    return head, features if frozen else read(pairs, "reading the pairs once more")


def check_numbers(config: TrainRewardConfig) -> None:
    """Raise a `UsageError` for a number that cannot be."""
    for name, value in (("steps", config.steps), ("batch_size", config.batch_size)):
        if value < 1:
            raise UsageError(f"{name} {value}: 1 or more")
    if config.learning_rate <= 0 or config.limit <= 0 or config.hidden < 0 or config.backbone.batch_size < 1:
        raise UsageError("learning_rate and limit must be above 0, hidden 0 or more, backbone.batch_size 1 or more")


def _scores(head: RewardHead, features: Tensor, rows: Sequence[int]) -> Tensor:
    """`(B, 2)` numbers of the head for these pairs."""
    import torch

    with torch.no_grad():
        numbers: Tensor = head(features[list(rows)])
    if not numbers.isfinite().all():
        raise RewardError("the head gives numbers that are not finite; lower learning_rate")
    return numbers


def _open_run(config: TrainRewardConfig, name: str | None, resume: Path | None, fingerprint: str) -> Run:
    from common.training.run import Run

    if resume is None:
        run = Run.open("python -m common.rewards", config, name)
        run.facts["pairs"] = fingerprint
        write_json(run.folder / "run.json", run.facts)
        return run
    run = Run.resume(resume)
    if run.facts.get("pairs") != fingerprint:
        raise DataError(f"not the pairs that {resume} was begun with; begin a new run", path=config.pairs)
    return run
