"""Images of Pillow and NumPy as the bytes of an image file, so that all images are read alike."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from sepcnn.data.decoding.opening import reading_errors
from sepcnn.data.decoding.pages import ORIENTATION, TURNS, orientation
from sepcnn.errors import DataError

PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
TIFF_MODES = ("I", "I;16", "I;16B", "F", "CMYK", "YCbCr", "LAB")
EQUIVALENT_MODES = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA"}
"""modes that no format stores; all others become RGB"""


def bytes_of_image(image: Image.Image, name: Path) -> bytes:
    """The bytes of a file that contains an image.

    If the image was opened from a file and its pixels are not decoded yet, this is the original
    file. Otherwise it is a lossless PNG or TIFF with the orientation of the camera.
    Errors: `DataError` if the image was closed or its pixels cannot be decoded.
    """
    with reading_errors(name):
        if (content := bytes_of_original(image)) is not None:
            return content
        if isinstance(image, ImageFile) and image.tile and not image.fp:
            message = f"{name}: the image was closed before its pixels were read"
            raise DataError(message, "call image.load() before you close it")
        if 0 in image.size:
            raise DataError(f"{name}: the image has no pixels")
        return encoded(image)


def bytes_of_original(image: Image.Image) -> bytes | None:
    """The bytes of the file of an image whose pixels are not decoded yet; None for others."""
    if not (isinstance(image, ImageFile) and image.tile and image.fp and image.tell() == 0):
        return None
    position = image.fp.tell()  # Pillow decodes from here later
    try:
        image.fp.seek(0)
        return image.fp.read()
    finally:
        image.fp.seek(position)


def encoded(image: Image.Image) -> bytes:
    """The pixels of an image and its orientation as a PNG or TIFF, without loss."""
    image.load()
    exif = Image.Exif()
    if (turn := orientation(image)) in TURNS:
        exif[ORIENTATION] = turn
    if image.mode not in PNG_MODES + TIFF_MODES:
        image = image.convert(EQUIVALENT_MODES.get(image.mode, "RGB"))
    file = io.BytesIO()
    if image.mode in PNG_MODES:
        image.save(file, "PNG", compress_level=0, exif=exif)
    else:
        image.save(file, "TIFF", exif=exif)
    return file.getvalue()


def bytes_of_array(pixels: NDArray[np.uint8]) -> bytes:
    """The bytes of a file that contains an array, uint8 [H, W, C] with 1 to 4 channels."""
    return encoded(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
