"""Decodes image files to uint8 arrays of a given shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageSequence

from sepcnn.data.files.opening import open_image, pixel_budget, reading_errors
from sepcnn.data.files.pixel_values import to_upright_8_bit
from sepcnn.data.files.resizing import Resize, resize_image
from sepcnn.errors import DataError

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""modes of Pillow by number of channels"""
DECODER = 2
"""increased whenever the same file gives other pixels, so that old caches are not used"""


def decoder() -> str:
    """Name and version of the decoder; other versions may give other pixels."""
    return f"Pillow {PIL.__version__}"


def read_image(
    path: Path,
    shape: tuple[int, int, int],
    resize: Resize = "crop",
    *,
    content: bytes | None = None,
) -> np.ndarray:
    """Read an image file, rotated upright according to EXIF, resized to ``shape``: uint8 [H, W, C].

    1 channel is grey, 3 are RGB, 4 are RGBA. For other numbers the file must be a TIFF with as many
    grey pages. ``content`` are the bytes of the file, if they are in memory already.
    Errors: `DataError` if the file is not an image, is truncated or is too large.
    """
    height, width, channels = shape
    with reading_errors(path, content), open_image(path, content) as image:
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
