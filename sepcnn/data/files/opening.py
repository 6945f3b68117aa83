"""Opens image files safely: the formats that are read, the limits, and the errors."""

from __future__ import annotations

import io
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from sepcnn.backends.machine import free_memory
from sepcnn.data.files import heic
from sepcnn.data.files.damage import reading_error, refuse_other_pixels
from sepcnn.errors import DataError
from sepcnn.file_kind import complaint, missing_link

# Pillow warns above its pixel limit and raises above twice the limit; here both are errors.
warnings.simplefilter("error", Image.DecompressionBombWarning)

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000", "HEIF")
"""formats of Pillow that are read, independent of the file name"""

BYTES_PER_PIXEL = 12
"""memory while an image is decoded, rotated and converted: Pillow needs 4 for most modes"""
MIN_PIXEL_BUDGET = 100_000_000
"""least total of images being decoded: more than the largest image that Pillow opens"""


@cache
def formats() -> tuple[str, ...]:
    """The `FORMATS` that the installed Pillow supports; HEIF only with pillow-heif.

    Other formats are excluded because Pillow starts another program for one of them, EPS.
    """
    Image.init()
    heic.register()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def open_image(path: Path, content: bytes | None = None) -> Iterator[ImageFile]:
    """Open an image file for the duration of the block; its pixels are not decoded yet.

    ``content`` are the bytes of the file, if they are in memory already. Errors: `DataError` if it
    is not a regular file; those of Pillow, which `reading_errors` converts.
    """
    # Opening a pipe would wait for a writer.
    if content is None and not stat.S_ISREG(path.stat().st_mode):
        raise DataError(f"{path}: not a regular file")
    with Image.open(path if content is None else io.BytesIO(content), formats=formats()) as image:
        refuse_other_pixels(image, path)
        yield image


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
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path}: too many pixels to be read safely") from None
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
    """The budget of this process: a quarter of the free memory, at least `MIN_PIXEL_BUDGET`."""
    return PixelBudget(max(MIN_PIXEL_BUDGET, (free_memory() or 0) // 4 // BYTES_PER_PIXEL))
