"""Converts the pixels of any image mode to 8 bits per channel."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from sepcnn.data.decoding.pages import MAX_UINT8, MAX_UINT16, Page
from sepcnn.errors import DataError

PIXELS_PER_STRIP = 1 << 20
ValueRange = tuple[float, float]
"""the values that become 0 and 255; those outside are clipped"""
RANGE_HINT = "set value_range: [LOW, HIGH] or value_range: auto in data.source.Folder"


def to_8_bits(page: Page, mode: str, value_range: ValueRange | None, path: Path) -> Image.Image:
    """Convert a page to 8 bits and to ``mode``.

    ``value_range`` becomes 0 to 255; None is the full range of the pixels' type. A type that cannot
    hold the upper end keeps its full range, so that files of 8 bits may be next to files of 16.
    Errors: `DataError` if the type has no full range and ``value_range`` is None.
    """
    low, high = applied_range(page, value_range, path)
    if is_unchanged(page, mode, low, high):
        return page.image
    # In strips, so that intermediate results of a large image are not in memory at once.
    canvas = Image.new(mode, page.image.size)
    width, height = page.image.size
    rows = max(1, PIXELS_PER_STRIP // width)
    for top in range(0, height, rows):
        strip = strip_to_8_bits(page, (0, top, width, min(top + rows, height)), low, high)
        shown = with_alpha(strip) if mode == "RGBA" else on_white(strip)
        canvas.paste(shown.convert(mode), (0, top))
    return canvas


def is_unchanged(page: Page, mode: str, low: float, high: float) -> bool:
    """Whether a page has 8 bits and the wanted mode already: a copy would double the memory."""
    if page.deep or page.image.mode != mode or (low, high) != (0, page.limit):
        return False
    return mode == "RGBA" or not is_transparent(page.image)


def applied_range(page: Page, value_range: ValueRange | None, path: Path) -> ValueRange:
    """The values of a page that become 0 and 255. Errors: `DataError` if they are not known."""
    if value_range or page.limit is not None:
        return range_in_force(page.limit, value_range)
    low, high = page.image.getextrema()
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if page.image.mode == "F" or low < 0 or high > MAX_UINT16:
        kind = "floating-point pixels" if page.image.mode == "F" else "pixels"
        message = f"{kind} from {number(low)} to {number(high)} need a value_range"
        raise DataError(f"{path}: {message}", RANGE_HINT)
    return 0, MAX_UINT16


def number(value: float) -> str:
    """A value without needless digits: ``4,095``, ``0.25``."""
    whole = math.isfinite(value) and value == int(value)
    return f"{int(value):,}" if whole else f"{value:.4g}"


def range_in_force(limit: int | None, value_range: ValueRange | None) -> ValueRange:
    """The values that become 0 and 255 in pixels of a type whose largest value is ``limit``."""
    if value_range and (limit is None or value_range[1] <= limit):
        return value_range
    return 0, MAX_UINT16 if limit is None else limit


def strip_to_8_bits(
    page: Page, box: tuple[int, int, int, int], low: float, high: float
) -> Image.Image:
    """Convert the part of a page inside ``box`` to 8 bits: ``low`` becomes 0, ``high`` 255."""
    if page.deep:
        shades = scale(page.values(box), low, high)
        shades = MAX_UINT8 - shades if page.inverted else shades
        strip = Image.fromarray(shades[..., 0] if shades.shape[2] == 1 else shades)
        alpha = page.alpha(box)
    else:
        strip = page.image.crop(box)
        if (low, high) == (0, page.limit) or strip.mode == "1":
            return strip
        strip, alpha = colours_and_alpha(strip)
        table = scale(np.arange(MAX_UINT8 + 1), low, high).tolist()
        strip = strip.point(table * len(strip.getbands()))
    if alpha is not None:
        strip.putalpha(alpha)
    return strip


def scale(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map ``low`` to 0 and ``high`` to 255, linearly; not-a-number becomes 0."""
    scaled = (values - low) * MAX_UINT8 / (high - low)
    return np.nan_to_num(scaled, nan=0).clip(0, MAX_UINT8).round().astype(np.uint8)


def colours_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Split an image of 8 bits into grey or RGB, and its opacity."""
    if image.mode == "L" and "transparency" not in image.info:
        return image, None
    if not is_transparent(image):
        return image.convert("RGB"), None
    full = with_alpha(image)
    return full.convert("RGB"), full.getchannel("A")


def is_transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def with_alpha(image: Image.Image) -> Image.Image:
    """Convert an image to RGBA."""
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def on_white(image: Image.Image) -> Image.Image:
    """Put transparent images on a white background; others are unchanged."""
    if not is_transparent(image):
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, with_alpha(image))
