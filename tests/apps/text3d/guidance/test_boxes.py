"""Soft boxes, GIoU, centres and counts: exact on discs, differentiable, and alive where boxes do not meet."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apps.text3d.guidance.boxes import centre, giou, sharpen, soft_box, soft_count
from common.rewards.image.functional import box_iou


def disc(x: Tensor | float, y: Tensor | float, radius: float, size: int = 64, edge: float = 0.01) -> Tensor:
    axis = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    distance = ((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2 + 1e-12).sqrt()
    return torch.sigmoid((radius - distance) / edge)


def test_the_box_of_a_disc() -> None:
    box = soft_box(disc(0.35, 0.6, 0.2, 256, 1e-4))
    assert box.tolist() == pytest.approx([0.15, 0.4, 0.55, 0.8], abs=0.004)
    assert soft_box(torch.zeros(8, 8)).tolist() == [1, 1, 0, 0]
    assert soft_box(torch.ones(2, 3, 8, 8)).shape == (2, 3, 4)


def test_giou_by_hand() -> None:
    a = torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert giou(a, a) == 1
    assert float(giou(a, torch.tensor([1.0, 0.0, 2.0, 1.0]))) == pytest.approx(0)
    assert float(giou(a, torch.tensor([3.0, 0.0, 4.0, 1.0]))) == pytest.approx(-0.5)
    boxes = torch.rand(50, 2, 2, generator=torch.Generator().manual_seed(0)).sort(1).values.flatten(1)
    others = boxes.flip(0)
    assert (giou(boxes, others) <= box_iou(boxes, others).diagonal() + 1e-6).all()


def test_disjoint_boxes_pull_where_iou_does_not() -> None:
    target = torch.tensor([0.7, 0.4, 0.9, 0.6], dtype=torch.float64)
    place = torch.tensor([0.2, 0.5], dtype=torch.float64, requires_grad=True)
    box = soft_box(disc(place[0], place[1], 0.1))
    assert box_iou(box[None], target[None]).item() == 0
    (blind,) = torch.autograd.grad(box_iou(box[None], target[None]).sum(), place, retain_graph=True)
    assert not blind.any()
    (pull,) = torch.autograd.grad(giou(box, target), place)
    assert pull[0] > 0.1
    optimiser = torch.optim.Adam([place], 0.02)
    before = giou(box, target).item()
    for _ in range(120):
        optimiser.zero_grad()
        (1 - giou(soft_box(disc(place[0], place[1], 0.1)), target)).backward()
        optimiser.step()
    assert before < -0.3
    assert giou(soft_box(disc(place[0], place[1], 0.1)), target).item() > 0.85


def test_centres() -> None:
    assert centre(disc(0.3, 0.7, 0.1)).tolist() == pytest.approx([0.3, 0.7], abs=1e-3)
    assert centre(torch.zeros(8, 8)).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_counts(count: int) -> None:
    places = [(0.2, 0.2), (0.7, 0.2), (0.2, 0.7), (0.75, 0.75)][:count]
    for edge, error in ((1e-5, 0.0), (0.01, 0.25)):  # exact for masks of 0 and 1, near for soft ones
        mask = sum((disc(x, y, 0.12, 64, edge) for x, y in places), torch.zeros(64, 64, dtype=torch.float64))
        assert float(soft_count(sharpen(mask))) == pytest.approx(count, abs=error * count + 1e-9)


def test_a_hole_counts_against_its_ring() -> None:
    ring = disc(0.5, 0.5, 0.3, 64, 1e-5) - disc(0.5, 0.5, 0.15, 64, 1e-5)
    assert float(soft_count(ring)) == pytest.approx(0, abs=1e-6)


def test_gradients_are_those_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(1)
    mask = torch.rand(6, 6, dtype=torch.float64, generator=generator).requires_grad_()
    target = torch.tensor([0.2, 0.1, 0.6, 0.9], dtype=torch.float64)
    assert torch.autograd.gradcheck(soft_box, mask)
    assert torch.autograd.gradcheck(lambda m: giou(soft_box(m), target), mask)
    assert torch.autograd.gradcheck(centre, mask)
    assert torch.autograd.gradcheck(lambda m: soft_count(sharpen(m)), mask)
