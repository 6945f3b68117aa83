"""Geometric augmentations that interpolate: rotation, zoom, shear and resized crop.

The origin is the centre of the top left pixel; x points right and y down, in pixels.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch.nn import functional

from sepcnn.data.augmentation.base import BatchRandom, FillMode, FloatAugmentation
from sepcnn.data.augmentation.ranges import (
    PositiveRange,
    SignedUnitRange,
    UnitRange,
    ZoomRange,
    check_area,
    limits_from_zero,
    symmetric_limits,
)
from sepcnn.language.messages import invalid
from sepcnn.language.values import PixelNumber

Interpolation = Literal["nearest", "bilinear"]
PADDING: dict[FillMode, str] = {"reflect": "reflection", "nearest": "border", "constant": "zeros"}
"""fill modes of Keras → ``padding_mode`` of torch.nn.functional.grid_sample"""


class GeometricAugmentation(FloatAugmentation):
    """One affine map per image. Consecutive ones with the same edge settings are resampled once."""

    fill_mode: FillMode = "reflect"
    """what fills areas outside the image: reflect mirrors it, nearest repeats the edge pixel,
    constant uses fill_value"""
    interpolation: Interpolation = "bilinear"
    """interpolation between pixels"""
    fill_value: PixelNumber = 0.0
    """value of each channel, 0 to 255, with fill_mode: constant"""

    @classmethod
    def own_fields(cls) -> list[str]:
        """List the factors before the shared fields."""
        shared = list(GeometricAugmentation.model_fields)
        return [*(name for name in cls.model_fields if name not in shared), *shared]

    @property
    def edge(self) -> tuple[FillMode, Interpolation, float]:
        """Settings that consecutive augmentations must share to be resampled once."""
        return self.fill_mode, self.interpolation, self.fill_value

    @abstractmethod
    def matrices(self, count: int, height: int, width: int, random: BatchRandom) -> torch.Tensor:
        """float32 [N, 3, 3]: map a position (x, y, 1) of the result to one of the input."""

    def change(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        return apply_together([self], planes, random)


def apply_together(
    augmentations: list[GeometricAugmentation], planes: torch.Tensor, random: BatchRandom
) -> torch.Tensor:
    """Apply all maps, one after the other, with a single resampling."""
    count, _, height, width = planes.shape
    matrices = augmentations[0].matrices(count, height, width, random)
    for augmentation in augmentations[1:]:
        matrices = matrices @ augmentation.matrices(count, height, width, random)
    return resample(planes, matrices, *augmentations[0].edge)


def resample(
    planes: torch.Tensor,
    matrices: torch.Tensor,
    fill: FillMode = "reflect",
    interpolation: Interpolation = "bilinear",
    fill_value: float = 0.0,
) -> torch.Tensor:
    """Transform each image, N×C×H×W, by its matrix: [N, 3, 3], from the result to the input."""
    height, width = planes.shape[2:]
    x = torch.arange(width, dtype=planes.dtype, device=planes.device)
    y = torch.arange(height, dtype=planes.dtype, device=planes.device)[:, None]
    grid = planes.new_empty(len(planes), height, width, 2)
    for axis, size in enumerate((width, height)):
        # The coordinates of grid_sample go from −1 at the left edge to 1 at the right edge.
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
    """Matrices [N, 3, 3] from the six entries of their first two rows, each [N] or a number."""
    count = next(len(entry) for entry in rows if isinstance(entry, torch.Tensor))
    device = next(entry.device for entry in rows if isinstance(entry, torch.Tensor))
    columns = [
        entry if isinstance(entry, torch.Tensor) else torch.full((count,), entry, device=device)
        for entry in (*rows, 0.0, 0.0, 1.0)
    ]
    return torch.stack(columns, dim=1).view(count, 3, 3)


def rotation(angle: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Counter-clockwise rotation about the centre by ``angle`` [N] in radians: [N, 3, 3]."""
    cosine, sine = angle.cos(), angle.sin()
    x, y = (width - 1) / 2, (height - 1) / 2
    return affine(cosine, -sine, x - x * cosine + y * sine, sine, cosine, y - x * sine - y * cosine)


class RandomRotation(GeometricAugmentation):
    """Rotates each image about its centre."""

    first_arguments = 1

    factor: SignedUnitRange
    """fraction of a full turn, counter-clockwise: drawn from [lower, upper]; a number f means
    [−f, f], so 0.05 rotates by up to 18° in both directions"""

    def matrices(self, count: int, height: int, width: int, random: BatchRandom) -> torch.Tensor:
        angle = random.uniform(count, *symmetric_limits(self.factor)) * math.tau
        return rotation(angle, height, width)


class RandomZoom(GeometricAugmentation):
    """Zooms each image about its centre: out for factors above 0, in for factors below 0."""

    height_factor: ZoomRange
    """fraction added to the visible height: drawn from [lower, upper]; a number f means [−f, f]"""
    width_factor: ZoomRange | None = None
    """fraction added to the visible width; default: the value drawn for the height"""

    def matrices(self, count: int, height: int, width: int, random: BatchRandom) -> torch.Tensor:
        tall = 1 + random.uniform(count, *symmetric_limits(self.height_factor))
        wide = tall
        if self.width_factor is not None:
            wide = 1 + random.uniform(count, *symmetric_limits(self.width_factor))
        x, y = (width - 1) / 2, (height - 1) / 2
        return affine(wide, 0.0, x * (1 - wide), 0.0, tall, y * (1 - tall))


class RandomShear(GeometricAugmentation):
    """Shears each image along x, y or both, with a random sign per image.

    The top left corner stays fixed, as in Keras. At least one factor must be above 0; Keras
    allows 0 for both, which does nothing.
    """

    x_factor: UnitRange = 0.0
    """pixels sideways per pixel down: drawn from [lower, upper]; a number f means [0, f]"""
    y_factor: UnitRange = 0.0
    """pixels up or down per pixel sideways: drawn from [lower, upper]; a number f means [0, f]"""

    @model_validator(mode="after")
    def _some_factor(self) -> Self:
        if not self.model_fields_set & {"x_factor", "y_factor"}:
            message = "'x_factor' or 'y_factor' is required"
            raise invalid(message, "for example RandomShear: 0.2")
        return self

    def matrices(self, count: int, height: int, width: int, random: BatchRandom) -> torch.Tensor:
        sign = random.signs(count)
        x = random.uniform(count, *limits_from_zero(self.x_factor)) * sign
        y = random.uniform(count, *limits_from_zero(self.y_factor)) * sign
        return affine(1.0, x, 0.0, y, 1.0, 0.0)


class RandomResizedCrop(FloatAugmentation):
    """Crops a part with random area and aspect ratio, and resizes it to the model's input size.

    Szegedy et al. 2014, arXiv:1409.4842; as torchvision's transform of this name. Bilinear, with
    antialiasing when the part is made smaller. Not in Keras.
    """

    scale: PositiveRange = (0.08, 1.0)
    """[lower, upper] area of the crop as a fraction of the image"""
    ratio: PositiveRange = (3 / 4, 4 / 3)
    """[lower, upper] aspect ratio of the crop: width / height"""

    @model_validator(mode="after")
    def _scale_is_a_share(self) -> Self:
        check_area("scale", self.scale)
        return self

    def change(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        count, _, height, width = planes.shape
        area = random.uniform(count, *self.scale) * height * width
        ratio = random.uniform(count, *map(math.log, self.ratio)).exp()
        tall = (area / ratio).sqrt().clamp(1, height)
        wide = (area * ratio).sqrt().clamp(1, width)
        rows, columns = (
            _window(random.uniform(count) * (side - length), length, side, target).to(planes.dtype)
            for length, side, target in zip((tall, wide), (height, width), random.size, strict=True)
        )
        return rows[:, None] @ planes @ columns[:, None].mT


def _window(start: torch.Tensor, length: torch.Tensor, side: int, target: int) -> torch.Tensor:
    """Interpolation weights along one axis: float32 [N, target, side].

    ``start`` and ``length`` [N] are the crop in pixels of the input, which has ``side`` of them.
    """
    steps = torch.arange(target, device=start.device) + 0.5
    middles = start[:, None] + steps * (length / target)[:, None]
    pixels = torch.arange(side, device=start.device) + 0.5
    reach = (length / target).clamp(min=1)[:, None, None]
    weights = (1 - (pixels - middles[:, :, None]).abs() / reach).clamp(min=0)
    return weights / weights.sum(2, keepdim=True)
