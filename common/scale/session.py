"""A Ray to work on: of this machine alone and reachable from nowhere else, or a cluster that runs already."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from common.errors import MissingDependency, UsageError


@contextmanager
def on_ray(cpus: int, address: str = "") -> Iterator[None]:
    """A Ray that ends with the block; one that this process uses already is used and left.

    Args:
        cpus: what the work asks for. A Ray of this machine is told that it has so many, for it would wait for ever.
        address: of a cluster, such as "auto" or ray://HOST:10001, where the same checkout lies on each machine; empty
            starts one on this machine's loopback.

    Raises:
        MissingDependency: Ray is not installed.
        UsageError: no cluster is there.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingDependency("ray", "scale") from error
    if ray.is_initialized():
        yield
        return
    settings: dict[str, Any] = {"address": address}
    if not address:
        settings = {
            "address": "local",
            "num_cpus": max(cpus, os.cpu_count() or 1),
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
            # Ray's workers are usually nice to everything else; here the process that began them waits for them.
            "_system_config": {"worker_niceness": 0},
        }
    # Workers import what this process imports: a checkout before an installed copy, the user's own modules too.
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(import_path())}}
    try:
        ray.init(**settings, runtime_env=environment, log_to_driver=False, logging_level=logging.WARNING)
    except ConnectionError as error:
        raise UsageError(f"no Ray cluster at {address!r}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def import_path() -> list[str]:
    """Folders from which this process imports, the working folder in place of an empty entry."""
    return list(dict.fromkeys(os.path.abspath(entry) for entry in sys.path if not entry.endswith(".zip")))
