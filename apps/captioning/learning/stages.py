"""The two stages of `train`: the text-only initialisation and the reinforcement, each saved as it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from apps.captioning.config import CaptioningConfig
from common.training.workers import ALONE, Workers

if TYPE_CHECKING:
    from apps.captioning.learning.naturalness import Naturalness
    from apps.captioning.learning.reinforce import Material
    from apps.captioning.model import Captioner
    from apps.captioning.train import Data
    from common.models.clip import Clip
    from common.rewards.base import Reward
    from common.training.run import Run


def initial_captioner(
    config: CaptioningConfig, run: Run, clip: Clip, data: Data, workers: Workers = ALONE
) -> Captioner:
    """The captioner before reinforcement: initialised on the corpus, or loaded where the config names one."""
    import torch

    from apps.captioning.learning.initialise import Initialiser
    from apps.captioning.model import SHAPE, load_captioner, new_captioner
    from common.training.stage import drop_checkpoints, run_stage

    final = run.final("init")
    if workers.agreed(lambda: (final / SHAPE).is_file()):
        return load_captioner(final, config.captioner.device)
    longest, steps = config.captioner.max_new_tokens, config.init_steps
    if config.start:
        captioner = load_captioner(config.start, config.captioner.device)
        captioner.check_clip(clip.name, clip.dim, config.start)
    else:
        torch.manual_seed(run.seed)
        captioner = new_captioner(config.captioner, clip.dim, clip.name)
        captioner.check_room(longest)
    if steps:
        workers.part_ways(run.seed)
        settings = replace(config.init, steps=steps)
        learner = Initialiser(captioner, settings, data.corpus, data.corpus_features, longest, run.seed, workers)
        run_stage(run, "init", learner, steps, settings.save_every, workers=workers)

    def saved() -> None:
        captioner.save(final)
        drop_checkpoints(run, "init")

    workers.main_only(saved)
    return captioner.eval()


def reinforce(
    config: CaptioningConfig, run: Run, captioner: Captioner, clip: Clip, data: Data, workers: Workers = ALONE
) -> Captioner:
    """The reinforcement stage; returns the captioner with the weights that `rl.select` keeps."""
    from apps.captioning.learning.reinforce import Reinforcer
    from apps.captioning.learning.watch import Watch
    from apps.captioning.model import SHAPE, load_captioner
    from common.rewards.check import check_reward
    from common.rewards.state import stateful_parts
    from common.training.run import seed_everything
    from common.training.stage import drop_checkpoints, run_stage

    final = run.final("rl")
    if workers.agreed(lambda: (final / SHAPE).is_file()):
        return load_captioner(final, config.captioner.device)
    # Also where the initialisation was done by an earlier process, which was interrupted after it.
    seed_everything(run.seed)
    judge, rewards, material = prepare(config, captioner, clip, data, run, workers)
    # In every process: a reward may draw random numbers as it loads, which it must before a checkpoint restores them.
    for reward, _ in rewards.values():
        # One that learns from what it sees scores differently the second time, which the check takes for a fault.
        if not list(stateful_parts(reward)):
            check_reward(reward, sample_batch(material))
    longest = config.captioner.max_new_tokens
    learner = Reinforcer(captioner, config.rl, rewards, material, longest, run.seed, judge, workers)
    watch = workers.main_only(lambda: Watch(config, run, learner, data))
    run_stage(
        run,
        "rl",
        learner,
        config.rl.steps,
        config.rl.save_every,
        None if watch is None else watch.after_step,
        None if watch is None else watch.state,
        None if watch is None else watch.restore,
        workers,
    )

    def saved() -> None:
        assert watch is not None
        watch.keep_best()
        captioner.save(final)
        if judge is not None:
            judge.save(run.folder / "discriminator")
        drop_checkpoints(run, "rl")

    workers.main_only(saved)
    workers.share(captioner)
    return captioner.eval()


def sample_batch(material: Material, size: int = 6) -> dict[str, Any]:
    """A few rows as the rewards get them, from however few pictures and sentences there are."""
    from apps.captioning.learning.reinforce import rows_of

    rows = [number % len(material.features) for number in range(size)]
    batch = {name: rows_of(column, rows) for name, column in material.columns.items()}
    texts = [material.corpus[number % len(material.corpus)] for number in range(size)]
    return {**batch, "completion": texts, "images": material.features[rows], "step": 0}


def prepare(
    config: CaptioningConfig, captioner: Captioner, clip: Clip, data: Data, run: Run, workers: Workers = ALONE
) -> tuple[Naturalness | None, dict[str, tuple[Reward, float]], Material]:
    """Discriminator, rewards with their weights, and what the captioner may learn from."""
    from apps.captioning.learning.naturalness import Naturalness
    from apps.captioning.learning.reinforce import Material, pretrain_judge
    from apps.captioning.rewards import ClipAgg, build_rewards
    from common.training.stage import newest_checkpoint
    from common.ui import progress

    judge = None
    if "naturalness" in config.reward.weights:
        judge = Naturalness(config.discriminator, str(captioner.device), workers)
    workers.part_ways(run.seed)
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
    if judge is not None and steps and workers.agreed(lambda: newest_checkpoint(run, "rl") is None):
        with progress("training the discriminator", steps, quiet=not workers.main) as bar:
            pretrain_judge(
                judge,
                captioner,
                material,
                config.captioner.max_new_tokens,
                steps,
                2 * config.rl.pictures_per_step,
                run.seed,
                bar,
                workers,
            )
    return judge, rewards, material
