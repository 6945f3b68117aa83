"""Measures image files for `sepcnn check`: size, colour and hashes that reveal duplicates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sepcnn.data.decoding.opening import open_image, reading_errors
from sepcnn.data.decoding.pages import orientation
from sepcnn.data.decoding.reading import DEFAULT_RULES, ReadingRules, read_image
from sepcnn.data.decoding.tiff_bands import read_bands
from sepcnn.data.decoding.value_range import PixelValues, joined, measure_page
from sepcnn.data.listing.split_files import file_digest
from sepcnn.data.progress import ProgressCallback, no_progress
from sepcnn.data.threads import map_in_threads
from sepcnn.errors import DataError
from sepcnn.file_kind import system_error

try:
    import imagehash
except ImportError:
    imagehash = None  # type: ignore[assignment]

COMMON_SHARE = 0.1
"""fraction of the images above which a property is common"""
MAX_CUT = 0.5
"""fraction of an image that may be cropped without a note"""
HASH_SIDE = 16
"""a perceptual hash has HASH_SIDE² bits"""
THUMBNAIL_SIDE = 16
DECODED_SIDE = 4 * HASH_SIDE
"""height and width of the image that is hashed"""
SWAPPED_ORIENTATIONS = (5, 6, 7, 8)
"""EXIF orientations that swap height and width"""
GREY_TOLERANCE = 3
"""largest difference between the channels of a grey pixel: JPEG is not exact"""


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image file with its split and class."""

    path: Path
    split: str
    class_name: str


@dataclass(frozen=True, slots=True, eq=False)
class ImageProperties:
    """Measurements of an image."""

    digest: str
    """BLAKE2 of the file, hexadecimal"""
    size: tuple[int, int]
    """height and width in pixels, upright"""
    grey: bool
    thumbnail: NDArray[np.uint8]
    """uint8 [16, 16, 3], RGB"""
    perceptual: NDArray[np.bool_] | None
    """bits of the perceptual hash; None without imagehash"""
    values: PixelValues | None = None
    """the smallest and largest value in the file"""

    def share_cut(self, height: float, width: float) -> float:
        """Share of the image outside its largest crop with proportions ``height:width``."""
        own, wanted = self.size[0] * width, height * self.size[1]
        return 1 - min(own, wanted) / max(own, wanted)


@dataclass(frozen=True, slots=True, eq=False)
class InspectedImage:
    """An image file with its measurements, or the error if it cannot be read."""

    path: Path
    split: str
    class_name: str
    properties: ImageProperties | None
    error: str = ""


def imagehash_installed() -> bool:
    """Whether imagehash, which computes perceptual hashes, is installed."""
    return imagehash is not None


def inspect_images(
    entries: Iterable[ListedImage],
    channels: int,
    progress: ProgressCallback = no_progress,
    rules: ReadingRules = DEFAULT_RULES,
) -> tuple[InspectedImage, ...]:
    """Measure all files, in order, on all cores, for a model with ``channels`` input channels."""
    entries = tuple(entries)
    images = []
    for image in map_in_threads(partial(inspect_image, channels=channels, rules=rules), entries):
        images.append(image)
        progress(len(images), len(entries))
    return tuple(images)


def inspect_image(
    entry: ListedImage, channels: int, rules: ReadingRules = DEFAULT_RULES
) -> InspectedImage:
    properties, error = None, ""
    try:
        properties = measure_image(entry.path, channels, rules)
    except DataError as problem:
        error = problem.message
    except OSError as problem:  # the file vanished meanwhile
        error = f"{entry.path}: {system_error(entry.path, problem)}"
    return InspectedImage(entry.path, entry.split, entry.class_name, properties, error)


def measure_image(
    path: Path, channels: int, rules: ReadingRules = DEFAULT_RULES
) -> ImageProperties:
    """Measure an image file. Errors: `DataError` if training cannot read it either."""
    is_colour = channels in (1, 3, 4)
    shape = (DECODED_SIDE, DECODED_SIDE, 3 if is_colour else channels)
    values: list[PixelValues] = []
    pixels = read_image(
        path, shape, "stretch", rules, on_page=lambda page: values.append(measure_page(page))
    )
    if not is_colour:  # pages of a TIFF
        pixels = pixels.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    image = Image.fromarray(pixels)
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    thumbnail = np.asarray(image.resize(side, Image.Resampling.BOX))
    return ImageProperties(
        digest=file_digest(path),
        size=upright_size(path, channels),
        grey=int(np.ptp(thumbnail, axis=2).max()) <= GREY_TOLERANCE,
        thumbnail=thumbnail,
        perceptual=imagehash.phash(image, HASH_SIDE).hash.ravel()
        if imagehash_installed()
        else None,
        values=joined(values),
    )


def upright_size(path: Path, channels: int = 3) -> tuple[int, int]:
    """Height and width of a readable image, rotated according to EXIF."""
    bands = read_bands(path)
    if bands and bands.are_channels(channels):
        width, height = bands.size
        return height, width
    with reading_errors(path), open_image(path) as image:
        width, height = image.size
        # Pillow turns the size of a TIFF itself.
        turned = image.format != "TIFF" and orientation(image) in SWAPPED_ORIENTATIONS
    return (width, height) if turned else (height, width)
