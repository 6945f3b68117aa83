"""Folder: one's own image files, sorted into folders or named by a table."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress
from pathlib import Path

import numpy as np
import torch

from sepcnn.data.dataset import Dataset
from sepcnn.data.files import decoding
from sepcnn.data.files.decoding import Resize
from sepcnn.data.files.listing import ImageFile, Listing, list_images
from sepcnn.data.files.on_disk import OnDiskSplit
from sepcnn.data.files.pixel_cache import DecodedImages, StoredFormat, decode
from sepcnn.data.sources.base import Request, Source
from sepcnn.errors import DataError
from sepcnn.language.values import FilePath, ImageShape, Pair
from sepcnn.randomness import key

MAX_SHOWN = 10
"""files that an error names"""


class Folder(Source):
    """Image files: JPEG, PNG, WebP, GIF, BMP, TIFF, PPM.

    ``path`` holds a folder for each class, or train, val (valid, validation) and test with a
    folder for each class; or any files, named with their labels by the CSV ``labels``, whose
    header says path (file, filename, image), label (class) and, if there is one, split. Files
    are turned upright and decoded once into the user's cache folder (`sepcnn cache`).

    Where there is no validation split, an image is held out if the hash of its name (below the
    folder of its class) and of ``data.split_seed`` is below ``data.validation``: whatever is
    added later, it stays where it is. A class that would be held out whole keeps its image of the
    largest hash for training, until another serves.
    """

    path: FilePath
    """the folder"""
    labels: FilePath | None = None
    """a CSV of paths, which start at the folder, and labels"""
    resize: Resize = "crop"
    """other proportions: crop cuts the middle out, letterbox adds black bars, stretch pulls"""
    stored_size: Pair | None = None
    """height and width kept of each image, at least the net's, for random crops to choose from"""
    skip_unreadable: bool = False
    """go on without the images that cannot be read"""

    def check(self, shape: ImageShape) -> None:
        height, width, _ = self._stored(shape)
        if height < shape[0] or width < shape[1]:
            message = (
                f"stored_size {height}×{width} is smaller than the net's {shape[0]}×{shape[1]}"
            )
            raise DataError(message, f"use stored_size: [{shape[0]}, {shape[1]}] or more")

    def _stored(self, shape: ImageShape) -> ImageShape:
        return (*(self.stored_size or shape[:2]), shape[2])

    def read_image(self, path: Path, shape: ImageShape) -> np.ndarray:
        stored = decoding.read_image(path, self._stored(shape), self.resize)
        top, left = ((stored.shape[axis] - shape[axis]) // 2 for axis in (0, 1))
        return stored[top : top + shape[0], left : left + shape[1]]

    def open(self, request: Request) -> Dataset:
        self.check(request.shape)
        listing = list_images(self.path, self.labels)
        form = StoredFormat(self._stored(request.shape), self.resize)
        paths = [file.location for file in listing.files]
        decoded = decode(paths, form, self._source(), request.progress)
        notes = [decoded.note] if decoded.note else []
        if decoded.unreadable:
            notes.append(self._without(decoded.unreadable, len(paths)))
        if listing.unlabelled:
            first, count = listing.unlabelled[0], len(listing.unlabelled)
            notes.append(f"left out without a class: {first}{more(count - 1)}")
        places = decoded.places()
        files = [file for file in listing.files if file.location in places]
        check_classes(files, listing)
        splits = split_files(files, request)
        parts = {
            name: on_disk(splits[name], decoded, places, listing.class_names, form)
            if splits.get(name)
            else None
            for name in ("train", "val", "test")
        }
        train = parts["train"]
        assert train is not None
        val, test, decoder = parts["val"], parts["test"], decoding.decoder()
        return Dataset(listing.class_names, train, val, test, tuple(notes), decoder)

    def _source(self) -> str:
        """Another for each pair of folder and table."""
        return f"{self.path}, {self.labels}" if self.labels else str(self.path)

    def _without(self, unreadable: dict[str, str], total: int) -> str:
        """Which images are left out. Errors: `DataError` unless that is wanted."""
        found = f"{len(unreadable):,} of {total:,} images cannot be read:"
        shown = "".join(f"\n   {text}" for text in list(unreadable.values())[:MAX_SHOWN])
        text = f"{found}{shown}{more(len(unreadable) - MAX_SHOWN)}"
        if self.skip_unreadable:
            return text
        raise DataError(text, "mend or remove them, or set skip_unreadable: true")


def more(count: int) -> str:
    return f" and {count:,} more" if count > 0 else ""


def check_classes(files: list[ImageFile], listing: Listing) -> None:
    """Errors: `DataError` for a class of which a split has no image that can be read."""
    left = {(file.split, file.class_name) for file in files}
    for split, of_split in listing.counts().items():
        for name in of_split:
            if (split, name) not in left:
                where = f" in {split}" if split else ""
                raise DataError(f"no image of the class '{name}'{where} can be read")


def split_files(files: Iterable[ImageFile], request: Request) -> dict[str, list[ImageFile]]:
    """The files of each split; validation images are held out where there are none."""
    splits: dict[str, list[ImageFile]] = {}
    for file in files:
        splits.setdefault(file.split or "train", []).append(file)
    if "val" not in splits:
        splits["train"], splits["val"] = hold_out(splits["train"], request)
    return splits


def hold_out(files: list[ImageFile], request: Request) -> tuple[list[ImageFile], list[ImageFile]]:
    """Training and validation images, by their names alone.

    What is added moves no other, but for the image that a class below the share has kept. No rule
    of names does without that: alone in its class an image is for training; were it to stay there
    whatever comes, so would every image, and nothing could be held out.
    """
    drawn = [key(request.split_seed, "validation", file.key) / (1 << 63) for file in files]
    kept: dict[str, int] = {}
    for place, file in enumerate(files):  # the last of its class to be held out, at any share
        other = kept.setdefault(file.class_name, place)
        if drawn[place] > drawn[other]:
            kept[file.class_name] = place
    always = set(kept.values())
    held = [drawn[i] < request.validation and i not in always for i in range(len(files))]
    return [f for f, out in zip(files, held, strict=True) if not out], list(compress(files, held))


def on_disk(
    files: Iterable[ImageFile],
    decoded: DecodedImages,
    places: dict[str, int],
    class_names: tuple[str, ...],
    form: StoredFormat,
) -> OnDiskSplit:
    numbers = {name: number for number, name in enumerate(class_names)}
    listed = list(files)
    labels = torch.tensor([numbers[file.class_name] for file in listed], dtype=torch.int64)
    at = [places[file.location] for file in listed]
    return OnDiskSplit(decoded.rows, at, [file.name for file in listed], labels, form.shape)
