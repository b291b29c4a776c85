"""`audit`: would this reward teach good driving? Wrong ways to drive and whole drives, before a run is paid for."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from apps.driving.auditing.result import DrivingAudit, RewardAssay
from apps.driving.env_config import ViewConfig
from apps.driving.reward_config import RECIPE_NAMES, DecompositionConfig, IntrinsicConfig, RewardConfig
from common.config import nearest
from common.errors import UsageError
from common.files import locate

if TYPE_CHECKING:
    from apps.driving.auditing.assay import Columns
    from apps.driving.auditing.drives import Drives
    from apps.driving.auditing.play import Played, Steps
    from apps.driving.config import DrivingConfig
    from common.models.clip import Clip
    from common.rewards.base import Reward

#: Below this share of trials a behaviour is flagged, where it was tried at least `FEW` times.
LEAST, FEW = 0.9, 10
#: More scenes than this in which all acts earn the same, or steps that get one value, teach little.
FLATTEST_SCENES, FLATTEST_STEPS = 0.2, 0.9
#: Rank correlation with the driving score below which a reward is no stand-in for it.
AGREES = 0.6


def run_audit(
    config: DrivingConfig,
    rows: int = 60,
    drives: int = 8,
    recipes: str | None = None,
    out: str | None = None,
    json_output: bool = False,
) -> int:
    """Assay the configured reward and others; writes `audit.json`, `report.html`, `kills.png`.

    Args:
        config: whose `reward` is assayed, in its environment on the embedded simulator.
        rows: scenes that acts are played in, and good transitions that are edited.
        drives: routes that every driver drives.
        recipes: comma-separated recipes to compare with; all that need no picture where not given.
        out: folder of the report; `audit` in the runs folder where not given.
        json_output: print the figures as JSON.

    Raises:
        UsageError: no such recipe, one that cannot be made from the config, or numbers below 2.
    """
    if config.reward.own:
        raise UsageError("reward.own: assay it by python -m apps audit --app driving --reward FILE")
    from apps.driving.auditing.page import kill_map, kill_title, print_audit, write_report
    from common.files import write_json
    from common.training.run import set_threads
    from common.ui import print_json, say

    if rows < 2 or drives < 2:
        raise UsageError(f"--rows {rows} --drives {drives}: an interval needs at least two of each")
    names = _names(config, recipes)
    set_threads(config.threads)
    found = audit_rewards(config, names, rows, drives, recipes is not None, json_output)
    folder = Path(out) if out else Path(config.runs) / "audit"
    write_json(folder / "audit.json", found.to_json())
    write_report(found, config).save(folder / "report.html")
    kill_map(found, kill_title(found)).savefig(folder / "kills.png", dpi=160, facecolor="white")
    if json_output:
        print_json(found.to_json())
    else:
        print_audit(found)
        say(f"report: {folder / 'report.html'}, picture: {folder / 'kills.png'}")
    return 0


def audit_rewards(
    config: DrivingConfig,
    recipes: Sequence[str],
    rows: int = 60,
    drives: int = 8,
    strict: bool = False,
    quiet: bool = False,
    own: Mapping[str, Reward] | None = None,
) -> DrivingAudit:
    """Assay rewards by their recipes.

    Args:
        config: settings of the environment and the rewards.
        recipes: the configured one first.
        rows: scenes, and good transitions.
        drives: routes of whole drives.
        strict: raise where one of them cannot be made; else it is left out with a note.
        quiet: no progress bar.
        own: rewards that are no recipe, by name.
    """
    from apps.driving.auditing.drives import DRIVERS, drive
    from apps.driving.auditing.play import play
    from common.ui import progress

    notes: list[str] = []
    rewards, clip = _rewards(config, recipes, strict, notes, own or {})
    seeing = any("images" in reward.needs for reward in rewards.values())
    stride = max(config.learn.stride, 1) if seeing else 0
    env = replace(config.env, picture=config.env.picture if seeing else ViewConfig())
    with progress("playing", rows, quiet) as bar:
        played = play(env, rows, config.seed, stride, bar)
    with progress("driving", drives * len(DRIVERS), quiet) as bar:
        driven = drive(env, drives, config.seed + 1, stride, bar)
    material = _material(played, driven, rows, config, clip if seeing else None, notes)
    found = {}
    with progress("scoring", len(rewards), quiet) as bar:
        for number, (name, reward) in enumerate(rewards.items()):
            found[name] = assay_reward(reward, material)
            bar(number + 1, name)
    return DrivingAudit(
        found, config.reward.recipe, rows, len(material.chosen), driven, list(config.env.routes.maps), notes
    )


@dataclass(frozen=True)
class Material:
    """What every reward is assayed with.

    Attributes:
        played: acts.
        acts: their columns.
        driven: whole drives.
        drives: their columns.
        chosen: rows of the drives that are good driving and were edited.
        edits: columns of the edited transitions, with the behaviour and the place in `chosen` of each.
        edit_names, edit_rows: see `edits`.
        look: seconds that one step's picture costs a reward that looks.
    """

    played: Played
    acts: Columns
    driven: Drives
    drives: Columns
    chosen: Sequence[int]
    edits: Columns
    edit_names: Sequence[str]
    edit_rows: Sequence[int]
    look: float


def assay_reward(reward: Reward, material: Material) -> RewardAssay:
    """Everything about one reward."""
    from apps.driving.auditing import assay

    acts, first = assay.score(reward, material.acts)
    drives, second = assay.score(reward, material.drives)
    edits, _ = assay.score(reward, material.edits)
    returns = assay.sums(acts, material.played.steps.episodes)
    unit = assay.worth(returns, material.played)
    edit_cells = assay.edit_cells(drives[list(material.chosen)], edits, material.edit_names, material.edit_rows, unit)
    act_cells = assay.act_cells(returns, material.played, unit)
    steps = len(acts) + len(drives)
    look = material.look if "images" in reward.needs else 0.0
    found = RewardAssay(
        bounds=reward.bounds,
        unit=unit,
        edits=edit_cells,
        acts=act_cells,
        killed_edits=assay.together(edit_cells),
        killed_acts=assay.together(act_cells),
        ordering=assay.ordering(returns, material.played),
        collapse=assay.collapse(returns, material.played),
        flat=assay.flatness(drives),
        ranking=assay.ranking(assay.sums(drives, material.driven.steps.episodes), material.driven),
        failed=float(np.isnan(np.concatenate([acts, drives])).mean()),
        milliseconds=1e3 * ((first + second) / steps + look),
    )
    return replace(found, flags=_flags(found))


def _material(
    played: Played, driven: Drives, rows: int, config: DrivingConfig, clip: Clip | None, notes: list[str]
) -> Material:
    from apps.driving.auditing.assay import columns_of
    from apps.driving.auditing.edits import EDITS, is_good
    from apps.driving.auditing.play import Steps

    rng = np.random.default_rng(config.seed)
    acts, first = _looked_at(played.steps, clip)
    drives, second = _looked_at(driven.steps, clip)
    good = [place for place, state in enumerate(driven.steps.states) if is_good(state)]
    if not good:
        raise UsageError(
            "no driver kept its lane at speed on a free road, so there is no good driving to edit; look at "
            "env.traffic and env.target_speed"
        )
    chosen = sorted(rng.choice(good, min(rows, len(good)), replace=False).tolist())
    if len(chosen) < rows:
        notes.append(f"only {len(chosen)} of {rows} transitions were good driving; more --drives would give more")
    edited = Steps()
    names: list[str] = []
    places: list[int] = []
    for name, edit in EDITS.items():
        for place, row in enumerate(chosen):
            edited.states.append(edit(driven.steps.states[row], config.env.end, rng))
            edited.episodes.append(len(names))
            names.append(name)
            places.append(place)
    # An edit changes what is known of the car and not the picture.
    seen = None if drives is None else drives[[chosen[place] for place in places]]
    look = (first + second) / (len(played.steps) + len(driven.steps))
    return Material(
        played,
        columns_of(played.steps, acts),
        driven,
        columns_of(driven.steps, drives),
        chosen,
        columns_of(edited, seen),
        names,
        places,
        look,
    )


def _looked_at(steps: Steps, clip: Clip | None) -> tuple[Any, float]:
    """Features `(N, D)` of every step's picture, or of the last one before it, and the seconds that took."""
    if clip is None:
        return None, 0.0
    import torch

    began = time.perf_counter()
    pictures = [picture for picture in steps.pictures if picture is not None]
    vectors = []
    for start in range(0, len(pictures), 256):
        stack = torch.from_numpy(np.stack(pictures[start : start + 256])).float() / 255
        vectors.append(clip.image(stack).detach().cpu())
    seen = torch.cat(vectors)
    at = np.cumsum([picture is not None for picture in steps.pictures]) - 1
    return seen[torch.from_numpy(at)], time.perf_counter() - began


def _flags(found: RewardAssay) -> list[str]:
    """What should be looked into before training."""
    flags = []
    if found.unit <= 0:
        flags.append("good driving earns no more than standing on a free road: nothing makes the car move")
    for kind, cells in (("played", found.acts), ("edited", found.edits)):
        flags += [
            f"{name} ({kind}): {1 - one.killed.mean:.0%} of {one.killed.n} cost too little"
            + (f"; it even pays more in {1 - one.lower.mean:.0%}" if one.drop.mean < 0 else "")
            for name, one in cells.items()
            if one.killed.n >= FEW and one.killed.mean < LEAST
        ]
    if found.ordering.mean < LEAST:
        flags.append(f"good driving earns more than a wrong act with chance {found.ordering.mean:.2f} only")
    if found.collapse.mean > FLATTEST_SCENES:
        flags.append(f"good and wrong driving earn alike in {found.collapse.mean:.0%} of the scenes")
    if found.flat > FLATTEST_STEPS:
        flags.append(f"{found.flat:.0%} of all steps get the same value: there is little to learn from")
    agreement = found.ranking.spearman.mean
    if math.isnan(agreement) or agreement < AGREES:
        flags.append(f"returns rank whole drives unlike the driving score does (Spearman {agreement:.2f})")
    if found.failed > 0:
        flags.append(f"{found.failed:.1%} of the steps could not be scored")
    return flags


def _names(config: DrivingConfig, recipes: str | None) -> list[str]:
    """The configured recipe and those to compare it with."""
    from apps.driving.rewards import SEEING

    if recipes is None:
        names: Sequence[str] = [name for name in RECIPE_NAMES if name not in SEEING]
    else:
        names = [name.strip() for name in recipes.split(",") if name.strip()]
    for name in names:
        if name not in RECIPE_NAMES:
            raise UsageError(f"no reward recipe {name!r}{nearest(name, RECIPE_NAMES)}")
    return list(dict.fromkeys((config.reward.recipe, *names)))


def _rewards(
    config: DrivingConfig, recipes: Sequence[str], strict: bool, notes: list[str], others: Mapping[str, Reward]
) -> tuple[dict[str, Reward], Clip]:
    from apps.driving.rewards import SEEING, build, configured_clip

    clip = configured_clip(config.reward)
    own = config.reward.recipe
    found: dict[str, Reward] = {}
    for name in recipes:
        # What is learnt on top of a recipe (LaRe, ONI) belongs to training; here the recipe itself is assayed.
        chosen: RewardConfig = replace(
            config.reward,
            recipe=cast("Any", name),
            intrinsic=IntrinsicConfig(),
            decomposition=DecompositionConfig(),
        )
        try:
            if name in SEEING:
                _can_see(config)
            found[name] = build(chosen, clip)
        except UsageError as error:
            if strict:
                raise
            notes.append(f"{name}{' (configured)' if name == own else ''} was left out: {error}")
    found |= others
    if not found:
        raise UsageError("; ".join(notes))
    return found, clip


def _can_see(config: DrivingConfig) -> None:
    """Whether there are a CLIP and pictures for it.

    Raises:
        UsageError: there are not; the message says what to do.
    """
    name = config.reward.clip.name
    folder = name.removeprefix("local-dir:")
    if name.startswith("local-dir:") and not (locate(folder) / "open_clip_config.json").is_file():
        raise UsageError(f"there is no CLIP in {folder}; make the pocket CLIP with python -m apps.driving pretrain")
    if config.env.picture.kind != "rgb":
        raise UsageError(f"it looks at pictures, but env.picture.kind is {config.env.picture.kind}; set it to rgb")
