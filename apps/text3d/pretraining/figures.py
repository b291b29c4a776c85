"""How well a diffusion model knows what pictures show: is the true text a better one than a false one?"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from apps.text3d.auditing.mutations import PROMPTS
from apps.text3d.pretraining.pictures import Pictures
from common.stats import Interval, wilson

if TYPE_CHECKING:
    from apps.text3d.guidance.prior import DiffusionPrior

#: Made-wrong prompts of `apps.text3d.auditing.mutations` that are false of the picture.
FACTS = {"colour": "other_colour", "kind": "other_kind", "count": "other_count", "relation": "swapped_relation"}
#: Amounts of noise, as parts of all timesteps, and draws of noise at each.
_PARTS, _DRAWS = (0.3, 0.5, 0.7, 0.85), 2


@torch.no_grad()
def discrimination(prior: DiffusionPrior, pictures: Pictures, seed: int = 0) -> dict[str, Interval]:
    """How often noise is told better with the true text than with one of which a single fact is false.

    The zero-shot classifier of Li et al. (arXiv 2303.16203): both texts see the same noise. One half is chance.

    Args:
        prior: the model.
        pictures: held out; both texts name the side that a picture is seen from.
        seed: of false facts, noise and backgrounds.

    Returns:
        The share, in [0, 1], by fact, with Wilson's 95 % interval; a fact that no picture has is left out.
    """
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[bool]] = {fact: [] for fact in FACTS}
    for row, world in enumerate(pictures.worlds):
        made = {fact: PROMPTS[name](world.prompt, rng) for fact, name in FACTS.items()}
        false = {fact: f"{one.text}, {pictures.view(row)}" for fact, one in made.items() if one is not None}
        texts = [pictures.text(row), *false.values()]
        clean = prior.encode(pictures.on([row], torch.rand(3, generator=generator)))
        errors = _errors(prior, clean, texts, generator)
        for place, fact in enumerate(false, start=1):
            found[fact].append(bool(errors[0] < errors[place]))
    return {fact: wilson(sum(right), len(right)) for fact, right in found.items() if right}


def _errors(prior: DiffusionPrior, clean: Tensor, texts: list[str], generator: torch.Generator) -> Tensor:
    """`(T,)` squared error of the noise for each text, over the same draws."""
    times = torch.tensor([round(part * prior.timesteps) for part in _PARTS for _ in range(_DRAWS)])
    noise = torch.randn(len(times), *clean.shape[1:], generator=generator)
    alpha = prior.alphas(times)
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    embedded = prior.embed(texts)
    assert embedded is not None
    count, draws = len(texts), len(times)
    said = prior.noise(noisy.repeat(count, 1, 1, 1), times.repeat(count), embedded.repeat_interleave(draws, 0))
    apart = (said - noise.repeat(count, 1, 1, 1)).square().flatten(1).mean(1)
    return apart.view(count, draws).mean(1)
