"""What is behind a scene."""

from __future__ import annotations

import pytest
import torch

from apps.text3d.scenes.backgrounds import background, over
from common.errors import UsageError
from tests.apps.text3d.scenes.solids import seeded


def test_backgrounds() -> None:
    assert background("white", 2).tolist() == [[1, 1, 1]] * 2
    assert background("black", 1).tolist() == [[0, 0, 0]]
    assert background((0.25, 0.5, 1), 3)[2].tolist() == [0.25, 0.5, 1]
    drawn = background("random", 50, seeded(1))
    assert torch.equal(drawn, background("random", 50, seeded(1)))
    assert not torch.equal(drawn, background("random", 50, seeded(2)))
    assert (drawn.min() >= 0) & (drawn.max() < 1) & (drawn.std() > 0.2)


@pytest.mark.parametrize("wrong", ["pink", (0.1, 0.2), (0, 0, 1.5)])
def test_backgrounds_that_cannot_be_are_refused(wrong: object) -> None:
    with pytest.raises(UsageError, match="background"):
        background(wrong, 1)  # type: ignore[arg-type]


def test_a_background_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="shape"):
        over(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4), torch.zeros(4, 3))
