"""The dry run's arithmetic: what a step comes to, and numbers that no run can have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.config import GrpoConfig, SftConfig
from common.errors import UsageError
from common.training.dry_run import batches


def test_what_a_run_comes_to() -> None:
    told = batches(SftConfig(steps=0), GrpoConfig(steps=10, prompts_per_step=4, generations=8))
    assert "10 steps of 4 x 8 completions" in told
    assert "320 in all" in told


@pytest.mark.parametrize(
    ("name", "value"), [("steps", -3), ("prompts_per_step", 0), ("gradient_accumulation", 0), ("generations", 1)]
)
def test_numbers_that_no_run_can_have(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"grpo.{name}.* {value}"):
        batches(SftConfig(steps=0), replace(GrpoConfig(), **{name: value}))
