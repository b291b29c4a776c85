"""Drivers by name: `pocket`, `rule-based`, `random`, or a run folder or saved policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from apps.driving.drivers.base import Driver
from apps.driving.env_config import EnvConfig
from common.config import nearest
from common.errors import UsageError
from common.files import locate

#: The policy that comes with the suite.
SHIPPED = "assets/driving/policy"


def _pocket(config: EnvConfig) -> Driver:
    from apps.driving.drivers.trained import load_trained

    driver = load_trained(locate(SHIPPED))
    driver.name = "pocket"
    return driver


def _rule_based(config: EnvConfig) -> Driver:
    from apps.driving.drivers.rule_based import RuleBased

    return RuleBased(config)


def _random(config: EnvConfig) -> Driver:
    from apps.driving.drivers.random_driver import RandomDriver
    from apps.driving.environment.actions import Actions

    return RandomDriver(Actions(config.action).space)


#: Drivers that are there without a training, by the name they are asked for.
NAMED: Mapping[str, Callable[[EnvConfig], Driver]] = {"pocket": _pocket, "rule-based": _rule_based, "random": _random}


def load_driver(name: str, config: EnvConfig) -> Driver:
    """A driver by its name.

    Args:
        name: of `NAMED`, or the path of a run folder or of a saved policy.
        config: of the environment; a trained policy brings its own.

    Raises:
        UsageError: there is none of that name.
    """
    if name in NAMED:
        return NAMED[name](config)
    path = Path(name).expanduser()
    if not path.exists():
        raise UsageError(
            f"no policy {name!r}{nearest(name, list(NAMED))}; give {', '.join(NAMED)}, the folder of a run "
            "or a saved policy"
        )
    from apps.driving.drivers.trained import load_trained

    return load_trained(path)
