"""From a CLIP feature to the decoder's prefix: ClipCap's two mappers, and the shape they are built from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """What a captioner needs to be built again.

    Attributes:
        features: size of a CLIP feature.
        width: of the decoder.
        mapper: "mlp" or "transformer".
        prefix_length: prefix vectors.
        mapper_layers: of the transformer mapper.
        normalize_prefix: whether prefix vectors have length 1.
        clip: name of the CLIP whose features it was trained on.
    """

    features: int
    width: int
    mapper: str = "mlp"
    prefix_length: int = 4
    mapper_layers: int = 4
    normalize_prefix: bool = False
    clip: str = ""


class TransformerMapper(nn.Module):
    """ClipCap's transformer mapper: the feature's tokens and learnt constants attend to each other."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.length, self.width = shape.prefix_length, shape.width
        heads = max(head for head in (1, 2, 4, 8) if shape.width % head == 0)
        layer = nn.TransformerEncoderLayer(
            shape.width, heads, 2 * shape.width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.project = nn.Linear(shape.features, shape.prefix_length * shape.width)
        self.constants = nn.Parameter(torch.randn(shape.prefix_length, shape.width) * 0.02)
        self.layers = nn.TransformerEncoder(layer, shape.mapper_layers, enable_nested_tensor=False)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, features)` to `(B, prefix_length * width)`."""
        seen = self.project(features).view(len(features), self.length, self.width)
        constants = self.constants.expand(len(features), -1, -1)
        mapped: Tensor = self.layers(torch.cat([seen, constants], 1))
        return mapped[:, self.length :].flatten(1)


def build_mapper(shape: Shape) -> nn.Module:
    """The mapper of a shape: `(B, features)` to `(B, prefix_length * width)`."""
    if shape.mapper == "transformer":
        return TransformerMapper(shape)
    hidden = shape.width * shape.prefix_length // 2
    return nn.Sequential(
        nn.Linear(shape.features, hidden), nn.Tanh(), nn.Linear(hidden, shape.width * shape.prefix_length)
    )
