"""Survey a folder of images: the facts that decide about a config for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean, median

from sepcnn.data.class_balance import NOTABLE_IMBALANCE
from sepcnn.data.decoding.reading import ReadingRules
from sepcnn.data.decoding.value_range import needed_range
from sepcnn.data.inspection import (
    COMMON_SHARE,
    MAX_CUT,
    ImageProperties,
    ListedImage,
    inspect_image,
    inspect_images,
)
from sepcnn.data.listing.listing import Listing, list_images
from sepcnn.data.progress import ProgressCallback, no_progress
from sepcnn.errors import ConfigError, DataError
from sepcnn.language.edit import yaml_scalar
from sepcnn.language.yaml_reader import parse

MOST_LOOKED_AT = 1000
"""images read, spread over the folder: enough to estimate sizes and colours"""
SIDES = (128, 96, 64, 48, 32)
"""possible sides of a square input in pixels; smaller images give a smaller input"""
SMALLEST_SIDE = 8
STEPS = {64: 16, 32: 8, 0: 4}
"""the sides of an input that is not square are multiples of the value, for a square of equal area
whose side is at least the key"""
NEAR_A_SQUARE = 1.2
"""largest ratio of the longer to the shorter side for which the input is a square"""
ALIKE = 1.15
"""largest factor between two proportions that count as the same shape"""


@dataclass(frozen=True)
class Facts:
    """The facts that decide about the config."""

    class_names: tuple[str, ...]
    train: int
    """number of training images, including those that will be held out for validation"""
    counts: tuple[int, ...]
    """number of training images of each class"""
    held_out: bool
    """whether the folder has no validation images, so that some must be held out"""
    side: int
    """median of the shorter sides of the images, or of the longer sides if `long`"""
    grey: bool
    """whether all images are grey"""
    proportions: float
    """width over height of nearly all images; 1 if they differ or are nearly square"""
    cut: float
    """fraction of the images that lose more than half to a crop with this aspect ratio"""
    lost: float
    """mean share of an image that the crop to the input removes"""
    needs_range: bool = False
    """whether the pixels use a small part of the range of their type, or their type has none"""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width."""
        return input_size(self.side, self.proportions)

    @property
    def long(self) -> bool:
        """Whether a crop would remove more than half of many images."""
        return self.cut > COMMON_SHARE

    @property
    def uneven(self) -> bool:
        return max(self.counts) >= NOTABLE_IMBALANCE * min(self.counts)


def list_folder(folder: Path, layout: str | None = None, exclude: Sequence[str] = ()) -> Listing:
    """List the images of a folder for a config.

    Errors: `DataError` if it has no images sorted into classes, or if a config cannot contain its
    name; `LayoutError` if it can be read in several ways.
    """
    try:
        parse(f"path: {yaml_scalar(str(folder))}", str(folder))
    except ConfigError:
        message = f"{str(folder)!a}: the name has a character that a config cannot contain"
        raise DataError(message, "rename the folder") from None
    return list_images(folder, None, layout, exclude)


def gather(folder: Path, listing: Listing, progress: ProgressCallback = no_progress) -> Facts:
    """Survey the images of a folder. Errors: `DataError` if none of them can be read."""
    counts = listing.counts()
    train_counts = counts.get("train") or counts[None]
    rules = reading_rules(listing)
    looks = sample(listing, rules, progress)
    if not looks:
        raise no_readable(folder)
    proportions = common_proportions(looks)
    cut = sum(look.share_cut(1, proportions) > MAX_CUT for look in looks) / len(looks)
    decisive = max if cut > COMMON_SHARE else min  # letterbox fits the longer side into the input
    side = round(median(decisive(look.size) for look in looks))
    height, width = input_size(side, proportions)
    return Facts(
        class_names=listing.class_names,
        train=sum(train_counts.values()),
        counts=tuple(train_counts.values()),
        held_out="val" not in counts,
        side=side,
        grey=all(look.grey for look in looks),
        proportions=proportions,
        cut=cut,
        lost=mean(look.share_cut(height, width) for look in looks),
        needs_range=rules.value_range is not None,
    )


def no_readable(folder: Path) -> DataError:
    return DataError(f"{folder}: none of the images can be read", "check the files")


def train_count(listing: Listing) -> int:
    """The number of training images, including those that will be held out for validation."""
    counts = listing.counts()
    return sum((counts.get("train") or counts[None]).values())


def is_readable(listing: Listing) -> bool:
    """Whether one of the images, of at most `MOST_LOOKED_AT`, can be read."""
    rules = reading_rules(listing)
    return any(inspect_image(image, 3, rules).properties for image in _chosen(listing))


def reading_rules(listing: Listing) -> ReadingRules:
    """The range of pixel values that the images need, if it is not the full range."""
    return ReadingRules(needed_range([image.path for image in _chosen(listing)]))


def sample(
    listing: Listing, rules: ReadingRules, progress: ProgressCallback
) -> list[ImageProperties]:
    """Read every n-th image, at most `MOST_LOOKED_AT`; those that cannot be read are left out."""
    pictures = inspect_images(_chosen(listing), 3, progress, rules)
    return [picture.properties for picture in pictures if picture.properties]


def _chosen(listing: Listing) -> list[ListedImage]:
    step = math.ceil(len(listing.files) / MOST_LOOKED_AT)
    return [ListedImage(f.path, f.split or "train", f.class_name) for f in listing.files[::step]]


def common_proportions(looks: Sequence[ImageProperties]) -> float:
    """Return width over height of nearly all images; 1 if they differ or are nearly square."""
    ratios = [width / height for height, width in (look.size for look in looks)]
    usual = median(ratios)
    different = sum(max(ratio, usual) > ALIKE * min(ratio, usual) for ratio in ratios)
    is_square = max(usual, 1 / usual) <= NEAR_A_SQUARE
    return 1.0 if is_square or different > COMMON_SHARE * len(ratios) else usual


def square_side(side: int) -> int:
    """Return the side of a square input for images of this side."""
    fitting = [candidate for candidate in SIDES if candidate <= side]
    return fitting[0] if fitting else max(side, SMALLEST_SIDE)


def input_size(side: int, proportions: float) -> tuple[int, int]:
    """Return height and width of these proportions with about as many pixels as the square."""
    square = square_side(side)
    if proportions == 1:
        return square, square
    step = next(step for least, step in STEPS.items() if square >= least)
    exact = square / math.sqrt(proportions), square * math.sqrt(proportions)
    heights, widths = (
        (max(1, math.floor(length / step)) * step, math.ceil(length / step) * step)
        for length in exact
    )

    def misfit(size: tuple[int, int]) -> float:
        """An error of the proportions counts twice as much as one of the area."""
        down, across = (math.log(ours / ideal) for ours, ideal in zip(size, exact, strict=True))
        return 2 * abs(down - across) + abs(down + across)

    return min(product(heights, widths), key=misfit)
