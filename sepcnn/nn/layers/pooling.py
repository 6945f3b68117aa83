"""Pooling over windows and over the whole image."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from sepcnn.language.values import Pair
from sepcnn.nn.layers.base import LeafLayer, ReceptiveField, Shape, image_shape
from sepcnn.nn.layers.sliding_window import Padding, output_height_width, same_padding


class Pooling(LeafLayer):
    """Fields of the pooling layers: window size, strides and padding."""

    pool_size: Pair = (2, 2)
    """height and width of the window; one number means both"""
    strides: Pair | None = None
    """step of the window along height and width, in pixels; by default pool_size"""
    padding: Padding = "valid"
    """valid adds no padding; same pads to an output size of input size / strides, rounded up"""

    def effective_strides(self) -> Pair:
        return self.strides or self.pool_size

    def output_shape(self, *inputs: Shape) -> Shape:
        size = output_height_width(
            inputs[0], self.pool_size, self.effective_strides(), (1, 1), self.padding
        )
        return (*size, image_shape(inputs[0])[2])

    def receptive_field(self, *inputs: Shape) -> ReceptiveField:
        return ReceptiveField(self.pool_size, self.effective_strides())


class MaxPooling2D(Pooling):
    """Takes the largest value of each window, channel by channel.

    If ``padding: same`` adds an odd number of pixels, the extra one goes to the bottom and right,
    as in TensorFlow. Padding is never the maximum.
    """

    def build(self, *inputs: Shape) -> nn.Module:
        return MaxPoolingModule(self)


class AveragePooling2D(Pooling):
    """Takes the mean of each window, channel by channel.

    With ``padding: same`` the mean excludes the padding, as in TensorFlow. (Keras with the torch
    backend includes it.)
    """

    def build(self, *inputs: Shape) -> nn.Module:
        return AveragePoolingModule(self)


class PoolingModule(nn.Module):
    """Takes N×C×H×W of any height and width; the padding follows from the size."""

    def __init__(self, spec: Pooling) -> None:
        super().__init__()
        self.kernel_size, self.strides, self.padding = (
            spec.pool_size,
            spec.effective_strides(),
            spec.padding,
        )

    def margins(self, x: torch.Tensor) -> tuple[int, int, int, int]:
        """Return the padding left, right, top and bottom."""
        if self.padding == "valid":
            return 0, 0, 0, 0
        top, bottom = same_padding(x.shape[2], self.kernel_size[0], self.strides[0])
        left, right = same_padding(x.shape[3], self.kernel_size[1], self.strides[1])
        return left, right, top, bottom


class MaxPoolingModule(PoolingModule):
    """Max pooling, padded with −∞."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right, top, bottom = self.margins(x)
        if (left, top) == (right, bottom):
            return functional.max_pool2d(x, self.kernel_size, self.strides, (top, left))
        if left == top == 0 and min(self.strides) > 1:
            # torch clips windows at the right and bottom edge, so no padded copy is needed.
            # (With a stride of 1 it would omit the last window.)
            return functional.max_pool2d(x, self.kernel_size, self.strides, ceil_mode=True)
        x = functional.pad(x, (left, right, top, bottom), value=float("-inf"))
        return functional.max_pool2d(x, self.kernel_size, self.strides)


class AveragePoolingModule(PoolingModule):
    """Average pooling, with the padding left out of the mean."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right, top, bottom = self.margins(x)
        if (left, top) == (right, bottom):
            return functional.avg_pool2d(
                x, self.kernel_size, self.strides, (top, left), count_include_pad=False
            )
        if left == top == 0 and min(self.strides) > 1:
            return functional.avg_pool2d(
                x, self.kernel_size, self.strides, ceil_mode=True, count_include_pad=False
            )
        padding = (left, right, top, bottom)
        inside = functional.pad(torch.ones_like(x[:1, :1]), padding)
        share = functional.avg_pool2d(inside, self.kernel_size, self.strides)
        return (
            functional.avg_pool2d(functional.pad(x, padding), self.kernel_size, self.strides)
            / share
        )


class GlobalPooling(LeafLayer):
    """Pooling over the whole image: one value per channel."""

    first_arguments = 0

    keepdims: bool = False
    """keep height and width as axes of size 1: the output is 1 × 1 × C instead of C features"""

    def output_shape(self, *inputs: Shape) -> Shape:
        channels = image_shape(inputs[0])[2]
        return (1, 1, channels) if self.keepdims else (channels,)

    def receptive_field(self, *inputs: Shape) -> None:
        return None


class GlobalAveragePooling2D(GlobalPooling):
    """Takes the mean of each channel over the whole image: height × width × C → C features."""

    def build(self, *inputs: Shape) -> nn.Module:
        return GlobalAverageModule(self.keepdims)


class GlobalMaxPooling2D(GlobalPooling):
    """Takes the maximum of each channel over the whole image: height × width × C → C features.

    If several pixels are equal to the maximum, they share the gradient, as in TensorFlow.
    """

    def build(self, *inputs: Shape) -> nn.Module:
        return GlobalMaxModule(self.keepdims)


class GlobalPoolingModule(nn.Module):
    """Takes N×C×H×W, returns N×C or N×C×1×1."""

    def __init__(self, keepdims: bool) -> None:
        super().__init__()
        self.keepdims = keepdims


class GlobalAverageModule(GlobalPoolingModule):
    """The mean over height and width."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3), keepdim=self.keepdims)


class GlobalMaxModule(GlobalPoolingModule):
    """The maximum over height and width."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.amax(dim=(2, 3), keepdim=self.keepdims)
