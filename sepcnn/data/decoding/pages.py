"""A page of an image file: its pixels, upright, with the values that are stored in the file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from PIL.ImageFile import ImageFile

from sepcnn.data.decoding.opening import open_image

ORIENTATION = ExifTags.Base.Orientation
"""the EXIF tag of the orientation of the camera"""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""what turns an image of each EXIF orientation upright"""
MAX_UINT8, MAX_UINT16 = 0xFF, 0xFFFF
PHOTOMETRIC, BITS_PER_SAMPLE, WHITE_IS_ZERO = 262, 258, 0
"""tags of a TIFF, and the value of the first for inverted images"""
_NATIVE_LOW = "16B" if sys.byteorder == "little" else "16L"
LOW_BYTES = {
    **{f"{mode};16B": f"{mode};16L" for mode in ("RGB", "RGBA", "RGBX")},
    **{f"{mode};16L": f"{mode};16B" for mode in ("RGB", "RGBA", "RGBX")},
    **{f"{mode};16N": f"{mode};{_NATIVE_LOW}" for mode in ("RGB", "RGBA", "RGBX")},
    "LA;16B": "RGBA",
}
"""raw mode of Pillow that reads the low bytes of colours of 16 bits, by the one for the high bytes:
Pillow has no mode for such colours, and drops the low bytes"""


@dataclass(frozen=True, slots=True)
class Page:
    """A decoded page."""

    image: Image.Image
    """upright; for colours of 16 bits the high bytes"""
    low_bytes: Image.Image | None
    """the low bytes of colours of 16 bits, if they were asked for"""
    limit: int | None
    """largest value of the pixels' type; None for floating-point, signed and 32-bit numbers"""
    inverted: bool = False
    """whether 0 is white, and Pillow does not invert the pixels itself"""

    @property
    def deep(self) -> bool:
        """Whether the values need more than 8 bits."""
        return self.low_bytes is not None or self.image.mode[0] in "IF"

    def values(self, box: tuple[int, int, int, int]) -> np.ndarray:
        """The values of a deep page inside ``box``: float64 [height, width, colours]."""
        pixels = np.asarray(self.image.crop(box)).astype(np.float64)
        if self.low_bytes is not None:
            pixels = pixels * 256 + np.asarray(self.low_bytes.crop(box))
            pixels = pixels[..., :3]
        return pixels.reshape(*pixels.shape[:2], -1)

    def alpha(self, box: tuple[int, int, int, int]) -> Image.Image | None:
        """The opacity of a deep page inside ``box``, 8 bits; None if it is opaque."""
        if self.image.mode == "RGBA":
            return self.image.crop(box).getchannel("A")
        transparent = self.image.info.get("transparency")
        if transparent is None:
            return None
        opaque = (self.values(box) != np.array(transparent)).any(axis=2)
        return Image.fromarray(np.where(opaque, MAX_UINT8, 0).astype(np.uint8))


def has_low_bytes(image: ImageFile) -> bool:
    """Whether the page is one of colours of 16 bits, which Pillow reads as 8 bits."""
    return bool(image.tile) and all(raw_mode(tile) in LOW_BYTES for tile in image.tile)


def load_page(image: ImageFile, path: Path, content: bytes | None, *, deep: bool) -> Page:
    """Decode the page at which ``image`` is. ``deep`` reads the low bytes of colours of 16 bits."""
    limit = largest_value(image)
    inverted = image.format == "TIFF" and image.mode[0] in "IF"
    inverted = inverted and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO  # type: ignore[attr-defined]
    low_bytes = None
    # A transparent colour of 16 bits is one that both bytes of a pixel are compared with.
    if has_low_bytes(image) and (deep or "transparency" in image.info):
        low_bytes, limit = load_low_bytes(image, path, content), MAX_UINT16
    scale_transparency(image)
    image.load()  # EXIF data may follow the pixels
    turn = orientation(image)
    return Page(upright(image, turn), low_bytes and upright(low_bytes, turn), limit, inverted)


def load_low_bytes(image: ImageFile, path: Path, content: bytes | None) -> Image.Image:
    """Decode a page of colours of 16 bits once more, for the low bytes."""
    raw = raw_mode(image.tile[0])
    with open_image(path, content) as twin:
        twin.seek(image.tell())
        low = LOW_BYTES[raw]
        twin.tile = [
            tile._replace(args=(low, *tile.args[1:]) if isinstance(tile.args, tuple) else low)
            for tile in twin.tile
        ]
        twin.load()
        if raw.startswith("LA"):  # read as four channels: high and low byte of grey, of opacity
            _, grey, _, alpha = twin.split()
            return Image.merge("RGBA", (grey, grey, grey, alpha))
        return twin.copy()


def raw_mode(tile: object) -> str:
    """Pillow's name for the layout of the stored pixels, for instance ``RGB;16B``."""
    args = getattr(tile, "args", "")
    return args if isinstance(args, str) else str(args[0]) if args else ""


def largest_value(image: ImageFile) -> int | None:
    """The largest value that the pixels' type can have; None if it has no natural one."""
    if image.mode == "1":
        return 1
    if image.mode.startswith("I;16"):
        twelve = any(raw_mode(tile) == "I;12" for tile in image.tile)
        if image.format == "TIFF" and image.tag_v2.get(BITS_PER_SAMPLE) == (12,):  # type: ignore[attr-defined]
            twelve = True
        return 0xFFF if twelve else MAX_UINT16
    if image.mode == "I" and image.format in ("PPM", "PNG"):  # Pillow scales other maxima of a PPM
        return MAX_UINT16
    return None if image.mode[0] in "IF" else MAX_UINT8


def scale_transparency(image: ImageFile) -> None:
    """Scale a transparent grey of 2 or 4 bits as Pillow scales the pixels, but not this value."""
    value = image.info.get("transparency")
    bits = {"L;2": 2, "L;4": 4}.get(raw_mode(image.tile[0]) if image.tile else "")
    if bits and isinstance(value, int):
        image.info["transparency"] = value * MAX_UINT8 // ((1 << bits) - 1)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1, upright, if the EXIF data are damaged."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # Pillow raises many kinds for damaged bytes
        return 1


def upright(image: Image.Image, turn: int) -> Image.Image:
    """Rotate an image of the EXIF orientation ``turn`` upright."""
    return image.transpose(TURNS[turn]) if turn in TURNS else image
