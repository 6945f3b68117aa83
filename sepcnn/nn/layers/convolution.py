"""Convolutions over images: Conv2D and SeparableConv2D."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
from pydantic import model_validator
from torch import nn
from torch.nn import functional

from sepcnn.language.messages import invalid
from sepcnn.language.values import Pair, PositiveInt
from sepcnn.nn.activations import ActivationFunction
from sepcnn.nn.constraints import KernelConstraint, VectorConstraint
from sepcnn.nn.initializers import GlorotUniform, KernelInitializer, VectorInitializer, Zeros
from sepcnn.nn.layers.base import LeafLayer, ReceptiveField, Shape, ShapeError, image_shape
from sepcnn.nn.layers.module import LayerModule, WeightRules, activate
from sepcnn.nn.layers.sliding_window import (
    Padding,
    effective_size,
    output_height_width,
    same_padding,
)
from sepcnn.nn.regularizers import KernelRegularizer, VectorRegularizer

CHANNEL_AXIS = 2
"""of a depthwise kernel in Keras: height × width × channels × multiplier"""


class Convolution(LayerModule):
    """Convolution, bias and activation with Keras' padding: N×C×H×W in, N×outputs×H×W out.

    ``weight`` is outputs × inputs per group × height × width. A depthwise kernel in Keras is
    height × width × channels × multiplier, and every channel is a group of its own; ``separate``
    draws it channel by channel.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(
        self,
        kernel: WeightRules,
        keras_shape: tuple[int, int, int, int],
        strides: Pair = (1, 1),
        dilation: Pair = (1, 1),
        padding: Padding = "valid",
        groups: int = 1,
        depthwise: bool = False,
        separate: bool = False,
        bias: WeightRules | None = None,
        activation: ActivationFunction | None = None,
    ) -> None:
        super().__init__()
        height, width, inputs, outputs = keras_shape
        self.kernel_size = (height, width)
        self.strides, self.dilation, self.padding = strides, dilation, padding
        self.groups = inputs if depthwise else groups
        self.activation = activation
        if depthwise:
            shape = (inputs * outputs, 1, height, width)
            axis = CHANNEL_AXIS if separate else None
            self.add_weight("weight", kernel, keras_shape, (2, 3, 0, 1), shape, separate_axis=axis)
        else:
            self.add_weight("weight", kernel, keras_shape, (3, 2, 0, 1))
        self.add_bias(bias, inputs * outputs if depthwise else outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padding = (0, 0)
        if self.padding == "same":
            rows, columns = map(effective_size, self.kernel_size, self.dilation)
            top, bottom = same_padding(x.shape[2], rows, self.strides[0])
            left, right = same_padding(x.shape[3], columns, self.strides[1])
            if top == bottom and left == right:
                padding = (top, left)
            else:
                x = functional.pad(x, (left, right, top, bottom))
        x = functional.conv2d(
            x, self.weight, self.bias, self.strides, padding, self.dilation, self.groups
        )
        return activate(x, self.activation)


class BaseConvolution(LeafLayer):
    """What all convolutions share: window, bias and activation."""

    kernel_size: Pair
    """height and width of the window"""
    strides: Pair = (1, 1)
    """pixels between windows"""
    padding: Padding = "valid"
    """valid: windows lie inside the image; same: the output has the input's size over strides"""
    dilation_rate: Pair = (1, 1)
    """pixels between the window's taps"""
    activation: ActivationFunction | None = None
    """function applied to the output"""
    use_bias: bool = True
    """add a learned value to each output channel"""
    bias_initializer: VectorInitializer = Zeros()
    """first values of the bias"""
    bias_regularizer: VectorRegularizer = None
    """what the bias adds to the loss"""
    bias_constraint: VectorConstraint = None
    """what the bias is held to"""

    @model_validator(mode="after")
    def _strides_or_dilation(self) -> Self:
        if self.strides != (1, 1) and self.dilation_rate != (1, 1):
            message = "strides and dilation_rate cannot both be above 1"
            raise invalid(message, "leave out one of them")
        return self

    def output_height_width(self, shape: Shape) -> tuple[int, int]:
        return output_height_width(
            shape, self.kernel_size, self.strides, self.dilation_rate, self.padding
        )

    def bias_rules(self) -> WeightRules | None:
        return self.weight_rules("bias") if self.use_bias else None

    def effective_kernel_size(self) -> Pair:
        """Height and width of the kernel including its dilation."""
        (height, width), (down, across) = self.kernel_size, self.dilation_rate
        return effective_size(height, down), effective_size(width, across)

    def receptive_field(self, *inputs: Shape) -> ReceptiveField:
        return ReceptiveField(self.effective_kernel_size(), self.strides)


class WithFilters(LeafLayer):
    """What convolutions to a chosen number of channels share."""

    filters: PositiveInt
    """number of output channels"""


# pydantic takes the fields of the last base first: filters come before kernel_size, as in Keras.
class FilterConvolution(BaseConvolution, WithFilters):
    """What convolutions with filters share: a number of them, window, bias and activation."""

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*self.output_height_width(inputs[0]), self.filters)


class Conv2D(FilterConvolution):
    """Convolution: each output channel sums a window over all input channels.

    ``y[i, j, o] = activation(Σ x[i·s + a, j·s + b, c] · kernel[a, b, c, o] + bias[o])``

    Input and output are height × width × channels. With ``padding: same`` and strides above 1
    the odd pixel of padding goes right and bottom, as in TensorFlow (torch pads evenly).
    """

    groups: PositiveInt = 1
    """input and output channels are split into this many independent convolutions"""
    kernel_initializer: KernelInitializer = GlorotUniform()
    """first values of the kernel"""
    kernel_regularizer: KernelRegularizer = None
    """what the kernel adds to the loss"""
    kernel_constraint: KernelConstraint = None
    """what the kernel is held to"""

    def build(self, *inputs: Shape) -> nn.Module:
        channels = image_shape(inputs[0])[2] // self.groups
        return Convolution(
            self.weight_rules("kernel"),
            (*self.kernel_size, channels, self.filters),
            self.strides,
            self.dilation_rate,
            self.padding,
            self.groups,
            bias=self.bias_rules(),
            activation=self.activation,
        )

    def output_shape(self, *inputs: Shape) -> Shape:
        channels = image_shape(inputs[0])[2]
        if channels % self.groups or self.filters % self.groups:
            message = (
                f"groups {self.groups} must divide both the {channels} input channels "
                f"and the {self.filters} filters"
            )
            raise ShapeError(message, "choose a number of groups that divides both")
        return super().output_shape(*inputs)

    def macs(self, inputs: tuple[Shape, ...], output: Shape) -> int:
        height, width, filters = output
        taps = self.kernel_size[0] * self.kernel_size[1]
        return height * width * filters * taps * image_shape(inputs[0])[2] // self.groups


class SeparableConv2D(FilterConvolution):
    """Depthwise separable convolution: a window per channel, then a 1×1 convolution.

    ``z[i, j, c·m + q] = Σ x[i·s + a, j·s + b, c] · depthwise[a, b, c, q]``, then
    ``y[i, j, o] = activation(Σ z[i, j, k] · pointwise[k, o] + bias[o])``.
    One bias, after the pointwise step; no activation between (Chollet 2017, arXiv:1610.02357).

    Multiply-adds fall from k²·C·F to k²·C·m + C·m·F a pixel, about k² times fewer.
    ``depthwise_fan`` exists since Keras counts k²·C inputs of a depthwise output, which sees k²:
    first values drawn by fan_in are √C times smaller than the initializers' papers mean, and deep
    nets without normalization start with tiny outputs. ``channel`` counts k² inputs, k²·m outputs.
    """

    elsewhere: ClassVar[Mapping[str, str]] = {
        **FilterConvolution.elsewhere,
        **{
            f"kernel_{rule}": f"there are two kernels: depthwise_{rule} and pointwise_{rule}"
            for rule in ("initializer", "regularizer", "constraint")
        },
    }

    depth_multiplier: PositiveInt = 1
    """outputs of the depthwise step for each input channel"""
    depthwise_initializer: KernelInitializer = GlorotUniform()
    """first values of the depthwise kernel"""
    depthwise_fan: Literal["keras", "channel"] = "keras"
    """what that initializer counts: keras: all channels; channel: each as its own convolution"""
    depthwise_regularizer: KernelRegularizer = None
    """what the depthwise kernel adds to the loss"""
    depthwise_constraint: KernelConstraint = None
    """what the depthwise kernel is held to"""
    pointwise_initializer: KernelInitializer = GlorotUniform()
    """first values of the pointwise kernel"""
    pointwise_regularizer: KernelRegularizer = None
    """what the pointwise kernel adds to the loss"""
    pointwise_constraint: KernelConstraint = None
    """what the pointwise kernel is held to"""

    def build(self, *inputs: Shape) -> nn.Module:
        return SeparableConv2DModule(self, image_shape(inputs[0])[2])

    def macs(self, inputs: tuple[Shape, ...], output: Shape) -> int:
        height, width, filters = output
        depthwise_channels = image_shape(inputs[0])[2] * self.depth_multiplier
        taps = self.kernel_size[0] * self.kernel_size[1]
        return height * width * depthwise_channels * (taps + filters)

    def dense_twin(self) -> Conv2D:
        """The Conv2D with the same arguments, for comparing costs."""
        shared = {name: getattr(self, name) for name in FilterConvolution.model_fields}
        return Conv2D(**shared)


class SeparableConv2DModule(nn.Module):
    """Takes N×C×H×W, gives N×filters×H×W."""

    def __init__(self, spec: SeparableConv2D, channels: int) -> None:
        super().__init__()
        self.depthwise = Convolution(
            spec.weight_rules("depthwise"),
            (*spec.kernel_size, channels, spec.depth_multiplier),
            spec.strides,
            spec.dilation_rate,
            spec.padding,
            depthwise=True,
            separate=spec.depthwise_fan == "channel",
        )
        self.pointwise = Convolution(
            spec.weight_rules("pointwise"),
            (1, 1, channels * spec.depth_multiplier, spec.filters),
            bias=spec.bias_rules(),
            activation=spec.activation,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.pointwise(self.depthwise(x))
        return y
