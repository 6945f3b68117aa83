"""Image files decoded once, on all cores, into the user's cache folder; into memory without one."""

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
from sepcnn.data.files.decoding import DECODER, Resize, decoder, read_image
from sepcnn.data.files.locks import held
from sepcnn.data.files.row_file import (
    RowFile,
    RowIndex,
    SourceFile,
    digest_of,
    open_rows,
    write_rows,
)
from sepcnn.data.progress import ProgressCallback
from sepcnn.errors import DataError

CACHE = "images"
"""the folder within the cache folder"""
QUEUED_PER_THREAD = 4
"""decoded images that wait to be written"""


@dataclass(frozen=True, slots=True)
class StoredFormat:
    """What image files become."""

    shape: tuple[int, int, int]
    resize: Resize

    def facts(self, source: str) -> dict[str, Any]:
        """What decides about the cache file, and what `sepcnn cache` shows."""
        made = {"shape": list(self.shape), "resize": self.resize}
        return {"source": source, **made, "decoder": f"{DECODER}, {decoder()}"}

    @property
    def row_bytes(self) -> int:
        height, width, channels = self.shape
        return height * width * channels


class Rows(Protocol):
    """Where decoded images lie."""

    entries: RowIndex

    def gather(self, places: list[int], rows: np.ndarray) -> None:
        """Fill ``rows`` with the images at ``places``."""


@dataclass
class MemoryRows:
    """Decoded images in memory."""

    images: np.ndarray
    """uint8 [N, bytes a row]"""
    entries: RowIndex = field(default_factory=RowIndex)

    def add(self, entry: SourceFile, row: bytes) -> None:
        self.images[len(self.entries)] = np.frombuffer(row, np.uint8)
        self.entries.add(entry)

    def gather(self, places: list[int], rows: np.ndarray) -> None:
        np.take(self.images, places, axis=0, out=rows)


@dataclass
class DecodedImages:
    """All image files that could be read, and what was wrong with the others."""

    rows: Rows
    unreadable: dict[str, str]
    note: str = ""

    def places(self) -> dict[str, int]:
        """Where the images lie; not what the cache still holds of a file that is damaged now."""
        places = self.rows.entries.places()
        for path in self.unreadable:
            places.pop(path, None)
        return places


def decode(
    files: list[str], form: StoredFormat, source: str, watch: ProgressCallback
) -> DecodedImages:
    """The images of ``files``, from the cache where they have not changed since; ``source``
    names the set, which has a file of its own in the cache.

    Errors: `DataError` for files that change while they are read, and where there is room for
    the images neither in the cache folder nor in memory.
    """
    files = list(dict.fromkeys(files))
    facts = form.facts(source)
    name = hashlib.blake2b(repr(facts).encode(errors="surrogateescape"), digest_size=12)
    path = cache_folder() / CACHE / f"{name.hexdigest()}.rows"
    stored = open_rows(path)
    if stored and not changed(files, stored):
        with suppress(OSError):
            os.utime(path)  # when it was last used
        return DecodedImages(stored, {})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(path.with_suffix(".lock"), f"decoding the images of {source}"):
            return into_cache(files, form, path, facts, watch)
    except (OSError, ValueError) as error:  # ValueError: a file that was cut just now
        reason = ((error.strerror if isinstance(error, OSError) else "") or str(error)).lower()
        return into_memory(files, form, reason, watch)


def changed(files: Iterable[str], stored: RowFile | None) -> list[str]:
    """The files that are not in the cache as they are now."""
    places = stored.entries.places() if stored else {}
    found = []
    for file in files:
        place = places.get(file)
        if stored is None or place is None:
            found.append(file)
            continue
        entry = stored.entries[place]
        try:
            status = os.stat(file)
        except OSError:
            found.append(file)
            continue
        if version(status) != (entry.size, entry.modified, entry.changed):
            found.append(file)
    return found


def version(status: os.stat_result) -> tuple[int, int, int]:
    """Differs whenever a file may have another content than before."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def into_cache(
    files: list[str], form: StoredFormat, path: Path, facts: dict[str, Any], watch: ProgressCallback
) -> DecodedImages:
    """Decode what has changed, and copy the rows of what has not. Errors: OSError."""
    stored = open_rows(path)  # another process may have written it while this one waited
    fresh = changed(files, stored)
    left = set(fresh)
    kept = [file for file in files if file not in left]
    if shutil.disk_usage(path.parent).free < len(files) * form.row_bytes:
        raise OSError("no room")
    unreadable: dict[str, str] = {}
    rows = read_all(fresh, form, unreadable, watch)
    first = next(rows, None)
    if first is None and stored:
        return DecodedImages(stored, unreadable)
    with write_rows(path, facts) as writer:
        if first is not None:
            writer.add(*first)
        for entry, row in rows:
            writer.add(entry, row)
        places = stored.entries.places() if stored else {}
        for file in kept:
            assert stored is not None
            place = places[file]
            entry, row = stored.entries[place], stored.row(place)
            if digest_of(row) == entry.digest:
                writer.add(entry, row)
                continue
            for entry, row in read_all([file], form, unreadable, watch):
                writer.add(entry, row)
        writer.row_bytes = form.row_bytes
    return DecodedImages(RowFile(path), unreadable)


def into_memory(
    files: list[str], form: StoredFormat, reason: str, watch: ProgressCallback
) -> DecodedImages:
    """Decode everything, to be forgotten at the end. Errors: `DataError`."""
    needed, free = len(files) * form.row_bytes, free_memory()
    where = f"the cache folder {cache_folder()} cannot be used ({reason})"
    if free is not None and needed > free / 2:
        size = f"{needed / 1e9:.1f} GB"
        message = f"{where}, and {size} of decoded images are too much for the memory"
        raise DataError(message, f"set XDG_CACHE_HOME to a folder with {size} of room")
    kept = MemoryRows(np.empty((len(files), form.row_bytes), np.uint8))
    unreadable: dict[str, str] = {}
    for entry, row in read_all(files, form, unreadable, watch):
        kept.add(entry, row)
    note = f"{where}: the images are kept in memory, and read again by the next command"
    return DecodedImages(kept, unreadable, note)


def read_all(
    files: list[str], form: StoredFormat, unreadable: dict[str, str], watch: ProgressCallback
) -> Iterator[tuple[SourceFile, bytes]]:
    """Each image that can be read, in order; what is wrong with others goes to ``unreadable``.

    Threads serve: Pillow decodes and resizes without holding Python's lock.
    """
    threads = processor_count()
    pool = ThreadPoolExecutor(threads)
    waiting: deque[tuple[str, Future[tuple[SourceFile, bytes] | str]]] = deque()
    remaining = iter(files)
    done = 0
    try:
        while True:
            while len(waiting) < QUEUED_PER_THREAD * threads and (file := next(remaining, None)):
                waiting.append((file, pool.submit(read_one, file, form)))
            if not waiting:
                return
            file, future = waiting.popleft()
            result = future.result()
            done += 1
            watch(done, len(files))
            if isinstance(result, str):
                unreadable[file] = result
            else:
                yield result
    finally:
        pool.shutdown(cancel_futures=True)


def read_one(file: str, form: StoredFormat) -> tuple[SourceFile, bytes] | str:
    """An image and what it was made of, or what is wrong with it. Errors: `DataError`."""
    try:
        before = os.stat(file)
        row = read_image(Path(file), form.shape, form.resize).tobytes()
        after = os.stat(file)
    except DataError as error:
        return error.message
    except OSError as error:
        return f"{file}: {(error.strerror or str(error)).lower()}"
    if version(before) != version(after):
        message = f"{file} changed while it was read"
        raise DataError(message, "start again when nothing writes into the folder")
    return SourceFile(file, *version(before), digest_of(row)), row
