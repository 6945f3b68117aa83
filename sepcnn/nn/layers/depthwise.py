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
    """Depthwise convolution: a window per channel; channels do not mix.

    ``y[i, j, c·m + q] = activation(Σ x[i·s + a, j·s + b, c] · kernel[a, b, c, q] + bias[c·m + q])``

    Height × width × C in, C·m channels out, with m the ``depth_multiplier``: the first step of
    SeparableConv2D, with a bias and an activation of its own, and the same ``depthwise_fan``.
    """

    depth_multiplier: PositiveInt = 1
    """outputs for each input channel"""
    depthwise_initializer: KernelInitializer = GlorotUniform()
    """first values of the kernel"""
    depthwise_fan: Literal["keras", "channel"] = "keras"
    """what that initializer counts: keras: all channels; channel: each as its own convolution"""
    depthwise_regularizer: KernelRegularizer = None
    """what the kernel adds to the loss"""
    depthwise_constraint: KernelConstraint = None
    """what the kernel is held to"""

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
