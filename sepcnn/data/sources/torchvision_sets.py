"""Torchvision: well-known data sets by name, downloaded once."""

from __future__ import annotations

from collections import ChainMap
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import PlainValidator, WithJsonSchema, model_validator

from sepcnn.cache import DOWNLOADS, cache_folder
from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.data.files import decoding
from sepcnn.data.files.decoding import Resize
from sepcnn.data.sources.array_resizing import resized_split
from sepcnn.data.sources.base import Request, Source, hold_out
from sepcnn.data.sources.published.array_catalogue import ARRAY_SETS, EMNIST
from sepcnn.data.sources.published.array_files import Pair
from sepcnn.data.sources.published.array_sets import TEST, TRAIN, ArraySet, PublishedSet
from sepcnn.data.sources.published.download import PublishedFile, fetch
from sepcnn.data.sources.published.image_catalogue import IMAGE_FOLDER_SETS, IMAGENETTE
from sepcnn.data.sources.published.image_sets import ImageFolderSet
from sepcnn.errors import DataError
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
    """A well-known data set by its name, downloaded once: ``CIFAR10``, ``MNIST``, …

    The sets are those of torchvision, in the same folders, so that one ``root`` serves both; they
    are read without it, and nothing is unpickled. What is downloaded is checked by its hash. Images
    come in the size of ``model.input_shape``, grey where it has 1 channel. EMNIST is turned upright
    and its letters count from 0, unlike torchvision's.
    """

    name: SetName
    """which set"""
    root: FilePath | None = None
    """folder with the files of the sets; a folder in the user's cache unless given"""
    download: bool = True
    """fetch what is not there"""
    split: Literal["balanced", "byclass", "bymerge", "letters", "digits", "mnist"] | None = None
    """which images and classes of EMNIST; balanced unless given"""
    size: Literal["full", "320px", "160px"] | None = None
    """how large the pictures of Imagenette are: the short side; full unless given"""
    resize: Resize = "crop"
    """other proportions: crop cuts the middle out, letterbox adds black bars, stretch pulls"""

    @model_validator(mode="after")
    def _versions_are_of_their_sets(self) -> Self:
        if self.split and self.name != "EMNIST":
            raise invalid(f"only EMNIST has a 'split' to choose, not {self.name}", "remove split")
        if self.size and self.name != "Imagenette":
            raise invalid(f"only Imagenette has a 'size' to choose, not {self.name}", "remove size")
        return self

    @property
    def known(self) -> PublishedSet:
        if self.size:
            return IMAGENETTE[self.size]
        return EMNIST[self.split] if self.split else ALL[self.name]

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self.root or cache_folder() / DOWNLOADS

    def known_class_names(self) -> tuple[str, ...] | None:
        return self.known.class_names or None

    def check(self, shape: ImageShape) -> None:
        if shape[2] not in (1, 3):
            known = self.known
            own = list(known.shape) if isinstance(known, ArraySet) else [*shape[:2], 3]
            message = f"expected 1 or 3 channels for {self.name}, found {shape[2]}"
            raise DataError(message, f"write input_shape: {own}")

    def read_image(self, path: Path, shape: ImageShape) -> np.ndarray:
        return decoding.read_image(path, shape, self.resize)

    def open(self, request: Request) -> Dataset:
        self.check(request.shape)
        known = self.known
        try:
            missing = self._missing()
        except OSError as error:  # a name that is too long, a folder that may not be entered
            raise DataError(f"{self.folder}: {(error.strerror or str(error)).lower()}") from None
        if missing:
            self._fetch(missing, request)
        if isinstance(known, ImageFolderSet):
            return known.dataset(self.folder, self.resize, request)
        assert isinstance(known, ArraySet)
        return self._of_arrays(known, request)

    def _missing(self) -> list[PublishedFile]:
        """What has to be downloaded. Errors: `DataError` where that is impossible, OSError."""
        if not self.known.files and not (self.folder / "train").is_dir():
            message = f"{self.folder}: {self.name} is not there, and cannot be downloaded"
            hint = "set root to the folder that holds train and val, each with n01440764 …"
            raise DataError(message, hint)
        return self.known.missing(self.folder)

    def _of_arrays(self, known: ArraySet, request: Request) -> Dataset:
        splits = {split: resident(pair) for split, pair in known.open(self.folder).items()}
        train, val = hold_out(splits[TRAIN], request)
        train, test = (
            resized_split(split, request.shape, self.resize) for split in (train, splits[TEST])
        )
        val = resized_split(val, request.shape, self.resize) if val else None
        return Dataset(known.class_names, train, val, test)

    def _fetch(self, missing: list[PublishedFile], request: Request) -> None:
        """Download files; the progress is told in images, as if all were of one size."""
        by_hand = "\n   ".join(file.by_hand(self.folder) for file in missing)
        if not self.download:
            hint = "set download: true, or root to the folder that has them; by hand, put there"
            message = f"{self.folder}: files of {self.name} are not there"
            raise DataError(message, f"{hint}\n   {by_hand}")
        count, total = sum(self.known.counts.values()), sum(file.size for file in missing)
        before = 0

        def progress(done: int) -> None:
            request.progress(min(count * (before + done) // total, count), count)

        for number, file in enumerate(missing):
            try:
                fetch(file, self.folder, progress)
            except DataError as error:
                left = "\n   ".join(file.by_hand(self.folder) for file in missing[number:])
                hint = f"without a network, put there by hand\n   {left}"
                raise DataError(error.message, hint) from None
            before += file.size


def resident(pair: Pair) -> InMemorySplit:
    pixels, labels = (np.require(array, requirements="W") for array in pair)
    return InMemorySplit(torch.from_numpy(pixels), torch.from_numpy(labels))
