"""Scenes that several files look at, made once a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from apps.driving.pocket.scenes import Scenes


@pytest.fixture(scope="session")
def village() -> Scenes:
    """300 scenes of the held-out map, with a seed that no card was measured on, and the same without the others."""
    from apps.driving.pocket.scenes import load_scenes

    return load_scenes("held_out", 300, seed=77, blanked=True, quiet=True)
