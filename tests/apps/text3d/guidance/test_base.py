"""The weighted sum: its gradient, what weight 0 means, and what it says of a term that fails."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from apps.text3d.cameras import Cameras
from apps.text3d.guidance.base import Guidance, NotFinite, Term, Weighted
from apps.text3d.guidance.distillation import DistillationSettings, ScoreDistillation
from apps.text3d.scenes.base import Views
from common.errors import UsageError
from common.schedule import constant, read_schedule
from tests.apps.text3d.guidance.tiny import cameras, pictures, pixel_prior, views_of


class Brightness:
    """Mean of the squared pictures, plus the opacity's where asked for."""

    def __init__(self, opacity: bool = False, factor: float = 1.0) -> None:
        self.opacity = opacity
        self.factor = factor
        self.calls = 0

    def loss(
        self, views: Views, cameras: Cameras, step: int, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, dict[str, float]]:
        self.calls += 1
        value = self.factor * (views.rgb**2).mean()
        return value + (views.opacity.mean() if self.opacity else 0), {"seen": float(len(cameras))}


class Noisy(Brightness):
    """Draws from the generator that it is given, so that a call shows."""

    def loss(self, views: Views, cameras: Cameras, step: int, generator: Any = None) -> Any:
        value, figures = super().loss(views, cameras, step)
        return value * torch.rand((), generator=generator), figures


def leaf(seed: int = 0) -> torch.Tensor:
    return pictures(2, seed=seed).requires_grad_()


def render(shape: torch.Tensor) -> Views:
    """Views of a scene whose parameters are pictures."""
    rgb = shape.sigmoid()
    return Views(rgb, rgb.mean(1, keepdim=True), rgb.mean(1, keepdim=True), rgb)


def test_value_and_gradient_are_those_of_the_sum() -> None:
    terms = {"first": Term(Brightness(True), constant(2.0)), "second": Term(Brightness(factor=5.0), constant(0.5))}
    scene = leaf()
    loss, log = Weighted(terms).loss(render(scene), cameras(2), 0)
    (3 * loss).backward()
    plain = leaf()
    views = render(plain)
    expected = 4.5 * (views.rgb**2).mean() + 2 * views.opacity.mean()
    (3 * expected).backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(scene.grad, plain.grad)
    assert log["first"] == pytest.approx(float(((views.rgb**2).mean() + views.opacity.mean()).detach()), rel=1e-6)
    assert log["second.weight"] == 0.5
    assert log["second.seen"] == 2
    assert log["second.gradient"] == pytest.approx(
        float((5 * views.rgb / views.rgb.numel()).detach().norm()), rel=1e-5
    )
    assert log["first.share"] + log["second.share"] == pytest.approx(1)


def test_weight_0_equals_the_run_without_it_to_the_bit() -> None:
    def trained(terms: dict[str, Term]) -> tuple[torch.Tensor, list[int]]:
        scene, generator = leaf(), torch.Generator().manual_seed(3)
        optimiser, sum_of_terms = torch.optim.Adam([scene], 0.1), Weighted(terms)
        for step in range(4):
            optimiser.zero_grad()
            sum_of_terms.loss(render(scene), cameras(2), step, generator)[0].backward()
            optimiser.step()
        return scene.detach(), [term.guidance.calls for term in terms.values()]  # type: ignore[attr-defined]

    alone, _ = trained({"a": Term(Noisy())})
    beside, calls = trained({"b": Term(Noisy(), constant(0.0)), "a": Term(Noisy())})
    late, late_calls = trained(
        {"b": Term(Noisy(), read_schedule({"kind": "step", "points": [[0, 0.0], [3, 1.0]]})), "a": Term(Noisy())}
    )
    assert torch.equal(alone, beside)
    assert calls == [0, 4]
    assert late_calls == [1, 4]
    assert not torch.equal(alone, late)


class Broken:
    """A loss that is no number, or whose gradient is none."""

    def __init__(self, gradient: bool) -> None:
        self.gradient = gradient

    def loss(self, views: Views, cameras: Cameras, step: int, generator: Any = None) -> Any:
        zero = (views.rgb - views.rgb.detach()).abs().sum()
        # The root's slope at 0 is infinite, its value is not.
        return (zero.sqrt() if self.gradient else zero.log()), {}


@pytest.mark.parametrize("gradient", [False, True])
def test_the_term_that_is_no_number_is_named(gradient: bool) -> None:
    terms = {"clip": Term(Brightness()), "vlm": Term(Broken(gradient))}
    with pytest.raises(NotFinite, match=r"step 7: the (loss|gradient) of the guidance 'vlm'") as caught:
        Weighted(terms).loss(render(leaf()), cameras(2), 7)
    assert caught.value.term == "vlm"


class Detached:
    def loss(self, views: Views, cameras: Cameras, step: int, generator: Any = None) -> Any:
        return views.rgb.detach().mean(), {}


def test_a_guidance_without_gradient_is_refused() -> None:
    with pytest.raises(UsageError, match="Detached has no gradient"):
        Weighted({"lost": Term(Detached())}).loss(render(leaf()), cameras(2), 0)
    # Where nobody asks for one it may do without.
    value, _ = Weighted({"lost": Term(Detached())}).loss(views_of(pictures(2)), cameras(2), 0)
    assert not value.requires_grad


def test_none_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="no guidance"):
        Weighted({})


def test_only_reward_or_nothing_runs() -> None:
    """Case 30: the weight of score distillation may be 0, and so may all weights be for a while."""
    off: dict[str, Term] = {"sds": Term(Brightness(), constant(0.0))}
    value, log = Weighted(off).loss(render(leaf()), cameras(2), 0)
    assert value == 0
    assert log["seconds"] == 0


def test_state_goes_along_and_must_fit() -> None:
    prior = pixel_prior()

    def made(**more: Guidance) -> Weighted:
        distilled = ScoreDistillation(prior, "a red cube", settings=DistillationSettings(scale=2.0))
        return Weighted({"sds": Term(distilled), **{name: Term(each) for name, each in more.items()}})

    first = made(bright=Brightness())
    first.loss(render(leaf()), cameras(2), 0)
    state = first.state_dict()
    assert set(state) == {"sds"}
    expected = first.loss(render(leaf()), cameras(2), 1)[0]
    second = made(bright=Brightness())
    assert second.loss(render(leaf()), cameras(2), 1)[0] != expected
    second.load_state_dict(state)
    assert second.loss(render(leaf()), cameras(2), 1)[0] == expected
    with pytest.raises(UsageError, match="configuration that the run was started with"):
        Weighted({"bright": Term(Brightness())}).load_state_dict(state)
