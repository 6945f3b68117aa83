"""Augmentations that hide information: random erasing and noise."""

from __future__ import annotations

import math
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator

from sepcnn.data.augmentation.base import (
    AlphaPreservingAugmentation,
    BatchRandom,
    UInt8Augmentation,
    per_image,
    random_rectangles,
    select,
)
from sepcnn.data.augmentation.ranges import PositiveRange, UnitRange, check_area, limits_from_zero
from sepcnn.language.values import NonNegativeInt, UnitNumber


class RandomErasing(UInt8Augmentation):
    """Fills a rectangle of some images with grey. Zhong et al. 2017, arXiv:1708.04896."""

    probability: UnitNumber = 0.5
    """probability that an image is changed"""
    area: PositiveRange = (0.02, 0.2)
    """[lower, upper] area of the rectangle as a fraction of the image"""
    ratio: PositiveRange = (0.3, 3.3)
    """[lower, upper] aspect ratio of the rectangle: height / width"""
    value: Annotated[NonNegativeInt, Field(le=255)] = 128
    """grey value of the rectangle, from 0 to 255"""

    @model_validator(mode="after")
    def _area_is_a_share(self) -> Self:
        check_area("area", self.area)
        return self

    def change(self, images: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        count, height, width, _ = images.shape
        chosen = random.bernoulli(count, self.probability)
        area = random.uniform(count, *self.area) * height * width
        ratio = random.uniform(count, *map(math.log, self.ratio)).exp()
        tall = (area * ratio).sqrt().round().clamp(1, height)
        wide = (area / ratio).sqrt().round().clamp(1, width)
        covered = random_rectangles((height, width), random, tall, wide) & chosen[:, None, None]
        return select(covered[..., None], self.value, images)


class RandomNoise(AlphaPreservingAugmentation):
    """Adds Gaussian noise to each value. The strength is drawn for each image. Not in Keras."""

    factor: UnitRange = 0.1
    """standard deviation as a fraction of 255: drawn from [lower, upper]; a number f means
    [0, f]"""

    def change_colours(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        deviation = random.uniform(len(planes), *limits_from_zero(self.factor)) * 255
        generator = torch.Generator(planes.device).manual_seed(random.new_seed())
        noise = torch.empty_like(planes).normal_(generator=generator)
        return noise.mul_(per_image(deviation)).add_(planes).clamp_(0, 255)
