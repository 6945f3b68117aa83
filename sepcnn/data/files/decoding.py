"""Decodes image files to uint8 arrays of a given shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image
from PIL.ImageFile import ImageFile

from sepcnn.data.files.opening import (
    MAX_PIXELS,
    check_size,
    open_image,
    pixel_budget,
    pixels_to_decode,
    reading_errors,
)
from sepcnn.data.files.pages import Page, has_low_bytes, load_page
from sepcnn.data.files.pixel_values import ValueRange, to_8_bits
from sepcnn.data.files.resizing import Resize, resize_image
from sepcnn.errors import DataError

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
    grey pages. ``content`` are the bytes of the file, if they are in memory already. ``on_page`` is
    called with each page, whose values are then exact.
    Errors: `DataError` if the file is not an image, is truncated or is too large.
    """
    height, width, channels = shape
    with reading_errors(path, content), open_image(path, content) as image:
        # With draft, a JPEG is decoded at a fraction of its size.
        side = 2 * max(width, height)  # the photo may be rotated by 90°
        full_size = image.size
        image.draft("RGB" if channels > 1 else "L", (side, side))
        pages = count_pages(image, channels, path)
        size, mode = (width, height), MODES.get(channels, "L") if pages == 1 else "L"
        deep = rules.value_range is not None or on_page is not None
        fitted = []
        for number in range(pages):
            if number:
                image.seek(number)
                full_size = image.size
            with loaded_page(image, full_size, path, content, rules, deep=deep) as page:
                if on_page:
                    on_page(page)
                converted = to_8_bits(page, mode, rules.value_range, path)
                fitted.append(np.array(resize_image(converted, size, resize), dtype=np.uint8))
        return np.stack(fitted, axis=-1).reshape(height, width, channels)


def visit_pages(
    path: Path, channels: int, rules: ReadingRules, on_page: Callable[[Page], object]
) -> None:
    """Call ``on_page`` with each page that is read for ``channels``. Errors: `DataError`."""
    with reading_errors(path), open_image(path) as image:
        for number in range(count_pages(image, channels, path)):
            if number:
                image.seek(number)
            with loaded_page(image, image.size, path, None, rules, deep=True) as page:
                on_page(page)


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
