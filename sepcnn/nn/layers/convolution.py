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
"""channel axis of a depthwise kernel in Keras: height × width × channels × multiplier"""


class Convolution(LayerModule):
    """Convolution, bias and activation with the padding of Keras: N×C×H×W to N×outputs×H×W.

    ``weight`` is outputs × inputs per group × height × width. With ``depthwise``, ``keras_shape``
    is height × width × channels × multiplier and every channel is its own group; ``separate``
    initializes the kernel channel by channel.
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


def _format_pair(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else str(list(pair))


class BaseConvolution(LeafLayer):
    """Fields of all convolutions: kernel size, strides, padding, bias and activation."""

    kernel_size: Pair
    """height and width of the kernel; one number means both"""
    strides: Pair = (1, 1)
    """step of the kernel along height and width, in pixels; one number means both"""
    padding: Padding = "valid"
    """valid adds none; same adds zeros, so that output size = input size / strides, rounded up"""
    dilation_rate: Pair = (1, 1)
    """distance between kernel taps; 1 is an ordinary convolution"""
    activation: ActivationFunction | None = None
    """activation function applied to the output; none by default"""
    use_bias: bool = True
    """add a learned bias to each output channel"""
    bias_initializer: VectorInitializer = Zeros()
    """initial values of the bias"""
    bias_regularizer: VectorRegularizer = None
    """penalty on the bias, added to the loss"""
    bias_constraint: VectorConstraint = None
    """constraint applied to the bias after each step"""

    @model_validator(mode="after")
    def _strides_or_dilation(self) -> Self:
        if self.strides != (1, 1) and self.dilation_rate != (1, 1):
            strides, dilation = (_format_pair(p) for p in (self.strides, self.dilation_rate))
            message = f"strides ({strides}) and dilation_rate ({dilation}) cannot both be above 1"
            raise invalid(message, "write 1 for one of them; model.defaults may set the other")
        return self

    def output_height_width(self, shape: Shape) -> tuple[int, int]:
        return output_height_width(
            shape, self.kernel_size, self.strides, self.dilation_rate, self.padding
        )

    def bias_rules(self) -> WeightRules | None:
        return self.weight_rules("bias") if self.use_bias else None

    def effective_kernel_size(self) -> Pair:
        """Return the height and width that the dilated kernel covers."""
        (height, width), (down, across) = self.kernel_size, self.dilation_rate
        return effective_size(height, down), effective_size(width, across)

    def receptive_field(self, *inputs: Shape) -> ReceptiveField:
        return ReceptiveField(self.effective_kernel_size(), self.strides)


class WithFilters(LeafLayer):
    """The field ``filters``."""

    filters: PositiveInt
    """number of output channels"""


# pydantic takes the fields of the last base first, so filters come before kernel_size as in Keras.
class FilterConvolution(BaseConvolution, WithFilters):
    """Fields of convolutions with a chosen number of output channels."""

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*self.output_height_width(inputs[0]), self.filters)


class Conv2D(FilterConvolution):
    """2D convolution: each output value is a weighted sum over a window of all channels.

    ``y[i, j, o] = activation(Σ x[i·s + a, j·s + b, c] · kernel[a, b, c, o] + bias[o])``

    Here s is ``strides``; input and output are height × width × channels. If ``padding: same`` adds
    an odd number of pixels, the extra one goes to the bottom and right, as in TensorFlow (torch
    pads evenly).
    """

    groups: PositiveInt = 1
    """number of groups into which input channels and filters are divided"""
    kernel_initializer: KernelInitializer = GlorotUniform()
    """initial values of the kernel"""
    kernel_regularizer: KernelRegularizer = None
    """penalty on the kernel, added to the loss"""
    kernel_constraint: KernelConstraint = None
    """constraint applied to the kernel after each step"""

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
                f"groups ({self.groups}) does not divide both the {channels} input channels "
                f"and the {self.filters} filters"
            )
            raise ShapeError(message, "choose a number of groups that divides both")
        return super().output_shape(*inputs)

    def macs(self, inputs: tuple[Shape, ...], output: Shape) -> int:
        height, width, filters = output
        taps = self.kernel_size[0] * self.kernel_size[1]
        return height * width * filters * taps * image_shape(inputs[0])[2] // self.groups


class SeparableConv2D(FilterConvolution):
    """Depthwise separable convolution: one kernel per input channel, then a 1×1 convolution.

    ``z[i, j, c·m + q] = Σ x[i·s + a, j·s + b, c] · depthwise[a, b, c, q]``, then
    ``y[i, j, o] = activation(Σ z[i, j, k] · pointwise[k, o] + bias[o])``.
    The bias comes after the pointwise step, and there is no activation in between. Chollet 2017,
    arXiv:1610.02357.

    For a k × k kernel, C input channels, multiplier m and F filters, a pixel needs k²·C·m + C·m·F
    multiply-adds instead of k²·C·F: about k² times fewer if m = 1 and F is large.

    ``depthwise_fan: channel`` (not in Keras) uses the true fans of the depthwise kernel: k² inputs
    and k²·m outputs. Keras uses a fan_in of k²·C, although each output has k² inputs. Initial
    values that depend on fan_in are then √C times smaller than the papers of the initializers
    intend, and deep models without normalization start with tiny outputs.
    """

    elsewhere: ClassVar[Mapping[str, str]] = {
        **FilterConvolution.elsewhere,
        **{
            f"kernel_{rule}": f"there are two kernels: set depthwise_{rule} or pointwise_{rule}"
            for rule in ("initializer", "regularizer", "constraint")
        },
    }

    depth_multiplier: PositiveInt = 1
    """number of depthwise output channels per input channel"""
    depthwise_initializer: KernelInitializer = GlorotUniform()
    """initial values of the depthwise kernel"""
    depthwise_fan: Literal["keras", "channel"] = "keras"
    """fan_in of depthwise_initializer: ``keras`` counts all input channels, ``channel`` only one"""
    depthwise_regularizer: KernelRegularizer = None
    """penalty on the depthwise kernel, added to the loss"""
    depthwise_constraint: KernelConstraint = None
    """constraint applied to the depthwise kernel after each step"""
    pointwise_initializer: KernelInitializer = GlorotUniform()
    """initial values of the pointwise kernel"""
    pointwise_regularizer: KernelRegularizer = None
    """penalty on the pointwise kernel, added to the loss"""
    pointwise_constraint: KernelConstraint = None
    """constraint applied to the pointwise kernel after each step"""

    def build(self, *inputs: Shape) -> nn.Module:
        return SeparableConv2DModule(self, image_shape(inputs[0])[2])

    def macs(self, inputs: tuple[Shape, ...], output: Shape) -> int:
        height, width, filters = output
        depthwise_channels = image_shape(inputs[0])[2] * self.depth_multiplier
        taps = self.kernel_size[0] * self.kernel_size[1]
        return height * width * depthwise_channels * (taps + filters)

    def dense_twin(self) -> Conv2D:
        """Return the Conv2D with the same arguments, to compare costs."""
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
