"""Layers that give an image another size: UpSampling2D, Resizing and CenterCrop."""

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
    """What a pixel of the resized image sees of the one before."""
    height, width = (
        support(source[axis], target[axis], interpolation, antialias) for axis in (0, 1)
    )
    strides = (Fraction(source[0], target[0]), Fraction(source[1], target[1]))
    return ReceptiveField((height, width), strides)


class UpSampling2D(LeafLayer):
    """The image enlarged by whole factors: height × width × C → height·a × width·b × C.

    ``nearest`` repeats rows and columns. The others are those of Resizing.
    """

    size: Pair = (2, 2)
    """factors of height and width"""
    interpolation: Interpolation = "nearest"
    """nearest, bilinear, bicubic, lanczos3 or lanczos5"""

    def sizes(self, shape: Shape) -> tuple[Pair, Pair]:
        """Before and after."""
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
    """What Resizing and CenterCrop share: the size they give."""

    height: PositiveInt
    """rows of the output"""
    width: PositiveInt
    """columns of the output"""

    @property
    def target(self) -> Pair:
        return (self.height, self.width)

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*self.target, image_shape(inputs[0])[2])

    def proportional(self, height: int, width: int) -> Pair:
        """Height to the width, and width to the height, in the output's aspect ratio, as Keras
        rounds them.
        """
        return (
            int(float(width * self.height) / self.width),
            int(float(height * self.width) / self.height),
        )

    def kept(self, height: int, width: int) -> Pair:
        """Height and width of the largest part with the output's aspect ratio."""
        kept_height, kept_width = self.proportional(height, width)
        return max(min(height, kept_height), 1), max(min(width, kept_width), 1)


class Resizing(ResizingLayer):
    """The image at another size, interpolated.

    Pixel i of the output lies at ``x = (i + ½) · size before / size after − ½``. ``nearest`` takes
    the pixel there, ``bilinear`` the two around it by distance, ``bicubic`` four by Keys' kernel
    with a = −½, ``lanczos3`` and ``lanczos5`` six and ten by sinc(d) · sinc(d / 3 or 5). Pixels
    outside are left out and the weights divided by their sum. All is TensorFlow's, but for its
    rounding of x to 1/1024 pixel in bicubic (Keras on torch has a = −¾, repeats the edge, and has
    no lanczos).

    Unless ``antialias``, nothing is smoothed before an image is made smaller: most of its pixels
    are then passed over. With it kernels are as many times wider as the image gets smaller.
    """

    interpolation: Interpolation = "bilinear"
    """nearest, bilinear, bicubic, lanczos3 or lanczos5"""
    crop_to_aspect_ratio: bool = False
    """cut the middle with the output's aspect ratio first, instead of distorting the image"""
    pad_to_aspect_ratio: bool = False
    """first add as much on both sides as gives the output's aspect ratio"""
    fill_mode: Literal["constant"] = "constant"
    """what is added: one value"""
    fill_value: Number = 0.0
    """the value added"""
    antialias: bool = False
    """smooth where the image gets smaller; nearest never does"""

    @model_validator(mode="after")
    def _crop_or_pad(self) -> Self:
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            message = "crop_to_aspect_ratio and pad_to_aspect_ratio cannot both be true"
            raise invalid(message, "leave one of them out")
        return self

    def margins(self, height: int, width: int) -> Pair:
        """Rows added above and below, columns added left and right."""
        if not self.pad_to_aspect_ratio:
            return (0, 0)
        padded_height, padded_width = self.proportional(height, width)
        return max(padded_height - height, 0) // 2, max(padded_width - width, 0) // 2

    def source(self, height: int, width: int) -> Pair:
        """Height and width of what is resized."""
        if self.crop_to_aspect_ratio:
            return self.kept(height, width)
        rows, columns = self.margins(height, width)
        return (height + 2 * rows, width + 2 * columns)

    def build(self, *inputs: Shape) -> nn.Module:
        height, width, _ = image_shape(inputs[0])
        source, (rows, columns) = self.source(height, width), self.margins(height, width)
        return nn.Sequential(
            nn.ConstantPad2d((columns, columns, rows, rows), self.fill_value)
            if self.pad_to_aspect_ratio
            else crop_middle((height, width), source),
            make_resizer(source, self.target, self.interpolation, self.antialias),
        )

    def receptive_field(self, *inputs: Shape) -> ReceptiveField:
        height, width, _ = image_shape(inputs[0])
        source = self.source(height, width)
        return resampling_field(source, self.target, self.interpolation, self.antialias)


class CenterCrop(ResizingLayer):
    """The middle of the image; the odd pixel is cut at the bottom and right.

    Where the image is smaller than the output, the largest part with the output's aspect ratio
    is cut from the middle and resized, bilinear, as in Keras.
    """

    def source(self, height: int, width: int) -> Pair:
        fits = height >= self.height and width >= self.width
        return self.target if fits else self.kept(height, width)

    def build(self, *inputs: Shape) -> nn.Module:
        height, width, _ = image_shape(inputs[0])
        source = self.source(height, width)
        crop = crop_middle((height, width), source)
        return nn.Sequential(crop, make_resizer(source, self.target, "bilinear"))

    def receptive_field(self, *inputs: Shape) -> ReceptiveField:
        height, width, _ = image_shape(inputs[0])
        return resampling_field(self.source(height, width), self.target, "bilinear")


def crop_middle(size: Pair, kept: Pair) -> CropModule:
    return CropModule((size[0] - kept[0]) // 2, (size[1] - kept[1]) // 2, *kept)
