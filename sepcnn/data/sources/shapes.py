"""Shapes: the built-in data set of generated images, stored in the cache folder."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from sepcnn.cache import cache_folder, keep
from sepcnn.data.dataset import SPLITS, Dataset, InMemorySplit
from sepcnn.data.sources import shape_drawing
from sepcnn.data.sources.arrays import read_arrays
from sepcnn.data.sources.base import Request, Source
from sepcnn.errors import DataError
from sepcnn.language.values import ImageShape, NonNegativeInt, PositiveInt

SMALLEST = 32
"""pixels per side; in smaller images the classes cannot be distinguished"""


class Shapes(Source):
    """Generated colour images of ten shapes; nothing is downloaded.

    Position, size, rotation, colours, texture, light, noise and occlusion vary. Images have the
    height and width of ``model.input_shape``, which must be square with 3 channels. They are the
    same on every machine, except that rounding on some processors changes a few values by 1.
    """

    train: PositiveInt = 6000
    """number of training images"""
    val: PositiveInt = 1000
    """number of validation images"""
    test: PositiveInt = 1000
    """number of test images"""
    seed: NonNegativeInt = 0
    """seed of the images"""

    def known_class_names(self) -> tuple[str, ...]:
        return shape_drawing.CLASS_NAMES

    def check(self, shape: ImageShape) -> None:
        height, width, channels = shape
        if height != width or channels != 3 or height < SMALLEST:
            image = f"{height}×{width}×{channels}"
            message = (
                f"Shapes are square colour images of at least {SMALLEST}×{SMALLEST}, found {image}"
            )
            raise DataError(message, "use for example input_shape: [64, 64, 3]")

    def open(self, request: Request) -> Dataset:
        self.check(request.shape)
        height = request.shape[0]
        counts = {name: getattr(self, name) for name in SPLITS}
        splits = {name: self._split(name, count, height) for name, count in counts.items()}
        return Dataset(shape_drawing.CLASS_NAMES, splits["train"], splits["val"], splits["test"])

    def _split(self, split: str, count: int, size: int) -> InMemorySplit:
        name = f"shapes/{shape_drawing.VERSION}/{self.seed}-{split}-{count}-{size}.npz"
        arrays = read_cached(cache_folder() / name)
        if arrays is None or arrays[0].shape != (count, size, size, 3):
            images, labels = shape_drawing.draw(self.seed, split, count, size)

            def write(file: BinaryIO) -> None:
                np.savez(file, images=images, labels=labels)

            keep(name, write)
        else:
            images, labels = arrays
        return InMemorySplit(torch.from_numpy(images), torch.from_numpy(labels), identity=name)


def read_cached(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Images and labels from the cache; None if the file is missing or damaged (zip CRC)."""
    try:
        arrays = read_arrays((path,))
        return arrays["images"], arrays["labels"]
    except (DataError, KeyError):
        return None
