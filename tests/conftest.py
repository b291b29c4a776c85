"""Shared fixtures: one thread, quiet libraries, and the public data where it lies beside the checkout."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# No test talks to the hub, nor a program that it starts: where there is no network, each try waits for 20 seconds.
os.environ["HF_HUB_OFFLINE"] = "1"

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
#: Files of few but long tests. They are given out first: begun last, they would run on while the other worker waits.
LONGEST = ("tests/test_readme.py", "test_learning.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files of `LONGEST` in front; else the order stays."""
    items.sort(key=lambda item: not item.nodeid.split("::")[0].endswith(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """A shell starts its background jobs with Ctrl-C ignored; the tests of Ctrl-C need Python's own answer to it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public data and behaviour cases; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"public data not found at {SHARED}")
    return SHARED
