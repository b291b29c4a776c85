import pytest

from apps.captioning.watch import pleasing


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ([(1.0, 0.9), (2.0, 0.8)], False),  # too few to call it a fall
        ([(1.0, 0.90), (2.0, 0.88), (3.0, 0.86)], True),
        ([(1.0, 0.90), (2.0, 0.88), (1.5, 0.86)], False),  # the reward falls as well: not hacking but breaking
        ([(1.0, 0.90), (2.0, 0.92), (3.0, 0.91)], False),  # fell once
        ([(1.0, 0.900), (2.0, 0.899), (3.0, 0.898)], False),  # by a hair
        ([(1.0, 0.80), (2.0, 0.90), (3.0, 0.88), (4.0, 0.86)], True),
    ],
)
def test_a_captioner_that_pleases_its_reward_only(measured, expected):
    assert pleasing(measured) == expected
