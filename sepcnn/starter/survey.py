"""What a folder of images is like: the facts that decide about a config for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean, median

from sepcnn.data.class_balance import UNEVEN
from sepcnn.data.files.inspection import MANY, MOST_CUT, ListedImage, Look, examine
from sepcnn.data.files.listing import Listing, list_images
from sepcnn.data.progress import ProgressCallback, no_progress
from sepcnn.errors import ConfigError, DataError
from sepcnn.language.edit import yaml_scalar
from sepcnn.language.yaml_reader import parse

MOST_LOOKED_AT = 1000
"""images spread over the folder: enough to know sizes and colours"""
SIDES = (128, 96, 64, 48, 32)
"""of a square input, unless the images themselves are smaller"""
SMALLEST_SIDE = 8
STEPS = {64: 16, 32: 8, 0: 4}
"""sides of an input that is no square are multiples, each from a square of so many pixels a side"""
NEAR_A_SQUARE = 1.2
"""longer over shorter side, up to which a square shows nearly all"""
ALIKE = 1.15
"""factor between proportions that count as one shape"""


@dataclass(frozen=True)
class Facts:
    """What decides about the config."""

    classes: int
    train: int
    """training images, as far as they are known before validation is held out"""
    counts: tuple[int, ...]
    """training images of each class"""
    held_out: bool
    """validation images have to be held out"""
    side: int
    """usual shorter side of the images; the longer where many are `long`"""
    grey: bool
    """all of them"""
    proportions: float
    """width over height of nearly all images; 1 where they differ, or are nearly square"""
    cut: float
    """share of the images that lose more than half of themselves to a crop of these proportions"""
    lost: float
    """mean share of an image outside the crop to the input"""

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width."""
        return input_size(self.side, self.proportions)

    @property
    def long(self) -> bool:
        """Whether a crop would lose much of many images."""
        return self.cut > MANY

    @property
    def uneven(self) -> bool:
        return max(self.counts) >= UNEVEN * min(self.counts)


def gather(folder: Path, watch: ProgressCallback = no_progress) -> Facts:
    """Look at a folder. Errors: `DataError` where it holds no images sorted into classes, or
    where its name cannot be written.
    """
    try:
        parse(f"path: {yaml_scalar(str(folder))}", str(folder))
    except ConfigError:
        message = f"{str(folder)!a}: the name has a character that a config cannot have"
        raise DataError(message, "rename the folder") from None
    listing = list_images(folder)
    counts = listing.counts()
    of_training = counts.get("train") or counts[None]
    looks = looked_at(listing, watch)
    if not looks:
        raise DataError(f"{folder}: none of the images can be read", "check the files")
    proportions = shape_of_nearly_all(looks)
    cut = sum(look.share_cut(1, proportions) > MOST_CUT for look in looks) / len(looks)
    shorter = max if cut > MANY else min  # letterbox fits the longer one into the input
    side = round(median(shorter(look.size) for look in looks))
    height, width = input_size(side, proportions)
    return Facts(
        classes=len(listing.class_names),
        train=sum(of_training.values()),
        counts=tuple(of_training.values()),
        held_out="val" not in counts,
        side=side,
        grey=all(look.grey for look in looks),
        proportions=proportions,
        cut=cut,
        lost=mean(look.share_cut(height, width) for look in looks),
    )


def looked_at(listing: Listing, watch: ProgressCallback) -> list[Look]:
    step = math.ceil(len(listing.files) / MOST_LOOKED_AT)
    entries = [ListedImage(f.path, f.split or "train", f.class_name) for f in listing.files[::step]]
    return [picture.look for picture in examine(entries, 3, watch) if picture.look]


def shape_of_nearly_all(looks: Sequence[Look]) -> float:
    """Width over height; 1 where there is no such shape, or it is nearly a square."""
    found = [width / height for height, width in (look.size for look in looks)]
    usual = median(found)
    others = sum(max(one, usual) > ALIKE * min(one, usual) for one in found)
    square = max(usual, 1 / usual) <= NEAR_A_SQUARE
    return 1.0 if square or others > MANY * len(found) else usual


def square_side(side: int) -> int:
    """Of the input for images of that side."""
    fitting = [one for one in SIDES if one <= side]
    return fitting[0] if fitting else max(side, SMALLEST_SIDE)


def input_size(side: int, proportions: float) -> tuple[int, int]:
    """Height and width: of the proportions, with about as many pixels as the square input."""
    square = square_side(side)
    if proportions == 1:
        return square, square
    step = next(step for least, step in STEPS.items() if square >= least)
    exact = square / math.sqrt(proportions), square * math.sqrt(proportions)
    heights, widths = (
        (max(1, math.floor(one / step)) * step, math.ceil(one / step) * step) for one in exact
    )

    def misfit(size: tuple[int, int]) -> float:
        """Other proportions count twice: a few pixels more or less cost little."""
        down, across = (math.log(own / wanted) for own, wanted in zip(size, exact, strict=True))
        return 2 * abs(down - across) + abs(down + across)

    return min(product(heights, widths), key=misfit)
