"""A Ray of this machine alone, reachable from nowhere else, that ends with the block that began it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import MissingDependency


@contextmanager
def local_ray(cpus: int) -> Iterator[None]:
    """A Ray with at least `cpus` processors to give away; one that runs already in this process is used and left.

    Args:
        cpus: what the work asks for; Ray would wait for ever for more than there is, so it is told of that many.

    Raises:
        MissingDependency: Ray is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingDependency("ray", "scale") from error
    if ray.is_initialized():
        yield
        return
    ray.init(
        address="local",
        num_cpus=max(cpus, os.cpu_count() or 1),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        _node_ip_address="127.0.0.1",
        # Workers import what this process imports: a checkout before an installed copy, the user's own modules too.
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(import_path())}},
    )
    try:
        yield
    finally:
        ray.shutdown()


def import_path() -> list[str]:
    """Folders from which this process imports, the working folder in place of an empty entry."""
    return list(dict.fromkeys(os.path.abspath(entry) for entry in sys.path if not entry.endswith(".zip")))
