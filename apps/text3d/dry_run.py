"""`generate --dry_run`: what a recipe would do, checked without its weights or a GPU."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from apps.text3d.config import Text3dConfig
from apps.text3d.dry_run_models import Diffusion, Sight, diffusion, half, scene_numbers, sight
from apps.text3d.guidance.front import settled
from apps.text3d.guidance.provenance import used
from apps.text3d.prompts.parser import parse
from apps.text3d.prompts.prompt import Prompt
from common.errors import UsageError
from common.training import dry_run
from common.training.dry_run import Check, NotChecked, show

__all__ = ["Check", "Found", "NotChecked", "check", "show"]

#: The prompt where none is given.
EXAMPLE = "a red cube left of a blue sphere"
GIGABYTE = 1e9
#: Tokens around a question: the turn's marks, a system message and the space between words and tokens.
_TURN = 40


@dataclass
class Found:
    """What the looks know of each other's findings.

    Attributes:
        text: the prompt as it was typed.
        prompt: as it was read.
        diffusion: shape of the diffusion model.
        sight: of the vision-language model.
    """

    text: str
    prompt: Prompt | None = None
    diffusion: Diffusion | None = None
    sight: Sight | None = None


Look = Callable[[Text3dConfig, Found], str]


def check(config: Text3dConfig, prompt: str | None = None) -> list[Check]:
    """Look at the prompt, the guidances, the models (on the meta device), the steps and the memory, and take one step
    with tiny stand-ins of the models' classes.

    Args:
        config: the settings.
        prompt: what would be shown; an example where not given.
    """
    looks: tuple[tuple[str, Look], ...] = (
        ("prompt", _prompt),
        ("guidances", _guidances),
        ("diffusion model", _diffusion),
        ("clip", _clip),
        ("vision-language model", _vlm),
        ("judge of noises", _judge),
        ("own reward", _own),
        ("steps", _steps),
        ("memory", memory),
        ("stand-ins", _stand_ins),
        ("run folder", lambda config, found: dry_run.folder(config.runs)),
    )
    found = Found(EXAMPLE if prompt is None else prompt)
    with suppress(UsageError):  # the first look tells what is wrong with the prompt
        config = replace(config, guidance=settled(config.guidance, parse(found.text)))
    return dry_run.checks((name, partial(look, config, found)) for name, look in looks)


def _prompt(config: Text3dConfig, found: Found) -> str:
    from apps.text3d.generate import anything, read

    found.prompt = read(found.text, anything(config))
    if not found.prompt.objects:
        return "nothing of it is known to the parser: the models read its text, and the judge judges nothing"
    things = ", ".join(thing.describe() for thing in found.prompt.objects)
    lost = f"; not understood: {', '.join(found.prompt.unknown)}" if found.prompt.unknown else ""
    return f"{things}; relations: {len(found.prompt.relations)}{lost}"


def weights(config: Text3dConfig) -> Iterator[tuple[str, Callable[[float], float]]]:
    """Name and schedule of each guidance that is ever asked."""
    from common.schedule import read_schedule

    guidance = config.guidance
    given = {"sds": guidance.sds.weight, "clip": guidance.clip.weight, "analytic": guidance.analytic}
    given |= {f"vlm.{kind}": getattr(guidance.vlm, kind) for kind in ("semantic", "spatial", "consistency")}
    given["own"] = guidance.own.weight
    for name, weight in given.items():
        if used(weight, f"guidance.{name}"):
            yield name, read_schedule(weight, f"guidance.{name}")


def _guidances(config: Text3dConfig, found: Found) -> str:
    steps = config.optimise.steps
    at = sorted({0, steps // 2, max(steps - 1, 0)})
    told = [f"{name} {', '.join(f'{weight(step):.3g}' for step in at)}" for name, weight in weights(config)]
    if not told:
        raise UsageError("there is no guidance; give at least one of sds, clip, vlm, analytic and own a weight")
    if config.guidance.sds.perp_neg:
        told.append(f"Perp-Neg {config.guidance.sds.perp_neg:g}")
    return f"weights at steps {', '.join(f'{step:,}' for step in at)}: {'; '.join(told)}"


def _diffusion(config: Text3dConfig, found: Found) -> str:
    if not used(config.guidance.sds.weight, "guidance.sds.weight"):
        return "not used: guidance.sds.weight is 0"
    _named("sds.model", config.guidance.sds.model)
    found.diffusion, away = diffusion(config.guidance.sds)
    told = (
        f"{config.guidance.sds.model}: {found.diffusion.weights / 1e6:,.1f} M weights, {found.diffusion.side} pixels"
    )
    return _told(told, away)


def _clip(config: Text3dConfig, found: Found) -> str:
    clip = config.guidance.clip
    if not used(clip.weight, "guidance.clip.weight"):
        return "not used: guidance.clip.weight is 0"
    _named("clip.name", clip.name)
    from common.models.clip import HUB, LOCAL, Clip

    name, tag = Clip(clip.name, clip.pretrained or None).resolved()
    if name.startswith(LOCAL):
        return f"{name.removeprefix(LOCAL)}: an OpenCLIP folder"
    if name.startswith(HUB):
        raise NotChecked(f"{name}: its shape stands in the hub; it is looked at when it is opened")
    raise NotChecked(f"{name}, weights {tag!r}: fetched by OpenCLIP when it is opened")


def _vlm(config: Text3dConfig, found: Found) -> str:
    if not any(name.startswith("vlm.") for name, _ in weights(config)):
        return "not used: its three weights are 0"
    _named("vlm.model", config.guidance.vlm.model)
    found.sight, away = sight(config.guidance.vlm)
    return _told(f"{config.guidance.vlm.model}: {found.sight.weights / 1e6:,.1f} M weights", away)


def _judge(config: Text3dConfig, found: Found) -> str:
    from apps.text3d.guidance.build import Models, judge

    sds = config.guidance.sds
    if not (sds.judge and used(sds.weight, "guidance.sds.weight")):
        return "not used: guidance.sds.judge is empty"
    judge(sds, found.prompt or parse(found.text), Models())
    return f"{sds.judge['name']}: it reads what a view has; its models are opened by the first step"


def _own(config: Text3dConfig, found: Found) -> str:
    from apps.text3d.guidance.build import Models, own

    if not used(config.guidance.own.weight, "guidance.own.weight"):
        return "not used: guidance.own.weight is 0"
    own(config.guidance.own, found.prompt or parse(found.text), Models())
    return f"{config.guidance.own.reward['name']}: it has a gradient; its models are opened by the first step"


def _steps(config: Text3dConfig, found: Found) -> str:
    views, first, last = config.optimise.viewpoints.views, config.optimise.side(0), config.optimise.last_side
    drawn = f"{first} to {last}" if first != last else f"{first}"
    told = f"{config.optimise.steps:,} steps of {views} views of {drawn} pixels"
    if config.optimise.minutes:
        told += f", at most {config.optimise.minutes:g} minutes"
    if found.sight is None:
        return told
    asked = sum(map(len, turns(config, found).values()))
    if not asked:
        raise UsageError("guidance.vlm has weights, and this prompt gives it nothing to ask")
    read = sum(tokens(config, found).values())
    return f"{told}; the VLM is asked {asked} questions a step, {read:,} tokens at the last side"


def turns(config: Text3dConfig, found: Found) -> dict[str, list[tuple[int, str]]]:
    """Of each kind of question that has a weight, the turns of a step: how many views each shows, and its text."""
    from apps.text3d.cameras import orbit
    from apps.text3d.guidance.build import asked

    if found.prompt is None:
        raise NotChecked("needs the prompt")
    views = config.optimise.viewpoints.views
    cameras = orbit([360.0 * row / views for row in range(views)])
    shown: dict[str, list[tuple[int, str]]] = {}
    for name, _ in weights(config):
        if not name.startswith("vlm."):
            continue
        rows = shown.setdefault(name, [])
        for question in asked(name.removeprefix("vlm."), found.prompt)(cameras):
            seen = views if question.views is None else len(question.views)
            rows += [(seen, question.text)] if question.together else [(1, question.text)] * seen
    drawn = config.guidance.vlm.per_step
    # Which ones are drawn is chance; the longest are counted.
    return {name: sorted(rows, key=_longest)[: drawn or None] for name, rows in shown.items()}


def _longest(turn: tuple[int, str]) -> tuple[int, int]:
    return -turn[0], -len(turn[1])


def tokens(config: Text3dConfig, found: Found, most: int = 0) -> dict[str, int]:
    """Of each kind's turns in a step at the last side; of its `most` first ones where that is not 0."""
    each = view_tokens(config, found)
    return {
        name: sum(shown * each + math.ceil(1.5 * len(text.split())) + _TURN for shown, text in rows[: most or None])
        for name, rows in turns(config, found).items()
    }


def view_tokens(config: Text3dConfig, found: Found) -> int:
    """Image tokens of one view at the last side."""
    assert found.sight is not None
    return int(max(2, round(config.optimise.last_side / found.sight.side)) ** 2)


def memory(config: Text3dConfig, found: Found) -> str:
    """What a step at the last side would hold, its largest part named first; an estimate.

    Guidances, and the kinds of the VLM's questions, are asked one after the other, and each gives back what it kept:
    the largest counts. A view is encoded once for all questions of a kind.
    """
    guidance, views = config.guidance, config.optimise.viewpoints.views
    names = {name.partition(".")[0] for name, _ in weights(config)}
    if ("sds" in names and found.diffusion is None) or ("vlm" in names and found.sight is None):
        raise NotChecked("needs the models' shapes")
    numbers, marching = scene_numbers(config)
    # Weights, gradients and Adam's two moments, each of 4 bytes.
    parts = {"scene": 16 * numbers, "rays": marching}
    kept = {"VLM": 0, "VAE": 0}
    if found.diffusion is not None:
        bytes_ = half(guidance.sds.dtype, guidance.sds.device)
        parts["diffusion model"] = bytes_ * found.diffusion.weights
        texts = 5 if guidance.sds.perp_neg else 2
        kept["VAE"] = bytes_ * views * (found.diffusion.kept + texts * found.diffusion.passed)
    if found.sight is not None:
        bytes_ = half(guidance.vlm.dtype, guidance.vlm.device)
        parts["VLM"] = bytes_ * found.sight.weights
        of_texts = max(tokens(config, found, guidance.vlm.at_once).values(), default=0)
        of_views = found.sight.kept_by_view_token * views * view_tokens(config, found)
        most = found.sight.kept_by_token * of_texts + of_views
        kept["VLM"] = most * bytes_ // 2
    largest = max(kept, key=lambda name: kept[name])
    if kept[largest]:
        parts[f"activations ({largest})"] = kept[largest]
    listed = sorted(parts.items(), key=lambda part: -part[1])
    total = sum(parts.values())
    told = ", ".join(f"{name} {size / GIGABYTE:.2g}" for name, size in listed if size >= 0.005 * total)
    return f"about {total / GIGABYTE:.2g} GB: {told}"


def _stand_ins(config: Text3dConfig, found: Found) -> str:
    from apps.text3d.cameras import around
    from apps.text3d.dry_run_stand_ins import stand_in_config
    from apps.text3d.generate import learner_of

    if found.prompt is None:
        raise NotChecked("needs the prompt")
    if {name for name, _ in weights(config)} == {"own"}:
        raise NotChecked("guidance.own has no stand-in")
    texts = [found.text, *{text: 0 for rows in turns(config, found).values() for _, text in rows}]
    with tempfile.TemporaryDirectory(prefix="dry-run-") as folder:
        learner = learner_of(stand_in_config(config, texts, Path(folder)), found.prompt)
        learner.scene.render(around(1, 32))
        figures = learner.step()
    if learner.skipped:
        raise UsageError("the step of tiny stand-ins gave a loss or gradient that is no number; look at the weights")
    told = ", ".join(f"{name} {figures[name]:.3g}" for name, _ in weights(config) if name in figures)
    return f"one step on the CPU with tiny untrained models of the same classes: {told}"


def _named(option: str, name: str) -> None:
    if not name:
        raise UsageError(f"guidance.{option} is empty, and its weight is not 0: name a folder or a hub id")


def _told(text: str, away: str) -> str:
    if away:
        raise NotChecked(f"{text}; {away}")
    return text
