from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.training.run import Run


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[[str], Run]:
    def make(name: str = "run", config: Any = None) -> Run:
        return Run.create(tmp_path / "toy", name, config or {}, seed=5)

    return make
