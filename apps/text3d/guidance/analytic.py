"""The analytic critic: a differentiable loss from the parsed prompt, without any model.

It draws one scene that is true to the prompt (the layout) and compares what the cameras see with it: colours,
outlines, boxes, counts, and how things stand to each other from each camera. It knows the answer, so what it reaches
is an upper bound for guidances that must judge by looking, and it is called `analytic` in all outputs.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from apps.text3d.cameras import Cameras
from apps.text3d.colours import NAMES, squared_distances
from apps.text3d.guidance.boxes import centre, giou, sharpen, soft_box, soft_count
from apps.text3d.pocket.render import trace
from apps.text3d.pocket.sampler import sample
from apps.text3d.pocket.world import World
from apps.text3d.prompts.prompt import Prompt
from apps.text3d.prompts.relations import direction
from apps.text3d.scenes.base import Views

#: Softness of colour names, in squared Lab distance, and the distance from where on a colour is none of them.
_SOFT, _ODD = 450.0, 45.0
#: Metres along its ideal direction that a relation is asked for.
MARGIN = 0.35
#: Pixels of a thing that a camera must see in the layout to be asked about it.
_SEEN = 6


@dataclass(frozen=True)
class Weights:
    """Weights of the terms; at 0 one is not reckoned.

    Attributes:
        colour: inside a thing's outline its colour, and no colours elsewhere that the prompt does not name.
        coverage: opaque inside of the outlines, clear outside.
        shape: soft IoU of a thing's colour mask with its outline.
        box: GIoU of the mask's soft box with the outline's.
        relation: hinges on left/right, up/down and depth as each camera sees them.
        count: pieces of the mask.
    """

    colour: float = 1.0
    coverage: float = 1.0
    shape: float = 1.0
    box: float = 0.5
    relation: float = 1.0
    count: float = 0.05


@dataclass(frozen=True)
class _Group:
    """The things of one colour: pictures alone cannot tell them apart."""

    colour: str | None
    things: tuple[int, ...]


class AnalyticCritic:
    """Guidance by colour masks and boxes; see the module. Implements `guidance.base.Guidance`.

    Relations between two things of one colour cannot be seen by colour and are left to the layout's outlines;
    `skipped` counts them. `beside` is asked for on the side where the layout has it.

    Args:
        prompt: with at least one thing.
        weights: of the terms.
        seed: of the layout.
        layout: another scene to aim for.

    Raises:
        UsageError: no scene shows this prompt.
    """

    name = "analytic"

    def __init__(
        self, prompt: Prompt, weights: Weights | None = None, seed: int = 0, layout: World | None = None
    ) -> None:
        self.prompt = prompt
        self.weights = weights or Weights()
        self.layout = layout or sample(prompt, random.Random(seed))
        colours = dict.fromkeys(thing.colour for thing in prompt.objects)
        self.groups = [
            _Group(colour, tuple(at for at, thing in enumerate(prompt.objects) if thing.colour == colour))
            for colour in colours
        ]
        self.skipped = len(prompt.relations) - len(self._relations())

    @property
    def device(self) -> torch.device:
        """Where the views must be: what it compares them with is drawn on the CPU."""
        return torch.device("cpu")

    def loss(
        self, views: Views, cameras: Cameras, step: int = 0, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch of views.

        Args:
            views: of `(B,)` cameras.
            cameras: that they were seen from.
            step: not used.
            generator: not used: nothing is drawn.

        Returns:
            A scalar, 0 or more, and each term before its weight.
        """
        outlines = self._outlines(cameras).to(views.rgb)
        rgb, opacity = views.rgb.permute(0, 2, 3, 1), views.opacity[:, 0]
        masks = self._masks(rgb, opacity)
        seen = (outlines.sum((-2, -1)) >= _SEEN).to(rgb)
        terms = {
            "colour": lambda: self._colour(rgb, opacity, outlines, masks),
            "coverage": lambda: _coverage(opacity, outlines),
            "shape": lambda: _mean(_shape(masks, outlines), seen),
            "box": lambda: _mean(1 - giou(soft_box(sharpen(masks)), soft_box(outlines)), seen),
            "relation": lambda: self._relation(views, cameras, masks, seen),
            "count": lambda: _mean(_count(masks, outlines), seen),
        }
        total, figures = rgb.new_zeros(()), {}
        for term in fields(self.weights):
            weight = getattr(self.weights, term.name)
            if weight:
                value = terms[term.name]()
                total = total + weight * value
                figures[term.name] = float(value.detach())
        return total, figures

    @torch.no_grad()
    def _outlines(self, cameras: Cameras) -> Tensor:
        """`(B, G, H, W)`: where each group is seen in the layout, 0 or 1."""
        found = trace([self.layout] * len(cameras), cameras)
        owner = torch.tensor([solid.thing for solid in self.layout.solids] + [-1], device=found.solid.device)
        thing = owner[found.solid].view(len(cameras), cameras.height, cameras.width)
        members = [torch.tensor(group.things, device=thing.device) for group in self.groups]
        return torch.stack([torch.isin(thing, one) for one in members], 1)

    def _masks(self, rgb: Tensor, opacity: Tensor) -> Tensor:
        """`(B, G, H, W)` in [0, 1]: opaque and of the group's colour, or of no named colour for those left open."""
        far = squared_distances(rgb)
        odd = torch.full_like(far[..., :1], _ODD**2)
        named = torch.softmax(-torch.cat([far, odd], -1) / _SOFT, -1)
        own = {group.colour: named[..., NAMES.index(group.colour)] for group in self.groups if group.colour}
        rest = 1 - torch.stack([torch.zeros_like(opacity), *own.values()]).sum(0)
        return torch.stack([(own[group.colour] if group.colour else rest) * opacity for group in self.groups], 1)

    def _colour(self, rgb: Tensor, opacity: Tensor, outlines: Tensor, masks: Tensor) -> Tensor:
        """Distance to the right colour inside outlines, and the share of matter that has no group's colour."""
        far = squared_distances(rgb)
        losses = []
        for at, group in enumerate(self.groups):
            if group.colour is not None:
                distance = torch.sqrt(1 + far[..., NAMES.index(group.colour)] / 35.0**2) - 1
                losses.append((distance * outlines[:, at]).sum() / outlines[:, at].sum().clamp_min(1))
        strange = (opacity - masks.sum(1)).clamp_min(0).sum() / opacity.sum().clamp_min(1)
        return torch.stack([*losses, strange]).mean()

    def _relations(self) -> list[tuple[int, int, Tensor]]:
        """Relations that masks can show: the two groups and the world's unit vector from the second to the first."""
        alone = {group.things[0]: at for at, group in enumerate(self.groups) if len(group.things) == 1}
        found = []
        for one in self.prompt.relations:
            if one.subject in alone and one.object in alone:
                toward = self._beside(one.subject, one.object) if one.name == "beside" else direction(one.name)
                found.append((alone[one.subject], alone[one.object], torch.tensor(toward)))
        return found

    def _beside(self, first: int, second: int) -> tuple[float, ...]:
        """The direction from the layout's second thing to its first, on the level."""
        middles = [
            torch.tensor([solid.position for solid in self.layout.solids if solid.thing == thing]).mean(0)
            for thing in (first, second)
        ]
        offset = (middles[0] - middles[1]) * torch.tensor([1.0, 1.0, 0.0])
        return tuple((offset / offset.norm().clamp_min(1e-6)).tolist())

    def _relation(self, views: Views, cameras: Cameras, masks: Tensor, seen: Tensor) -> Tensor:
        """Mean hinge over relations and views."""
        relations = self._relations()
        if not relations:
            return masks.new_zeros(())
        places = _places(views, cameras, masks)
        losses, counted = [], []
        for first, second, toward in relations:
            wanted = (toward.to(cameras.c2w) @ cameras.c2w[:, :3, :3]).to(masks)  # (B, 3) in each camera's frame
            offset = places[:, first] - places[:, second]
            # Along each of the camera's axes only as much is asked for as the relation lies along it.
            short = (MARGIN * wanted.abs() - wanted.sign() * offset).clamp_min(0)
            losses.append((short * wanted.abs()).sum(-1))
            counted.append(seen[:, first] * seen[:, second])
        return _mean(torch.stack(losses, 1), torch.stack(counted, 1))


def _places(views: Views, cameras: Cameras, masks: Tensor) -> Tensor:
    """`(B, G, 3)` where masks are in the camera's frame, in metres: right, up, nearer to the camera.

    Sideways metres are those at the distance of the world's middle.
    """
    metres = cameras.positions.norm(dim=-1) / cameras.focal  # of a pixel
    across, down = centre(masks).unbind(-1)
    right = (across - 0.5) * (cameras.width * metres)[:, None].to(masks)
    up = (0.5 - down) * (cameras.height * metres)[:, None].to(masks)
    mass = (masks * views.opacity).sum((-2, -1)) + 1e-2
    middle = cameras.positions.norm(dim=-1)[:, None].to(masks)
    depth = ((masks * views.depth).sum((-2, -1)) + 1e-2 * middle) / mass
    return torch.stack([right, up, -depth], -1)


def _coverage(opacity: Tensor, outlines: Tensor) -> Tensor:
    """Clearness inside of the outlines and opacity outside, as a share of the outlines' area.

    Were the outside a mean of its own, its many pixels would each count little, and things would grow beyond outlines.
    """
    within = outlines.sum(1).clamp(max=1)
    wrong = (1 - opacity) * within + opacity * (1 - within)
    return wrong.sum() / within.sum().clamp_min(1)


def _shape(masks: Tensor, outlines: Tensor) -> Tensor:
    """1 − soft IoU, `(B, G)`."""
    both = (masks * outlines).sum((-2, -1))
    return 1 - both / (masks.sum((-2, -1)) + outlines.sum((-2, -1)) - both).clamp_min(1e-6)


def _count(masks: Tensor, outlines: Tensor) -> Tensor:
    """How far the number of pieces is from that of the outlines, which knows of holes and of what hides what."""
    return torch.log1p((soft_count(sharpen(masks)) - soft_count(outlines)).square())


def _mean(losses: Tensor, seen: Tensor) -> Tensor:
    """Mean of `losses` where seen, 0 where nothing is."""
    return (losses * seen).sum() / seen.sum().clamp_min(1)
