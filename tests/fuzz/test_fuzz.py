"""Every parser of untrusted input, on a few damaged inputs: a result, or its own error that names the file.

`python -m tests.fuzz --minutes 10 --only dicom` goes on for longer with the same targets.
"""

from __future__ import annotations

import pytest

from tests.fuzz.harness import fuzz
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_only_results_or_documented_errors(name: str) -> None:
    target = TARGETS[name]()
    record = fuzz(target, target.examples)
    assert record.tried >= target.examples // 2
    # Both ways must have been gone: else the inputs are all nonsense, or nothing is refused.
    if target.allowed:
        assert record.refused > 0
