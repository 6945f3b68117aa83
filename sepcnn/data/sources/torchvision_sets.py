"""Torchvision: well-known data sets by name, downloaded once."""

from __future__ import annotations

from collections import ChainMap
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import PlainValidator, WithJsonSchema, model_validator

from sepcnn.cache import DOWNLOADS, cache_folder
from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.data.decoding import reading
from sepcnn.data.decoding.resizing import Resize
from sepcnn.data.sources.array_resizing import resized_split
from sepcnn.data.sources.base import Request, Source, hold_out
from sepcnn.data.sources.published.array_catalogue import ARRAY_SETS, EMNIST
from sepcnn.data.sources.published.array_files import ImagesAndLabels
from sepcnn.data.sources.published.array_sets import TEST, TRAIN, ArraySet, PublishedSet
from sepcnn.data.sources.published.download import PublishedFile, fetch
from sepcnn.data.sources.published.image_catalogue import IMAGE_FOLDER_SETS, IMAGENETTE
from sepcnn.data.sources.published.image_sets import ImageFolderSet
from sepcnn.errors import DataError
from sepcnn.file_kind import system_error
from sepcnn.language.messages import invalid, nearest, quote
from sepcnn.language.values import FilePath, ImageShape

ALL: ChainMap[str, Any] = ChainMap(IMAGE_FOLDER_SETS, ARRAY_SETS)


def _set_name(value: Any) -> str:
    if isinstance(value, str) and value in ALL:
        return str(value)
    near = nearest(value, ALL) if isinstance(value, str) else None
    hint = f"did you mean '{near}'?" if near else f"known: {', '.join(ALL)}"
    raise invalid(f"expected the name of a data set, found {quote(value)}", hint)


SetName = Annotated[str, PlainValidator(_set_name), WithJsonSchema({"enum": list(ALL)})]


class Torchvision(Source):
    """A well-known data set by name, downloaded once: ``CIFAR10``, ``MNIST``, …

    The files and folders are those of torchvision, so that both can share a ``root``. Torchvision
    is not needed, and nothing is unpickled. Downloaded files are checked by their
    MD5. Images are resized to ``model.input_shape``, and converted to grey if it has 1 channel.
    Unlike in torchvision, EMNIST images are upright and labels of its letters start at 0.
    """

    location_fields: ClassVar[tuple[str, ...]] = ("root",)

    name: SetName
    """name of the data set"""
    root: FilePath | None = None
    """folder for downloaded files; default: in the user's cache folder"""
    download: bool = True
    """download missing files"""
    split: Literal["balanced", "byclass", "bymerge", "letters", "digits", "mnist"] | None = None
    """variant of EMNIST, called split in torchvision, too; default: balanced"""
    size: Literal["full", "320px", "160px"] | None = None
    """variant of Imagenette, by the length of the shorter side; default: full"""
    resize: Resize = "crop"
    """if the aspect ratio differs from the model's input: crop keeps the centre, letterbox adds
    black bars, stretch distorts"""

    @model_validator(mode="after")
    def _check_variants(self) -> Self:
        if self.split and self.name != "EMNIST":
            raise invalid(f"'split' is only for EMNIST, not {self.name}", "remove split")
        if self.size and self.name != "Imagenette":
            raise invalid(f"'size' is only for Imagenette, not {self.name}", "remove size")
        return self

    @property
    def published(self) -> PublishedSet:
        """The chosen data set: its files, class names and counts."""
        if self.size:
            return IMAGENETTE[self.size]
        return EMNIST[self.split] if self.split else ALL[self.name]

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self.root or cache_folder() / DOWNLOADS

    def known_class_names(self) -> tuple[str, ...] | None:
        return self.published.class_names or None

    def check(self, shape: ImageShape) -> None:
        if shape[2] not in (1, 3):
            known = self.published
            own = list(known.shape) if isinstance(known, ArraySet) else [*shape[:2], 3]
            given = f"but model.input_shape has {shape[2]}"
            message = f"expected 1 or 3 channels for {self.name}, {given}"
            raise DataError(message, f"write input_shape: {own}")

    def read_image(self, path: Path, shape: ImageShape, content: bytes | None = None) -> np.ndarray:
        return reading.read_image(path, shape, self.resize, content=content)

    def open(self, request: Request) -> Dataset:
        self.check(request.shape)
        known = self.published
        try:
            missing = self._missing()
        except OSError as error:  # a name that is too long, a folder that may not be entered
            raise DataError(f"{self.folder}: {system_error(self.folder, error)}") from None
        if missing:
            self._download(missing, request)
        if isinstance(known, ImageFolderSet):
            return known.dataset(self.folder, self.resize, request)
        assert isinstance(known, ArraySet)
        return self._open_arrays(known, request)

    def _missing(self) -> list[PublishedFile]:
        """The files to download. Errors: `DataError` if the set cannot be downloaded, OSError."""
        if not self.published.files and not (self.folder / "train").is_dir():
            message = f"{self.folder}: {self.name} is missing, and cannot be downloaded"
            hint = "set root to the folder of train and val, which have folders n01440764 …"
            raise DataError(message, hint)
        return self.published.missing(self.folder)

    def _open_arrays(self, known: ArraySet, request: Request) -> Dataset:
        splits = {split: to_split(pair) for split, pair in known.open(self.folder).items()}
        train, val = hold_out(splits[TRAIN], request)
        train, test = (
            resized_split(split, request.shape, self.resize) for split in (train, splits[TEST])
        )
        val = resized_split(val, request.shape, self.resize) if val else None
        return Dataset(known.class_names, train, val, test)

    def _download(self, missing: list[PublishedFile], request: Request) -> None:
        """Download files. Progress is reported in images, as if all had the same size."""
        by_hand = "\n   ".join(file.by_hand(self.folder) for file in missing)
        if not self.download:
            hint = "set download: true, or root to their folder; or add these files by hand"
            message = f"{self.folder}: files of {self.name} are missing"
            raise DataError(message, f"{hint}\n   {by_hand}")
        count, total = sum(self.published.counts.values()), sum(file.size for file in missing)
        before = 0

        def progress(done: int) -> None:
            request.progress(min(count * (before + done) // total, count), count)

        for number, file in enumerate(missing):
            try:
                fetch(file, self.folder, progress)
            except DataError as error:
                left = "\n   ".join(file.by_hand(self.folder) for file in missing[number:])
                hint = f"without a network, add these files by hand\n   {left}"
                raise DataError(error.message, hint) from None
            before += file.size


def to_split(pair: ImagesAndLabels) -> InMemorySplit:
    pixels, labels = (np.require(array, requirements="W") for array in pair)
    return InMemorySplit(torch.from_numpy(pixels), torch.from_numpy(labels))
