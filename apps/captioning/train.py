"""`train`: text-only initialisation, then reinforcement on pictures without captions, measured before and after."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.captioning.batches import check_processes
from apps.captioning.config import CaptioningConfig
from apps.captioning.learning.stages import initial_captioner, reinforce
from common.errors import DataError, UsageError
from common.files import read_json, write_json
from common.training.run import Interrupted, set_threads
from common.training.workers import ALONE, MainFailed, Workers, join, launched

if TYPE_CHECKING:
    from torch import Tensor

    from apps.captioning.features import Pictures
    from apps.captioning.measures.evaluation import Evaluation
    from apps.captioning.model import Captioner
    from common.models.clip import Clip
    from common.training.run import Run

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What one run did: the same held-out pictures before and after the reinforcement.

    Attributes:
        run: its folder.
        before: as it started: the captioner loaded, or the one initialised on text alone.
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
    """Train one run, or every method and seed that `comparison` lists; in as many processes as were launched."""
    if config.reward.own and config.comparison.methods:
        raise UsageError("reward.own stands in a method's place: leave comparison.methods empty, or reward.own")
    if config.reward.own and (config.rl.ramp_start or config.rl.ramp_steps):
        raise UsageError(
            "reward.own has no ramp, which hands over from naturalness: set rl.ramp_start and rl.ramp_steps to 0"
        )
    if dry_run:
        from apps.captioning import dry_run as checks

        return checks.show(checks.check(config), json_output) if launched().main else 0
    workers = join(cpu=config.captioner.device == "cpu")
    try:
        code = _train(config, resume, name, json_output, workers)
    except (Interrupted, MainFailed) as error:
        if workers.main:
            raise
        # The main process says it.
        return error.exit_code
    workers.leave()
    return code


def _train(config: CaptioningConfig, resume: str | None, name: str | None, json_output: bool, workers: Workers) -> int:
    from apps.captioning import comparison, training_report

    set_threads(config.threads)
    if resume is not None:
        return comparison.resume(Path(resume), json_output, workers)
    if config.comparison.methods or config.comparison.seeds:
        return comparison.run_comparison(config, name, json_output, workers)
    result = train_one(config, name, workers=workers)
    workers.main_only(lambda: training_report.show(result, json_output))
    return 0


def train_one(
    config: CaptioningConfig,
    name: str | None = None,
    resume: Path | None = None,
    command: str | None = None,
    workers: Workers = ALONE,
) -> Result:
    """One run: load or initialise on text, measure, align, reinforce, measure again, report.

    Args:
        config: the settings.
        name: of the run folder; the date and time where not given.
        resume: folder of an interrupted run to go on with.
        command: what a user types to go on, where that is not `train --resume FOLDER`.
        workers: the processes, which all call this; they see the same run folder, and the main one alone writes to it.

    Raises:
        UsageError: the data or the settings cannot be trained with.
    """
    from apps.captioning.features import open_clip_model
    from apps.captioning.measures.evaluation import measure, measure_captioner
    from apps.captioning.model import load_captioner
    from apps.captioning.training_report import write_report
    from common.training.run import Run, seed_everything

    def opened() -> Run:
        check_processes(config, workers.number)
        return Run.open(f"{workers.launcher} apps.captioning", config, name, resume, command)

    run = workers.agreed(opened)
    if workers.agreed(lambda: (run.folder / "evaluation.json").is_file()):
        return finished(run)
    seed_everything(run.seed)
    clip = open_clip_model(config.clip)
    data = shared_data(config, clip, workers)

    def measured(one: Captioner) -> Evaluation:
        return workers.agreed(lambda: measure_captioner(config, one, clip, data.heldout, data.corpus_features))

    captioner = initial_captioner(config, run, clip, data, workers)
    further = config.start and config.init.further
    after = before = measured(load_captioner(config.start, config.captioner.device) if further else captioner)
    if config.captioner.align:
        captioner.align(data.train.features, data.corpus_features)
    if config.rl.steps:
        captioner = reinforce(config, run, captioner, clip, data, workers)
    if further or config.captioner.align or config.rl.steps:
        after = measured(captioner)

    def written() -> Result:
        captioner.save(run.folder / "model")
        result = Result(run, before, after, measure(config, retrieved(data), clip, data.heldout))
        write_report(result, data.heldout.examples)
        found = {"before": before, "after": after, "retrieval": result.retrieval}
        # Written last: a run with it is finished.
        write_json(run.folder / "evaluation.json", {name: one.to_dict() for name, one in found.items() if one})
        return result

    return workers.agreed(written)


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


def shared_data(config: CaptioningConfig, clip: Clip, workers: Workers) -> Data:
    """What `load_data` returns, read by the main process first.

    The others find the features in its cache (`clip.cache`), one copy for all; without a cache they are sent.
    """
    if not config.clip.cache:
        return workers.agreed(lambda: load_data(config, clip))
    return workers.main_only(lambda: load_data(config, clip)) or load_data(config, clip, quiet=True)


def load_data(config: CaptioningConfig, clip: Clip, quiet: bool = False) -> Data:
    """Read pictures and corpus, make sure that they are unpaired, and take the captions away.

    Args:
        config: the settings.
        clip: whose features are taken.
        quiet: show no progress and no warnings.

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
        picture_features(clip, examples, cache, part.bad_pictures, quiet)
        for examples, part in ((train, config.train), (validation, config.validation), (heldout, config.heldout))
    ]
    for found in pictures:
        for name, reason in () if quiet else found.bad:
            logger.warning("%s: left out: %s", name, reason)
    return Data(pictures[0], pictures[1], pictures[2], corpus, corpus_features(clip, corpus, cache, quiet))


def read_origin(config: CaptioningConfig) -> list[Any]:
    """The corpus' sentences, each with what is known of the picture it came with."""
    from apps.captioning.data import load_corpus
    from apps.captioning.readers import read_sentences
    from apps.captioning.unpaired import written_without_pictures

    if config.corpus.format == "pocket":
        return written_without_pictures(load_corpus(config.corpus))
    return list(read_sentences(config.corpus))
