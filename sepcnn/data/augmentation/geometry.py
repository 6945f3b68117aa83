"""Augmentations that move the pixels' places: rotation, zoom, shear, resized crop.

Positions are counted in pixels from the middle of the first one, x to the right and y down.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch.nn import functional

from sepcnn.data.augmentation.base import Draw, Fill, PlaneAugmentation
from sepcnn.data.augmentation.ranges import (
    Range,
    ShareRange,
    SignedRange,
    ZoomRange,
    both_ways,
    from_zero,
    share_of_the_image,
)
from sepcnn.language.messages import invalid
from sepcnn.language.values import PixelNumber

Interpolation = Literal["nearest", "bilinear"]
PADDING: dict[Fill, str] = {"reflect": "reflection", "nearest": "border", "constant": "zeros"}
"""fill modes of Keras in the words of torch.nn.functional.grid_sample"""


class Geometric(PlaneAugmentation):
    """An affine map an image. Neighbours in the list that fill alike become one resampling."""

    fill_mode: Fill = "reflect"
    """what appears at the edge: the mirrored image, its last pixels, or fill_value"""
    interpolation: Interpolation = "bilinear"
    """between pixels: nearest or bilinear"""
    fill_value: PixelNumber = 0.0
    """of every channel with fill_mode: constant"""

    @classmethod
    def own_fields(cls) -> list[str]:
        """The factors come first."""
        shared = list(Geometric.model_fields)
        return [*(name for name in cls.model_fields if name not in shared), *shared]

    @property
    def edge(self) -> tuple[Fill, Interpolation, float]:
        """What neighbours must share to become one."""
        return self.fill_mode, self.interpolation, self.fill_value

    @abstractmethod
    def matrices(self, count: int, height: int, width: int, draw: Draw) -> torch.Tensor:
        """float32 [N, 3, 3]: from a position (x, y, 1) of the result to the image's."""

    def change(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        return change_together([self], planes, draw)


def change_together(rules: list[Geometric], planes: torch.Tensor, draw: Draw) -> torch.Tensor:
    """All maps, one after the other, in one resampling."""
    count, _, height, width = planes.shape
    matrices = rules[0].matrices(count, height, width, draw)
    for rule in rules[1:]:
        matrices = matrices @ rule.matrices(count, height, width, draw)
    return resample(planes, matrices, *rules[0].edge)


def resample(
    planes: torch.Tensor,
    matrices: torch.Tensor,
    fill: Fill = "reflect",
    interpolation: Interpolation = "bilinear",
    fill_value: float = 0.0,
) -> torch.Tensor:
    """Each image as its matrix moves it."""
    height, width = planes.shape[2:]
    x = torch.arange(width, dtype=planes.dtype, device=planes.device)
    y = torch.arange(height, dtype=planes.dtype, device=planes.device)[:, None]
    grid = planes.new_empty(len(planes), height, width, 2)
    for axis, size in enumerate((width, height)):
        # grid_sample counts from −1 at the image's left edge to 1 at its right.
        a, b, c = (matrices[:, axis] * (2 / size)).to(planes.dtype)[:, :, None, None].unbind(1)
        grid[..., axis] = torch.addcmul(b * y + (c + (1 / size - 1)), a, x)
    value = fill_value if fill == "constant" else 0.0
    moved = functional.grid_sample(
        planes - value if value else planes,
        grid,
        mode=interpolation,
        padding_mode=PADDING[fill],
        align_corners=False,
    )
    return moved + value if value else moved


def affine(*rows: torch.Tensor | float) -> torch.Tensor:
    """Matrices [N, 3, 3] of their six upper entries, row by row: each [N] or one number."""
    count = next(len(entry) for entry in rows if isinstance(entry, torch.Tensor))
    device = next(entry.device for entry in rows if isinstance(entry, torch.Tensor))
    columns = [
        entry if isinstance(entry, torch.Tensor) else torch.full((count,), entry, device=device)
        for entry in (*rows, 0.0, 0.0, 1.0)
    ]
    return torch.stack(columns, dim=1).view(count, 3, 3)


def rotation(angle: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Counter-clockwise around the middle, in radians."""
    cosine, sine = angle.cos(), angle.sin()
    x, y = (width - 1) / 2, (height - 1) / 2
    return affine(cosine, -sine, x - x * cosine + y * sine, sine, cosine, y - x * sine - y * cosine)


class RandomRotation(Geometric):
    """Turns each image around its middle."""

    factor: SignedRange
    """share of a full turn, counter-clockwise: [smallest, largest]; a number f means [−f, f], so
    0.05 turns by up to 18° either way"""

    def matrices(self, count: int, height: int, width: int, draw: Draw) -> torch.Tensor:
        angle = draw.uniform(count, *both_ways(self.factor)) * math.tau
        return rotation(angle, height, width)


class RandomZoom(Geometric):
    """Shows each image smaller (above 0) or larger (below 0), its middle in place."""

    height_factor: ZoomRange
    """how much more of the height is shown: [smallest, largest]; a number f means [−f, f]"""
    width_factor: ZoomRange | None = None
    """the same of the width; as the height unless given, which keeps the proportions"""

    def matrices(self, count: int, height: int, width: int, draw: Draw) -> torch.Tensor:
        tall = 1 + draw.uniform(count, *both_ways(self.height_factor))
        wide = tall
        if self.width_factor is not None:
            wide = 1 + draw.uniform(count, *both_ways(self.width_factor))
        x, y = (width - 1) / 2, (height - 1) / 2
        return affine(wide, 0.0, x * (1 - wide), 0.0, tall, y * (1 - tall))


class RandomShear(Geometric):
    """Moves rows sideways by a share of their distance from the top, and columns up or down.

    The top left corner stays, as in Keras; half of the images are sheared the other way. At least
    one factor must be given: with Keras' 0 for both nothing happens.
    """

    x_factor: ShareRange = 0.0
    """rows, to the left: [smallest, largest], or the largest alone"""
    y_factor: ShareRange = 0.0
    """columns, upwards: [smallest, largest], or the largest alone"""

    @model_validator(mode="after")
    def _some_factor(self) -> Self:
        if not self.model_fields_set & {"x_factor", "y_factor"}:
            message = "'x_factor' or 'y_factor' is required: without them nothing is sheared"
            raise invalid(message, "write how far, as in RandomShear: 0.2")
        return self

    def matrices(self, count: int, height: int, width: int, draw: Draw) -> torch.Tensor:
        sign = draw.signs(count)
        x = draw.uniform(count, *from_zero(self.x_factor)) * sign
        y = draw.uniform(count, *from_zero(self.y_factor)) * sign
        return affine(1.0, x, 0.0, y, 1.0, 0.0)


class RandomResizedCrop(PlaneAugmentation):
    """Cuts a part of random size and shape out of each image and resizes it to the net's size.

    Szegedy et al. 2014, arXiv:1409.4842; torchvision's transform of this name. Bilinear, and
    smoothed where the part gets smaller. Not in Keras.
    """

    scale: Range = (0.08, 1.0)
    """smallest and largest share of the image that is cut out"""
    ratio: Range = (3 / 4, 4 / 3)
    """smallest and largest width over height of the part"""

    @model_validator(mode="after")
    def _scale_is_a_share(self) -> Self:
        share_of_the_image("scale", self.scale)
        return self

    def change(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        count, _, height, width = planes.shape
        area = draw.uniform(count, *self.scale) * height * width
        ratio = draw.uniform(count, *map(math.log, self.ratio)).exp()
        tall = (area / ratio).sqrt().clamp(1, height)
        wide = (area * ratio).sqrt().clamp(1, width)
        rows, columns = (
            _window(draw.uniform(count) * (side - length), length, side, target).to(planes.dtype)
            for length, side, target in zip((tall, wide), (height, width), draw.size, strict=True)
        )
        return rows[:, None] @ planes @ columns[:, None].mT


def _window(start: torch.Tensor, length: torch.Tensor, side: int, target: int) -> torch.Tensor:
    """How much each of ``side`` pixels counts in each of ``target``: float32 [N, target, side]."""
    steps = torch.arange(target, device=start.device) + 0.5
    middles = start[:, None] + steps * (length / target)[:, None]
    pixels = torch.arange(side, device=start.device) + 0.5
    reach = (length / target).clamp(min=1)[:, None, None]
    weights = (1 - (pixels - middles[:, :, None]).abs() / reach).clamp(min=0)
    return weights / weights.sum(2, keepdim=True)
