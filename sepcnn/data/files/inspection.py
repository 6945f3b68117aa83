"""Image files as `sepcnn check` sees them: size, colour and what tells copies; on all cores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from sepcnn.backends.machine import processor_count
from sepcnn.data.files.decoding import read_image
from sepcnn.data.progress import ProgressCallback, no_progress
from sepcnn.errors import DataError

try:
    import imagehash
except ImportError:
    imagehash = None  # type: ignore[assignment]

COMMON_SHARE = 0.1
"""share of the images above which a property is no exception"""
MAX_CUT = 0.5
"""share of an image that may be cut off unmentioned"""
HASH_SIDE = 16
"""a perceptual hash has this many bits squared"""
THUMBNAIL_SIDE = 16
DECODED_SIDE = 4 * HASH_SIDE
"""pixels of which a hash is made"""
LYING = (5, 6, 7, 8)
"""orientations of EXIF that swap height and width; other values mean nothing"""
GREY_TOLERANCE = 3
"""between the channels of a pixel that is called grey: JPEG rounds"""


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image file with its place in the data set."""

    path: Path
    split: str
    class_name: str


@dataclass(frozen=True, slots=True, eq=False)
class ImageProperties:
    """What was seen of an image."""

    digest: bytes
    """of the file's bytes"""
    size: tuple[int, int]
    """height and width, upright"""
    grey: bool
    thumbnail: NDArray[np.uint8]
    """RGB"""
    perceptual: NDArray[np.bool_] | None
    """None without the library"""

    def share_cut(self, height: float, width: float) -> float:
        """Share of the image outside the largest crop with the proportions ``height:width``."""
        own, wanted = self.size[0] * width, height * self.size[1]
        return 1 - min(own, wanted) / max(own, wanted)


@dataclass(frozen=True, slots=True, eq=False)
class InspectedImage:
    """An image file and what was seen of it, or why it cannot be read."""

    path: Path
    split: str
    class_name: str
    properties: ImageProperties | None
    error: str = ""


def imagehash_installed() -> bool:
    """Whether the library of perceptual hashes is installed."""
    return imagehash is not None


def inspect_images(
    entries: Iterable[ListedImage], channels: int, watch: ProgressCallback = no_progress
) -> tuple[InspectedImage, ...]:
    """Look at every file, in their order, for a net that takes so many channels."""
    entries = tuple(entries)
    found = []
    pool = ThreadPoolExecutor(processor_count())
    try:
        for picture in pool.map(inspect_image, entries, repeat(channels)):
            found.append(picture)
            watch(len(found), len(entries))
    finally:  # an interrupt does not wait for the rest
        pool.shutdown(cancel_futures=True)
    return tuple(found)


def inspect_image(entry: ListedImage, channels: int) -> InspectedImage:
    look, error = None, ""
    try:
        look = measure_image(entry.path, channels)
    except DataError as problem:
        error = problem.message
    except OSError as problem:  # the file vanished meanwhile
        error = f"{entry.path}: {(problem.strerror or str(problem)).lower()}"
    return InspectedImage(entry.path, entry.split, entry.class_name, look, error)


def measure_image(path: Path, channels: int) -> ImageProperties:
    """Errors: `DataError` for what training could not read either."""
    as_colour = channels in (1, 3, 4)
    shape = (DECODED_SIDE, DECODED_SIDE, 3 if as_colour else channels)
    pixels = read_image(path, shape, "stretch")
    if not as_colour:  # pages of a TIFF
        pixels = pixels.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    image = Image.fromarray(pixels)
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    thumbnail = np.asarray(image.resize(side, Image.Resampling.BOX))
    return ImageProperties(
        digest=digest(path),
        size=upright_size(path),
        grey=int(np.ptp(thumbnail, axis=2).max()) <= GREY_TOLERANCE,
        thumbnail=thumbnail,
        perceptual=imagehash.phash(image, HASH_SIDE).hash.ravel()
        if imagehash_installed()
        else None,
    )


def digest(path: Path) -> bytes:
    """Of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def upright_size(path: Path) -> tuple[int, int]:
    """Height and width of an image that could be read, as its EXIF data turns it."""
    with Image.open(path) as image:
        width, height = image.size
        turned = image.getexif().get(ExifTags.Base.Orientation) in LYING
    return (width, height) if turned else (height, width)
