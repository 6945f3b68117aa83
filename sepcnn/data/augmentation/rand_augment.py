"""RandAugment and TrivialAugment: a random operation for each image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch

from sepcnn.backends.machine import copy_to
from sepcnn.data.augmentation.base import BatchRandom, FloatAugmentation, check_colours, per_image
from sepcnn.data.augmentation.colour import grey
from sepcnn.data.augmentation.geometry import affine, resample, rotation
from sepcnn.data.augmentation.ranges import UnitRange, limits_from_zero
from sepcnn.language.values import ImageShape, PositiveInt


@dataclass(frozen=True, slots=True)
class OperationRanges:
    """The effect of each operation at strength 1."""

    shear: float
    """pixels sideways per pixel down"""
    translation: float
    """fraction of the height or width"""
    degrees: float
    enhancement: float
    """brightness, colour, contrast and sharpness are multiplied by 1 ± this"""
    bits: int
    """bits, of 8, that posterize keeps"""


PAPER = OperationRanges(shear=0.3, translation=150 / 331, degrees=30, enhancement=0.9, bits=4)
WIDE = OperationRanges(shear=0.99, translation=0.5, degrees=135, enhancement=0.99, bits=2)
ColourOperation = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, OperationRanges], torch.Tensor
]
"""takes planes N×C×H×W without alpha, strength [N] and sign [N]; returns changed planes"""
GEOMETRIC_OPERATIONS = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")


def matrices(
    operations: torch.Tensor, amount: torch.Tensor, size: tuple[int, int], ranges: OperationRanges
) -> torch.Tensor:
    """The matrix [N, 3, 3] of one geometric operation per image.

    ``operations`` int64 [N] are indices into `GEOMETRIC_OPERATIONS`; ``amount`` [N] is the signed
    strength.
    """
    height, width = size
    shear_x, shear_y, right, down, turn = (
        amount * (operations == i) for i in range(len(GEOMETRIC_OPERATIONS))
    )
    move = affine(
        1.0,
        shear_x * ranges.shear,
        right * (ranges.translation * width),
        shear_y * ranges.shear,
        1.0,
        down * (ranges.translation * height),
    )
    return move @ rotation(turn * math.radians(ranges.degrees), height, width)


def enhance(
    planes: torch.Tensor,
    other: torch.Tensor,
    strength: torch.Tensor,
    sign: torch.Tensor,
    ranges: OperationRanges,
) -> torch.Tensor:
    """Move away from another image or towards it: scale the difference by 1 ± strength."""
    factor = per_image(1 + strength * sign * ranges.enhancement).to(planes.dtype)
    return (other + factor * (planes - other)).clamp_(0, 255)


def luma(planes: torch.Tensor) -> torch.Tensor:
    return planes if planes.shape[1] == 1 else grey(planes)


def smooth(planes: torch.Tensor) -> torch.Tensor:
    """The SMOOTH filter of Pillow: the centre has weight 5 of 13; edge pixels are unchanged."""
    height, width = planes.shape[2:]
    if min(height, width) < 3:
        return planes
    rows = planes[:, :, :-2] + planes[:, :, 1:-1] + planes[:, :, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * planes[:, :, 1:-1, 1:-1]
    result = planes.clone()
    result[:, :, 1:-1, 1:-1] = (total / 13).round()
    return result


def brightness(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, ranges: OperationRanges
) -> torch.Tensor:
    return enhance(planes, torch.zeros_like(planes), strength, sign, ranges)


def colour(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, ranges: OperationRanges
) -> torch.Tensor:
    return enhance(planes, luma(planes), strength, sign, ranges)


def contrast(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, ranges: OperationRanges
) -> torch.Tensor:
    mean = luma(planes).mean((2, 3), keepdim=True)
    return enhance(planes, mean, strength, sign, ranges)


def sharpness(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, ranges: OperationRanges
) -> torch.Tensor:
    return enhance(planes, smooth(planes), strength, sign, ranges)


def posterize(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, ranges: OperationRanges
) -> torch.Tensor:
    step = per_image(2 ** (strength * (8 - ranges.bits)).round())
    return (planes.round() / step).floor() * step


def solarize(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, ranges: OperationRanges
) -> torch.Tensor:
    return torch.where(planes >= per_image(256 * (1 - strength)), 255 - planes, planes)


def auto_contrast(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, ranges: OperationRanges
) -> torch.Tensor:
    """Stretch each channel to 0 to 255."""
    low, high = planes.amin((2, 3), keepdim=True), planes.amax((2, 3), keepdim=True)
    spread = (planes - low) * (255 / (high - low).clamp(min=1e-6))
    return torch.where(high > low, spread, planes)


def equalize(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, ranges: OperationRanges
) -> torch.Tensor:
    """Equalize the histogram of each channel, as Pillow does."""
    values = planes.round().clamp(0, 255).long().flatten(0, 1).flatten(1)
    ones = torch.ones_like(values)
    counts = torch.zeros(len(values), 256, dtype=torch.long, device=planes.device)
    counts.scatter_add_(1, values, ones)
    levels = torch.arange(256, device=planes.device)
    last = (counts.gt(0) * levels).amax(1, keepdim=True)
    step = (values.shape[1] - counts.gather(1, last)) // 255
    before = counts.cumsum(1) - counts
    table = ((before + step // 2) // step.clamp(min=1)).clamp(0, 255)
    table = torch.where(step > 0, table, levels)
    return table.gather(1, values).to(planes.dtype).view_as(planes)


COLOUR_OPERATIONS: dict[str, ColourOperation] = {
    "brightness": brightness,
    "colour": colour,
    "contrast": contrast,
    "sharpness": sharpness,
    "posterize": posterize,
    "solarize": solarize,
    "auto_contrast": auto_contrast,
    "equalize": equalize,
}
OPERATIONS = ("identity", *GEOMETRIC_OPERATIONS, *COLOUR_OPERATIONS)
"""the 14 operations of both papers"""


def apply_random_operations(
    planes: torch.Tensor,
    strengths: tuple[float, float],
    ranges: OperationRanges,
    random: BatchRandom,
) -> torch.Tensor:
    """Apply one operation to each image, all equally likely.

    Images with the same operation are changed together.
    """
    count = len(planes)
    drawn = random.integers(count, len(OPERATIONS))
    strength, sign = random.uniform(count, *strengths), random.signs(count)
    # Sorted by operation, images with the same one are contiguous and are changed in place.
    order = drawn.argsort(stable=True)
    operations, original, order = (
        copy_to(indices, random.device) for indices in (drawn[order], order.argsort(), order)
    )
    planes = planes.index_select(0, order)  # faster than planes[order]
    strength, sign = strength[order], sign[order]
    lengths = torch.bincount(
        drawn, minlength=len(OPERATIONS)
    ).tolist()  # on the CPU: no wait for a GPU
    ends = list(accumulate(lengths))
    first, last = ends[0], ends[len(GEOMETRIC_OPERATIONS)]
    if first < last:
        amount = (strength * sign)[first:last]
        size = (planes.shape[2], planes.shape[3])
        maps = matrices(operations[first:last] - 1, amount, size, ranges)
        planes[first:last] = resample(planes[first:last], maps)
    for change, (start, end) in zip(
        COLOUR_OPERATIONS.values(), pairwise(ends[len(GEOMETRIC_OPERATIONS) :]), strict=True
    ):
        if start < end:
            piece = planes[start:end, :3]
            piece.copy_(change(piece, strength[start:end], sign[start:end], ranges))
    return planes.index_select(0, original)


class RandAugment(FloatAugmentation):
    """Applies random operations to each image. Cubuk et al. 2019, arXiv:1909.13719.

    Each operation is drawn from 14: identity; shear and translation along x or y; rotation;
    brightness, colour, contrast, sharpness; posterize, solarize, autocontrast, equalize. Strength
    1 is magnitude 30 of the paper: shear 0.3, translation by 0.45 of the image, rotation by 30°,
    brightness, colour, contrast and sharpness × (1 ± 0.9), posterize to 4 bits, solarize all
    values. Edges are mirrored. Keras draws one operation for the whole batch and has larger
    strengths: with 0.5 it rotates by up to 180°.
    """

    num_ops: PositiveInt = 2
    """number of operations applied to each image, one after the other"""
    factor: UnitRange = 0.5
    """strength: drawn from [lower, upper]; a number f means [0, f]; [f, f] is a fixed strength, as
    in the paper"""

    def check(self, shape: ImageShape) -> None:
        check_colours(shape)

    def change(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        for _ in range(self.num_ops):
            planes = apply_random_operations(planes, limits_from_zero(self.factor), PAPER, random)
        return planes


class TrivialAugment(FloatAugmentation):
    """Applies one random operation to each image. Müller & Hutter 2021, arXiv:2103.10158.

    Uses the operations of RandAugment with a strength drawn from 0 to 1 and wider ranges:
    shear 0.99, translation by half of the image (the paper: 32 pixels), rotation by 135°,
    brightness, colour, contrast and sharpness × (1 ± 0.99), posterize to 2 bits. Not in Keras.
    """

    def check(self, shape: ImageShape) -> None:
        check_colours(shape)

    def change(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        return apply_random_operations(planes, (0.0, 1.0), WIDE, random)
