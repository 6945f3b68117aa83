"""Decodes image files to uint8 arrays of a given shape."""

from __future__ import annotations

import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import PIL
from PIL import ExifTags, Image, ImageOps, ImageSequence, UnidentifiedImageError

from sepcnn.backends.machine import free_memory
from sepcnn.errors import DataError

# Pillow warns above its pixel limit and raises above twice the limit; here both are errors.
warnings.simplefilter("error", Image.DecompressionBombWarning)

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000")
"""formats of Pillow that are read, independent of the file name"""
ORIENTATION = ExifTags.Base.Orientation
"""the EXIF tag of the orientation of the camera"""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""modes of Pillow by number of channels"""
DECODER = 2
"""increased whenever the same file gives other pixels, so that old caches are not used"""

BIT_DEPTH_HINT = "save it with 8 or 16 bits per channel"
MAX_UINT16 = 0xFFFF

BYTES_PER_PIXEL = 12
"""memory while an image is decoded, rotated and converted: Pillow needs 4 for most modes"""
PIXELS_PER_STRIP = 1 << 20
MIN_PIXEL_BUDGET = 100_000_000
"""least total of images being decoded: more than the largest image that Pillow opens"""

Resize = Literal["crop", "letterbox", "stretch"]
"""for other proportions: cut off the edges, add black bars, or distort"""


def decoder() -> str:
    """Name and version of the decoder; other versions may give other pixels."""
    return f"Pillow {PIL.__version__}"


def read_image(path: Path, shape: tuple[int, int, int], resize: Resize = "crop") -> np.ndarray:
    """Read an image file, rotated upright according to EXIF, resized to ``shape``: uint8 [H, W, C].

    1 channel is grey, 3 are RGB, 4 are RGBA. For other numbers the file must be a TIFF with as many
    grey pages. Errors: `DataError` if the file is not an image, is truncated or is too large.
    """
    height, width, channels = shape
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe waits for a writer
            raise DataError(f"{path}: not a regular file")
        with Image.open(path, formats=formats()) as image:
            # With draft, a JPEG is decoded at a fraction of its size.
            side = 2 * max(width, height)  # the photo may be rotated by 90°
            image.draft("RGB" if channels > 1 else "L", (side, side))
            pages = count_pages(image, channels, path)
            size, mode = (width, height), MODES.get(channels, "L") if pages == 1 else "L"
            with pixel_budget().reserve(image.width * image.height):
                fitted = [
                    np.array(
                        resize_image(to_upright_8_bit(page, mode, path), size, resize),
                        dtype=np.uint8,
                    )
                    for _, page in zip(range(pages), ImageSequence.Iterator(image), strict=False)
                ]
            return np.stack(fitted, axis=-1).reshape(height, width, channels)
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path}: too many pixels to be read safely") from None
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except Exception as error:  # decoders raise many kinds for damaged bytes
        raise DataError(f"{path}: cannot be read ({error})") from None


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


@cache
def formats() -> tuple[str, ...]:
    """The `FORMATS` that the installed Pillow supports.

    Other formats are excluded because Pillow starts another program for one of them, EPS.
    """
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


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


def to_upright_8_bit(image: Image.Image, mode: str, path: Path) -> Image.Image:
    """Rotate an image upright and convert it to 8 bits and to ``mode``. Errors: `DataError`."""
    if image.mode == "F":
        raise DataError(f"{path}: pixels are floating-point numbers", BIT_DEPTH_HINT)
    if image.mode == "I":  # 32 bits, which Pillow also uses for formats of 16 bits
        low, high = image.getextrema()
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        if low < 0 or high > MAX_UINT16:
            raise DataError(f"{path}: pixels from {low:,} to {high:,}", BIT_DEPTH_HINT)
    image.load()  # EXIF data may follow the pixels
    upright = image if image.getexif().get(ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)
    # In strips, so that intermediate results of a large image are not in memory at once.
    canvas = Image.new(mode, upright.size)
    rows = max(1, PIXELS_PER_STRIP // upright.width)
    for top in range(0, upright.height, rows):
        strip = upright.crop((0, top, upright.width, min(top + rows, upright.height)))
        pixels = to_8_bits(strip)
        canvas.paste((pixels if mode == "RGBA" else on_white(pixels)).convert(mode), (0, top))
    return canvas


def resize_image(image: Image.Image, size: tuple[int, int], resize: Resize) -> Image.Image:
    """Resize an image to ``size``, (width, height)."""
    method = Image.Resampling.BILINEAR
    if resize == "crop":
        return ImageOps.fit(image, size, method)
    if resize == "stretch":
        return image.resize(size, method)
    scale = min(size[0] / image.width, size[1] / image.height)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    canvas = Image.new(image.mode, size)
    canvas.paste(
        image.resize((width, height), method), ((size[0] - width) // 2, (size[1] - height) // 2)
    )
    return canvas


def to_8_bits(image: Image.Image) -> Image.Image:
    """Convert images of 16 bits per pixel to 8 bits; others are unchanged."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray((values / 257).clip(0, 255).round().astype(np.uint8))
    return image


def on_white(image: Image.Image) -> Image.Image:
    """Put transparent images on a white background; others are unchanged."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, with_alpha)
    return image
