"""Layers that resize images: UpSampling2D, Resizing and CenterCrop."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, Self

from pydantic import model_validator
from torch import nn

from sepcnn.language.messages import invalid
from sepcnn.language.values import Number, Pair, PositiveInt
from sepcnn.nn.layers.base import LeafLayer, ReceptiveField, Shape, image_shape
from sepcnn.nn.layers.interpolation import Interpolation, make_resizer, support
from sepcnn.nn.layers.padding_cropping import CropModule


def resampling_field(
    source: Pair, target: Pair, interpolation: Interpolation, antialias: bool = False
) -> ReceptiveField:
    """Return the receptive field of a pixel of the resized image."""
    height, width = (
        support(source[axis], target[axis], interpolation, antialias) for axis in (0, 1)
    )
    strides = (Fraction(source[0], target[0]), Fraction(source[1], target[1]))
    return ReceptiveField((height, width), strides)


class UpSampling2D(LeafLayer):
    """Enlarges the image by whole factors a and b: height × width × C → height·a × width·b × C.

    ``nearest`` repeats rows and columns. The other interpolations are explained in Resizing.
    """

    size: Pair = (2, 2)
    """factors for height and width; one number means both"""
    interpolation: Interpolation = "nearest"
    """how new pixels are computed from the pixels of the input"""

    def sizes(self, shape: Shape) -> tuple[Pair, Pair]:
        """Return (height, width) before and after."""
        height, width, _ = image_shape(shape)
        return (height, width), (height * self.size[0], width * self.size[1])

    def output_shape(self, *inputs: Shape) -> Shape:
        _, target = self.sizes(inputs[0])
        return (*target, inputs[0][2])

    def build(self, *inputs: Shape) -> nn.Module:
        return make_resizer(*self.sizes(inputs[0]), self.interpolation)

    def receptive_field(self, *inputs: Shape) -> ReceptiveField:
        return resampling_field(*self.sizes(inputs[0]), self.interpolation)


class ResizingLayer(LeafLayer):
    """Fields of Resizing and CenterCrop: the output size."""

    height: PositiveInt
    """height of the output in pixels"""
    width: PositiveInt
    """width of the output in pixels"""

    @property
    def target(self) -> Pair:
        return (self.height, self.width)

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*self.target, image_shape(inputs[0])[2])

    def matching_sizes(self, height: int, width: int) -> Pair:
        """Return the height that fits ``width``, and the width that fits ``height``.

        Both in the aspect ratio of the output, rounded as in Keras.
        """
        return (
            int(float(width * self.height) / self.width),
            int(float(height * self.width) / self.height),
        )

    def largest_crop(self, height: int, width: int) -> Pair:
        """Return height and width of the largest crop with the aspect ratio of the output."""
        kept_height, kept_width = self.matching_sizes(height, width)
        return max(min(height, kept_height), 1), max(min(width, kept_width), 1)


class Resizing(ResizingLayer):
    """Resizes the image to ``height`` × ``width`` by interpolation.

    Along each axis, pixel i of the output is at ``x = (i + ½) · input size / output size − ½``.
    ``nearest`` takes the nearest pixel; ``bilinear`` interpolates linearly between the two pixels
    around x; ``bicubic`` weights four pixels with the kernel of Keys (a = −½). ``lanczos3`` and
    ``lanczos5`` weight 2N pixels (N = 3 or 5) with sinc(d) · sinc(d / N), where d is the distance
    from x. Pixels outside the image are left out, and the remaining weights are normalized to sum
    to 1. This is as in TensorFlow, except that TensorFlow rounds x to 1/1024 pixel in bicubic.
    (Keras with the torch backend has a = −¾, repeats the edge, and has no lanczos.)

    Without ``antialias``, shrinking does not smooth the image: most input pixels are ignored.
    With it, kernels are widened in proportion.
    """

    interpolation: Interpolation = "bilinear"
    """how new pixels are computed from the pixels of the input"""
    crop_to_aspect_ratio: bool = False
    """first crop the centre to the aspect ratio of the output, instead of distorting the image"""
    pad_to_aspect_ratio: bool = False
    """first pad both sides to the aspect ratio of the output, instead of distorting the image"""
    fill_mode: Literal["constant"] = "constant"
    """how padding is filled; ``constant`` (with fill_value) is the only choice"""
    fill_value: Number = 0.0
    """value of the padding"""
    antialias: bool = False
    """smooth the image when it shrinks; no effect with nearest"""

    @model_validator(mode="after")
    def _crop_or_pad(self) -> Self:
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            message = "crop_to_aspect_ratio and pad_to_aspect_ratio cannot both be true"
            raise invalid(message, "leave out one of them")
        return self

    def margins(self, height: int, width: int) -> Pair:
        """Return the rows added above and below, and the columns added left and right."""
        if not self.pad_to_aspect_ratio:
            return (0, 0)
        padded_height, padded_width = self.matching_sizes(height, width)
        return max(padded_height - height, 0) // 2, max(padded_width - width, 0) // 2

    def source(self, height: int, width: int) -> Pair:
        """Return height and width after cropping or padding, before resizing."""
        if self.crop_to_aspect_ratio:
            return self.largest_crop(height, width)
        rows, columns = self.margins(height, width)
        return (height + 2 * rows, width + 2 * columns)

    def build(self, *inputs: Shape) -> nn.Module:
        height, width, _ = image_shape(inputs[0])
        source, (rows, columns) = self.source(height, width), self.margins(height, width)
        return nn.Sequential(
            nn.ConstantPad2d((columns, columns, rows, rows), self.fill_value)
            if self.pad_to_aspect_ratio
            else center_crop((height, width), source),
            make_resizer(source, self.target, self.interpolation, self.antialias),
        )

    def receptive_field(self, *inputs: Shape) -> ReceptiveField:
        height, width, _ = image_shape(inputs[0])
        source = self.source(height, width)
        return resampling_field(source, self.target, self.interpolation, self.antialias)


class CenterCrop(ResizingLayer):
    """Crops the centre of the image; of an odd margin, the extra pixel is at the bottom or right.

    If the image is smaller than the output, the largest centre crop with the aspect ratio of the
    output is resized with bilinear interpolation, as in Keras.
    """

    def source(self, height: int, width: int) -> Pair:
        fits = height >= self.height and width >= self.width
        return self.target if fits else self.largest_crop(height, width)

    def build(self, *inputs: Shape) -> nn.Module:
        height, width, _ = image_shape(inputs[0])
        source = self.source(height, width)
        crop = center_crop((height, width), source)
        return nn.Sequential(crop, make_resizer(source, self.target, "bilinear"))

    def receptive_field(self, *inputs: Shape) -> ReceptiveField:
        height, width, _ = image_shape(inputs[0])
        return resampling_field(self.source(height, width), self.target, "bilinear")


def center_crop(size: Pair, kept: Pair) -> CropModule:
    """Build the module that crops (height, width) ``size`` to ``kept``."""
    return CropModule((size[0] - kept[0]) // 2, (size[1] - kept[1]) // 2, *kept)
