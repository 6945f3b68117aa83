"""Shapes: the built-in data set, drawn by the program and kept in the cache."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from sepcnn.cache import cache_folder, keep
from sepcnn.data import drawing
from sepcnn.data.arrays import read_arrays
from sepcnn.data.base import SPLITS, Dataset, Request, Resident, Source
from sepcnn.errors import DataError
from sepcnn.values import ImageShape, NonNegativeInt, PositiveInt

SMALLEST = 32
"""pixels a side below which the kinds cannot be told apart"""


class Shapes(Source):
    """Ten kinds of drawn objects in colour: no download.

    Place, size, rotation, colours, texture, light, noise and occlusion vary. Images have the
    height and width of ``model.input_shape``, which must be a square with 3 channels. They are
    the same on every machine, but for a rare last bit where processors round differently.
    """

    train: PositiveInt = 6000
    """training images"""
    val: PositiveInt = 1000
    """validation images"""
    test: PositiveInt = 1000
    """test images"""
    seed: NonNegativeInt = 0
    """another seed draws other images"""

    def known_class_names(self) -> tuple[str, ...]:
        return drawing.CLASS_NAMES

    def check(self, shape: ImageShape) -> None:
        height, width, channels = shape
        if height != width or channels != 3 or height < SMALLEST:
            image = f"{height}×{width}×{channels}"
            message = (
                f"Shapes are square colour images of {SMALLEST}×{SMALLEST} and more, not {image}"
            )
            raise DataError(message, "use an input_shape such as [64, 64, 3]")

    def open(self, request: Request) -> Dataset:
        self.check(request.shape)
        height = request.shape[0]
        counts = {name: getattr(self, name) for name in SPLITS}
        splits = {name: self._split(name, count, height) for name, count in counts.items()}
        return Dataset(drawing.CLASS_NAMES, splits["train"], splits["val"], splits["test"])

    def _split(self, split: str, count: int, size: int) -> Resident:
        name = f"shapes/{drawing_version()}/{self.seed}-{split}-{count}-{size}.npz"
        arrays = read_cached(cache_folder() / name)
        if arrays is None or arrays[0].shape != (count, size, size, 3):
            images, labels = drawing.draw(self.seed, split, count, size)

            def write(file: BinaryIO) -> None:
                np.savez(file, images=images, labels=labels)

            keep(name, write)
        else:
            images, labels = arrays
        return Resident(torch.from_numpy(images), torch.from_numpy(labels), identity=name)


def drawing_version() -> str:
    """A hash of the drawing program: a change of it never meets old images in the cache."""
    assert drawing.__file__ is not None
    return hashlib.blake2b(Path(drawing.__file__).read_bytes(), digest_size=8).hexdigest()


def read_cached(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Images and labels from the cache; None if they are not there or damaged (zip's CRC)."""
    try:
        arrays = read_arrays((path,))
        return arrays["images"], arrays["labels"]
    except (DataError, KeyError):
        return None
