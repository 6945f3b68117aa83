"""A file of decoded images: rows of equal length in bytes, followed by an index.

    rows | index: one record per row, the paths, metadata (JSON) |
    footer: magic, rows, bytes per row, bytes of index and metadata, BLAKE2 of the index

Rows are read at their positions, not through a memory mapping: the system can drop pages that were
read, and a truncated file raises an error instead of crashing the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sepcnn.atomic_file import replacing
from sepcnn.errors import DataError

FOOTER = struct.Struct("<8sQQQQ16s")
MAGIC = b"sepcnn 3"
RECORD = struct.Struct("<QqqQ16s")
"""size, modified, changed, end of the path in the paths, digest of the row"""
DIGEST_BYTES = 16
ROWS_CHECKED = 32
"""rows whose digest is checked when a file is opened; checking all would read the whole file"""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The image file that a row was decoded from."""

    path: str
    size: int
    """in bytes"""
    modified: int
    """time of the last change of its content (mtime), in nanoseconds"""
    changed: int
    """time of the last change of its metadata (ctime), in nanoseconds: also updated by a move"""
    digest: str
    """BLAKE2 of the row, hexadecimal"""


class RowIndex:
    """The source file of each row, packed as bytes.

    As Python objects, they would need more memory than small images.
    """

    def __init__(self, records: bytes | memoryview = b"", paths: bytes | memoryview = b"") -> None:
        self._records, self._paths = bytearray(records), bytearray(paths)

    def __len__(self) -> int:
        return len(self._records) // RECORD.size

    def __getitem__(self, number: int) -> SourceFile:
        if not 0 <= number < len(self):
            raise IndexError(number)
        size, modified, changed, end, digest = RECORD.unpack_from(
            self._records, number * RECORD.size
        )
        start = self._end(number - 1) if number else 0
        path = self._paths[start:end].decode(errors="surrogateescape")
        return SourceFile(path, size, modified, changed, digest.hex())

    def _end(self, number: int) -> int:
        end: int = RECORD.unpack_from(self._records, number * RECORD.size)[3]
        return end

    def digest(self, number: int) -> str:
        """As ``self[number].digest``, but faster."""
        end = (number + 1) * RECORD.size
        return self._records[end - DIGEST_BYTES : end].hex()

    def row_numbers(self) -> dict[str, int]:
        """Map each path to its row number. It is large, so callers should not keep it."""
        found, start = {}, 0
        for number, (_, _, _, end, _) in enumerate(RECORD.iter_unpack(self._records)):
            found[self._paths[start:end].decode(errors="surrogateescape")] = number
            start = end
        return found

    def add(self, source_file: SourceFile) -> None:
        self._paths += source_file.path.encode(errors="surrogateescape")
        end, digest = len(self._paths), bytes.fromhex(source_file.digest)
        self._records += RECORD.pack(
            source_file.size, source_file.modified, source_file.changed, end, digest
        )

    def __bytes__(self) -> bytes:
        return bytes(self._records + self._paths)


@dataclass(frozen=True, slots=True)
class Footer:
    """The layout of a row file."""

    rows: int
    row_bytes: int
    index_bytes: int
    metadata_bytes: int
    digest: bytes
    """BLAKE2 of the index"""

    @classmethod
    def read(cls, file: BinaryIO) -> Footer:
        """Read the footer of an open file. Errors: ValueError if it is not a complete row file."""
        length = os.fstat(file.fileno()).st_size
        if length < FOOTER.size:
            raise ValueError("cut off")
        file.seek(length - FOOTER.size)
        magic, *values = FOOTER.unpack(file.read(FOOTER.size))
        footer = cls(*values)
        whole = footer.rows * footer.row_bytes + footer.index_bytes + FOOTER.size
        inside = footer.rows * RECORD.size + footer.metadata_bytes
        if magic != MAGIC or length != whole or inside > footer.index_bytes:
            raise ValueError("cut off")
        return footer


class RowFile:
    """An open row file. Errors: ValueError if it is damaged, OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        self._lock = threading.Lock()
        weakref.finalize(self, self._file.close)
        footer = Footer.read(self._file)
        self.row_bytes = footer.row_bytes
        index = memoryview(self._read(footer.rows * footer.row_bytes, footer.index_bytes))
        if hashlib.blake2b(index, digest_size=DIGEST_BYTES).digest() != footer.digest:
            raise ValueError("damaged")
        records, metadata = footer.rows * RECORD.size, footer.index_bytes - footer.metadata_bytes
        self.index = RowIndex(index[:records], index[records:metadata])
        step = max(1, footer.rows // ROWS_CHECKED)
        for number in range(0, footer.rows, step):
            if row_digest(self.row(number)) != self.index.digest(number):
                raise ValueError("damaged")

    def row(self, number: int) -> bytes:
        """Read one row."""
        return self._read(number * self.row_bytes, self.row_bytes)

    def _read(self, offset: int, count: int) -> bytes:
        content = bytearray(count)
        self._read_into(offset, memoryview(content))
        return bytes(content)

    def _read_into(self, offset: int, into: memoryview) -> None:
        with self._lock:
            self._file.seek(offset)
            while into:
                count = self._file.readinto(into)
                if not count:
                    raise ValueError("cut off")
                into = into[count:]

    def gather(self, row_numbers: list[int], rows: np.ndarray) -> None:
        """Read rows into ``rows``, uint8 [n, bytes per row].

        Errors: `DataError` if the file was damaged after it was opened.
        """
        try:
            for row, number in zip(rows, row_numbers, strict=True):
                self._read_into(number * self.row_bytes, memoryview(row))
        except (ValueError, OSError) as error:
            message = f"{self.path}: the cached images can no longer be read ({error})"
            raise DataError(message, "run the command again to decode the images again") from None


def open_rows(path: Path) -> RowFile | None:
    """Open a row file; None if it is missing or damaged."""
    try:
        return RowFile(path)
    except (OSError, ValueError):
        return None


def read_metadata(path: Path) -> tuple[dict[str, Any], int]:
    """The metadata of a row file and its number of rows, without reading its index.

    Errors: ValueError if the file is damaged, OSError.
    """
    with path.open("rb") as file:
        footer = Footer.read(file)
        file.seek(-FOOTER.size - footer.metadata_bytes, os.SEEK_END)
        metadata = json.loads(file.read(footer.metadata_bytes))
    if not isinstance(metadata, dict):
        raise ValueError("damaged")
    return metadata, footer.rows


@contextmanager
def write_rows(path: Path, metadata: Mapping[str, Any]) -> Iterator[RowWriter]:
    """Write a row file, which replaces ``path`` when the block ends without an exception.

    The partial file has a fixed name: the caller holds the file's lock, so a partial file that
    exists was left by a process that was killed. Errors: OSError.
    """
    with replacing(path, path.with_suffix(".partial")) as file:
        writer = RowWriter(file)
        yield writer
        writer.write_index(metadata)


class RowWriter:
    """Writes rows, then their index, to an open file."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.index = RowIndex()
        self.row_bytes = 0

    def add(self, source_file: SourceFile, row: bytes) -> None:
        self.row_bytes = len(row)
        self.file.write(row)
        self.index.add(source_file)

    def write_index(self, metadata: Mapping[str, Any]) -> None:
        encoded = json.dumps(dict(metadata)).encode()
        index = bytes(self.index) + encoded
        digest = hashlib.blake2b(index, digest_size=DIGEST_BYTES).digest()
        sizes = (len(self.index), self.row_bytes, len(index), len(encoded))
        self.file.write(index)
        self.file.write(FOOTER.pack(MAGIC, *sizes, digest))


def row_digest(row: bytes | memoryview) -> str:
    """BLAKE2 of a row, hexadecimal."""
    return hashlib.blake2b(row, digest_size=DIGEST_BYTES).hexdigest()
