"""Image files as the net's uint8 arrays."""

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

# Above its limit of pixels Pillow only warns, and refuses above twice of it; refused is refused.
warnings.simplefilter("error", Image.DecompressionBombWarning)

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000")
"""what may be in a file, whatever it is called"""
ORIENTATION = ExifTags.Base.Orientation
"""the tag of EXIF that says how the camera was held"""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
DECODER = 2
"""counts up whenever the same file gives other pixels, so that no cache holds old ones"""

SAVE_IT = "save it with 8 or 16 bits a channel"
MAX_UINT16 = 0xFFFF

BYTES_PER_PIXEL = 12
"""while an image is decoded, turned upright and converted: Pillow takes 4 for most modes"""
PIXELS_PER_STRIP = 1 << 20
MIN_PIXEL_BUDGET = 100_000_000
"""of all images that are being decoded, at least: more than the largest that Pillow opens"""

Resize = Literal["crop", "letterbox", "stretch"]
"""what is done with other proportions: cut off, filled up with black, or pulled"""


def decoder() -> str:
    """What made the pixels of a file: another version may make others."""
    return f"Pillow {PIL.__version__}"


def read_image(path: Path, shape: tuple[int, int, int], resize: Resize = "crop") -> np.ndarray:
    """One image file as uint8 [H, W, C], upright. Channels are grey, colour, colour with
    transparency, or any other number where a TIFF has as many grey pages.

    Errors: `DataError` for a file that is no image, is cut off, or is suspiciously large.
    """
    height, width, channels = shape
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for a writer
            raise DataError(f"{path}: not a regular file")
        with Image.open(path, formats=formats()) as image:
            # Asking the decoder first lets JPEG be decoded at a fraction of its size.
            side = 2 * max(width, height)  # of a photo that may lie on its side
            image.draft("RGB" if channels > 1 else "L", (side, side))
            pages = count_pages(image, channels, path)
            size, mode = (width, height), MODES.get(channels, "L") if pages == 1 else "L"
            with room().of(image.width * image.height):
                fitted = [
                    np.array(resize_image(one_kind(page, mode, path), size, resize), dtype=np.uint8)
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
    except Exception as error:  # damaged bytes make decoders raise anything
        raise DataError(f"{path}: cannot be read ({error})") from None


class Room:
    """Memory for images of so many pixels: whoever wants to decode more waits for the others."""

    def __init__(self, pixels: int) -> None:
        self.pixels = self.left = pixels
        self.changed = threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        pixels = min(pixels, self.pixels)  # one that is larger than all room has it alone
        with self.changed:
            self.changed.wait_for(lambda: self.left >= pixels)
            self.left -= pixels
        try:
            yield
        finally:
            with self.changed:
                self.left += pixels
                self.changed.notify_all()


@cache
def room() -> Room:
    """A quarter of the memory, but enough for any single image."""
    return Room(max(MIN_PIXEL_BUDGET, (free_memory() or 0) // 4 // BYTES_PER_PIXEL))


@cache
def formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow knows. For one of its others, EPS, it would start
    another program on whatever the file says.
    """
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def count_pages(image: Image.Image, channels: int, path: Path) -> int:
    """How many pages of a file are channels: 1 for an ordinary image. Errors: `DataError`."""
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if pages == channels and len(image.getbands()) == 1:
        return pages
    if channels not in MODES:
        kind = f"{pages} pages of mode {image.mode}" if pages > 1 else f"mode {image.mode}"
        message = f"{path}: {kind}, the net takes {channels} channels"
        raise DataError(message, "image files have 1, 3 or 4 channels; a TIFF also grey pages")
    return 1


def one_kind(image: Image.Image, mode: str, path: Path) -> Image.Image:
    """Upright, 8 bits, in the mode that is wanted. Errors: `DataError`."""
    if image.mode == "F":
        raise DataError(f"{path}: pixels are fractions", SAVE_IT)
    if image.mode == "I":  # 32 bits, of which 16 are used where a format has no more
        low, high = image.getextrema()
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        if low < 0 or high > MAX_UINT16:
            raise DataError(f"{path}: pixels from {low:,} to {high:,}", SAVE_IT)
    image.load()  # EXIF data may stand behind the pixels
    turned = image if image.getexif().get(ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)
    # By strips, since a large image and each form between would be in memory at once.
    whole = Image.new(mode, turned.size)
    rows = max(1, PIXELS_PER_STRIP // turned.width)
    for top in range(0, turned.height, rows):
        strip = turned.crop((0, top, turned.width, min(top + rows, turned.height)))
        pixels = to_8_bits(strip)
        whole.paste((pixels if mode == "RGBA" else on_white(pixels)).convert(mode), (0, top))
    return whole


def resize_image(image: Image.Image, size: tuple[int, int], resize: Resize) -> Image.Image:
    """An image of width and height ``size``."""
    method = Image.Resampling.BILINEAR
    if resize == "crop":
        return ImageOps.fit(image, size, method)
    if resize == "stretch":
        return image.resize(size, method)
    scale = min(size[0] / image.width, size[1] / image.height)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    whole = Image.new(image.mode, size)
    whole.paste(
        image.resize((width, height), method), ((size[0] - width) // 2, (size[1] - height) // 2)
    )
    return whole


def to_8_bits(image: Image.Image) -> Image.Image:
    """Images of 16 bits a pixel as 8; others as they are."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray((values / 257).clip(0, 255).round().astype(np.uint8))
    return image


def on_white(image: Image.Image) -> Image.Image:
    """Transparent images before white; others as they are."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, with_alpha)
    return image
