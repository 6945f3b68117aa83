"""Write a file completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sepcnn.errors import StorageError


@contextmanager
def replacing(path: Path, partial: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces ``path`` when the block ends without an exception.

    The content is flushed to disk before the old file is replaced. After an exception or an
    interrupt the old file is unchanged and the partial file is removed. ``partial`` is the path
    used while writing, by default ``.NAME.partial`` in the same folder. Two writers of the same
    path need different ones, or a lock. Errors: OSError.
    """
    partial = partial or path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    # The new name must reach the disk as well. Some file systems cannot flush a folder.
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file by ``content``. Errors: `StorageError`; the old file is then unchanged."""
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise StorageError.of(path, error) from None
