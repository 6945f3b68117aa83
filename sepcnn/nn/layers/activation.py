"""Activation functions as layers of their own."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import PlainValidator, ValidationInfo, WithJsonSchema
from torch import nn
from torch.nn import functional

from sepcnn.language.values import NonNegativeNumber, Number
from sepcnn.nn.activations import ActivationFunction, Relu
from sepcnn.nn.constraints import Constraint
from sepcnn.nn.initializers import VectorInitializer, Zeros
from sepcnn.nn.layers.axes import Axes, only_channels, read_axes, resolve_axes, torch_axes
from sepcnn.nn.layers.base import LeafLayer, ReceptiveField, Shape
from sepcnn.nn.layers.module import LayerModule
from sepcnn.nn.regularizers import VectorRegularizer


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


class LeakyReLU(ElementwiseLayer):
    """``x`` where it is above 0, else ``negative_slope · x``. Maas et al. 2013.

    The slope is Keras' 0.3; torch's is 0.01.
    """

    negative_slope: NonNegativeNumber = 0.3
    """slope below 0"""

    def build(self, *inputs: Shape) -> nn.Module:
        return nn.LeakyReLU(self.negative_slope)


class ELU(ElementwiseLayer):
    """``x`` where it is above 0, else ``alpha · (exp(x) − 1)``.

    Clevert et al. 2015, arXiv:1511.07289.
    """

    alpha: Number = 1.0
    """what the output tends to far below 0, with its sign changed"""

    def build(self, *inputs: Shape) -> nn.Module:
        return nn.ELU(self.alpha)


def _shared_axes(value: object, info: ValidationInfo) -> tuple[int, ...]:
    return () if value is None or value == [] else read_axes(value, info)


SharedAxes = Annotated[
    tuple[int, ...],
    PlainValidator(_shared_axes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "not": {"const": 0}},
                {"type": "array", "items": {"type": "integer", "not": {"const": 0}}},
                {"type": "null"},
            ]
        }
    ),
]


class PReLU(ElementwiseLayer):
    """``x`` where it is above 0, else ``alpha · x`` with learned alpha.

    He et al. 2015, arXiv:1502.01852. As in Keras, every element of an image has an alpha of its
    own and the first are 0; the paper's is ``{shared_axes: [1, 2], alpha_initializer: {constant:
    0.25}}``: one a channel. The weight is kept as one row in torch's order (channel, height,
    width), and as the paper wants it does not decay. At exactly 0 the gradient is 0, as in Keras.
    """

    alpha_initializer: VectorInitializer = Zeros()
    """first values of alpha (here ``weight``)"""
    alpha_regularizer: VectorRegularizer = None
    """what alpha adds to the loss"""
    alpha_constraint: Constraint | None = None
    """what alpha is held to"""
    shared_axes: SharedAxes = ()
    """axes along which alpha is the same, the batch being 0: [1, 2] is one alpha a channel"""

    def output_shape(self, *inputs: Shape) -> Shape:
        resolve_axes(self.shared_axes, inputs[0])
        self.check_constraints(len(inputs[0]))
        return inputs[0]

    def build(self, *inputs: Shape) -> nn.Module:
        return PReLUModule(self, inputs[0])


class PReLUModule(LayerModule):
    """Takes N×C×H×W or N×C."""

    weight: torch.Tensor

    def __init__(self, spec: PReLU, shape: Shape) -> None:
        super().__init__()
        shared = resolve_axes(spec.shared_axes, shape)
        alphas = tuple(1 if axis in shared else size for axis, size in enumerate(shape, start=1))
        axes = (len(shape) - 1, *range(len(shape) - 1))  # the channels first
        self.shape = tuple(alphas[axis] for axis in axes)
        # One row, since optimizers tell by the number of axes what may decay.
        self.add_weight("weight", spec.weight_rules("alpha"), alphas, axes, (math.prod(alphas),))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        alpha = self.weight.view(self.shape).to(x.dtype)
        return functional.relu(x) - alpha * functional.relu(-x)


class Softmax(ElementwiseLayer):
    """``exp(x)`` over the sum of exp over the channels. As last layer: the probabilities.

    With ``axis: [1, 2]`` each channel sums to 1 over height and width: a map of where to look.
    """

    axis: Axes = (-1,)
    """the axes over which the output sums to 1: the channels"""

    def output_shape(self, *inputs: Shape) -> Shape:
        resolve_axes(self.axis, inputs[0])
        return inputs[0]

    def build(self, *inputs: Shape) -> nn.Module:
        return SoftmaxModule(torch_axes(self.axis, inputs[0]))

    def receptive_field(self, *inputs: Shape) -> ReceptiveField | None:
        return super().receptive_field(*inputs) if only_channels(self.axis, inputs[0]) else None


class SoftmaxModule(nn.Module):
    """Takes and gives any shape; axis 1 holds the channels."""

    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(self.dims) == 1:
            return torch.softmax(x, dim=self.dims[0])
        return torch.exp(x - torch.logsumexp(x, dim=self.dims, keepdim=True))
