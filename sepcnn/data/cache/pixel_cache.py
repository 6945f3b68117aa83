"""Decodes image files once, on all cores, into the user's cache folder or into memory."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sepcnn.backends.machine import free_memory
from sepcnn.cache import cache_folder
from sepcnn.data.cache.file_reading import (
    ReadingError,
    StoredFormat,
    Unreadable,
    file_version,
    read_file,
    read_images,
    reader,
)
from sepcnn.data.cache.locks import locked
from sepcnn.data.cache.row_file import (
    DamagedRowsError,
    RowFile,
    RowIndex,
    SourceFile,
    open_rows,
    row_digest,
    write_rows,
)
from sepcnn.data.cache.unreadable_files import load_unreadable, save_unreadable
from sepcnn.data.progress import ProgressCallback, no_progress
from sepcnn.errors import DataError

SUBFOLDER = "images"
"""below the cache folder"""


class RowStore(Protocol):
    """Decoded images as rows of bytes, in a file or in memory."""

    index: RowIndex

    def gather(self, row_numbers: list[int], rows: np.ndarray) -> None:
        """Copy images into ``rows``, uint8 [n, bytes per row]."""


@dataclass
class MemoryRows:
    """Decoded images in memory."""

    images: np.ndarray
    """uint8 [N, bytes per row]"""
    index: RowIndex = field(default_factory=RowIndex)

    def add(self, source_file: SourceFile, row: bytes) -> None:
        self.images[len(self.index)] = np.frombuffer(row, np.uint8)
        self.index.add(source_file)

    def gather(self, row_numbers: list[int], rows: np.ndarray) -> None:
        np.take(self.images, row_numbers, axis=0, out=rows)


@dataclass
class DecodedImages:
    """The decoded image files, and the errors of those that cannot be read."""

    rows: RowStore
    unreadable: dict[str, str]
    """path → error message"""
    note: str = ""
    """for the user, if the cache could not be used"""

    def row_numbers(self) -> dict[str, int]:
        """Map each path to its row number, without files that are unreadable now."""
        row_numbers = self.rows.index.row_numbers()
        for path in self.unreadable:
            row_numbers.pop(path, None)
        return row_numbers


def decode(
    files: list[str],
    target: StoredFormat,
    source: str,
    progress: ProgressCallback,
    others: Collection[str] = (),
) -> DecodedImages:
    """Decode ``files``, or take them from the cache if they have not changed.

    ``source`` names the data set, which has its own cache file. ``others`` are its other files:
    they are not decoded, but stay in the cache.
    Errors: `DataError` if a file changes while it is read, or if there is not enough space for the
    images in the cache folder and in memory.
    """
    files = list(dict.fromkeys(files))
    metadata = target.metadata(source)
    name = hashlib.blake2b(repr(metadata).encode(errors="surrogateescape"), digest_size=12)
    path = cache_folder() / SUBFOLDER / f"{name.hexdigest()}.rows"
    known = Known(path, target)
    if known.rows:
        unknown, unreadable = known.compare(files)
        if not unknown:
            with suppress(OSError):
                os.utime(path)  # time of last use
            return DecodedImages(known.rows, messages(files, unreadable))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock"), f"decoding the images of {source}"):
            return decode_into_cache(files, target, path, metadata, progress, others)
    except ReadingError as error:  # not an error of the cache
        raise error.original from None
    except (OSError, DamagedRowsError) as error:  # the file may have been truncated just now
        reason = ((error.strerror if isinstance(error, OSError) else "") or str(error)).lower()
        return decode_into_memory(files, target, reason, progress)


class Known:
    """What the cache has: decoded images and unreadable files."""

    def __init__(self, path: Path, target: StoredFormat) -> None:
        self.rows = open_rows(path, partial(repaired_row, target))
        self.unreadable = load_unreadable(path, reader(target.rules))

    def compare(self, files: Iterable[str]) -> tuple[list[str], dict[str, Unreadable]]:
        """Files whose current version is unknown, and those known to be unreadable."""
        row_numbers = self.rows.index.row_numbers() if self.rows else {}
        unknown, unreadable = [], {}
        for file in files:
            try:
                version = file_version(os.stat(file))
            except OSError:
                unknown.append(file)
                continue
            number = row_numbers.get(file)
            if self.rows is not None and number is not None:
                cached = self.rows.index[number]
                if version == (cached.size, cached.modified, cached.changed):
                    continue
            known = self.unreadable.get(file)
            if known is not None and known.version == version:
                unreadable[file] = known
            else:
                unknown.append(file)
        return unknown, unreadable


def repaired_row(target: StoredFormat, source_file: SourceFile) -> bytes:
    """Decode the image of a damaged row again. Errors: `DataError` if its file has changed."""
    result = read_file(source_file.path, target)
    if isinstance(result, Unreadable) or result[0].digest != source_file.digest:
        message = f"the cached pixels of {source_file.path} are damaged, and the file has changed"
        raise DataError(message, "restore the file, or start again with a new run")
    return result[1]


def decode_into_cache(
    files: list[str],
    target: StoredFormat,
    path: Path,
    metadata: dict[str, Any],
    progress: ProgressCallback,
    others: Collection[str] = (),
) -> DecodedImages:
    """Decode changed files and copy the other rows into a new file. Errors: OSError."""
    known = Known(path, target)  # another process may have written it while this one waited
    cached = known.rows
    fresh, unreadable = known.compare(files)
    left = {*fresh, *unreadable}
    kept = [file for file in files if file not in left]
    kept += sorted(cached.index.row_numbers().keys() & others) if cached else []
    if shutil.disk_usage(path.parent).free < len(files) * target.row_bytes:
        raise OSError("not enough space")
    rows = read_images(fresh, target, unreadable, progress)
    first = next(rows, None)
    if first is None and cached:
        remember(path, target, known, unreadable, others)
        return DecodedImages(cached, messages(files, unreadable))
    with write_rows(path, metadata) as writer:
        if first is not None:
            writer.add(*first)
        for source_file, row in rows:
            writer.add(source_file, row)
        row_numbers = cached.index.row_numbers() if cached else {}
        for file in kept:
            assert cached is not None
            number = row_numbers[file]
            source_file, row = cached.index[number], cached.row(number)
            if row_digest(row) == source_file.digest:
                writer.add(source_file, row)
                continue
            for source_file, row in read_images([file], target, unreadable, no_progress):
                writer.add(source_file, row)
        writer.row_bytes = target.row_bytes
    remember(path, target, known, unreadable, others)
    return DecodedImages(RowFile(path, partial(repaired_row, target)), messages(files, unreadable))


def remember(
    path: Path,
    target: StoredFormat,
    known: Known,
    unreadable: dict[str, Unreadable],
    others: Collection[str],
) -> None:
    """Store the unreadable files, and keep the ``others``, which were not read now."""
    kept = {file: known.unreadable[file] for file in known.unreadable.keys() & others}
    if (stored := kept | unreadable) or known.unreadable:
        save_unreadable(path, reader(target.rules), stored)


def messages(files: list[str], unreadable: dict[str, Unreadable]) -> dict[str, str]:
    """The errors in the order of ``files``, so that they are the same each time."""
    return {file: unreadable[file].message for file in files if file in unreadable}


def decode_into_memory(
    files: list[str], target: StoredFormat, reason: str, progress: ProgressCallback
) -> DecodedImages:
    """Decode all files into memory. Errors: `DataError` if that needs over half of what is free."""
    needed, free = len(files) * target.row_bytes, free_memory()
    where = f"the cache folder {cache_folder()} cannot be used ({reason})"
    if free is not None and needed > free / 2:
        size = f"{needed / 1e9:.1f} GB"
        message = f"{where}, and {size} of decoded images do not fit into memory"
        raise DataError(message, f"set XDG_CACHE_HOME to a folder with {size} of free space")
    kept = MemoryRows(np.empty((len(files), target.row_bytes), np.uint8))
    unreadable: dict[str, Unreadable] = {}
    try:
        for source_file, row in read_images(files, target, unreadable, progress):
            kept.add(source_file, row)
    except ReadingError as error:
        raise error.original from None
    note = f"{where}: images are kept in memory, and decoded again by the next command"
    return DecodedImages(kept, messages(files, unreadable), note)
