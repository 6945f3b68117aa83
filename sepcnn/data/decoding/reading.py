"""Decodes image files to uint8 arrays of a given shape."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from sepcnn.data.decoding.opening import (
    MAX_PIXELS,
    check_regular,
    check_size,
    open_image,
    pixel_budget,
    pixels_to_decode,
    reading_errors,
)
from sepcnn.data.decoding.pages import Page, has_low_bytes, load_page
from sepcnn.data.decoding.pixel_values import ValueRange, to_8_bits
from sepcnn.data.decoding.resizing import Resize, resize_image
from sepcnn.data.decoding.tiff_bands import load_bands, read_bands
from sepcnn.errors import DataError
from sepcnn.wording import counted

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""modes of Pillow by number of channels"""
DECODER = 3
"""increased whenever the same file gives other pixels, so that old caches are not used"""


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """How the files of a data set are read, in addition to shape and resizing."""

    value_range: ValueRange | None = None
    """values that become 0 and 255; None is the full range of the file's type"""
    max_pixels: int = MAX_PIXELS
    """largest number of decoded pixels; does not change the pixels of an image that is read"""


DEFAULT_RULES = ReadingRules()


def decoder() -> str:
    """Name and version of the decoder; other versions may give other pixels."""
    return f"Pillow {PIL.__version__}"


def read_image(
    path: Path,
    shape: tuple[int, int, int],
    resize: Resize = "crop",
    rules: ReadingRules = DEFAULT_RULES,
    *,
    content: bytes | None = None,
    on_page: Callable[[Page], object] | None = None,
) -> np.ndarray:
    """Read an image file, rotated upright according to EXIF, resized to ``shape``: uint8 [H, W, C].

    1 channel is grey, 3 are RGB, 4 are RGBA. For other numbers the file must be a TIFF with as many
    bands or grey pages. ``content`` are the bytes of the file, if they are in memory already.
    ``on_page`` is called with each page, whose values are then exact.
    Errors: `DataError` if the file is not an image, is truncated or is too large.
    """
    height, width, channels = shape
    deep = rules.value_range is not None or on_page is not None
    fitted = []
    with reading_errors(path, content):
        # With draft, a JPEG is decoded at a fraction of its size. The photo may be rotated by 90°.
        side = 2 * max(width, height)
        pages = decoded_pages(path, channels, rules, content, side=side, deep=deep)
        with closing(pages):  # gives the budget of pixels back after an error, too
            for page, mode in pages:
                if on_page:
                    on_page(page)
                converted = to_8_bits(page, mode, rules.value_range, path)
                fitted.append(np.array(resize_image(converted, (width, height), resize), np.uint8))
    return np.stack(fitted, axis=-1).reshape(height, width, channels)


def visit_pages(
    path: Path, channels: int, rules: ReadingRules, on_page: Callable[[Page], object]
) -> None:
    """Call ``on_page`` with each page that is read for ``channels``. Errors: `DataError`."""
    with reading_errors(path):
        pages = decoded_pages(path, channels, rules, None, side=None, deep=True)
        with closing(pages):
            for page, _ in pages:
                on_page(page)


def decoded_pages(
    path: Path,
    channels: int,
    rules: ReadingRules,
    content: bytes | None,
    *,
    side: int | None,
    deep: bool,
) -> Generator[tuple[Page, str]]:
    """Decode the pages or bands of a file one by one, each with the mode that is made of it.

    ``side`` is the least side to which a JPEG may be reduced. Errors: `DataError`, or any error of
    Pillow.
    """
    if content is None:
        check_regular(path)
    bands = read_bands(path, content)
    if bands and bands.are_channels(channels):
        pixels = bands.pixels_to_decode
        check_size(pixels, bands.size, rules.max_pixels, path)
        with pixel_budget().reserve(pixels):
            for page in load_bands(bands, path, content):
                yield page, "L"
        return
    try:
        with open_image(path, content) as image:
            full_size = image.size
            if side:
                image.draft("RGB" if channels > 1 else "L", (side, side))
            pages = count_pages(image, channels, path)
            for number in range(pages):
                if number:
                    image.seek(number)
                    full_size = image.size
                with loaded_page(image, full_size, path, content, rules, deep=deep) as page:
                    yield page, MODES.get(channels, "L") if pages == 1 else "L"
    except UnidentifiedImageError:
        if bands is None:
            raise
        hint = f"input_shape: [H, W, {bands.count}] reads all bands"
        message = f"{path}: {bands}, expected {counted(channels, 'channel')}"
        raise DataError(message, hint) from None


@contextmanager
def loaded_page(
    image: ImageFile,
    full_size: tuple[int, int],
    path: Path,
    content: bytes | None,
    rules: ReadingRules,
    *,
    deep: bool,
) -> Iterator[Page]:
    """Decode a page within the limits of memory. Errors: `DataError` if it is too large."""
    pixels = pixels_to_decode(image, full_size)
    check_size(pixels, full_size, rules.max_pixels, path)
    passes = 2 if has_low_bytes(image) and deep else 1
    with pixel_budget().reserve(passes * pixels):
        yield load_page(image, path, content, deep=deep)


def count_pages(image: Image.Image, channels: int, path: Path) -> int:
    """The number of pages to read as channels: 1 unless the file is a TIFF of grey pages.

    Errors: `DataError` if the file does not fit ``channels``.
    """
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if pages == channels and len(image.getbands()) == 1:
        return pages
    if channels not in MODES:
        kind = f"{pages} pages of mode {image.mode}" if pages > 1 else f"mode {image.mode}"
        message = f"{path}: {kind}, expected {channels} channels"
        raise DataError(message, "use 1, 3 or 4 channels, or a TIFF with one grey page per channel")
    return 1
