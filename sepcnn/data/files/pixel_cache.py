"""Decodes image files once, on all cores, into the user's cache folder or into memory."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sepcnn.backends.machine import free_memory, processor_count
from sepcnn.cache import cache_folder
from sepcnn.data.files.decoding import (
    DECODER,
    DEFAULT_RULES,
    ReadingRules,
    decoder,
    read_image,
)
from sepcnn.data.files.locks import locked
from sepcnn.data.files.resizing import Resize
from sepcnn.data.files.row_file import (
    RowFile,
    RowIndex,
    SourceFile,
    open_rows,
    row_digest,
    write_rows,
)
from sepcnn.data.progress import ProgressCallback
from sepcnn.errors import DataError
from sepcnn.file_kind import system_error

SUBFOLDER = "images"
"""below the cache folder"""
QUEUED_PER_THREAD = 4
"""decoded images per thread that may wait to be written"""


@dataclass(frozen=True, slots=True)
class StoredFormat:
    """Shape, resizing and pixel values of decoded images."""

    shape: tuple[int, int, int]
    """height, width, channels"""
    resize: Resize
    rules: ReadingRules = DEFAULT_RULES

    def metadata(self, source: str) -> dict[str, Any]:
        """Identifies a cache file, is stored in it, and is shown by `sepcnn cache`."""
        made: dict[str, Any] = {"shape": list(self.shape), "resize": self.resize}
        if self.rules.value_range:
            made["value_range"] = list(self.rules.value_range)
        return {"source": source, **made, "decoder": f"{DECODER}, {decoder()}"}

    @property
    def row_bytes(self) -> int:
        height, width, channels = self.shape
        return height * width * channels


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
    others: Iterable[str] = (),
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
    cached = open_rows(path)
    if cached and not changed_files(files, cached):
        with suppress(OSError):
            os.utime(path)  # time of last use
        return DecodedImages(cached, {})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock"), f"decoding the images of {source}"):
            return decode_into_cache(files, target, path, metadata, progress, others)
    except (OSError, ValueError) as error:  # ValueError: the file was truncated just now
        reason = ((error.strerror if isinstance(error, OSError) else "") or str(error)).lower()
        return decode_into_memory(files, target, reason, progress)


def changed_files(files: Iterable[str], cached: RowFile | None) -> list[str]:
    """The files whose current version is not in the cache."""
    row_numbers = cached.index.row_numbers() if cached else {}
    found = []
    for file in files:
        number = row_numbers.get(file)
        if cached is None or number is None:
            found.append(file)
            continue
        source_file = cached.index[number]
        try:
            status = os.stat(file)
        except OSError:
            found.append(file)
            continue
        if file_version(status) != (source_file.size, source_file.modified, source_file.changed):
            found.append(file)
    return found


def file_version(status: os.stat_result) -> tuple[int, int, int]:
    """Size, mtime and ctime: they differ if the content of a file may have changed."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def decode_into_cache(
    files: list[str],
    target: StoredFormat,
    path: Path,
    metadata: dict[str, Any],
    progress: ProgressCallback,
    others: Iterable[str] = (),
) -> DecodedImages:
    """Decode changed files and copy the other rows into a new file. Errors: OSError."""
    cached = open_rows(path)  # another process may have written it while this one waited
    fresh = changed_files(files, cached)
    left = set(fresh)
    kept = [file for file in files if file not in left]
    kept += sorted(cached.index.row_numbers().keys() & others) if cached else []
    if shutil.disk_usage(path.parent).free < len(files) * target.row_bytes:
        raise OSError("not enough space")
    unreadable: dict[str, str] = {}
    rows = read_images(fresh, target, unreadable, progress)
    first = next(rows, None)
    if first is None and cached:
        return DecodedImages(cached, unreadable)
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
            for source_file, row in read_images([file], target, unreadable, progress):
                writer.add(source_file, row)
        writer.row_bytes = target.row_bytes
    return DecodedImages(RowFile(path), unreadable)


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
    unreadable: dict[str, str] = {}
    for source_file, row in read_images(files, target, unreadable, progress):
        kept.add(source_file, row)
    note = f"{where}: images are kept in memory, and decoded again by the next command"
    return DecodedImages(kept, unreadable, note)


def read_images(
    files: list[str], target: StoredFormat, unreadable: dict[str, str], progress: ProgressCallback
) -> Iterator[tuple[SourceFile, bytes]]:
    """Decode images in order; errors of unreadable files are added to ``unreadable``.

    Threads are enough, because Pillow releases the GIL while it decodes and resizes.
    """
    threads = processor_count()
    pool = ThreadPoolExecutor(threads)
    waiting: deque[tuple[str, Future[tuple[SourceFile, bytes] | str]]] = deque()
    remaining = iter(files)
    done = 0
    try:
        while True:
            while len(waiting) < QUEUED_PER_THREAD * threads and (file := next(remaining, None)):
                waiting.append((file, pool.submit(read_file, file, target)))
            if not waiting:
                return
            file, future = waiting.popleft()
            result = future.result()
            done += 1
            progress(done, len(files))
            if isinstance(result, str):
                unreadable[file] = result
            else:
                yield result
    finally:
        pool.shutdown(cancel_futures=True)


def read_file(file: str, target: StoredFormat) -> tuple[SourceFile, bytes] | str:
    """Decode one file: its description and pixels, or the error message if it cannot be read.

    Errors: `DataError` if the file changes meanwhile.
    """
    try:
        before = os.stat(file)
        row = read_image(Path(file), target.shape, target.resize, target.rules).tobytes()
        after = os.stat(file)
    except DataError as error:
        return error.message
    except OSError as error:
        return f"{file}: {system_error(Path(file), error)}"
    if file_version(before) != file_version(after):
        message = f"{file} changed while it was read"
        raise DataError(message, "run the command again when nothing writes to the folder")
    return SourceFile(file, *file_version(before), row_digest(row)), row
