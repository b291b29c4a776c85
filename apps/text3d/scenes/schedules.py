"""Values that change over a run as functions of the step alone, so that a resumed run goes on alike."""

from __future__ import annotations

from common.errors import UsageError


def resolution_at(step: int, first: int, last: int, steps: int, multiple: int = 28) -> int:
    """Side of pictures in pixels at a step: it grows by equal factors from `first` to `last`, and stays there.

    Coarse pictures come first: they are cheap, and give a scene its outline before its surface.

    Args:
        step: from 0 on.
        first: side at step 0.
        last: side from `steps` on.
        steps: until then.
        multiple: sides are the nearest multiple of this, at least one; 28 fits Qwen-VL's patches without a resize.

    Raises:
        UsageError: sides or the multiple below 1, `first` above `last`, or negative steps.
    """
    if not 1 <= first <= last or multiple < 1 or step < 0 or steps < 0:
        raise UsageError(
            f"a resolution grows from first {first}, at least 1, to last {last} over {steps} steps in multiples of "
            f"{multiple}; asked at step {step}"
        )
    share = 1.0 if step >= steps else step / steps
    side: float = first * (last / first) ** share
    return max(1, round(side / multiple)) * multiple
