"""`train --dry_run`: what a training would do, checked without weights, training or a GPU."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from common.training import dry_run
from common.training.dry_run import Check, NotChecked

if TYPE_CHECKING:
    from common.rewards.trained.config import TrainRewardConfig
    from common.rewards.trained.preferences import Preferences


def check(config: TrainRewardConfig) -> list[Check]:
    """Look at the pairs, their split, the backbone and the batch arithmetic."""

    @cache
    def read() -> Preferences:
        from common.rewards.trained.preferences import read_preferences

        return read_preferences(config.pairs, config.dimensions)

    return dry_run.checks(
        (
            ("pairs", lambda: _pairs(read())),
            ("split by prompt", lambda: _split(read(), config)),
            ("backbone", lambda: _backbone(config)),
            ("batches", lambda: _batches(read(), config)),
            ("run folder", lambda: dry_run.folder(config.runs)),
        )
    )


def _pairs(found: Preferences) -> str:
    shown = sum(bool(pair.images) for pair in found.rows)
    shorter = sum(len(pair.chosen) < len(pair.rejected) for pair in found.rows) / len(found.rows)
    told = f"{len(found.rows):,} pairs, {shown:,} with images; chosen is the shorter in {shorter:.0%}"
    labels = f"; labels: {', '.join(found.dimensions)}" if found.dimensions else "; no labels"
    return "; ".join([told + labels, *found.notes()])


def _split(found: Preferences, config: TrainRewardConfig) -> str:
    from common.rewards.trained.preferences import split_preferences

    split = split_preferences(found.rows, config.held_out, config.validation, config.seed)
    parts = (("train", split.train), ("validation", split.validation), ("held out", split.test))
    groups = [len({found.rows[at].group for at in part}) for _, part in parts]
    return ", ".join(
        f"{name} {len(part):,} pairs of {count:,} prompts" for (name, part), count in zip(parts, groups, strict=True)
    )


def _backbone(config: TrainRewardConfig) -> str:
    from common.files import locate
    from common.models.backbone import described, kind_of
    from common.models.hub import cached
    from common.models.text import is_hub_id

    backbone = config.backbone
    if is_hub_id(backbone.path) and not locate(backbone.path).exists() and not cached(backbone.path):
        raise NotChecked(f"{backbone.path}: not on this machine; it is fetched from the hub when the run begins")
    kind = kind_of(backbone)
    if kind == "encoder":
        from common.models.backbone import open_backbone

        return f"encoder, {open_backbone(backbone).width} numbers a completion, {backbone.tune}"
    told = dry_run.model(described(backbone), sees=kind == "vision")
    # What would be trained is told of the model alone; a frozen one trains none of it.
    return f"{kind}: {told.rpartition(',')[0]}, frozen" if backbone.tune == "frozen" else f"{kind}: {told}"


def _batches(found: Preferences, config: TrainRewardConfig) -> str:
    from common.rewards.trained.train import check_numbers

    check_numbers(config)
    epochs = config.steps * config.batch_size / max(1, len(found.rows) * (1 - config.held_out - config.validation))
    return f"{config.steps:,} steps of {config.batch_size} pairs, {epochs:.1f} times through them"
