"""What a dry run says about rewards and the CLIP that they look through; weights are never read or fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.driving.config import DrivingConfig
from common.errors import UsageError
from common.files import locate
from common.training.dry_run import NotChecked

if TYPE_CHECKING:
    from common.models.clip import Clip

LOCAL, HUB = "local-dir:", "hf-hub:"
CLIP_CONFIG = "open_clip_config.json"
#: OpenCLIP's names of the weights in a hub's repository.
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def recipes(config: DrivingConfig) -> Sequence[str]:
    """What would be trained on."""
    return config.comparison.recipes or [config.reward.title]


def looking(config: DrivingConfig) -> list[str]:
    """Those of them that look at pictures."""
    from apps.driving.rewards import SEEING

    return [recipe for recipe in recipes(config) if recipe in SEEING]


def clip(config: DrivingConfig) -> str:
    """The CLIP by name: that it exists, its size, and whether it is here.

    Raises:
        NotChecked: its weights are not on this machine.
        UsageError: there is no such CLIP.
    """
    chosen = config.reward.clip
    if config.reward.own:
        return "not used: reward.own opens what it looks through"
    if not looking(config):
        return "no reward here looks at pictures"
    if chosen.student:
        from apps.driving.rewards import configured_clip

        return configured_clip(config.reward).name
    name, folder = chosen.name, locate(chosen.name.removeprefix(LOCAL))
    if (folder / CLIP_CONFIG).is_file():
        return str(folder)
    if name.startswith(LOCAL):
        raise UsageError(f"{folder}: no CLIP there; make the pocket CLIP with python -m apps.driving pretrain")
    if name.startswith(HUB):
        raise NotChecked(f"{name}: its shape stands in the hub; it is looked at when it is opened")
    told, repository = _published(name, chosen.pretrained)
    if not _cached(repository):
        raise NotChecked(f"{told}; its weights are not on this machine and are fetched when it is first opened")
    return told


def _published(name: str, tag: str) -> tuple[str, str]:
    """What OpenCLIP knows of a model's name and weights, and the repository that they lie in."""
    import open_clip
    import torch

    from common.models.clip import Clip

    name, weights = Clip(name, tag or None).resolved()
    if weights is None or Path(weights).is_file():
        return f"{name}, weights {weights}", ""
    settings: dict[str, Any] = dict(open_clip.get_model_config(name) or {})
    custom = settings.pop("custom_text", False)
    if (settings.get("text_cfg") or {}).get("hf_model_name"):
        size = ""
    else:
        with torch.device("meta"):
            model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**settings)
        size = f", {sum(weight.numel() for weight in model.parameters()) / 1e6:,.1f} M"
    cfg = open_clip.get_pretrained_cfg(name, weights) or {}
    return f"{name}{size}, weights {weights!r}", str(cfg.get("hf_hub", "")).strip("/")


def _cached(repository: str) -> bool:
    """Whether a repository's weights lie on this machine; those of no repository are a file that does."""
    if not repository:
        return True
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(repository, name), str) for name in WEIGHTS)


def reward(config: DrivingConfig) -> str:
    """Every reward that would be trained on, built.

    Raises:
        NotChecked: thresholds, or the CLIP that they must belong to, are not on this machine.
        UsageError: a reward cannot be built.
    """
    from apps.driving.rewards import configured_clip

    seeing, file = looking(config), config.reward.thresholds.file
    if seeing and config.env.picture.kind == "camera":
        _camera(config)
    opened: Clip = configured_clip(config.reward)
    if seeing and file:
        # They are compared with the CLIP's weights, which must be here for that.
        clip(config)
        if not locate(file).is_file():
            raise NotChecked(f"{file}: no thresholds there; calibrate this CLIP (apps.driving.pretrain.thresholds)")
    bounds = [_bounds(config, one, opened) for one in recipes(config)]
    low, high = min(one[0] for one in bounds), max(one[1] for one in bounds)
    sees = f"; {', '.join(seeing)} through {opened.name}" if seeing else ""
    return f"{', '.join(recipes(config))}: between {low:g} and {high:g}{sees}"


def _bounds(config: DrivingConfig, recipe: str, opened: Clip) -> tuple[float, float]:
    from apps.driving.train import build_reward

    chosen = config.reward if config.reward.own else config.reward.of(recipe)
    return build_reward(replace(config, reward=chosen), opened)[0].bounds


def _camera(config: DrivingConfig) -> None:
    if config.simulator.kind not in ("carla", "fake") or config.simulator.carla.camera is None:
        raise UsageError(
            "env.picture.kind is camera: set simulator.kind to carla and simulator.carla.camera, or the "
            "picture's kind to rgb"
        )
