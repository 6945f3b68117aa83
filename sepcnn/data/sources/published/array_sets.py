"""Published data sets and how their files are found and read, one class per file layout."""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from sepcnn.data.sources.published.array_files import (
    ImagesAndLabels,
    gunzip,
    planes_last,
    read_bytes,
    read_idx,
    read_matlab,
    read_pickled_records,
    read_records,
    require_scipy,
)
from sepcnn.data.sources.published.download import PublishedFile, verify
from sepcnn.data.sources.published.unpacking import unpack
from sepcnn.errors import DataError
from sepcnn.language.values import ImageShape

TRAIN, TEST = "train", "test"


@dataclass(frozen=True, kw_only=True)
class PublishedSet(ABC):
    """A published data set. Its files are in the same places below a root as in torchvision."""

    class_names: tuple[str, ...]
    """empty if they are not known before download"""
    counts: dict[str, int]
    """number of images of each split"""
    files: tuple[PublishedFile, ...]
    """the files to download"""

    @abstractmethod
    def missing(self, root: Path) -> list[PublishedFile]:
        """The files that are not yet below ``root``."""


@dataclass(frozen=True, kw_only=True)
class ArraySet(PublishedSet):
    """A data set that is read into memory as arrays."""

    shape: ImageShape

    @abstractmethod
    def read(self, root: Path) -> dict[str, ImagesAndLabels]:
        """Read images and labels of each split. Errors: `DataError`."""

    def open(self, root: Path) -> dict[str, ImagesAndLabels]:
        """As `read`, and check shapes, counts and labels. Errors: `DataError`."""
        splits = self.read(root)
        for name, (images, labels) in splits.items():
            found = "×".join(map(str, images.shape))
            expected = "×".join(map(str, (self.counts[name], *self.shape)))
            if found != expected or len(labels) != len(images):
                message = f"{root}: the {name} images are {found}, with {len(labels)} labels"
                raise DataError(
                    message, f"expected {expected}: delete the files to download them again"
                )
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= len(self.class_names):
                raise DataError(f"{root}: labels from {low} to {high} among the {name} images")
        return splits


@dataclass(frozen=True, kw_only=True)
class IdxSet(ArraySet):
    """MNIST and its relatives: four IDX files, images and labels of train and test."""

    def missing(self, root: Path) -> list[PublishedFile]:
        return [
            file for file in self.files if not any(p.exists() for p in self._places(file, root))
        ]

    def read(self, root: Path) -> dict[str, ImagesAndLabels]:
        arrays = [self._array(file, root) for file in self.files]
        return {
            split: (arrays[2 * n].reshape(-1, *self.shape), arrays[2 * n + 1].astype(np.int64))
            for n, split in enumerate((TRAIN, TEST))
        }

    def _array(self, file: PublishedFile, root: Path) -> np.ndarray:
        path = next(path for path in self._places(file, root) if path.exists())
        if path.suffix == ".gz":
            verify(path, file.md5)
        return read_idx(read_bytes(path), path)

    @staticmethod
    def _places(file: PublishedFile, root: Path) -> tuple[Path, Path]:
        """The downloaded file, and the decompressed one that torchvision leaves next to it."""
        path = root / file.path
        return path, path.with_suffix("")


@dataclass(frozen=True, kw_only=True)
class EmnistSet(ArraySet):
    """A variant of EMNIST.

    The published images are transposed, and torchvision leaves them so; here they are upright.
    """

    part: str
    first_label: int = 0
    """the smallest published label: 1 for letters"""

    def missing(self, root: Path) -> list[PublishedFile]:
        return (
            [] if self._unpacked(root) else [f for f in self.files if not (root / f.path).exists()]
        )

    def read(self, root: Path) -> dict[str, ImagesAndLabels]:
        contents = self._contents(root)
        splits = {}
        for split in (TRAIN, TEST):
            images, labels = (read_idx(*next(contents)) for _ in range(2))
            upright = np.ascontiguousarray(images.reshape(-1, *self.shape).swapaxes(1, 2))
            splits[split] = (upright, labels.astype(np.int64) - self.first_label)
        return splits

    def _names(self) -> list[str]:
        kinds = ("images-idx3", "labels-idx1")
        return [f"emnist-{self.part}-{s}-{kind}-ubyte" for s in (TRAIN, TEST) for kind in kinds]

    def _unpacked(self, root: Path) -> list[Path]:
        folder = (root / self.files[0].path).parent
        paths = [folder / name for name in self._names()]
        return paths if all(path.exists() for path in paths) else []

    def _contents(self, root: Path) -> Iterator[tuple[bytes, Path]]:
        if unpacked := self._unpacked(root):
            yield from ((read_bytes(path), path) for path in unpacked)
            return
        path = root / self.files[0].path
        verify(path, self.files[0].md5)
        try:
            with zipfile.ZipFile(path) as archive:
                for name in self._names():
                    yield gunzip(archive.read(f"gzip/{name}.gz"), path), path
        except (zipfile.BadZipFile, KeyError, OSError) as error:
            raise DataError(
                f"{path}: damaged ({error})", "delete it and run the command again"
            ) from None


@dataclass(frozen=True, kw_only=True)
class ArchiveSet(ArraySet):
    """A data set of binary files in a tar archive, which is unpacked once."""

    folder: str
    members: dict[str, tuple[str, ...]]
    """the files of each split"""

    def missing(self, root: Path) -> list[PublishedFile]:
        there = (root / self.folder).is_dir()
        return [] if there else [file for file in self.files if not (root / file.path).exists()]

    def unpacked(self, root: Path) -> Path:
        """The folder of the files; unpacks the archive if it is missing. Errors: `DataError`."""
        folder = root / self.folder
        if not folder.is_dir():
            archive = root / self.files[0].path
            verify(archive, self.files[0].md5)
            unpack(
                archive, folder, tuple(name for names in self.members.values() for name in names)
            )
        return folder


@dataclass(frozen=True, kw_only=True)
class CifarSet(ArchiveSet):
    """CIFAR in its binary version, or in the pickled version if torchvision has unpacked it."""

    label_bytes: int
    pickled_folder: str
    pickled: dict[str, tuple[tuple[str, str], ...]]
    """the files of each split, with their MD5"""
    label_key: str

    def missing(self, root: Path) -> list[PublishedFile]:
        return [] if self._has_pickled(root) else super().missing(root)

    def read(self, root: Path) -> dict[str, ImagesAndLabels]:
        if self._has_pickled(root) and not (root / self.folder).is_dir():
            return {split: concatenated(self._read_pickled(root, split)) for split in self.pickled}
        folder = self.unpacked(root)
        return {
            split: concatenated(self._read(folder, names)) for split, names in self.members.items()
        }

    def _has_pickled(self, root: Path) -> bool:
        names = [name for files in self.pickled.values() for name, _ in files]
        return all((root / self.pickled_folder / name).exists() for name in names)

    def _read(self, folder: Path, names: tuple[str, ...]) -> Iterator[ImagesAndLabels]:
        for path in (folder / name for name in names):
            yield read_records(read_bytes(path), self.label_bytes, self.shape[0], path)

    def _read_pickled(self, root: Path, split: str) -> Iterator[ImagesAndLabels]:
        for name, md5 in self.pickled[split]:
            path = root / self.pickled_folder / name
            verify(path, md5)
            with path.open("rb") as file:
                yield read_pickled_records(file, self.label_key, self.shape[0], path)


@dataclass(frozen=True, kw_only=True)
class StlSet(ArchiveSet):
    """The labelled part of STL-10: planes are stored by columns, labels start at 1."""

    def read(self, root: Path) -> dict[str, ImagesAndLabels]:
        folder = self.unpacked(root)
        side = self.shape[0]
        splits = {}
        for split, (images, labels) in self.members.items():
            planes = np.frombuffer(read_bytes(folder / images), np.uint8)
            if len(planes) % (3 * side * side):
                raise DataError(
                    f"{folder / images}: {len(planes)} bytes are not a multiple of an image"
                )
            numbers = np.frombuffer(read_bytes(folder / labels), np.uint8)
            splits[split] = (
                planes_last(planes, side, transposed=True),
                numbers.astype(np.int64) - 1,
            )
        return splits


@dataclass(frozen=True, kw_only=True)
class SvhnSet(ArraySet):
    """The cropped digits of SVHN: one MATLAB file per split; the digit 0 has label 10."""

    keys: ClassVar[tuple[str, str]] = ("X", "y")

    def missing(self, root: Path) -> list[PublishedFile]:
        require_scipy("SVHN")  # before hundreds of megabytes are downloaded
        return [file for file in self.files if not (root / file.path).exists()]

    def read(self, root: Path) -> dict[str, ImagesAndLabels]:
        splits = {}
        for split, file in zip((TRAIN, TEST), self.files, strict=True):
            path = root / file.path
            verify(path, file.md5)
            arrays = read_matlab(path)
            images, labels = (arrays[key] for key in self.keys)
            images_last = np.ascontiguousarray(images.transpose(3, 0, 1, 2))
            splits[split] = (images_last, labels.reshape(-1).astype(np.int64) % 10)
        return splits


def concatenated(parts: Iterator[ImagesAndLabels]) -> ImagesAndLabels:
    """Join the images and labels of several files."""
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)
