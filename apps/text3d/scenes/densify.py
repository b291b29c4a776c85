r"""Gaussians added where the picture asks for more, and useless ones taken away, while an optimiser runs.

As 3DGS does (arXiv 2308.04079, section 5.2), where a Gaussian's place on the pictures has a large gradient: small
ones are cloned, large ones split. What differs keeps the picture nearly as it was: two copies share the opacity,
:math:`1 - \sqrt{1 - o}` each (Rota Bulò et al. 2024, arXiv 2404.06109, eq. 8), and the halves of a split lie on either
side along the longest axis, which shrinks so that their common variance is the old one; then all shrink a little, so
that two cover as much of a picture as one did.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from apps.text3d.scenes.config import DensifyConfig
from apps.text3d.scenes.gaussian_maths import MOST_ALPHA, rotations
from apps.text3d.scenes.gaussians import PARAMETERS, GaussianScene

#: Halves of a split lie this many standard deviations from the old centre.
APART = 0.6
#: A clone is moved by this share of its standard deviations, at random, or the two would stay one for ever.
NUDGE = 0.05


@dataclass(frozen=True)
class Change:
    """What `Densifier.apply` did.

    Attributes:
        cloned: how many were.
        split: likewise.
        pruned: likewise.
        count: of Gaussians after it.
    """

    cloned: int
    split: int
    pruned: int
    count: int


class Densifier:
    """Gathers gradients over steps, then changes the Gaussians.

    Args:
        scene: whose Gaussians are counted.
        config: thresholds.
    """

    def __init__(self, scene: GaussianScene, config: DensifyConfig | None = None) -> None:
        self.config = config or DensifyConfig()
        self.total = scene.means.new_zeros(len(scene))
        self.views = scene.means.new_zeros(len(scene))

    def observe(self, scene: GaussianScene, height: int) -> None:
        """Take in the gradients of the last `render`, after its backward pass and before the next `render`.

        Args:
            scene: that was rendered.
            height: of the pictures in pixels; half of it is the unit of gradients, whatever the resolution.
        """
        if scene.screen is None or scene.screen.places.grad is None:
            return
        # Times the views, so that a mean over more of them does not make gradients smaller.
        gradient = scene.screen.places.grad
        norm = 0.5 * height * len(gradient) * gradient.norm(dim=-1)
        # reach is (B, N, 2), in gsplat's results the radii.
        seen = (scene.screen.reach > 0).all(-1)
        self.total += (norm * seen).sum(0)
        self.views += seen.sum(0)

    def state_dict(self) -> dict[str, Tensor]:
        """What has been gathered, so that a resumed run goes on alike."""
        return {"total": self.total, "views": self.views}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """See `state_dict`."""
        self.total, self.views = state["total"].to(self.total), state["views"].to(self.views)

    @torch.no_grad()
    def apply(
        self, scene: GaussianScene, optimiser: torch.optim.Optimizer, generator: torch.Generator | None = None
    ) -> Change:
        """Clone, split and prune; gathering starts anew.

        Args:
            scene: its parameters are replaced.
            optimiser: follows: new Gaussians start with the moments of those they come from.
            generator: for clones' small moves.
        """
        config = self.config
        pruned = (scene.opacities < config.opacity) | (scene.scales.amax(1) > config.largest)
        if bool(pruned.all()):
            # A scene without Gaussians could never come back; what to do about an empty one is the caller's choice.
            pruned[:] = False
        chosen = self.chosen(pruned)
        large = scene.scales[chosen].amax(1) > config.large
        clones, splits = chosen[~large], chosen[large]
        kept = torch.ones_like(pruned)
        kept[pruned] = kept[clones] = kept[splits] = False
        stay = kept.nonzero()[:, 0]
        source = torch.cat([stay, clones, clones, splits, splits])
        fresh = {name: getattr(scene, name)[source].clone() for name in PARAMETERS}
        ends = len(stay), len(stay) + 2 * len(clones)
        cloned(fresh, ends[0], len(clones), generator)
        halved(fresh, ends[1], len(splits))
        replace(scene, optimiser, fresh, source)
        self.__init__(scene, config)  # type: ignore[misc]
        return Change(len(clones), len(splits), int(pruned.sum()), len(source))

    def chosen(self, pruned: Tensor) -> Tensor:
        """Rows to clone or split: those with the largest gradients first, as many as may be added."""
        mean = self.total / self.views.clamp_min(1)
        mean = torch.where(pruned, 0.0, mean)
        room = self.config.most - int((~pruned).sum())
        order = torch.sort(mean, descending=True, stable=True).indices[: max(room, 0)]
        return order[mean[order] > self.config.gradient]


def cloned(fresh: dict[str, Tensor], first: int, count: int, generator: torch.Generator | None) -> None:
    """Make of the `2 count` rows from `first` on, copies and copies again, pairs that look like one did."""
    rows, moved = slice(first, first + 2 * count), slice(first + count, first + 2 * count)
    opacity = torch.sigmoid(fresh["opacity_logits"][rows])
    each = shared(opacity)
    fresh["opacity_logits"][rows] = logit(each)
    fresh["log_scales"][rows] += kept_area(opacity, each, 1.0, 1.0).log()[:, None]
    draw = torch.randn(count, 3, generator=generator, device=generator.device if generator else None)
    steps = NUDGE * draw.to(fresh["means"]) * fresh["log_scales"][moved].exp()
    turns = rotations(fresh["quaternions"][moved])
    fresh["means"][moved] += (turns @ steps[..., None])[..., 0]


def halved(fresh: dict[str, Tensor], first: int, count: int) -> None:
    """The same for splits: halves on either side, along the longest axis."""
    rows = slice(first, first + 2 * count)
    scales, opacity = fresh["log_scales"][rows].exp(), torch.sigmoid(fresh["opacity_logits"][rows])
    longest = scales.argmax(1, keepdim=True)
    turns = rotations(fresh["quaternions"][rows])
    axis = turns.gather(2, longest[:, None].expand(-1, 3, 1))[..., 0]
    side = torch.ones(2 * count, 1).to(scales)
    side[count:] = -1
    fresh["means"][rows] += side * APART * scales.gather(1, longest) * axis
    narrow = math.sqrt(1 - APART**2)
    # At the old centre each half has fallen off by this much, which its opacity makes up for.
    fall = math.exp(-0.5 * (APART / narrow) ** 2)
    each = (shared(opacity) / fall).clamp_max(MOST_ALPHA)
    fresh["opacity_logits"][rows] = logit(each)
    thinner = scales.scatter(1, longest, scales.gather(1, longest) * narrow)
    fresh["log_scales"][rows] = (thinner * kept_area(opacity, each, narrow, fall**2)[:, None]).log()


def kept_area(opacity: Tensor, each: Tensor, narrow: float, overlap: float) -> Tensor:
    r"""Factor of two Gaussians' scales at which they cover as much of a picture as the one they come from.

    The integral of :math:`1 - (1 - o' e_1)(1 - o' e_2)` over the picture is to be that of :math:`o e`; with the
    product's integral `overlap` times half of either's, :math:`f^2 = o / (n (2 o' - o'^2 v / 2))`. (The idea is that
    of 3DGS-MCMC, Kheradmand et al. 2024, arXiv 2404.09591, eq. 9, who do so along a line.)
    """
    return (opacity / (narrow * (2 * each - 0.5 * overlap * each.square()))).sqrt()


def shared(opacity: Tensor) -> Tensor:
    """Opacity of each of two that together have this one."""
    return 1 - (1 - opacity).sqrt()


def logit(opacity: Tensor) -> Tensor:
    """Inverse of the sigmoid, of an opacity cut at `MOST_ALPHA`."""
    return torch.logit(opacity.clamp(1e-6, MOST_ALPHA))


def replace(scene: GaussianScene, optimiser: torch.optim.Optimizer, fresh: dict[str, Tensor], source: Tensor) -> None:
    """Put new values in the scene and the optimiser.

    Args:
        scene: likewise.
        optimiser: its per-Gaussian state follows `source`; counts of steps stay.
        fresh: values `(M, …)` by parameter name.
        source: `(M,)` the row that each comes from.
    """
    for name, values in fresh.items():
        old, new = getattr(scene, name), nn.Parameter(values)
        for group in optimiser.param_groups:
            group["params"] = [new if parameter is old else parameter for parameter in group["params"]]
        state = optimiser.state.pop(old, {})
        rows = len(old)
        followed = {
            key: value[source].clone() if isinstance(value, Tensor) and value.shape[:1] == (rows,) else value
            for key, value in state.items()
        }
        if followed:
            optimiser.state[new] = followed
        setattr(scene, name, new)
    scene.screen = None
