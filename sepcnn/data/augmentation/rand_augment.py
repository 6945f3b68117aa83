"""Augmentations that draw another operation for each image: RandAugment and TrivialAugment."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch

from sepcnn.backends.machine import copy_to
from sepcnn.data.augmentation.base import Draw, PlaneAugmentation, check_colours, each
from sepcnn.data.augmentation.colour import grey
from sepcnn.data.augmentation.geometry import affine, resample, rotation
from sepcnn.data.augmentation.ranges import ShareRange, from_zero
from sepcnn.language.values import ImageShape, PositiveInt


@dataclass(frozen=True, slots=True)
class Strengths:
    """What strength 1 means."""

    shear: float
    """pixels to the side for each pixel down"""
    translation: float
    """share of the image"""
    degrees: float
    enhancement: float
    """brightness, colour, contrast and sharpness times 1 ± so much"""
    bits: int
    """of 8, that are left of each value"""


PAPER = Strengths(shear=0.3, translation=150 / 331, degrees=30, enhancement=0.9, bits=4)
WIDE = Strengths(shear=0.99, translation=0.5, degrees=135, enhancement=0.99, bits=2)
Change = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Strengths], torch.Tensor]
"""planes N×C×H×W without alpha, strength and sign [N]: changed planes"""
GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")


def matrices(
    places: torch.Tensor, amount: torch.Tensor, size: tuple[int, int], most: Strengths
) -> torch.Tensor:
    """Of one geometric operation an image; ``places`` int64 [n] in GEOMETRIC."""
    height, width = size
    shear_x, shear_y, right, down, turn = (amount * (places == i) for i in range(len(GEOMETRIC)))
    move = affine(
        1.0,
        shear_x * most.shear,
        right * (most.translation * width),
        shear_y * most.shear,
        1.0,
        down * (most.translation * height),
    )
    return move @ rotation(turn * math.radians(most.degrees), height, width)


def enhance(
    planes: torch.Tensor,
    other: torch.Tensor,
    strength: torch.Tensor,
    sign: torch.Tensor,
    most: Strengths,
) -> torch.Tensor:
    """Away from another image, or towards it: 1 ± strength of the difference is kept."""
    factor = each(1 + strength * sign * most.enhancement).to(planes.dtype)
    return (other + factor * (planes - other)).clamp_(0, 255)


def luma(planes: torch.Tensor) -> torch.Tensor:
    return planes if planes.shape[1] == 1 else grey(planes)


def smooth(planes: torch.Tensor) -> torch.Tensor:
    """Pillow's SMOOTH: the middle counts 5 of 13; the outermost pixels stay."""
    height, width = planes.shape[2:]
    if min(height, width) < 3:
        return planes
    rows = planes[:, :, :-2] + planes[:, :, 1:-1] + planes[:, :, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * planes[:, :, 1:-1, 1:-1]
    result = planes.clone()
    result[:, :, 1:-1, 1:-1] = (total / 13).round()
    return result


def brightness(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, most: Strengths
) -> torch.Tensor:
    return enhance(planes, torch.zeros_like(planes), strength, sign, most)


def colour(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, most: Strengths
) -> torch.Tensor:
    return enhance(planes, luma(planes), strength, sign, most)


def contrast(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, most: Strengths
) -> torch.Tensor:
    mean = luma(planes).mean((2, 3), keepdim=True)
    return enhance(planes, mean, strength, sign, most)


def sharpness(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, most: Strengths
) -> torch.Tensor:
    return enhance(planes, smooth(planes), strength, sign, most)


def posterize(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, most: Strengths
) -> torch.Tensor:
    step = each(2 ** (strength * (8 - most.bits)).round())
    return (planes.round() / step).floor() * step


def solarize(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, most: Strengths
) -> torch.Tensor:
    return torch.where(planes >= each(256 * (1 - strength)), 255 - planes, planes)


def auto_contrast(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, most: Strengths
) -> torch.Tensor:
    """Each channel spread over 0 to 255."""
    low, high = planes.amin((2, 3), keepdim=True), planes.amax((2, 3), keepdim=True)
    spread = (planes - low) * (255 / (high - low).clamp(min=1e-6))
    return torch.where(high > low, spread, planes)


def equalize(
    planes: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor, most: Strengths
) -> torch.Tensor:
    """Pillow's: the values of each channel as evenly spread as can be."""
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


CHANGES: dict[str, Change] = {
    "brightness": brightness,
    "colour": colour,
    "contrast": contrast,
    "sharpness": sharpness,
    "posterize": posterize,
    "solarize": solarize,
    "auto_contrast": auto_contrast,
    "equalize": equalize,
}
OPERATIONS = ("identity", *GEOMETRIC, *CHANGES)
"""the 14 of both papers"""


def operate(
    planes: torch.Tensor, strengths: tuple[float, float], most: Strengths, draw: Draw
) -> torch.Tensor:
    """One operation an image, each as likely; images that drew the same are changed together."""
    count = len(planes)
    drawn = draw.choices(count, len(OPERATIONS))
    strength, sign = draw.uniform(count, *strengths), draw.signs(count)
    # Sorted by operation, the images that drew the same are one piece, changed where it lies.
    order = drawn.argsort(stable=True)
    places, back, order = (
        copy_to(indices, draw.device) for indices in (drawn[order], order.argsort(), order)
    )
    planes = planes.index_select(0, order)  # rows as a whole: faster than planes[order]
    strength, sign = strength[order], sign[order]
    lengths = torch.bincount(drawn, minlength=len(OPERATIONS)).tolist()  # on the CPU: no waiting
    ends = list(accumulate(lengths))
    first, last = ends[0], ends[len(GEOMETRIC)]
    if first < last:
        amount = (strength * sign)[first:last]
        size = (planes.shape[2], planes.shape[3])
        maps = matrices(places[first:last] - 1, amount, size, most)
        planes[first:last] = resample(planes[first:last], maps)
    for change, (start, end) in zip(
        CHANGES.values(), pairwise(ends[len(GEOMETRIC) :]), strict=True
    ):
        if start < end:
            piece = planes[start:end, :3]
            piece.copy_(change(piece, strength[start:end], sign[start:end], most))
    return planes.index_select(0, back)


class RandAugment(PlaneAugmentation):
    """A few operations for each image, each drawn from 14. Cubuk et al. 2019, arXiv:1909.13719.

    Nothing; shear and translation, either way; rotation; brightness, colour, contrast, sharpness;
    posterize, solarize, autocontrast, equalize. Strength 1 is the paper's magnitude 30: shear
    0.3, translation 0.45 of the image, 30°, brightness and its like times 1 ± 0.9, 4 bits, all
    inverted. Edges are mirrored. Keras draws one operation for a whole batch, and its strengths
    go further: with 0.5 it turns by up to 180°.
    """

    num_ops: PositiveInt = 2
    """operations one after the other"""
    factor: ShareRange = 0.5
    """strength, drawn from [smallest, largest]; a number f means [0, f]; [f, f] as in the paper"""

    def check(self, shape: ImageShape) -> None:
        check_colours(shape)

    def change(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        for _ in range(self.num_ops):
            planes = operate(planes, from_zero(self.factor), PAPER, draw)
        return planes


class TrivialAugment(PlaneAugmentation):
    """One operation for each image, of any strength. Müller & Hutter 2021, arXiv:2103.10158.

    The operations of RandAugment, with wide ranges: shear 0.99, translation half of the image (the
    paper: 32 pixels), 135°, brightness and its like times 1 ± 0.99, 2 bits. Not in Keras.
    """

    def check(self, shape: ImageShape) -> None:
        check_colours(shape)

    def change(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        return operate(planes, (0.0, 1.0), WIDE, draw)
