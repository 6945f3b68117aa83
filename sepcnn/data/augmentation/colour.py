"""Augmentations of brightness, contrast and colour. Alpha, the fourth of four channels, is kept.

Saturation, hue and grayscale leave images of one channel unchanged.
"""

from __future__ import annotations

import torch

from sepcnn.data.augmentation.base import (
    AlphaPreservingAugmentation,
    BatchRandom,
    check_colours,
    per_image,
)
from sepcnn.data.augmentation.ranges import (
    ContrastRange,
    SignedUnitRange,
    UnitRange,
    limits_from_zero,
    symmetric_limits,
)
from sepcnn.language.values import ImageShape, UnitNumber

EPSILON = 1e-7
"""as in Keras"""


class ColourAugmentation(AlphaPreservingAugmentation):
    """A colour augmentation: of grey, RGB or RGBA images."""

    def check(self, shape: ImageShape) -> None:
        check_colours(shape)


class RandomBrightness(ColourAugmentation):
    """Adds ``255 · factor`` to each value, clipped to 0 to 255."""

    factor: SignedUnitRange
    """drawn from [lower, upper]; a number f means [−f, f]"""

    def change_colours(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        factor = random.uniform(len(planes), *symmetric_limits(self.factor))
        return (planes + per_image(factor * 255)).clamp_(0, 255)


class RandomContrast(ColourAugmentation):
    """Replaces each value x by ``mean + f · (x − mean)``, clipped to 0 to 255.

    The mean is taken per channel and image.

    The range of ``factor`` follows the documentation of Keras. The code of Keras 3.15 reads a
    number f as [0, f], so that contrast only increases.
    """

    factor: ContrastRange
    """[lower, upper]: f is drawn from 1 − lower to 1 + upper; one number sets both"""

    def change_colours(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        lower, upper = self.factor if isinstance(self.factor, tuple) else (self.factor,) * 2
        factor = per_image(random.uniform(len(planes), 1 - lower, 1 + upper)).to(planes.dtype)
        return torch.lerp(planes.mean((2, 3), keepdim=True), planes, factor).clamp_(0, 255)


class RandomSaturation(ColourAugmentation):
    """Multiplies the HSV saturation by ``factor / (1 − factor)``, clipped at 1.

    0 is grey, 0.5 leaves the image unchanged, 1 is full saturation. A number f means [0, f], as
    the documentation of Keras says. The code of Keras 3.15 uses [−f, f], which turns half of the
    images grey.
    """

    factor: UnitRange
    """drawn from [lower, upper]; a number f means [0, f]"""

    def change_colours(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        factor = random.uniform(len(planes), *limits_from_zero(self.factor))
        if planes.shape[1] == 1:
            return planes
        value = planes.amax(1, keepdim=True)
        chroma = value - planes.amin(1, keepdim=True)
        # The distance of each channel to the value is proportional to the saturation.
        most = value / chroma.clamp(min=EPSILON)
        scale = torch.minimum(per_image(factor / (1 - factor + EPSILON)), most)
        return (value - (value - planes) * scale).clamp_(0, 255)


class RandomHue(ColourAugmentation):
    """Rotates the HSV hue by ``factor / 2`` of the colour wheel, in a random direction."""

    factor: UnitRange
    """1 is the opposite colour; drawn from [lower, upper]; a number f means [0, f]"""

    def change_colours(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        sign = random.signs(len(planes))
        turn = random.uniform(len(planes), *limits_from_zero(self.factor)) * sign / 2
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
            sector = (hue + start).remainder_(6)
            share = torch.minimum(sector, 4 - sector).clamp_(0, 1)
            torch.addcmul(value, chroma, share, value=-1, out=turned[:, channel])
        return turned


def grey(planes: torch.Tensor) -> torch.Tensor:
    """The luma of RGB images after ITU-R BT.601, rounded as in Keras: N×1×H×W."""
    red, green, blue = planes.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue)[:, None]


class RandomGrayscale(ColourAugmentation):
    """Converts some images to grey: ``0.2989 R + 0.587 G + 0.114 B``."""

    factor: UnitNumber = 0.5
    """probability that an image is changed"""

    def change_colours(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        chosen = random.bernoulli(len(planes), self.factor)
        if planes.shape[1] == 1:
            return planes
        return torch.where(per_image(chosen), grey(planes), planes)
