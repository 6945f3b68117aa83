"""Layers that apply an activation function."""

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
    """A layer whose output has the shape of its input."""

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]


class Activation(ElementwiseLayer):
    """Applies an activation function, as in ``Activation: relu``."""

    activation: ActivationFunction
    """the activation function"""

    def build(self, *inputs: Shape) -> nn.Module:
        return ActivationModule(self.activation)


class ActivationModule(nn.Module):
    """Takes and returns any shape; axis 1 holds the channels."""

    def __init__(self, activation: ActivationFunction) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation.apply(x)


class ReLU(ElementwiseLayer):
    """Rectified linear unit: ``x`` if x > ``threshold``, else ``negative_slope · (x − threshold)``;
    at most ``max_value``.
    """

    max_value: NonNegativeNumber | None = None
    """largest output; null: no limit"""
    negative_slope: NonNegativeNumber = 0.0
    """slope below ``threshold``"""
    threshold: NonNegativeNumber = 0.0
    """inputs above this value pass unchanged, up to ``max_value``"""

    def build(self, *inputs: Shape) -> nn.Module:
        fields = {name: getattr(self, name) for name in Relu.model_fields}
        return ActivationModule(Relu(**fields))


class LeakyReLU(ElementwiseLayer):
    """Leaky ReLU: ``x`` if x > 0, else ``negative_slope · x``. Maas et al. 2013.

    The default slope is 0.3, as in this layer in Keras (torch: 0.01).
    """

    negative_slope: NonNegativeNumber = 0.3
    """slope below 0"""

    def build(self, *inputs: Shape) -> nn.Module:
        return nn.LeakyReLU(self.negative_slope)


class ELU(ElementwiseLayer):
    """Exponential linear unit: ``x`` if x > 0, else ``alpha · (exp(x) − 1)``.

    Clevert et al. 2015, arXiv:1511.07289.
    """

    alpha: Number = 1.0
    """the output approaches −alpha for large negative inputs"""

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
    """Parametric ReLU: ``x`` if x > 0, else ``alpha · x``, where alpha is learned.

    He et al. 2015, arXiv:1502.01852. As in Keras, every element of the input has its own alpha,
    initially 0. The paper has one per channel, initially 0.25: ``{shared_axes: [1, 2],
    alpha_initializer: {constant: 0.25}}``. The weight is stored flat in torch order (channel,
    height, width); as in the paper, weight decay is not applied to it. At exactly 0 the gradient
    is 0, as in Keras.
    """

    alpha_initializer: VectorInitializer = Zeros()
    """initial values of alpha (the parameter ``weight``)"""
    alpha_regularizer: VectorRegularizer = None
    """penalty on alpha, added to the loss"""
    alpha_constraint: Constraint | None = None
    """constraint applied to alpha after each step"""
    shared_axes: SharedAxes = ()
    """axes that share one alpha; [1, 2], height and width, gives one alpha per channel"""

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
        # Flat, because optimizers decay only weights with more than one axis.
        self.add_weight("weight", spec.weight_rules("alpha"), alphas, axes, (math.prod(alphas),))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        alpha = self.weight.view(self.shape).to(x.dtype)
        return functional.relu(x) - alpha * functional.relu(-x)


class Softmax(ElementwiseLayer):
    """Softmax: ``exp(x) / Σ exp(x)`` over the channels. As the last layer it gives probabilities.

    With ``axis: [1, 2]`` each channel sums to 1 over height and width: an attention map.
    """

    axis: Axes = (-1,)
    """axis or axes over which the output sums to 1; by default the channels"""

    def output_shape(self, *inputs: Shape) -> Shape:
        resolve_axes(self.axis, inputs[0])
        return inputs[0]

    def build(self, *inputs: Shape) -> nn.Module:
        return SoftmaxModule(torch_axes(self.axis, inputs[0]))

    def receptive_field(self, *inputs: Shape) -> ReceptiveField | None:
        return super().receptive_field(*inputs) if only_channels(self.axis, inputs[0]) else None


class SoftmaxModule(nn.Module):
    """Takes and returns any shape; axis 1 holds the channels."""

    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(self.dims) == 1:
            return torch.softmax(x, dim=self.dims[0])
        return torch.exp(x - torch.logsumexp(x, dim=self.dims, keepdim=True))
