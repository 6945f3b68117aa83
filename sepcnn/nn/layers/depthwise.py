"""Depthwise convolution: DepthwiseConv2D."""

from __future__ import annotations

from typing import Literal

from torch import nn

from sepcnn.language.values import PositiveInt
from sepcnn.nn.constraints import KernelConstraint
from sepcnn.nn.initializers import GlorotUniform, KernelInitializer
from sepcnn.nn.layers.base import Shape, image_shape
from sepcnn.nn.layers.convolution import BaseConvolution, Convolution
from sepcnn.nn.regularizers import KernelRegularizer


class DepthwiseConv2D(BaseConvolution):
    """Depthwise convolution: one kernel per input channel, without mixing channels.

    ``y[i, j, c·m + q] = activation(Σ x[i·s + a, j·s + b, c] · kernel[a, b, c, q] + bias[c·m + q])``

    Here s is ``strides``. Input is height × width × C; output has C·m channels, where m is
    ``depth_multiplier``. This is the first step of SeparableConv2D, plus a bias and an
    activation. ``depthwise_fan`` is explained there.
    """

    depth_multiplier: PositiveInt = 1
    """number of output channels per input channel"""
    depthwise_initializer: KernelInitializer = GlorotUniform()
    """initial values of the kernel"""
    depthwise_fan: Literal["keras", "channel"] = "keras"
    """fan_in of depthwise_initializer: ``keras`` counts all input channels, ``channel`` only one"""
    depthwise_regularizer: KernelRegularizer = None
    """penalty on the kernel, added to the loss"""
    depthwise_constraint: KernelConstraint = None
    """constraint applied to the kernel after each step"""

    def output_shape(self, *inputs: Shape) -> Shape:
        return (
            *self.output_height_width(inputs[0]),
            image_shape(inputs[0])[2] * self.depth_multiplier,
        )

    def build(self, *inputs: Shape) -> nn.Module:
        return Convolution(
            self.weight_rules("depthwise"),
            (*self.kernel_size, image_shape(inputs[0])[2], self.depth_multiplier),
            self.strides,
            self.dilation_rate,
            self.padding,
            depthwise=True,
            separate=self.depthwise_fan == "channel",
            bias=self.bias_rules(),
            activation=self.activation,
        )

    def macs(self, inputs: tuple[Shape, ...], output: Shape) -> int:
        height, width, channels = output
        return height * width * channels * self.kernel_size[0] * self.kernel_size[1]
