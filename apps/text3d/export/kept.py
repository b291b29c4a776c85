"""A finished scene's own parameters in one file, from which it is exported again without its run's checkpoints.

The file is safetensors: tensors and texts, nothing that could be executed. Its texts are the settings of the scene,
which say what the tensors are, its prompt, and the note that must stand on every output.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.config import SceneConfig
from common.config import flat, load
from common.errors import DataError, UsageError
from common.files import write_bytes
from common.models.sizes import Held, check_network, held_in

if TYPE_CHECKING:
    from apps.text3d.optimisation.learner import SceneModule

#: Name of the file in a run's folder.
SCENE = "scene.safetensors"
FORMAT = "apps.text3d scene 1"


@dataclass(frozen=True)
class Kept:
    """What such a file holds.

    Attributes:
        scene: as it was when the run ended, on the CPU.
        config: its settings.
        prompt: that it was made for.
        note: that must stand on every output, such as "untrained demo weights"; empty where there is none.
    """

    scene: SceneModule
    config: SceneConfig
    prompt: str
    note: str


def write_scene(scene: SceneModule, config: SceneConfig, path: Path | str, prompt: str, note: str = "") -> Path:
    """Write a scene's parameters, atomically; the same scene gives the same bytes."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in scene.state_dict().items()}
    own = {"kind": config.kind, config.kind: asdict(getattr(config, config.kind))}
    texts = {"format": FORMAT, "scene": json.dumps(own), "prompt": prompt, "note": note}
    return write_bytes(path, save(tensors, texts))


def read_scene(path: Path | str) -> Kept:
    """Open a scene that `write_scene` wrote; a folder of a run stands for its file.

    Raises:
        DataError: there is no such file, it is damaged, or it is of something else; names it.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    path = path / SCENE if path.is_dir() else path
    try:
        with safe_open(path, "pt") as file:
            texts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"no scene can be read: {error}; give a run's folder that holds {SCENE}, which `generate` writes",
            path=path,
        ) from error
    if texts.get("format") != FORMAT:
        raise DataError(f"a safetensors file, and no scene of `generate`: its format is not {FORMAT!r}", path=path)
    try:
        settings = flat(json.loads(texts["scene"]))
        options = [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in settings]
        config = load(SceneConfig, None, options)
        return Kept(_opened(config, tensors, held_in([path]), path), config, texts["prompt"], texts["note"])
    except DataError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError, RuntimeError, UsageError) as error:
        raise DataError(f"the scene in it is damaged: {error}", path=path) from error


def _opened(config: SceneConfig, tensors: Mapping[str, Any], held: Held, path: Path) -> SceneModule:
    import torch

    from apps.text3d.scenes.build import KINDS, maker

    if config.kind == "gaussians":  # of which there may be more or fewer than at the start
        config = replace(config, gaussians=replace(config.gaussians, count=len(tensors["means"])))
    check_network(lambda: KINDS[config.kind](getattr(config, config.kind)), held, path)
    scene = maker(config)(torch.Generator().manual_seed(0))
    scene.load_state_dict(tensors)
    return scene
