"""Pooling over windows and over the whole image."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from sepcnn.language.values import Pair
from sepcnn.nn.layers.base import LeafLayer, ReceptiveField, Shape, image_shape
from sepcnn.nn.layers.sliding_window import Padding, output_height_width, same_padding


class Pooling(LeafLayer):
    """What the pooling layers share: a window, its strides and the padding."""

    pool_size: Pair = (2, 2)
    """height and width of the window"""
    strides: Pair | None = None
    """pixels between windows; the window's own size unless given"""
    padding: Padding = "valid"
    """valid: windows lie inside the image; same: the output has the input's size over strides"""

    def steps(self) -> Pair:
        return self.strides or self.pool_size

    def output_shape(self, *inputs: Shape) -> Shape:
        size = output_height_width(inputs[0], self.pool_size, self.steps(), (1, 1), self.padding)
        return (*size, image_shape(inputs[0])[2])

    def receptive_field(self, *inputs: Shape) -> ReceptiveField:
        return ReceptiveField(self.pool_size, self.steps())


class MaxPooling2D(Pooling):
    """The largest value of each window, channel by channel.

    ``padding: same`` pads as TensorFlow does: the odd pixel goes right and bottom, and padding
    never wins.
    """

    def build(self, *inputs: Shape) -> nn.Module:
        return MaxPoolingModule(self)


class AveragePooling2D(Pooling):
    """The mean of each window, channel by channel.

    With ``padding: same`` the padding does not count in the mean, as in TensorFlow (Keras on
    torch counts it).
    """

    def build(self, *inputs: Shape) -> nn.Module:
        return AveragePoolingModule(self)


class PoolingModule(nn.Module):
    """Takes N×C×H×W. Finds the padding for the size at hand."""

    def __init__(self, spec: Pooling) -> None:
        super().__init__()
        self.kernel_size, self.strides, self.padding = spec.pool_size, spec.steps(), spec.padding

    def margins(self, x: torch.Tensor) -> tuple[int, int, int, int]:
        """Padding left, right, top and bottom."""
        if self.padding == "valid":
            return 0, 0, 0, 0
        top, bottom = same_padding(x.shape[2], self.kernel_size[0], self.strides[0])
        left, right = same_padding(x.shape[3], self.kernel_size[1], self.strides[1])
        return left, right, top, bottom


class MaxPoolingModule(PoolingModule):
    """The padding's value is −∞."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right, top, bottom = self.margins(x)
        if (left, top) == (right, bottom):
            return functional.max_pool2d(x, self.kernel_size, self.strides, (top, left))
        if left == top == 0 and min(self.strides) > 1:
            # torch clips windows that pass the right and bottom edge: no padded copy is needed.
            # (With a stride of 1 it would leave the last window out.)
            return functional.max_pool2d(x, self.kernel_size, self.strides, ceil_mode=True)
        x = functional.pad(x, (left, right, top, bottom), value=float("-inf"))
        return functional.max_pool2d(x, self.kernel_size, self.strides)


class AveragePoolingModule(PoolingModule):
    """The padding is left out of the mean."""

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
    """What the global pooling layers share: one value a channel for the whole image."""

    keepdims: bool = False
    """give 1 × 1 × C instead of C features"""

    def output_shape(self, *inputs: Shape) -> Shape:
        channels = image_shape(inputs[0])[2]
        return (1, 1, channels) if self.keepdims else (channels,)

    def receptive_field(self, *inputs: Shape) -> None:
        return None


class GlobalAveragePooling2D(GlobalPooling):
    """The mean of each channel over the whole image: height × width × C → C features."""

    def build(self, *inputs: Shape) -> nn.Module:
        return GlobalAverageModule(self.keepdims)


class GlobalMaxPooling2D(GlobalPooling):
    """The largest value of each channel in the whole image: height × width × C → C features.

    Pixels that are equal and largest share the gradient, as in TensorFlow.
    """

    def build(self, *inputs: Shape) -> nn.Module:
        return GlobalMaxModule(self.keepdims)


class GlobalPoolingModule(nn.Module):
    """Takes N×C×H×W, gives N×C or N×C×1×1."""

    def __init__(self, keepdims: bool) -> None:
        super().__init__()
        self.keepdims = keepdims


class GlobalAverageModule(GlobalPoolingModule):
    """The mean over height and width."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3), keepdim=self.keepdims)


class GlobalMaxModule(GlobalPoolingModule):
    """The largest over height and width."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.amax(dim=(2, 3), keepdim=self.keepdims)
