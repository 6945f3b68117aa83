"""Augmentations that hide a part of what is seen: erasing and noise."""

from __future__ import annotations

import math
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator

from sepcnn.data.augmentation.base import (
    ColourPlanes,
    Draw,
    ImageAugmentation,
    each,
    rectangles,
    select,
)
from sepcnn.data.augmentation.ranges import Range, ShareRange, from_zero, share_of_the_image
from sepcnn.language.values import NonNegativeInt, UnitNumber


class RandomErasing(ImageAugmentation):
    """Covers a rectangle of some images with grey. Zhong et al. 2017, arXiv:1708.04896."""

    probability: UnitNumber = 0.5
    """share of the images that are changed"""
    area: Range = (0.02, 0.2)
    """smallest and largest share of the image that is covered"""
    ratio: Range = (0.3, 3.3)
    """smallest and largest height over width of the rectangle"""
    value: Annotated[NonNegativeInt, Field(le=255)] = 128
    """grey value from 0 to 255"""

    @model_validator(mode="after")
    def _area_is_a_share(self) -> Self:
        share_of_the_image("area", self.area)
        return self

    def change(self, images: torch.Tensor, draw: Draw) -> torch.Tensor:
        count, height, width, _ = images.shape
        chosen = draw.chosen(count, self.probability)
        area = draw.uniform(count, *self.area) * height * width
        ratio = draw.uniform(count, *map(math.log, self.ratio)).exp()
        tall = (area * ratio).sqrt().round().clamp(1, height)
        wide = (area / ratio).sqrt().round().clamp(1, width)
        covered = rectangles((height, width), draw, tall, wide) & chosen[:, None, None]
        return select(covered[..., None], self.value, images)


class RandomNoise(ColourPlanes):
    """Adds normal noise to every value, of a strength drawn for each image. Not in Keras."""

    factor: ShareRange = 0.1
    """standard deviation as a share of 255: [smallest, largest], or the largest alone"""

    def change_colours(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        deviation = draw.uniform(len(planes), *from_zero(self.factor)) * 255
        generator = torch.Generator(planes.device).manual_seed(draw.seed())
        noise = torch.empty_like(planes).normal_(generator=generator)
        return noise.mul_(each(deviation)).add_(planes).clamp_(0, 255)
