"""What a visitor of the demo may wish for, and the settings that it becomes; whatever was sent is checked here."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from apps.text3d.config import Text3dConfig
from apps.text3d.generate import read
from apps.text3d.guidance_config import GuidanceConfig
from common.errors import UsageError
from common.schedule import read_schedule

if TYPE_CHECKING:
    from apps.text3d.prompts.prompt import Prompt

LONGEST_PROMPT, MOST_STEPS, MOST_SEED, MOST_WEIGHT = 300, 2000, 1_000_000, 1e6
#: Kinds of scenes that a visitor can choose; a laptop is too slow for hash grids.
KINDS = ("voxel", "gaussians")
EXAMPLES = (
    "a red cube left of a blue sphere",
    "a green cone above a yellow cube",
    "two small orange spheres",
    "a cyan torus behind a purple cylinder",
    "a large gray pyramid beside a red capsule",
)
#: Weights that a visitor can change: where they stand in `GuidanceConfig`, and what names their model.
PLACES = {
    "sds": ("sds.weight", "sds.model"),
    "clip": ("clip.weight", "clip.name"),
    "vlm.semantic": ("vlm.semantic", "vlm.model"),
    "vlm.spatial": ("vlm.spatial", "vlm.model"),
    "vlm.consistency": ("vlm.consistency", "vlm.model"),
    "analytic": ("analytic", ""),
}


@dataclass(frozen=True)
class Wish:
    """What a visitor wants to see; nothing is checked yet. `weights` are of guidances, by the names of `PLACES`."""

    prompt: Any = ""
    kind: Any = "voxel"
    steps: Any = 400
    seed: Any = 0
    weights: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Knob:
    """A weight as the page offers it.

    Attributes:
        name: of `PLACES`.
        value: where it starts; a schedule's greatest.
        scheduled: whether the configuration has a schedule, which is kept until the knob is moved.
        off: why it cannot be used; empty where it can.
    """

    name: str
    value: float
    scheduled: bool
    off: str


def kinds(config: Text3dConfig) -> list[str]:
    """Kinds of scenes, the configured one first."""
    return list(dict.fromkeys((config.scene.kind, *KINDS)))


def knobs(config: GuidanceConfig) -> list[Knob]:
    """The weights, in the order of `PLACES`."""
    found = []
    for name, (place, model) in PLACES.items():
        given = _at(config, place)
        # None is left to the prompt; see `guidance.front`.
        schedule = read_schedule(0.0 if given is None else given, f"guidance.{place}")
        off = "" if not model or _at(config, model) else f"needs a model: --guidance.{model}"
        found.append(Knob(name, max(0.0, schedule.bounds[1]), len(schedule.points) > 1, off))
    return found


def granted(config: Text3dConfig, wish: Wish, runs: str) -> tuple[Text3dConfig, Prompt]:
    """The settings of a wish's run, and what is to be shown.

    Args:
        config: the settings that it may change.
        wish: what a visitor wants.
        runs: folder of the run folders.

    Raises:
        UsageError: what a visitor wrote or chose cannot be; says what could.
    """
    # Half a surrogate pair is in JSON what no file can hold.
    text = " ".join(str(wish.prompt or "").encode("utf-8", "replace").decode("utf-8").split())
    if not text:
        raise UsageError("write a prompt first")
    if len(text) > LONGEST_PROMPT:
        raise UsageError(f"the prompt has {len(text)} characters; at most {LONGEST_PROMPT} are read")
    if wish.kind not in kinds(config):
        raise UsageError(f"no such kind of scene; there are {', '.join(kinds(config))}")
    steps = int(_number("steps", wish.steps, 1, MOST_STEPS))
    seed = int(_number("the seed", wish.seed, 0, MOST_SEED))
    found = replace(
        config,
        scene=replace(config.scene, kind=wish.kind),
        guidance=_weighed(config.guidance, wish.weights),
        optimise=replace(config.optimise, steps=steps),
        seed=seed,
        runs=runs,
    )
    return found, read(text)


def _weighed(config: GuidanceConfig, weights: Mapping[str, Any]) -> GuidanceConfig:
    """The configured guidances with a visitor's weights; a schedule stays where its knob was not moved."""
    found = copy.deepcopy(config)
    for knob in knobs(config):
        value = _number(f"the weight {knob.name}", weights.get(knob.name, knob.value), 0, MOST_WEIGHT)
        if value != knob.value:
            way, _, last = PLACES[knob.name][0].rpartition(".")
            setattr(_at(found, way), last, value)
    return found


def _at(config: Any, place: str) -> Any:
    for part in filter(None, place.split(".")):
        config = getattr(config, part)
    return config


def _number(name: str, value: Any, low: float, high: float) -> float:
    if not (isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high):
        raise UsageError(f"{name} must be a number from {low:,.0f} to {high:,.0f}")
    return float(value)
