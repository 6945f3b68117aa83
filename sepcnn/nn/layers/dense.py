"""The fully connected layer."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from sepcnn.language.values import PositiveOrAuto
from sepcnn.nn.activations import ActivationFunction
from sepcnn.nn.constraints import MatrixConstraint, VectorConstraint
from sepcnn.nn.initializers import GlorotUniform, MatrixInitializer, VectorInitializer, Zeros
from sepcnn.nn.layers.base import LeafLayer, Shape, ShapeError
from sepcnn.nn.layers.module import LayerModule, activate
from sepcnn.nn.regularizers import MatrixRegularizer, VectorRegularizer


class Dense(LeafLayer):
    """Fully connected layer over the last axis: ``y = activation(x · kernel + bias)``.

    On an image it applies to the channels of each pixel separately, as in Keras. Put Flatten or
    GlobalAveragePooling2D before it to use the whole image.
    """

    units: PositiveOrAuto
    """number of outputs; auto: the number of classes in the data"""
    activation: ActivationFunction | None = None
    """activation function applied to the output; none by default"""
    use_bias: bool = True
    """add a learned bias to each output"""
    kernel_initializer: MatrixInitializer = GlorotUniform()
    """initial values of the kernel"""
    bias_initializer: VectorInitializer = Zeros()
    """initial values of the bias"""
    kernel_regularizer: MatrixRegularizer = None
    """penalty on the kernel, added to the loss"""
    kernel_constraint: MatrixConstraint = None
    """constraint applied to the kernel after each step"""
    bias_regularizer: VectorRegularizer = None
    """penalty on the bias, added to the loss"""
    bias_constraint: VectorConstraint = None
    """constraint applied to the bias after each step"""

    def known_units(self) -> int:
        """Return ``units`` as a number. Errors: `ShapeError` if it is still auto."""
        if self.units == "auto":
            raise ShapeError(
                "units: auto needs the number of classes, which is not known here",
                "write the number of units",
            )
        return self.units

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*inputs[0][:-1], self.known_units())

    def build(self, *inputs: Shape) -> nn.Module:
        return DenseModule(self, inputs[0][-1])

    def macs(self, inputs: tuple[Shape, ...], output: Shape) -> int:
        return math.prod(inputs[0]) * output[-1]


class DenseModule(LayerModule):
    """Takes N×features or any N×C×…, as N×C×H×W; applies to C."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, spec: Dense, features: int) -> None:
        super().__init__()
        units = spec.known_units()
        self.add_weight("weight", spec.weight_rules("kernel"), (features, units), (1, 0))
        self.add_bias(spec.weight_rules("bias") if spec.use_bias else None, units)
        self.activation = spec.activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() == 4:
            y = functional.conv2d(x, self.weight[:, :, None, None], self.bias)
        else:
            y = functional.linear(x.movedim(1, -1), self.weight, self.bias).movedim(-1, 1)
        return activate(y, self.activation)
