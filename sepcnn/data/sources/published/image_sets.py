"""Published data sets of image files: unpacked once, then read as `Folder` reads them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from sepcnn.cache import cache_folder, keep
from sepcnn.data.dataset import Dataset
from sepcnn.data.decoding.resizing import Resize
from sepcnn.data.sources.base import Request
from sepcnn.data.sources.folder import Folder
from sepcnn.data.sources.published.array_files import read_bytes, read_matlab, require_scipy
from sepcnn.data.sources.published.array_sets import PublishedSet
from sepcnn.data.sources.published.download import PublishedFile, verify
from sepcnn.data.sources.published.unpacking import unpack
from sepcnn.errors import DataError

LabelledPaths = Iterator[tuple[str, str, str]]
"""path, class name and split of each image"""


@dataclass(frozen=True, kw_only=True)
class ImageFolderSet(PublishedSet):
    """A data set of image files, in folders named by class or listed in files of the set."""

    unpacked: tuple[str, ...]
    """the folders that the archives, the first of ``files``, are unpacked to"""
    images: str
    """the folder of the images"""
    rows: Callable[[Path], LabelledPaths] | None = None
    """lists class and split of each image below a root; None if the folders define them"""
    renamed: bool = False
    """``class_names`` replace the names of the folders, in the order of the folders"""
    needs_scipy: str = ""
    """name of the data set for the error without scipy; empty if scipy is not needed"""

    def missing(self, root: Path) -> list[PublishedFile]:
        if self.needs_scipy:
            require_scipy(self.needs_scipy)
        there = [(root / folder).is_dir() for folder in self.unpacked]
        there += [False] * (len(self.files) - len(there))
        return [
            file
            for file, is_unpacked in zip(self.files, there, strict=True)
            if not (is_unpacked or (root / file.path).exists())
        ]

    def dataset(self, root: Path, resize: Resize, request: Request) -> Dataset:
        """Unpack the archives if needed, and open the images. Errors: `DataError`."""
        for file, folder in zip(self.files, self.unpacked, strict=False):
            if not (root / folder).is_dir():
                verify(root / file.path, file.md5)
                unpack(root / file.path, root / folder)
        for file in self.files[len(self.unpacked) :]:
            verify(root / file.path, file.md5)
        labels = self._table(root) if self.rows else None
        dataset = Folder(path=root / self.images, labels=labels, resize=resize).open(request)
        if self.renamed and len(dataset.class_names) == len(self.class_names):
            return replace(dataset, class_names=self.class_names)
        return dataset

    def _table(self, root: Path) -> Path:
        """Write the CSV for `Folder` into the cache folder, because a root may be read-only."""
        assert self.rows
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([("path", "label", "split"), *self.rows(root)])
        where = hashlib.blake2b(str(root / self.images).encode(), digest_size=8).hexdigest()
        name = f"labels/{Path(self.images).parent.name}-{where}.csv"

        def write(file: BinaryIO) -> None:
            file.write(text.getvalue().encode())

        if not keep(name, write):
            hint = "free some space there, or set XDG_CACHE_HOME to another folder"
            raise DataError(f"{cache_folder() / name} could not be written", hint)
        return cache_folder() / name


def food_rows(root: Path) -> LabelledPaths:
    """Food-101: JSON files of image names by class, for train and test."""
    for split in ("train", "test"):
        path = root / "food-101" / "meta" / f"{split}.json"
        try:
            listed = json.loads(read_bytes(path))
            for class_name, names in listed.items():
                for name in names:
                    yield f"{name}.jpg", class_name, split
        except (ValueError, AttributeError, TypeError) as error:
            raise DataError(
                f"{path}: damaged ({error})", "delete it and run the command again"
            ) from None


def pet_rows(root: Path) -> LabelledPaths:
    """Oxford-IIIT Pet: lines of name, class, species and breed; the class is part of the name."""
    for split, file in (("train", "trainval.txt"), ("test", "test.txt")):
        path = root / "oxford-iiit-pet" / "annotations" / file
        for line in read_bytes(path).decode(errors="replace").splitlines():
            name = line.partition(" ")[0]
            breed = name.rpartition("_")[0]
            if line.strip():
                yield f"{name}.jpg", breed.replace("_", " ").title(), split


def flower_rows(class_names: tuple[str, ...]) -> Callable[[Path], LabelledPaths]:
    """Flowers-102: labels from 1, and the image numbers of each split."""

    def rows(root: Path) -> LabelledPaths:
        folder = root / "flowers-102"
        labels = read_matlab(folder / "imagelabels.mat")["labels"].reshape(-1)
        numbers = read_matlab(folder / "setid.mat")
        for split, key in (("train", "trnid"), ("val", "valid"), ("test", "tstid")):
            for number in numbers[key].reshape(-1).tolist():
                yield f"image_{number:05d}.jpg", class_names[labels[number - 1] - 1], split

    return rows
