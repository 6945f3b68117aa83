"""Opens image files safely: the formats that are read, the limits, and the errors."""

from __future__ import annotations

import io
import math
import re
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from sepcnn.backends.machine import free_memory
from sepcnn.data.decoding import heic
from sepcnn.data.decoding.damage import reading_error, refuse_other_pixels
from sepcnn.data.decoding.noise import silence
from sepcnn.errors import DataError
from sepcnn.file_kind import complaint, missing_link

silence()

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000", "HEIF")
"""formats of Pillow that are read, independent of the file name"""

BYTES_PER_PIXEL = 12
"""memory while an image is decoded, rotated and converted: Pillow needs 4 for most modes"""
MIN_PIXEL_BUDGET = 100_000_000
"""least total of images being decoded: more than the largest image that is read by default"""
MAX_PIXEL_BUDGET = 170_000_000
"""largest total of images being decoded, 2 GB: seven photos of 24 megapixels at the same time"""
MAX_PIXELS = 90_000_000
"""largest number of decoded pixels, unless a data source raises it"""
MEGAPIXEL = 1_000_000


@cache
def formats() -> tuple[str, ...]:
    """The `FORMATS` that the installed Pillow supports; HEIF only with pillow-heif.

    Other formats are excluded because Pillow starts another program for one of them, EPS.
    """
    Image.init()
    heic.register()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def check_regular(path: Path) -> None:
    """Errors: `DataError` if a path is not a regular file; opening a pipe waits for a writer."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError(f"{path}: not a regular file")


@contextmanager
def open_image(path: Path, content: bytes | None = None) -> Iterator[ImageFile]:
    """Open an image file for the duration of the block; its pixels are not decoded yet.

    ``content``: the bytes of the file, if they are in memory already. Errors: `DataError` if it is
    not a regular file; any error of Pillow, which `reading_errors` converts.
    """
    if content is None:
        check_regular(path)
    name = str(path) if content is None else ""
    opened = path.open("rb") if content is None else io.BytesIO(content)
    with opened as file, identify(file, name) as image:
        refuse_other_pixels(image, path)
        yield image


def identify(file: BinaryIO, name: str) -> ImageFile:
    """Open an image as `PIL.Image.open` does, but whatever its number of pixels.

    Pillow judges a JPEG by its full size, not by the size to which it will be decoded;
    `check_size` does. The formats whose images Pillow allocates when it opens them are still
    checked by Pillow.
    """
    prefix = file.read(16)
    for format_name in formats():
        factory, accept = Image.OPEN[format_name]
        with suppress(SyntaxError, IndexError, TypeError, struct.error):  # as in Pillow
            accepted = accept(prefix) if accept else True
            if accepted and not isinstance(accepted, str):
                file.seek(0)
                return avif(file, name) if format_name == "AVIF" else factory(file, name)
    raise UnidentifiedImageError


def avif(file: BinaryIO, name: str) -> ImageFile:
    """Open an AVIF, without its EXIF data if they are damaged: libavif refuses the file then."""
    factory, _ = Image.OPEN["AVIF"]
    try:
        return factory(file, name)
    except (SyntaxError, ValueError):
        file.seek(0)
        # Decoders ignore items of unknown types. The orientation has its own item.
        return factory(io.BytesIO(file.read().replace(b"Exif", b"skip")), name)


def pixels_to_decode(image: ImageFile, full_size: tuple[int, int]) -> int:
    """The pixels that are in memory while an image is decoded.

    For a JPEG that is decoded at a fraction of ``full_size``, these are the pixels of the fraction.
    If its file has several scans, as progressive ones have, libjpeg also keeps the coefficients of
    the whole image: at most 6 bytes per pixel, half of `BYTES_PER_PIXEL`.
    """
    pixels = math.prod(image.size)
    if image.size != full_size and has_several_scans(image):
        return max(pixels, math.prod(full_size) // 2)
    return pixels


def has_several_scans(image: ImageFile) -> bool:
    """Whether a JPEG, not loaded yet, is progressive or stores its components one by one."""
    if "progressive" in image.info or image.fp is None or not hasattr(image, "layers"):
        return True
    head = image.fp.read(3)  # Pillow stops at the first scan: length, number of components
    image.fp.seek(-len(head), io.SEEK_CUR)
    return len(head) < 3 or head[2] < image.layers


def check_size(pixels: int, full_size: tuple[int, int], max_pixels: int, path: Path) -> None:
    """Errors: `DataError` if an image needs more than ``max_pixels`` to be decoded."""
    if pixels > max_pixels:
        raise too_large(path, f"{full_size[0]:,}×{full_size[1]:,} pixels", pixels, max_pixels)
    # Some formats of Pillow check again while they decode.
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels


def too_large(path: Path, size: str, pixels: int, max_pixels: int) -> DataError:
    """The error for an image that exceeds the limit."""
    megapixels, limit = math.ceil(pixels / MEGAPIXEL), max_pixels / MEGAPIXEL
    message = (
        f"{path}: {size}: {megapixels:,} megapixels to decode, more than max_megapixels {limit:,g}"
    )
    hint = f"use a smaller copy, or set max_megapixels: {megapixels} in data.source.Folder"
    return DataError(message, hint)


@contextmanager
def reading_errors(path: Path, content: bytes | None = None) -> Iterator[None]:
    """Convert every exception of the block to a `DataError` that names the file.

    ``content`` are the bytes of the file, if they are in memory already.
    """
    try:
        yield
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(complaint(path, "an image file", content)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        found = re.search(r"[0-9]+", str(error))
        pixels = int(found[0]) if found else 0
        raise too_large(path, f"{pixels:,} pixels", pixels, Image.MAX_IMAGE_PIXELS or 0) from None
    except FileNotFoundError:
        reason = missing_link(path)
        raise DataError(f"there is no file {path}" + (f": {reason}" if reason else "")) from None
    except Exception as error:  # decoders raise many kinds for damaged bytes
        reason = reading_error(path, content, error)
        raise DataError(f"{path}: cannot be read ({reason})") from None


class PixelBudget:
    """Limits the number of pixels that threads decode at the same time."""

    def __init__(self, pixels: int) -> None:
        self.pixels = self.left = pixels
        self.released = threading.Condition()

    @contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        """Wait until ``pixels`` are free, and use them for the duration of the block."""
        pixels = min(pixels, self.pixels)  # a larger image uses the whole budget
        with self.released:
            self.released.wait_for(lambda: self.left >= pixels)
            self.left -= pixels
        try:
            yield
        finally:
            with self.released:
                self.left += pixels
                self.released.notify_all()


@cache
def pixel_budget() -> PixelBudget:
    """The budget of this process: a quarter of the free memory, within the limits above."""
    pixels = (free_memory() or 0) // 4 // BYTES_PER_PIXEL
    return PixelBudget(min(MAX_PIXEL_BUDGET, max(MIN_PIXEL_BUDGET, pixels)))
