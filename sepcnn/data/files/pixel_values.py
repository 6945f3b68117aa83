"""Converts the pixels of any image mode to 8 bits per channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from sepcnn.errors import DataError

ORIENTATION = ExifTags.Base.Orientation
"""the EXIF tag of the orientation of the camera"""
BIT_DEPTH_HINT = "save it with 8 or 16 bits per channel"
MAX_UINT16 = 0xFFFF
PIXELS_PER_STRIP = 1 << 20


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
