"""Densify and prune: the picture stays nearly as it was, and the optimiser follows."""

from __future__ import annotations

import pytest
import torch

from apps.text3d.cameras import orbit
from apps.text3d.scenes.config import DensifyConfig, GaussianConfig
from apps.text3d.scenes.densify import Densifier
from apps.text3d.scenes.gaussians import PARAMETERS, GaussianScene
from common.errors import UsageError
from tests.apps.text3d.scenes.solids import around, mixed, seeded, small_gaussians

KEEP = {"opacity": 0.0, "largest": 100.0}


def stepped(scene: GaussianScene, steps: int = 2) -> tuple[torch.optim.Optimizer, Densifier]:
    """After some steps of Adam."""
    optimiser, densifier = torch.optim.Adam(scene.parameter_groups(1e-3)), Densifier(scene)
    for _ in range(steps):
        optimiser.zero_grad()
        mixed(scene.render(around(2, 24))).backward()
        densifier.observe(scene, 24)
        optimiser.step()
    return optimiser, densifier


def change(densifier: Densifier, **settings: float) -> Densifier:
    densifier.config = DensifyConfig(**(KEEP | settings))  # type: ignore[arg-type]
    return densifier


@pytest.mark.parametrize(("large", "what"), [(100.0, "cloned"), (1e-6, "split")])
@pytest.mark.parametrize("opacity", [0.1, 0.6, 0.95])
def test_one_that_becomes_two_looks_as_before(large: float, what: str, opacity: float) -> None:
    scene = GaussianScene(GaussianConfig(count=1, scale=0.12, opacity=opacity), seeded())
    with torch.no_grad():
        scene.means.zero_()
        scene.log_scales[0, 1] = -1.5
    optimiser, densifier = stepped(scene)
    before = scene.render(orbit([0.0, 60.0, 150.0], size=48))
    done = change(densifier, gradient=0.0, large=large).apply(scene, optimiser, seeded())
    after = scene.render(orbit([0.0, 60.0, 150.0], size=48))
    assert (getattr(done, what), done.count, len(scene)) == (1, 2, 2)
    # At most a quarter of what one covers lies elsewhere than before, and the sum stays.
    change_ = (after.opacity - before.opacity).abs().mean().item()
    assert change_ < 0.25 * before.opacity.mean().item()
    assert after.opacity.mean().item() == pytest.approx(before.opacity.mean().item(), rel=0.12)
    if opacity > 0.9 and what == "split":
        return
    # With the opacity left alone it is several times as much.
    with torch.no_grad():
        scene.opacity_logits.fill_(torch.logit(torch.tensor(opacity)).item())
    naive = scene.render(orbit([0.0, 60.0, 150.0], size=48))
    assert (naive.opacity - before.opacity).abs().mean().item() > 1.8 * change_


def test_a_whole_scene_looks_nearly_as_before() -> None:
    scene = small_gaussians(count=100)
    optimiser, densifier = stepped(scene)
    before = scene.render(around(3, 32)).rgb
    done = change(densifier, gradient=0.0, large=0.12).apply(scene, optimiser, seeded())
    assert min(done.cloned, done.split) > 10
    error = (scene.render(around(3, 32)).rgb - before).square().mean()
    assert -10 * error.log10().item() > 30


def test_the_optimiser_follows() -> None:
    scene = small_gaussians()
    optimiser, densifier = stepped(scene)
    old = {name: optimiser.state[getattr(scene, name)]["exp_avg"].clone() for name in PARAMETERS}
    mean = densifier.total / densifier.views.clamp_min(1)
    threshold = mean.sort(descending=True).values[5].item()
    done = change(densifier, gradient=threshold, large=100.0).apply(scene, optimiser, seeded())
    assert (done.cloned, done.count) == (5, 45)
    grown = (mean > threshold).nonzero()[:, 0]
    stayed = (mean <= threshold).nonzero()[:, 0]
    for name in PARAMETERS:
        state = optimiser.state[getattr(scene, name)]
        assert torch.equal(state["exp_avg"][:35], old[name][stayed])
        assert set(map(tuple, state["exp_avg"][35:].view(10, -1).tolist())) == set(
            map(tuple, old[name][grown].view(5, -1).tolist())
        )
        assert state["step"].item() == 2
    assert len(optimiser.state) == len(PARAMETERS)
    assert {id(p) for group in optimiser.param_groups for p in group["params"]} == set(map(id, scene.parameters()))
    # The next step runs, and moves the new ones.
    before = scene.means.detach().clone()
    mixed(scene.render(around(2, 24))).backward()
    optimiser.step()
    assert bool((scene.means != before).any(1)[35:].all())


def test_the_faint_and_the_huge_are_pruned() -> None:
    scene = small_gaussians()
    with torch.no_grad():
        scene.opacity_logits[:4] = -10
        scene.log_scales[7] = 3.0
    optimiser, densifier = stepped(scene)
    rest = [row for row in range(40) if row not in (0, 1, 2, 3, 7)]
    expected = scene.means[rest].clone()
    done = change(densifier, gradient=1e9, opacity=0.005, largest=2.0).apply(scene, optimiser, seeded())
    assert (done.pruned, done.count, done.cloned, done.split) == (5, 35, 0, 0)
    assert torch.equal(scene.means, expected)


def test_a_scene_is_never_emptied() -> None:
    scene = small_gaussians()
    with torch.no_grad():
        scene.opacity_logits.fill_(-10)
    optimiser, densifier = stepped(scene)
    assert change(densifier, gradient=1e9, opacity=0.5).apply(scene, optimiser).count == 40


def test_there_are_never_more_than_allowed_and_the_neediest_come_first() -> None:
    scene = small_gaussians()
    optimiser, densifier = stepped(scene)
    needy = (densifier.total / densifier.views.clamp_min(1)).argsort(descending=True)[:3]
    expected = scene.colour_logits[needy].clone()
    done = change(densifier, gradient=0.0, large=100.0, most=43).apply(scene, optimiser, seeded())
    assert (done.cloned, done.count) == (3, 43)
    assert set(map(tuple, scene.colour_logits[37:].tolist())) == set(map(tuple, expected.tolist()))


def test_the_same_generator_gives_the_same_scene() -> None:
    def run(seed: int) -> torch.Tensor:
        scene = small_gaussians()
        optimiser, densifier = stepped(scene)
        change(densifier, gradient=0.0, large=100.0).apply(scene, optimiser, seeded(seed))
        return scene.means.detach()

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_gradients_do_not_depend_on_the_resolution_and_gathering_resumes() -> None:
    found = []
    for size in (24, 48):
        scene = small_gaussians()
        densifier = Densifier(scene)
        scene.render(around(2, size)).rgb.mean().backward()
        densifier.observe(scene, size)
        found.append((densifier.total / densifier.views.clamp_min(1)).mean().item())
    assert found[0] == pytest.approx(found[1], rel=0.2)
    resumed = Densifier(scene)
    resumed.load_state_dict(densifier.state_dict())
    assert torch.equal(resumed.total, densifier.total)


def test_without_a_backward_pass_nothing_is_gathered() -> None:
    scene = small_gaussians()
    densifier = Densifier(scene)
    densifier.observe(scene, 24)
    scene.render(around(1))
    densifier.observe(scene, 24)
    assert densifier.views.sum().item() == 0


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError):
        DensifyConfig(large=1.0, largest=0.5)
    with pytest.raises(UsageError):
        GaussianConfig(opacity=1.0)
