from __future__ import annotations

import pytest

from tests.apps.captioning.tiny_judge import tiny_judge_folder


@pytest.fixture(scope="module")
def judge_folder(tmp_path_factory):
    return tiny_judge_folder(tmp_path_factory.mktemp("judge"))
