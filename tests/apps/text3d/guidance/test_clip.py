"""Dream Fields' loss against its formula, and that following it makes views more alike to the prompt."""

from __future__ import annotations

import pytest
import torch

from apps.text3d.guidance.clip import ClipGuidance
from apps.text3d.guidance.prompts import view_dependent
from apps.text3d.scenes.base import Views
from common.errors import UsageError
from common.models.clip import Clip
from common.schedule import constant
from tests.apps.text3d.guidance.tiny import cameras, pictures, views_of
from tests.common.models.tiny_clip import tiny_clip_folder

PROMPT = "a red circle to the left of a blue square"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip(f"local-dir:{tiny_clip_folder(tmp_path_factory.mktemp('clip'))}")


def test_the_formula_with_each_cameras_text(clip: Clip) -> None:
    rgb = pictures(4, 64)
    loss, figures = ClipGuidance(clip, view_dependent(PROMPT)).loss(views_of(rgb), cameras(4), 250)
    texts = [f"{PROMPT}, {side} view" for side in ("front", "side", "back", "side")]
    singles = [float(clip.image(rgb[[row]])[0] @ clip.text([texts[row]])[0]) for row in range(4)]
    assert figures["cosine"] == pytest.approx(sum(singles) / 4, abs=1e-5)
    # Half of the picture is empty, and at step 250 up to 64 % should be.
    assert float(loss) == pytest.approx(-sum(singles) / 4 - 0.5 * 0.5, abs=1e-5)
    assert figures["transmittance"] == pytest.approx(0.5)


def test_emptiness_pays_up_to_its_aim_only(clip: Clip) -> None:
    rgb = pictures(2, 64)
    found = {}
    for opacity in (0.5, 0.1):
        shown = torch.full((2, 1, 64, 64), opacity).requires_grad_()
        views = Views(rgb, shown, shown, rgb)
        loss, _ = ClipGuidance(clip, PROMPT, transmittance=constant(0.7)).loss(views, cameras(2), 0)
        found[opacity] = float(torch.autograd.grad(loss, shown)[0].sum())
    assert found[0.5] == pytest.approx(0.5)
    assert found[0.1] == 0


def test_following_the_gradient(clip: Clip) -> None:
    guidance = ClipGuidance(clip, PROMPT, sparsity=0)
    rgb = pictures(2, 64)
    before = float(guidance.loss(views_of(rgb), cameras(2), 0)[0])
    for _ in range(5):
        rgb.requires_grad_()
        gradient = torch.autograd.grad(guidance.loss(views_of(rgb), cameras(2), 0)[0], rgb)[0]
        rgb = (rgb.detach() - 0.02 * gradient.sign()).clamp(0, 1)
    assert float(guidance.loss(views_of(rgb), cameras(2), 0)[0]) < before - 0.02


def test_wrong_use(clip: Clip) -> None:
    with pytest.raises(UsageError, match="not empty"):
        ClipGuidance(clip, " \n")
    with pytest.raises(UsageError, match="0 or more"):
        ClipGuidance(clip, PROMPT, sparsity=-1)
