"""A driver that was trained, as evaluations, `drive` and the demo use it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from apps.driving.env_config import EnvConfig
from common.config import load
from common.errors import UsageError
from common.files import write_json
from common.training.run import plain

if TYPE_CHECKING:
    from common.training.sb3.model import Policy

#: Beside the policy: the environment it was trained in.
ENVIRONMENT = "environment.json"
#: Where a finished run keeps its policy.
MODEL = "model"


class Trained:
    """A trained policy, which acts without exploring.

    Args:
        policy: that acts.
        env: that it was trained in, which decides what it observes and how it acts.
        name: for tables.
        digest: of its weights.
    """

    def __init__(self, policy: Policy, env: EnvConfig, name: str, digest: str = "") -> None:
        self.policy = policy
        self.env = env
        self.name = name
        self.digest = digest

    def act(self, observation: Mapping[str, NDArray[Any]]) -> Any:
        """The likeliest action."""
        return self.policy.act(dict(observation), deterministic=True)


def save_environment(env: EnvConfig, folder: Path) -> None:
    """Write what a policy was trained in beside it."""
    write_json(folder / ENVIRONMENT, plain(asdict(env)))


def load_trained(path: Path) -> Trained:
    """The policy of a run's folder, or of a folder that holds one.

    Raises:
        UsageError: there is none; the run may not be finished.
        DataError: it is damaged.
    """
    from common.training.sb3.model import load_policy

    folder = path / MODEL if (path / MODEL).is_dir() else path
    if not (folder / ENVIRONMENT).is_file():
        raise UsageError(
            f"{path}: no trained driver (it holds no {ENVIRONMENT}); give the folder of a finished run, or go on "
            f"with an unfinished one: python -m apps.driving train --resume {path}"
        )
    env = load(EnvConfig, folder / ENVIRONMENT)
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(file.read_bytes())
    return Trained(load_policy(folder), env, path.name, digest.hexdigest())
