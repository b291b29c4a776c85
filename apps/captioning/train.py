"""`train`: text-only initialisation, then reinforcement on pictures without captions, measured before and after."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.captioning.config import CaptioningConfig
from common.errors import DataError, UsageError
from common.files import read_json, write_json
from common.training.run import set_threads

if TYPE_CHECKING:
    from torch import Tensor

    from apps.captioning.features import Pictures
    from apps.captioning.learning.naturalness import Naturalness
    from apps.captioning.learning.reinforce import Material
    from apps.captioning.measures.evaluation import Evaluation
    from apps.captioning.model import Captioner
    from common.models.clip import Clip
    from common.rewards.base import Reward
    from common.training.run import Run

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What one run did: the same held-out pictures before and after the reinforcement.

    Attributes:
        run: its folder.
        before: after the text-only initialisation.
        after: at the end.
        retrieval: what the corpus' nearest sentence to each picture would have scored.
    """

    run: Run
    before: Evaluation
    after: Evaluation
    retrieval: Evaluation | None = None


@dataclass(frozen=True)
class Data:
    """What a run works on; training pictures come without their captions unless the reward is supervised."""

    train: Pictures
    validation: Pictures
    heldout: Pictures
    corpus: list[str]
    corpus_features: Tensor


def run_train(
    config: CaptioningConfig,
    resume: str | None = None,
    name: str | None = None,
    dry_run: bool = False,
    json_output: bool = False,
) -> int:
    """Train one run, or every method and seed that `comparison` lists."""
    if dry_run:
        from apps.captioning import dry_run as checks

        return checks.show(checks.check(config), json_output)
    from apps.captioning import comparison, training_report

    set_threads(config.threads)
    if resume is not None:
        return comparison.resume(Path(resume), json_output)
    if config.comparison.methods or config.comparison.seeds:
        return comparison.run_comparison(config, name, json_output)
    training_report.show(train_one(config, name), json_output)
    return 0


def train_one(
    config: CaptioningConfig, name: str | None = None, resume: Path | None = None, command: str | None = None
) -> Result:
    """One run: initialise on text, measure, reinforce, measure again, report.

    Args:
        config: the settings.
        name: of the run folder; the date and time where not given.
        resume: folder of an interrupted run to go on with.
        command: what a user types to go on, where that is not `train --resume FOLDER`.

    Raises:
        UsageError: the data or the settings cannot be trained with.
    """
    from apps.captioning.features import open_clip_model
    from apps.captioning.measures.evaluation import measure, measure_captioner
    from apps.captioning.training_report import write_report
    from common.training.run import Run, seed_everything

    folder = resume or Path(config.runs) / (name or f"{datetime.now():%Y%m%d-%H%M%S}")
    command = command or f"python -m apps.captioning train --resume {folder}"
    run = Run.resume(folder) if resume else Run.create(folder.parent, folder.name, config, config.seed, command)
    if (run.folder / "evaluation.json").is_file():
        return finished(run)
    seed_everything(run.seed)
    clip = open_clip_model(config.clip)
    data = load_data(config, clip)
    captioner = initial_captioner(config, run, clip, data)
    before = measure_captioner(config, captioner, clip, data.heldout, data.corpus_features)
    after = before
    if config.rl.steps:
        captioner = reinforce(config, run, captioner, clip, data)
        after = measure_captioner(config, captioner, clip, data.heldout, data.corpus_features)
    captioner.save(run.folder / "model")
    result = Result(run, before, after, measure(config, retrieved(data), clip, data.heldout))
    write_report(result, data.heldout.examples)
    found = {"before": before, "after": after, "retrieval": result.retrieval}
    # Written last: a run with it is finished.
    write_json(run.folder / "evaluation.json", {name: one.to_dict() for name, one in found.items() if one})
    return result


def finished(run: Run) -> Result:
    """What a run found that came to its end.

    Raises:
        DataError: its `evaluation.json` is damaged.
    """
    from apps.captioning.measures.evaluation import Evaluation

    path = run.folder / "evaluation.json"
    found = read_json(path)
    try:
        before, after = (Evaluation.from_dict(found[when]) for when in ("before", "after"))
        retrieval = Evaluation.from_dict(found["retrieval"]) if "retrieval" in found else None
    except (KeyError, TypeError) as error:
        raise DataError(f"damaged ({error}); delete it to measure the run again with --resume", path=path) from error
    return Result(run, before, after, retrieval)


def retrieved(data: Data) -> list[str]:
    """The corpus' nearest sentence to each held-out picture: what any captioner has to beat."""
    from apps.captioning.aggregation import nearest

    _, rows = nearest(data.heldout.features, data.corpus_features, 1)
    return [data.corpus[int(row)] for row in rows[:, 0]]


def load_data(config: CaptioningConfig, clip: Clip) -> Data:
    """Read pictures and corpus, make sure that they are unpaired, and take the captions away.

    Raises:
        DataError: the data cannot be read, or the corpus holds captions of the pictures.
        UsageError: `rl.select` asks for captions that are not there.
    """
    from apps.captioning.data import load_examples
    from apps.captioning.features import corpus_features, picture_features
    from apps.captioning.unpaired import check_unpaired, without_captions

    train, validation = load_examples(config.train), load_examples(config.validation)
    heldout = load_examples(config.heldout)
    sentences = read_origin(config)
    if not config.reward.paired:
        check_unpaired([*train, *validation], sentences, heldout)
        train = without_captions(train)
    if config.rl.select == "captions":
        if not all(example.captions for example in validation):
            raise UsageError("rl.select captions needs captions of every validation picture; select by reward instead")
    else:
        validation = without_captions(validation)
    corpus = [sentence.text for sentence in sentences]
    if not corpus:
        raise DataError("the corpus is empty", path=config.corpus.path or config.corpus.format)
    cache = config.clip.cache
    pictures = [
        picture_features(clip, examples, cache, part.bad_pictures)
        for examples, part in ((train, config.train), (validation, config.validation), (heldout, config.heldout))
    ]
    for found in pictures:
        for name, reason in found.bad:
            logger.warning("%s: left out: %s", name, reason)
    return Data(pictures[0], pictures[1], pictures[2], corpus, corpus_features(clip, corpus, cache))


def read_origin(config: CaptioningConfig) -> list[Any]:
    """The corpus' sentences, each with what is known of the picture it came with."""
    from apps.captioning.data import load_corpus
    from apps.captioning.readers import read_sentences
    from apps.captioning.unpaired import written_without_pictures

    if config.corpus.format == "pocket":
        return written_without_pictures(load_corpus(config.corpus))
    return list(read_sentences(config.corpus))


def initial_captioner(config: CaptioningConfig, run: Run, clip: Clip, data: Data) -> Captioner:
    """The captioner before reinforcement: loaded where the config names one, else initialised on the corpus."""
    import torch

    from apps.captioning.learning.initialise import Initialiser
    from apps.captioning.model import load_captioner, new_captioner
    from common.training.stage import drop_checkpoints, run_stage

    final = run.final("init")
    if (final / "captioner.json").is_file():
        return load_captioner(final, config.captioner.device)
    if config.captioner.path:
        captioner = load_captioner(config.captioner.path, config.captioner.device)
        captioner.check_clip(clip.name, clip.dim, config.captioner.path)
    else:
        torch.manual_seed(run.seed)
        captioner = new_captioner(config.captioner, clip.dim, clip.name)
        captioner.check_room(config.captioner.max_new_tokens)
        learner = Initialiser(
            captioner, config.init, data.corpus, data.corpus_features, config.captioner.max_new_tokens, run.seed
        )
        run_stage(run, "init", learner, config.init.steps, config.init.save_every)
        captioner.eval()
    captioner.save(final)
    drop_checkpoints(run, "init")
    return captioner


def reinforce(config: CaptioningConfig, run: Run, captioner: Captioner, clip: Clip, data: Data) -> Captioner:
    """The reinforcement stage; returns the captioner with the weights that `rl.select` keeps."""
    from apps.captioning.learning.reinforce import Reinforcer
    from apps.captioning.model import load_captioner
    from apps.captioning.watch import Watch
    from common.rewards.check import check_reward
    from common.training.run import seed_everything
    from common.training.stage import drop_checkpoints, run_stage

    final = run.final("rl")
    if (final / "captioner.json").is_file():
        return load_captioner(final, config.captioner.device)
    # Also where the initialisation was done by an earlier process, which was interrupted after it.
    seed_everything(run.seed)
    judge, rewards, material = prepare(config, captioner, clip, data, run)
    for reward, _ in rewards.values():
        check_reward(reward, sample_batch(material))
    learner = Reinforcer(captioner, config.rl, rewards, material, config.captioner.max_new_tokens, run.seed, judge)
    watch = Watch(config, run, learner, data)
    run_stage(run, "rl", learner, config.rl.steps, config.rl.save_every, watch.after_step, watch.state, watch.restore)
    watch.keep_best()
    captioner.eval()
    captioner.save(final)
    if judge is not None:
        judge.save(run.folder / "discriminator")
    drop_checkpoints(run, "rl")
    return captioner


def sample_batch(material: Material, size: int = 6) -> dict[str, Any]:
    """A few rows as the rewards get them, from however few pictures and sentences there are."""
    from apps.captioning.learning.reinforce import rows_of

    rows = [number % len(material.features) for number in range(size)]
    batch = {name: rows_of(column, rows) for name, column in material.columns.items()}
    texts = [material.corpus[number % len(material.corpus)] for number in range(size)]
    return {**batch, "completion": texts, "images": material.features[rows]}


def prepare(
    config: CaptioningConfig, captioner: Captioner, clip: Clip, data: Data, run: Run
) -> tuple[Naturalness | None, dict[str, tuple[Reward, float]], Material]:
    """Discriminator, rewards with their weights, and what the captioner may learn from."""
    from apps.captioning.learning.naturalness import Naturalness
    from apps.captioning.learning.reinforce import Material, pretrain_judge
    from apps.captioning.rewards import ClipAgg, build_rewards
    from common.training.stage import newest_checkpoint
    from common.ui import progress

    judge = Naturalness(config.discriminator, str(captioner.device)) if config.reward.naturalness else None
    references = [example.captions for example in data.train.examples] if config.reward.paired else None
    rewards = build_rewards(
        config.reward, clip, data.corpus_features, judge.reward() if judge else None, references, data.corpus
    )
    columns: dict[str, Any] = {}
    for reward, _ in rewards.values():
        if isinstance(reward, ClipAgg):
            columns["target"] = reward.targets(data.train.features)
    if references is not None:
        columns["reference"] = [list(entry) for entry in references]
    material = Material(data.train.features, columns, data.corpus, data.corpus_features)
    steps = config.discriminator.pretrain_steps
    # A checkpoint holds a judge that has long been trained.
    if judge is not None and steps and newest_checkpoint(run, "rl") is None:
        with progress("training the discriminator", steps) as bar:
            pretrain_judge(
                judge,
                captioner,
                material,
                config.captioner.max_new_tokens,
                steps,
                2 * config.rl.pictures_per_step,
                run.seed,
                bar,
            )
    return judge, rewards, material
