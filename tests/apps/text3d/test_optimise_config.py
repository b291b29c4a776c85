"""Views that grow over a run, and settings that cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.text3d.optimise_config import OptimiseConfig, ViewpointConfig, resolution_at
from common.errors import UsageError


def test_it_grows_from_first_to_last_and_stays() -> None:
    assert [resolution_at(step, 28, 112, 100) for step in (0, 50, 100, 5000)] == [28, 56, 112, 112]
    assert resolution_at(0, 28, 112, 0) == 112
    assert resolution_at(3, 56, 56, 10) == 56


@given(st.integers(0, 300), st.integers(1, 100), st.integers(0, 200), st.integers(0, 200), st.sampled_from([1, 8, 28]))
def test_it_is_a_multiple_and_never_falls(step: int, first: int, more: int, steps: int, multiple: int) -> None:
    one, other = (resolution_at(at, first, first + more, steps, multiple) for at in (step, step + 1))
    assert one % multiple == 0
    assert multiple <= one <= other
    assert other <= max(multiple, first + more + multiple / 2)


@pytest.mark.parametrize("wrong", [(-1, 28, 56, 10), (0, 56, 28, 10), (0, 0, 28, 10), (0, 28, 56, -1)])
def test_schedules_that_cannot_be_are_refused(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError):
        resolution_at(*wrong)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ViewpointConfig(elevation=[60.0, 95.0]), r"viewpoints\.elevation \[60\.0, 95\.0\]: two numbers"),
        (lambda: ViewpointConfig(distance=[0.0, 1.0]), r"viewpoints\.distance .* between 0 and inf"),
        (lambda: ViewpointConfig(fovy=[40.0]), r"viewpoints\.fovy \[40\.0\]: two numbers between 0 and 180"),
        (lambda: OptimiseConfig(patience=0), r"optimise\.patience 0 .* must be at least 1"),
        (lambda: OptimiseConfig(empty_steps=0), r"optimise\.empty_steps 0 must be at least 1"),
    ],
)
def test_what_would_fail_in_some_step_is_refused_before_the_first(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
