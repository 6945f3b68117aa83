"""Reads and decodes image files on all cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sepcnn
from sepcnn.data.cache.row_file import SourceFile, row_digest
from sepcnn.data.decoding.opening import check_regular, formats
from sepcnn.data.decoding.reading import (
    DECODER,
    DEFAULT_RULES,
    ReadingRules,
    decoder,
    read_image,
)
from sepcnn.data.decoding.resizing import Resize
from sepcnn.data.listing.split_files import content_digest, file_digest
from sepcnn.data.progress import ProgressCallback
from sepcnn.data.threads import map_in_threads
from sepcnn.errors import DataError
from sepcnn.file_kind import system_error

READ_AT_ONCE = 32 << 20
"""bytes of a file that is hashed and decoded in memory; a larger one is read twice"""
Version = tuple[int, int, int]
"""size, mtime and ctime: they differ if the content of a file may have changed"""


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


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image file that cannot be read."""

    message: str
    version: Version | None
    """None if the same content may be readable later, for example after an error of a disk"""


class ReadingError(Exception):
    """Carries an OSError of `read_images` past handlers for errors of the cache."""

    def __init__(self, original: OSError) -> None:
        super().__init__(str(original))
        self.original = original


def file_version(status: os.stat_result) -> Version:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def reader(rules: ReadingRules) -> str:
    """What decides, besides the content of a file, whether it is readable."""
    return f"sepcnn {sepcnn.__version__}, {rules.max_pixels} pixels, {' '.join(formats())}"


def read_images(
    files: list[str],
    target: StoredFormat,
    unreadable: dict[str, Unreadable],
    progress: ProgressCallback,
) -> Iterator[tuple[SourceFile, bytes]]:
    """Decode images in order; unreadable files are added to ``unreadable``.

    Errors: `DataError` if a file changes meanwhile; `ReadingError`.
    """
    with closing(map_in_threads(partial(read_file, target=target), files)) as results:
        for done, file in enumerate(files, 1):
            try:
                result = next(results)
                progress(done, len(files))
            except OSError as error:
                raise ReadingError(error) from error
            if isinstance(result, Unreadable):
                unreadable[file] = result
            else:
                yield result


def read_file(file: str, target: StoredFormat) -> tuple[SourceFile, bytes] | Unreadable:
    """Decode one file: its description and pixels, or why it cannot be read.

    Errors: `DataError` if the file changes meanwhile.
    """
    path, version = Path(file), None
    try:
        version = file_version(os.stat(file))
        check_regular(path)
        content = path.read_bytes() if version[0] <= READ_AT_ONCE else None
        digest = file_digest(path) if content is None else content_digest(content)
        row = read_image(path, target.shape, target.resize, target.rules, content=content).tobytes()
    except DataError as error:
        return Unreadable(error.message, version if due_to_content(error) else None)
    except OSError as error:
        return Unreadable(f"{file}: {system_error(path, error)}", None)
    try:
        changed = file_version(os.stat(file)) != version
    except OSError:
        changed = True
    if changed:
        message = f"{file} changed while it was read"
        raise DataError(message, "run the command again when nothing writes to the folder")
    return SourceFile(file, *version, row_digest(row), digest), row


def due_to_content(error: DataError) -> bool:
    """Whether a file is unreadable because of its bytes, not of the disk or of the memory."""
    cause = error.__context__
    return not isinstance(cause, MemoryError) and getattr(cause, "errno", None) is None
