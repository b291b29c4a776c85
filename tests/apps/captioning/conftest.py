from __future__ import annotations

from pathlib import Path

import pytest

from tests.apps.captioning.tiny_models import tiny_config
from tests.common.rewards.trained.test_learned import save_discriminator


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny models: CLIP, discriminator and what `tiny_config` makes."""
    folder = tmp_path_factory.mktemp("models")
    save_discriminator(folder / "discriminator")
    tiny_config(folder)
    return folder
