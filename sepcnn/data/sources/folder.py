"""Folder: the user's image files, sorted into folders or labelled by a CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from sepcnn.data.cache.file_reading import StoredFormat
from sepcnn.data.cache.on_disk import OnDiskSplit
from sepcnn.data.cache.pixel_cache import DecodedImages, decode
from sepcnn.data.dataset import Dataset, Split, UnopenedSplit
from sepcnn.data.decoding import reading
from sepcnn.data.decoding.opening import MAX_PIXELS, MEGAPIXEL
from sepcnn.data.decoding.reading import ReadingRules
from sepcnn.data.decoding.resizing import Resize
from sepcnn.data.decoding.value_range import listed, measured_range, values_note
from sepcnn.data.listing.listing import ImageFile, Listing, list_images
from sepcnn.data.listing.split_files import split_files, split_of
from sepcnn.data.sources.base import Request, Source
from sepcnn.data.sources.folder_values import Columns, Layout, Patterns
from sepcnn.errors import DataError
from sepcnn.language.values import FilePath, ImageShape, Pair, PositiveNumber, ValueRange

MAX_SHOWN = 10
"""number of files that a message lists"""


class Folder(Source):
    """Image files: JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, AVIF, JPEG 2000; HEIC with an extra.

    ``path`` contains one folder per class, or folders train, val (or valid, validation) and test
    that each contain one folder per class, or classes that each contain such folders. If the names
    of the folders allow several readings, ``layout`` must name one. Or ``labels`` is a CSV with the
    label of each file. Its columns are path (or file, filename, image), label (or class) and
    optionally split. Images are rotated upright according to EXIF and decoded once into the user's
    cache folder (`sepcnn cache`).

    Without a validation split, an image is held out if a hash of the content of its file and of
    ``data.split_seed`` is below ``data.validation``. So equal files are in one split, and an image
    stays in its split when it is renamed or others are added. Small classes keep at least one image
    for training, and hold out at least one if ``data.validation`` of their images is 0.5 or more.
    """

    location_fields: ClassVar[tuple[str, ...]] = ("path", "labels", "columns", "layout", "exclude")

    path: FilePath
    """folder of the images"""
    labels: FilePath | None = None
    """CSV file of paths, relative to the folder, and labels"""
    columns: Columns | None = None
    """names of the columns of the CSV, as in {path: filepaths, label: breed, split: set}; default:
    the usual names, else a column that is the only possible one"""
    layout: Layout | None = None
    """meaning of the folders, one word per level, as in split/class: class, split, or any for a
    level without meaning; default: found by the names of the folders"""
    exclude: Patterns = ()
    """files and folders to leave out: names such as seg_pred or *_mask.png, or paths below path
    such as cats/old*"""
    resize: Resize = "crop"
    """if the aspect ratio differs from the model's input: crop keeps the centre, letterbox adds
    black bars, stretch distorts"""
    stored_size: Pair | None = None
    """height and width of the decoded images in the cache, at least those of the model's input;
    larger images leave room for random crops"""
    skip_unreadable: bool = False
    """leave out images that cannot be read"""
    value_range: ValueRange = None
    """values in the files that become 0 and 255, as in [0, 4095] for 12-bit data; others are
    clipped. auto: the smallest and largest value of the training images. Default: the full range of
    the file's type, which floating-point numbers do not have. A file whose type cannot hold the
    upper end keeps its full range"""
    max_megapixels: PositiveNumber = MAX_PIXELS / MEGAPIXEL
    """largest image that is read, in millions of decoded pixels; a larger JPEG is decoded at a
    fraction of its size"""

    def check(self, shape: ImageShape) -> None:
        if self.labels and self.layout:
            raise DataError("layout is about folders named by class, but labels is given")
        height, width, _ = self._stored(shape)
        if height < shape[0] or width < shape[1]:
            message = (
                f"stored_size {height}×{width} is smaller than the input, {shape[0]}×{shape[1]}"
            )
            raise DataError(message, f"use stored_size: [{shape[0]}, {shape[1]}] or larger")

    def _stored(self, shape: ImageShape) -> ImageShape:
        return (*(self.stored_size or shape[:2]), shape[2])

    def read_image(self, path: Path, shape: ImageShape, content: bytes | None = None) -> np.ndarray:
        stored = reading.read_image(
            path, self._stored(shape), self.resize, self.rules(), content=content
        )
        top, left = ((stored.shape[axis] - shape[axis]) // 2 for axis in (0, 1))
        return stored[top : top + shape[0], left : left + shape[1]]

    def rules(self, training: Sequence[ImageFile] = (), channels: int = 3) -> ReadingRules:
        """The rules for reading the files; ``auto`` is measured on the ``training`` images."""
        given = None if self.value_range == "auto" else self.value_range
        rules = ReadingRules(given, round(self.max_megapixels * MEGAPIXEL))
        if self.value_range == "auto" and training:
            paths = [file.path for file in training]
            rules = replace(rules, value_range=measured_range(paths, channels, rules))
        return rules

    def trained_as(self, trained: Source) -> Source:
        if self.value_range in (None, "auto") and isinstance(trained, Folder):
            return self.model_copy(update={"value_range": trained.value_range})
        return self

    def with_measurements(self, dataset: Dataset) -> Source:
        return self.model_copy(update={"value_range": dataset.value_range})

    def open(self, request: Request) -> Dataset:
        self.check(request.shape)
        listing = self.listing()
        training = (
            self.split_files(listing.files, request)["train"] if self.value_range == "auto" else []
        )
        rules = self.rules(training, request.shape[2])
        form = StoredFormat(self._stored(request.shape), self.resize, rules)
        needed = request.needed({split_of(file) for file in listing.files})
        opened = [file for file in listing.files if split_of(file) in needed]
        paths = [file.location for file in opened]
        others = {file.location for file in listing.files}.difference(paths)
        decoded = decode(paths, form, self._source(), request.progress, others)
        notes = [decoded.note] if decoded.note else []
        if decoded.unreadable:
            notes.append(self._report_unreadable(decoded.unreadable, len(paths)))
        notes += listing.notes()
        row_numbers = decoded.row_numbers()
        files = [file for file in opened if file.location in row_numbers]
        check_classes(files, listing, needed)
        contents = {
            file.location: decoded.rows.index.content(row_numbers[file.location]) for file in files
        }
        if any(file.split == "val" for file in listing.files):  # perhaps not among the opened files
            request = replace(request, validation=0.0)
        splits = self.split_files(files, request, contents)
        parts: dict[str, Split] = {
            name: on_disk(splits[name], decoded, row_numbers, listing.class_names, form)
            for name in splits
            if splits[name]
        }
        unopened = Counter(split_of(file) for file in listing.files if split_of(file) not in needed)
        parts |= {name: UnopenedSplit(count) for name, count in unopened.items()}
        train, val, test = parts["train"], parts.get("val"), parts.get("test")
        if "train" in needed:
            paths_of_train = [file.path for file in splits["train"]]
            note = values_note(train, paths_of_train, request.shape[2], rules)
            notes += [note] if note else []
        if self.value_range == "auto" and rules.value_range:
            text = f"value_range: auto is {listed(rules.value_range)}, from the training images"
            notes.append(text)
        return Dataset(
            listing.class_names,
            train,
            val,
            test,
            tuple(notes),
            reading.decoder(),
            rules.value_range,
        )

    def listing(self) -> Listing:
        """List the images without opening them. Errors: `DataError`."""
        return list_images(self.path, self.labels, self.layout, self.exclude, self.columns)

    def split_files(
        self,
        files: Iterable[ImageFile],
        request: Request,
        digests: Mapping[str, str] | None = None,
    ) -> dict[str, list[ImageFile]]:
        """The files of each split. ``digests`` of their contents; None: they are read."""
        rule, share, seed = request.split_rule, request.validation, request.split_seed
        return split_files(files, rule, share, seed, digests)

    def _source(self) -> str:
        """A name for the folder and its CSV, which have their own cache file."""
        return f"{self.path}, {self.labels}" if self.labels else str(self.path)

    def _report_unreadable(self, unreadable: dict[str, str], total: int) -> str:
        """A note on the images that are left out. Errors: `DataError` unless skip_unreadable."""
        found = f"{len(unreadable):,} of {total:,} images cannot be read:"
        shown = "".join(f"\n   {text}" for text in list(unreadable.values())[:MAX_SHOWN])
        text = f"{found}{shown}{more(len(unreadable) - MAX_SHOWN)}"
        if self.skip_unreadable:
            return text
        hint = setting_hint(next(iter(unreadable.values()))) or "fix or remove them"
        raise DataError(text, f"{hint}, or set skip_unreadable: true")


def setting_hint(error: str) -> str:
    """The hint for a file that another setting makes readable; empty if there is none."""
    settings = ("value_range", "max_megapixels")
    return next((f"set {name} in data.source.Folder" for name in settings if name in error), "")


def more(count: int) -> str:
    """The end of a list that was shortened by ``count`` items."""
    return f" and {count:,} more" if count > 0 else ""


def check_classes(files: list[ImageFile], listing: Listing, splits: Collection[str]) -> None:
    """Check that each class has a readable training image, and each of ``splits`` any image.

    Errors: `DataError`.
    """
    left = {(split_of(file), file.class_name) for file in files}
    readable = {split for split, _ in left}
    for split, of_split in listing.counts().items():
        name_of_split = split or "train"
        if name_of_split not in splits:
            continue
        if name_of_split not in readable:
            raise DataError(f"no image of {name_of_split} can be read")
        for name in of_split if name_of_split == "train" else ():
            if ("train", name) not in left:
                where = " in train" if split else ""
                raise DataError(f"no image of class '{name}'{where} can be read")


def on_disk(
    files: Iterable[ImageFile],
    decoded: DecodedImages,
    row_numbers: dict[str, int],
    class_names: tuple[str, ...],
    form: StoredFormat,
) -> OnDiskSplit:
    numbers = {name: number for number, name in enumerate(class_names)}
    listed = list(files)
    labels = torch.tensor([numbers[file.class_name] for file in listed], dtype=torch.int64)
    at = [row_numbers[file.location] for file in listed]
    return OnDiskSplit(decoded.rows, at, [file.name for file in listed], labels, form.shape)
