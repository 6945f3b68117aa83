"""Measures the pixel values of image files: which range they use, and which range they need."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from sepcnn.data.dataset import Split
from sepcnn.data.decoding.pages import MAX_UINT8, Page
from sepcnn.data.decoding.pixel_values import (
    PIXELS_PER_STRIP,
    ValueRange,
    colours_and_alpha,
    number,
    range_in_force,
)
from sepcnn.data.decoding.reading import ReadingRules, visit_pages
from sepcnn.data.threads import map_in_threads
from sepcnn.errors import DataError
from sepcnn.wording import counted

NOTE = "pixel values: "
"""start of the note on suspicious values"""
MOST_SAMPLED, MOST_EXPLAINED = 64, 32
"""decoded training images that are looked at for the note; files that are then measured"""
MOST_MEASURED = 1000
"""images read for `auto`, spread over the training images"""
SMALL_SHARE = 0.5
"""share of the range in force below which the used range is suspicious"""
MOST_CLIPPED = 2
"""ratio of the values of two types up to which one range suits both"""
SETTING = "value_range in data.source.Folder"


@dataclass(frozen=True, slots=True)
class PixelValues:
    """The smallest and largest value of an image, or of several of the same type."""

    low: float
    high: float
    limit: int | None
    """largest value of the type; None for floating-point, signed and 32-bit numbers"""

    def joined(self, other: PixelValues) -> PixelValues:
        return PixelValues(min(self.low, other.low), max(self.high, other.high), self.limit)


def measure_page(page: Page) -> PixelValues:
    """Measure the values of a page as they are in the file; of colours, all channels together."""
    if page.image.mode == "1":
        return PixelValues(0, 1, 1)
    width, height = page.image.size
    low, high = math.inf, -math.inf
    # In strips, so that intermediate results of a large image are not in memory at once.
    rows = max(1, PIXELS_PER_STRIP // width)
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        if page.deep:
            values = page.values(box)
            values = values[np.isfinite(values)]
        else:
            colours, _ = colours_and_alpha(page.image.crop(box))
            values = np.array(colours.getextrema())
        if len(values):
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return PixelValues(low, high, page.limit) if low <= high else PixelValues(0, 0, page.limit)


def measure_file(path: Path, channels: int, rules: ReadingRules) -> PixelValues | None:
    """Measure an image file; None if it cannot be read, which decoding reports."""
    pages: list[PixelValues] = []
    try:
        visit_pages(path, channels, rules, lambda page: pages.append(measure_page(page)))
    except DataError:
        return None
    return joined(pages)


def joined(values: Iterable[PixelValues]) -> PixelValues | None:
    """The values of several pages or images of one type; None if there are none."""
    total = None
    for each in values:
        total = each if total is None else total.joined(each)
    return total


def spread(items: Sequence[Path], count: int) -> list[Path]:
    """At most ``count`` of the items, at equal distances."""
    step = max(1, math.ceil(len(items) / count))
    return list(items[::step])


def measure_files(paths: Sequence[Path], channels: int, rules: ReadingRules) -> list[PixelValues]:
    """Measure the files that can be read, on all cores."""
    found = map_in_threads(partial(measure_file, channels=channels, rules=rules), paths)
    return [values for values in found if values is not None]


def measured_range(paths: Sequence[Path], channels: int, rules: ReadingRules) -> ValueRange | None:
    """The range of `auto`: the smallest and largest value of the training images ``paths``.

    If files have several types, the type with the largest range decides, because a type that cannot
    hold the upper end keeps its full range. At most `MOST_MEASURED` files are read. None if
    only images of 1 bit can be read, or none. Errors: `DataError` if all values are equal, or if
    the images of another type would be clipped, as 8-bit images are next to numbers from 0 to 1.
    """
    by_type = group(measure_files(spread(paths, MOST_MEASURED), channels, rules))
    if not by_type:
        return None
    values = by_type[0][1]
    if values.limit == 1:
        return None
    if values.low == values.high:
        message = f"value_range: auto, but all training pixels are {number(values.low)}"
        raise DataError(message, "look at the images, or set value_range: [LOW, HIGH]")
    for _, other in by_type[1:]:
        found = (values.low, values.high)
        if range_in_force(other.limit, found) != found:
            continue
        if other.high - other.low > MOST_CLIPPED * (values.high - values.low):
            kinds = " and ".join(
                f"{type_name(each)} from {number(each.low)} to {number(each.high)}"
                for each in (values, other)
            )
            message = f"value_range: auto, but the training images are a mix: {kinds}"
            raise DataError(message, "convert them to one type, or set value_range: [LOW, HIGH]")
        values = replace(values, low=min(values.low, other.low), high=max(values.high, other.high))
    return values.low, values.high


def needed_range(paths: Sequence[Path]) -> ValueRange | None:
    """The range without which files cannot be read, or are nearly black.

    At most `MOST_EXPLAINED` files are measured. None if the full range of their type suits.
    """
    measured = measure_files(spread(paths, MOST_EXPLAINED), 3, ReadingRules())
    for _, values in group(measured):
        varied = values.low < values.high
        if varied and (values.limit is None or suspicions([values], None)):
            return suggestion(values)[0]
    return None


def group(measured: Iterable[PixelValues]) -> list[tuple[int, PixelValues]]:
    """The number of images and their joined values, per type; the largest range comes first."""
    by_limit: dict[int | None, list[PixelValues]] = {}
    for values in measured:
        by_limit.setdefault(values.limit, []).append(values)
    found = []
    for limit in sorted(by_limit, key=lambda limit: math.inf if limit is None else limit):
        total = joined(by_limit[limit])
        assert total is not None
        found.append((len(by_limit[limit]), total))
    return found[::-1]


def suspicions(
    measured: Sequence[PixelValues], value_range: ValueRange | None
) -> list[tuple[str, str]]:
    """Messages and hints on values that do not fit the range in force, per type of pixels."""
    found = []
    for count, values in group(measured):
        low, high = range_in_force(values.limit, value_range)
        used = min(values.high, high) - max(values.low, low)
        images = f"{counted(count, 'image')} of {type_name(values)}"
        between = f"{number(values.low)} to {number(values.high)}"
        if values.limit == 1:
            continue
        if value_range and (values.low < low or values.high > high):
            over = f"values from {between}, beyond the range {number(low)} to {number(high)}"
            hint = f"they are clipped; set {SETTING}: {listed(suggestion(values)[0])}, or auto"
            found.append((f"{images} have {over}", hint))
        elif used < SMALL_SHARE * (high - low):
            becomes = f"{shade(values.low, low, high)} to {shade(values.high, low, high)} of 255"
            wanted, kind = suggestion(values)
            hint = f"{kind}: set {SETTING}: {listed(wanted)}, or auto"
            if values.low == values.high:
                hint = "the images are empty, or another channel has the content"
            found.append((f"{images} have only values from {between}, read as {becomes}", hint))
    return found


def values_note(
    train: Split, paths: Sequence[Path], channels: int, rules: ReadingRules
) -> str | None:
    """A note if the decoded training images use a small part of 0 to 255.

    ``paths`` are the files of the training images. Some are measured only if the decoded images
    look dark, so usually no file is read again.
    """
    indices = torch.arange(0, len(train), max(1, math.ceil(len(train) / MOST_SAMPLED)))
    images = train.read(indices).images
    colours = images[..., :3] if channels == 4 else images
    if not len(images) or int(colours.max()) - int(colours.min()) >= SMALL_SHARE * MAX_UINT8:
        return None
    measured = measure_files(spread(paths, MOST_EXPLAINED), channels, rules)
    found = [f"{message}; {hint}" for message, hint in suspicions(measured, rules.value_range)]
    return f"{NOTE}{'; '.join(found)}" if found else None


def shade(value: float, low: float, high: float) -> int:
    """The value of 8 bits that a value becomes."""
    return round(min(max((value - low) / (high - low), 0), 1) * MAX_UINT8)


def suggestion(values: PixelValues) -> tuple[ValueRange, str]:
    """The range that suits values which use a small part of their type, and the likely reason."""
    low, high = values.low, values.high
    if values.limit is None or low > high / 2:
        return (low, high), "if these values are right"
    bits = int(high).bit_length()
    if values.limit > MAX_UINT8 and bits > 8:
        return (0, (1 << bits) - 1), f"probably {bits}-bit data"
    if values.limit > MAX_UINT8 and high > MAX_UINT8 // 2:
        return (0, MAX_UINT8), "probably 8-bit data in files of 16 bits"
    return (0, high), "probably masks, or dark images"


def type_name(values: PixelValues) -> str:
    if values.limit is None:
        return "numbers without a natural range"
    return f"{values.limit.bit_length()} bits"


def listed(value_range: ValueRange) -> str:
    """A range as it is written in YAML: ``[0, 4095]``."""
    return f"[{', '.join(number(value).replace(',', '') for value in value_range)}]"
