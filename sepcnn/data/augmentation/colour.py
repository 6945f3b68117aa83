"""Augmentations of light and colour. Of four channels the last is alpha, which stays.

Grey images have no colours: those that change colours alone leave them as they are.
"""

from __future__ import annotations

import torch

from sepcnn.data.augmentation.base import ColourPlanes, Draw, check_colours, each
from sepcnn.data.augmentation.ranges import (
    LowerUpper,
    ShareRange,
    SignedRange,
    both_ways,
    from_zero,
)
from sepcnn.language.values import ImageShape, UnitNumber

EPSILON = 1e-7
"""Keras'"""


class ColourAugmentation(ColourPlanes):
    """One that sees the colours of an image, or its grey: of 1 or 3 channels, without alpha."""

    def check(self, shape: ImageShape) -> None:
        check_colours(shape)


class RandomBrightness(ColourAugmentation):
    """``x + 255 · factor``, cut at 0 and 255."""

    factor: SignedRange
    """drawn from [smallest, largest]; a number f means [−f, f]"""

    def change_colours(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        factor = draw.uniform(len(planes), *both_ways(self.factor))
        return (planes + each(factor * 255)).clamp_(0, 255)


class RandomContrast(ColourAugmentation):
    """``mean + f · (x − mean)`` with the mean of each channel of the image, cut at 0 and 255.

    Keras' documentation and ours say the same; its code of 3.15 gives a number f the meaning
    [0, f], so that contrast only grows.
    """

    factor: LowerUpper
    """f is drawn from 1 − lower to 1 + upper: [lower, upper], or one number for both"""

    def change_colours(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        lower, upper = self.factor if isinstance(self.factor, tuple) else (self.factor,) * 2
        factor = each(draw.uniform(len(planes), 1 - lower, 1 + upper)).to(planes.dtype)
        return torch.lerp(planes.mean((2, 3), keepdim=True), planes, factor).clamp_(0, 255)


class RandomSaturation(ColourAugmentation):
    """The saturation (of hue, saturation and value) times ``factor / (1 − factor)``, at most 1.

    0 is grey, 0.5 the image itself, 1 as colourful as can be. A number f means [0, f] as Keras'
    documentation says; its code of 3.15 takes [−f, f], half of which is grey.
    """

    factor: ShareRange
    """drawn from [smallest, largest]; a number f means [0, f]"""

    def change_colours(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        factor = draw.uniform(len(planes), *from_zero(self.factor))
        if planes.shape[1] == 1:
            return planes
        value = planes.amax(1, keepdim=True)
        chroma = value - planes.amin(1, keepdim=True)
        # A channel lies below the value by its share of the saturation: all scale alike.
        most = value / chroma.clamp(min=EPSILON)
        scale = torch.minimum(each(factor / (1 - factor + EPSILON)), most)
        return (value - (value - planes) * scale).clamp_(0, 255)


class RandomHue(ColourAugmentation):
    """Turns the hue (of hue, saturation and value) by ``± factor / 2`` of the circle of colours."""

    factor: ShareRange
    """1 is the opposite colour: drawn from [smallest, largest]; a number f means [0, f]"""

    def change_colours(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        sign = draw.signs(len(planes))
        turn = draw.uniform(len(planes), *from_zero(self.factor)) * sign / 2
        if planes.shape[1] == 1:
            return planes
        value = planes.amax(1)
        chroma = value - planes.amin(1)
        red, green, blue = planes.unbind(1)
        # Sixths of the circle: 0 is red, 2 green, 4 blue.
        sixth = chroma.clamp(min=EPSILON)
        hue = torch.where(
            value == red,
            (green - blue) / sixth,
            torch.where(value == green, 2 + (blue - red) / sixth, 4 + (red - green) / sixth),
        )
        hue += (turn * 6)[:, None, None]
        turned = torch.empty_like(planes)
        for channel, start in enumerate((5, 3, 1)):
            place = (hue + start).remainder_(6)
            share = torch.minimum(place, 4 - place).clamp_(0, 1)
            torch.addcmul(value, chroma, share, value=-1, out=turned[:, channel])
        return turned


def grey(planes: torch.Tensor) -> torch.Tensor:
    """The luma of ITU-R BT.601 of three channels, with Keras' digits: N×1×H×W."""
    red, green, blue = planes.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue)[:, None]


class RandomGrayscale(ColourAugmentation):
    """Takes the colours from some images: ``0.2989 R + 0.587 G + 0.114 B``."""

    factor: UnitNumber = 0.5
    """share of the images that are changed"""

    def change_colours(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        chosen = draw.chosen(len(planes), self.factor)
        return planes if planes.shape[1] == 1 else torch.where(each(chosen), grey(planes), planes)
