"""Layers that reorder elements."""

from __future__ import annotations

import math

import torch
from torch import nn

from sepcnn.layers.base import LeafLayer, Shape


class Flatten(LeafLayer):
    """An image as one row of features, in the order height, width, channel, as in Keras."""

    def output_shape(self, *inputs: Shape) -> Shape:
        return (math.prod(inputs[0]),)

    def build(self, *inputs: Shape) -> nn.Module:
        return FlattenModule()

    def window(self) -> None:
        return None


class FlattenModule(nn.Module):
    """Takes N×C×H×W or N×F, gives N×F."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.movedim(1, -1).flatten(1)
