"""What a driver is, for evaluations, `drive` and the demo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from apps.driving.env_config import EnvConfig


class Driver(Protocol):
    """Anything that acts on observations.

    It may have more, all of it optional:
        `begin(seed: int)`: called before every episode; a driver that draws or remembers begins anew here, so that an
            episode is the same whichever were driven before it.
        `env: EnvConfig`: what it was trained in, which decides what it observes and how it acts.
        `digest: str`: of its weights, so that an evaluation does not go on with another policy of the same name.

    Attributes:
        name: for tables.
    """

    name: str

    def act(self, observation: Mapping[str, NDArray[Any]]) -> Any:
        """An action of the environment's action space."""


def begin(driver: Driver, seed: int) -> None:
    """Tell a driver that an episode begins, if it wants to know."""
    method = getattr(driver, "begin", None)
    if method is not None:
        method(seed)


def env_of(driver: Driver, otherwise: EnvConfig) -> EnvConfig:
    """The environment that a driver was trained in; the given one for those that were not."""
    found = getattr(driver, "env", None)
    return found if isinstance(found, EnvConfig) else otherwise


def digest_of(driver: Driver) -> str:
    """Digest of a driver's weights; empty where it has none."""
    return str(getattr(driver, "digest", ""))
