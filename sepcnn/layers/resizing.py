"""Layers that give an image another size: UpSampling2D, Resizing and CenterCrop."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from sepcnn.layers.base import LeafLayer, Shape, Window, image
from sepcnn.layers.framing import CropModule
from sepcnn.values import Pair, PositiveInt

Interpolation = Literal["nearest", "bilinear", "bicubic"]
TAPS = {"nearest": 1, "bilinear": 2, "bicubic": 4}
"""pixels along an axis that a new pixel is made of"""


def sampling_window(source: Pair, target: Pair, interpolation: Interpolation) -> Window:
    """What a pixel of the resized image sees of the one before."""
    strides = (Fraction(source[0], target[0]), Fraction(source[1], target[1]))
    # Where a size shrinks by an odd factor, new pixels lie on the middle of old ones.
    on_pixels = [step.denominator == 1 and step.numerator % 2 == 1 for step in strides]
    height, width = (1 if on_pixel else TAPS[interpolation] for on_pixel in on_pixels)
    return Window((height, width), strides)


class UpSampling2D(LeafLayer):
    """The image enlarged by whole factors: height × width × C → height·a × width·b × C.

    ``nearest`` repeats rows and columns. ``bilinear`` and ``bicubic`` are those of Resizing.
    """

    size: Pair = (2, 2)
    """factors of height and width"""
    interpolation: Interpolation = "nearest"
    """nearest, bilinear or bicubic"""

    def output_shape(self, *inputs: Shape) -> Shape:
        height, width, channels = image(inputs[0])
        return (height * self.size[0], width * self.size[1], channels)

    def build(self, *inputs: Shape) -> nn.Module:
        height, width, _ = image(inputs[0])
        target_height, target_width, _ = self.output_shape(*inputs)
        return resizer((height, width), (target_height, target_width), self.interpolation)

    def window(self) -> Window:
        return sampling_window((1, 1), self.size, self.interpolation)


class ResizingLayer(LeafLayer):
    """What Resizing and CenterCrop share: the size they give."""

    height: PositiveInt
    """rows of the output"""
    width: PositiveInt
    """columns of the output"""

    def output_shape(self, *inputs: Shape) -> Shape:
        return (self.height, self.width, image(inputs[0])[2])

    def kept(self, height: int, width: int) -> Pair:
        """Height and width of the largest part with the output's aspect ratio, as Keras cuts it."""
        kept_height = int(float(width * self.height) / self.width)
        kept_width = int(float(height * self.width) / self.height)
        return max(min(height, kept_height), 1), max(min(width, kept_width), 1)


class Resizing(ResizingLayer):
    """The image at another size, interpolated.

    Pixel i of the output lies at ``x = (i + ½) · size before / size after − ½``. ``nearest`` takes
    the pixel there, ``bilinear`` the two around it by distance (the edge goes on outside).
    ``bicubic`` is Keys' kernel with a = −½ over four pixels; those outside are left out and the
    weights divided by their sum, as in TensorFlow, which also rounds x to 1/1024 pixel (torch has
    a = −¾ and repeats the edge). Nothing is smoothed before an image is made smaller.
    """

    interpolation: Interpolation = "bilinear"
    """nearest, bilinear or bicubic"""
    crop_to_aspect_ratio: bool = False
    """cut the middle with the output's aspect ratio first, instead of distorting the image"""

    def source(self, height: int, width: int) -> Pair:
        return self.kept(height, width) if self.crop_to_aspect_ratio else (height, width)

    def build(self, *inputs: Shape) -> nn.Module:
        height, width, _ = image(inputs[0])
        source = self.source(height, width)
        resize = resizer(source, (self.height, self.width), self.interpolation)
        return nn.Sequential(crop_middle((height, width), source), resize)

    def window_on(self, *inputs: Shape) -> Window:
        height, width, _ = image(inputs[0])
        source = self.source(height, width)
        return sampling_window(source, (self.height, self.width), self.interpolation)


class CenterCrop(ResizingLayer):
    """The middle of the image; the odd pixel is cut at the bottom and right.

    Where the image is smaller than the output, the largest part with the output's aspect ratio
    is cut from the middle and resized, bilinear, as in Keras.
    """

    def source(self, height: int, width: int) -> Pair:
        fits = height >= self.height and width >= self.width
        return (self.height, self.width) if fits else self.kept(height, width)

    def build(self, *inputs: Shape) -> nn.Module:
        height, width, _ = image(inputs[0])
        source = self.source(height, width)
        crop = crop_middle((height, width), source)
        if source == (self.height, self.width):
            return crop
        return nn.Sequential(crop, resizer(source, (self.height, self.width), "bilinear"))

    def window_on(self, *inputs: Shape) -> Window:
        height, width, _ = image(inputs[0])
        return sampling_window(self.source(height, width), (self.height, self.width), "bilinear")


# ── modules ───────────────────────────────────────────────────────────────────────────────────


def crop_middle(size: Pair, kept: Pair) -> CropModule:
    return CropModule((size[0] - kept[0]) // 2, (size[1] - kept[1]) // 2, *kept)


def resizer(source: Pair, target: Pair, interpolation: Interpolation) -> nn.Module:
    """The module that resizes images of one size to another."""
    if interpolation == "bicubic":
        return BicubicModule(source, target)
    return ResizeModule(target, interpolation)


class ResizeModule(nn.Module):
    """Takes N×C×H×W of any size."""

    def __init__(self, size: Pair, interpolation: Literal["nearest", "bilinear"]) -> None:
        super().__init__()
        self.size, self.interpolation = size, interpolation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.interpolation == "bilinear":
            return functional.interpolate(x, self.size, mode="bilinear", align_corners=False)
        # torch's "nearest" leaves the half pixel out.
        return functional.interpolate(x, self.size, mode="nearest-exact")


def keys(distance: float) -> float:
    """Keys 1981, "Cubic convolution interpolation for digital image processing", a = −½."""
    d = abs(distance)
    if d <= 1:
        return (1.5 * d - 2.5) * d * d + 1
    return ((-0.5 * d + 2.5) * d - 4) * d + 2 if d < 2 else 0.0


def cubic_taps(source: int, target: int) -> tuple[list[list[int]], list[list[float]]]:
    """For each of four taps, the old pixel and its weight for every new pixel of an axis."""
    indices: list[list[int]] = [[], [], [], []]
    shares: list[list[float]] = [[], [], [], []]
    for new in range(target):
        center = (new + 0.5) * source / target - 0.5
        old = [math.floor(center) + offset for offset in (-1, 0, 1, 2)]
        weights = [keys(center - index) if 0 <= index < source else 0.0 for index in old]
        for tap in range(4):
            indices[tap].append(min(max(old[tap], 0), source - 1))
            shares[tap].append(weights[tap] / sum(weights))
    return indices, shares


class BicubicModule(nn.Module):
    """Takes N×C×H×W of the one size it is made for."""

    rows: torch.Tensor
    row_shares: torch.Tensor
    columns: torch.Tensor
    column_shares: torch.Tensor

    def __init__(self, source: Pair, target: Pair) -> None:
        super().__init__()
        for axis, name in enumerate(("row", "column")):
            indices, shares = cubic_taps(source[axis], target[axis])
            self.register_buffer(f"{name}s", torch.tensor(indices), persistent=False)
            self.register_buffer(f"{name}_shares", torch.tensor(shares), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = zip(self.rows, self.row_shares, strict=True)
        x = torch.stack([x[:, :, taken] * share[:, None] for taken, share in rows]).sum(0)
        columns = zip(self.columns, self.column_shares, strict=True)
        return torch.stack([x[..., taken] * share for taken, share in columns]).sum(0)
