"""Augmentations that move whole pixels: flips, translation and crops."""

from __future__ import annotations

from typing import Literal

import torch

from sepcnn.data.augmentation.base import Draw, Fill, ImageAugmentation, select
from sepcnn.language.values import NonNegativeInt, UnitNumber


def shift(
    images: torch.Tensor,
    down: torch.Tensor,
    right: torch.Tensor,
    fill: Fill,
    size: tuple[int, int] | None = None,
) -> torch.Tensor:
    """Each image moved by its own whole number of pixels: int64 [N] each.

    ``size`` is what is then kept of it from the top left; its own size unless given.
    """
    count, height, width, channels = images.shape
    device = images.device
    tall, wide = size or (height, width)
    rows = torch.arange(tall, device=device) - down[:, None]
    columns = torch.arange(wide, device=device) - right[:, None]
    in_rows, in_columns = inside(rows, height, fill), inside(columns, width, fill)
    # Each pixel's place among all of the batch: three times as fast as three indices.
    lines = torch.arange(count, device=device)[:, None] * height + in_rows
    places = lines[:, :, None] * width + in_columns[:, None, :]
    moved = images.reshape(-1, channels).index_select(0, places.view(-1))
    moved = moved.view(count, tall, wide, channels)
    if fill == "constant":
        seen_rows, seen_columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
        moved *= (seen_rows[:, :, None] & seen_columns[:, None, :])[..., None]
    return moved


def inside(position: torch.Tensor, size: int, fill: Fill) -> torch.Tensor:
    """Positions outside the image, folded back: mirrored at the edge's outer side, or clamped."""
    if fill != "reflect":
        return position.clamp(0, size - 1)
    position = position.remainder(2 * size)
    return torch.minimum(position, 2 * size - 1 - position)


class RandomFlip(ImageAugmentation):
    """Mirrors half of the images, left to right, upside down, or each with even odds."""

    mode: Literal["horizontal", "vertical", "horizontal_and_vertical"] = "horizontal_and_vertical"
    """which way"""

    def change(self, images: torch.Tensor, draw: Draw) -> torch.Tensor:
        for word, axis in (("horizontal", 2), ("vertical", 1)):
            if word in self.mode:
                chosen = draw.chosen(len(images), 0.5)
                images = select(chosen[:, None, None, None], images.flip(axis), images)
        return images


class RandomTranslation(ImageAugmentation):
    """Moves each image by up to a share of its height and width, in whole pixels.

    Keras interpolates between pixels; whole pixels keep the images sharp.
    """

    height_factor: UnitNumber = 0.1
    """largest share of the height, up or down"""
    width_factor: UnitNumber | None = None
    """largest share of the width, left or right; height_factor unless given"""
    fill_mode: Fill = "reflect"
    """what appears at the edge: the mirrored image, its last pixels, or black"""

    def change(self, images: torch.Tensor, draw: Draw) -> torch.Tensor:
        count, height, width, _ = images.shape
        factor = self.height_factor if self.width_factor is None else self.width_factor
        most = (round(self.height_factor * height), round(factor * width))
        down, right = ((draw.uniform(count) * (2 * limit + 1)).long() - limit for limit in most)
        return shift(images, down, right, self.fill_mode)


class RandomCrop(ImageAugmentation):
    """Pads each image and cuts the net's size out of it at a random place.

    The crop of He et al. 2015 for CIFAR-10; of images that are stored larger than the net's size
    another part each time. Keras' layer of this name has no padding, and takes the size.
    """

    padding: NonNegativeInt = 4
    """pixels added on every side"""
    fill_mode: Fill = "reflect"
    """what the padding shows: the mirrored image, its last pixels, or black"""

    def change(self, images: torch.Tensor, draw: Draw) -> torch.Tensor:
        spare = [images.shape[1 + axis] - draw.size[axis] for axis in (0, 1)]
        down, right = (
            (draw.uniform(len(images)) * (more + 2 * self.padding + 1)).long() - more - self.padding
            for more in spare
        )
        return shift(images, down, right, self.fill_mode, draw.size)
