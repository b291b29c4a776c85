"""Pictures as a scene in formation gives them: blurred, foggy, noisy, with nothing in them or with mere stains.

A reward model that has seen finished scenes only is asked about unfinished ones for most of an optimisation, and its
gradient is followed to wherever it was never taught.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from apps.text3d.pocket.world import World
from apps.text3d.pretraining.pictures import Pictures
from common.models.vlm_input import Preprocess

#: Share of the pictures that are whole; the others are blurred, foggy and noisy to a random degree.
WHOLE = 0.4
#: Greatest number of times that a picture is blurred by 1-2-1, greatest share of fog, greatest deviation of noise.
BLUR, FOG, NOISE = 6, 0.6, 0.12


class Shown:
    """Pictures before random places and with random faults, the same for a picture each time.

    Args:
        pictures: to show.
        seed: of places and faults.
        faults: whether there are any.
    """

    def __init__(self, pictures: Pictures, seed: int, faults: bool = True) -> None:
        self.pictures, self.seed = pictures, seed
        generator = torch.Generator().manual_seed(seed)
        draw = torch.rand(len(pictures), 7, generator=generator)
        white = draw[:, :1] < 1 / 3
        self.background = torch.where(white, torch.ones(1, 3), draw[:, 1:4])
        damaged = (draw[:, 0] * 97 % 1 >= WHOLE).float() if faults else torch.zeros(len(pictures))
        self.blur = (draw[:, 4] * (BLUR + 1)).long() * damaged.long()
        self.fog, self.noise = FOG * draw[:, 5] * damaged, NOISE * draw[:, 6] * damaged

    def shown(self, rows: Sequence[int]) -> Tensor:
        """`(B, 3, H, W)` in [0, 1]."""
        chosen = list(rows)
        behind = self.background[chosen]
        pictures = self.pictures.on(chosen, behind)
        for times in range(1, BLUR + 1):
            more = self.blur[chosen] >= times
            if bool(more.any()):
                pictures[more] = _blurred(pictures[more])
        pictures = torch.lerp(pictures, behind[:, :, None, None], self.fog[chosen, None, None, None])
        for place, row in enumerate(chosen):
            if self.noise[row] > 0:
                generator = torch.Generator().manual_seed(self.seed * 10_000_019 + row)
                pictures[place] += self.noise[row] * torch.randn(pictures[place].shape, generator=generator)
        return pictures.clamp(0, 1)


class Patched(Shown):
    """The same cut into a Qwen-VL's patches.

    Args:
        pictures: to show.
        processor: of the model that looks.
        seed: of places and faults.
    """

    def __init__(self, pictures: Pictures, processor: Any, seed: int) -> None:
        super().__init__(pictures, seed)
        self.preprocess = Preprocess.of(processor)
        tall, wide = self.preprocess.resized(*pictures.colours.shape[-2:])
        #: Time, height and width of each picture, in patches.
        self.grid = (1, tall // self.preprocess.patch, wide // self.preprocess.patch)

    @property
    def tokens(self) -> int:
        """Image tokens of one picture."""
        return self.grid[1] * self.grid[2] // self.preprocess.merge**2

    def patches(self, rows: Sequence[int]) -> Tensor:
        """`(B, patches, 3 · patch²)` of some pictures, in Qwen's order."""
        cut, _ = self.preprocess(self.shown(rows))
        return cut.view(len(rows), -1, 3, self.preprocess.frames, self.preprocess.patch**2)[:, :, :, 0].flatten(2)


def emptied(pictures: Pictures, share: float, seed: int) -> Pictures:
    """Some scenes are taken away: half of these pictures show nothing, the other half stains of random colour."""
    generator = torch.Generator().manual_seed(seed)
    count = round(share * len(pictures))
    rows = torch.randperm(len(pictures), generator=generator)[:count].tolist()
    worlds, shares = list(pictures.worlds), list(pictures.shares)
    colours, opacity = pictures.colours.clone(), pictures.opacity.clone()
    side = colours.shape[-1]
    for place, row in enumerate(rows):
        worlds[row] = World(worlds[row].prompt, ())
        shares[row] = []
        stains = torch.rand(1, 4, 5, 5, generator=generator)
        smooth = functional.interpolate(stains, (side, side), mode="bicubic").clamp(0, 1)[0]
        cover = (place % 2) * (6 * (smooth[3:] - 0.5)).clamp(0, 1)
        opacity[row] = (255 * cover).round().byte()
        colours[row] = (255 * cover * smooth[:3]).round().byte()
    return replace(pictures, worlds=worlds, shares=shares, colours=colours, opacity=opacity)


def _blurred(pictures: Tensor) -> Tensor:
    kernel = pictures.new_tensor([1.0, 2.0, 1.0]) / 4
    padded = functional.pad(pictures, (1, 1, 1, 1), mode="replicate")
    across = kernel[0] * padded[..., :-2] + kernel[1] * padded[..., 1:-1] + kernel[2] * padded[..., 2:]
    return kernel[0] * across[..., :-2, :] + kernel[1] * across[..., 1:-1, :] + kernel[2] * across[..., 2:, :]
