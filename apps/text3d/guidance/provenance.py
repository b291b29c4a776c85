"""Models that are not what their names promise: untrained weights, which every output has to name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from apps.text3d.guidance_config import GuidanceConfig
from common.errors import DataError
from common.files import locate, read_json
from common.schedule import read_schedule

#: Stands on what an untrained model has had a part in.
UNTRAINED = "untrained demo weights"
#: In a folder's name, or in its card.
_WORDS = ("untrained", "demo-weights", "demo weights", "random weights")
_SETTINGS = ("config.json", "model_index.json", "open_clip_config.json")


def used(weight: Any, option: str) -> bool:
    """Whether a guidance of this weight is ever asked; None, which `guidance.front` fills in, never is by itself."""
    return weight is not None and any(read_schedule(weight, option).bounds)


def models(config: GuidanceConfig) -> Iterator[tuple[str, str]]:
    """Option and name of each model whose guidance has a weight."""
    vlm = config.vlm
    if used(config.sds.weight, "guidance.sds.weight"):
        yield "guidance.sds.model", config.sds.model
        yield from ((f"guidance.sds.judge {kind}", name) for kind, name in named_in(config.sds.judge))
    if used(config.clip.weight, "guidance.clip.weight"):
        yield "guidance.clip.name", config.clip.name
    if any(used(getattr(vlm, kind), f"guidance.vlm.{kind}") for kind in ("semantic", "spatial", "consistency")):
        yield "guidance.vlm.model", vlm.model
    if used(config.own.weight, "guidance.own.weight"):
        yield from ((f"guidance.own.reward {kind}", name) for kind, name in named_in(config.own.reward))


def named_in(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind (`clip` or `vlm`) and name of each model that a reward's spec, or one inside it, names."""
    for key, value in spec.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                yield from named_in(one)
            elif key in ("clip", "vlm"):
                yield key, str(one)


def untrained(config: GuidanceConfig) -> str:
    """What to write on every output where a model of the guidances is untrained; empty where none is.

    A model says so itself: by `"untrained": true` in its config.json or model_index.json, in the card beside it
    (README.md), or by the name of its folder.
    """
    named = [option for option, name in models(config) if says_untrained(name)]
    return (
        f"{UNTRAINED} ({', '.join(named)}): it shows that the parts work together, and nothing else" if named else ""
    )


def says_untrained(name: str) -> bool:
    """Whether a model calls itself untrained; a hub id can by its name alone."""
    folder = locate(name.removeprefix("local-dir:"))
    # The folder's own name alone: above it may stand anything, such as somebody's "untrained-baselines" project.
    if any(word in folder.name.lower() for word in _WORDS):
        return True
    if not folder.is_dir():
        return False
    if any(_declared(folder / file) for file in _SETTINGS):
        return True
    card = folder / "README.md"
    text = card.read_text("utf-8", errors="replace").lower() if card.is_file() else ""
    return any(word in text for word in _WORDS)


def says_pocket(name: str) -> bool:
    """Whether a model is one of the pocket's, which know drawn solids alone: the title of its card says so."""
    card = locate(name.removeprefix("local-dir:")) / "README.md"
    return card.is_file() and "pocket" in card.read_text("utf-8", errors="replace").partition("\n")[0].lower()


def _declared(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        settings = read_json(path)
    except DataError:
        return False  # whoever opens the model says what is wrong with the file
    return isinstance(settings, dict) and settings.get("untrained") is True
