"""Activation functions as layers of their own."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from sepcnn.activations import ActivationFunction, Relu
from sepcnn.layers.base import LeafLayer, Shape
from sepcnn.values import NonNegativeNumber


class ElementwiseLayer(LeafLayer):
    """A layer whose output has its input's shape."""

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]


class Activation(ElementwiseLayer):
    """Applies an activation function by its name, as in ``Activation: relu``."""

    activation: ActivationFunction
    """the function"""

    def build(self, *inputs: Shape) -> nn.Module:
        return ActivationModule(self.activation)


class ActivationModule(nn.Module):
    """Takes and gives any shape; axis 1 holds the channels."""

    def __init__(self, activation: ActivationFunction) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation.apply(x)


class ReLU(ElementwiseLayer):
    """``x`` where it is above ``threshold``, else ``negative_slope · (x − threshold)``;
    never above ``max_value``.
    """

    max_value: NonNegativeNumber | None = None
    """largest output"""
    negative_slope: NonNegativeNumber = 0.0
    """slope below the threshold"""
    threshold: NonNegativeNumber = 0.0
    """where the function begins to rise with slope 1"""

    def build(self, *inputs: Shape) -> nn.Module:
        fields = {name: getattr(self, name) for name in Relu.model_fields}
        return ActivationModule(Relu(**fields))


class Softmax(ElementwiseLayer):
    """``exp(x)`` over the sum of exp over the channels. As last layer: the probabilities."""

    axis: Literal[-1] = -1
    """the axis that sums to 1: the channels"""

    def build(self, *inputs: Shape) -> nn.Module:
        return nn.Softmax(dim=1)
