"""A file of decoded images: equal rows of bytes, then an index of what they are.

    rows | index: a record for each row, their paths, facts (JSON) |
    footer: magic, rows, bytes a row, bytes of the index, bytes of the facts, BLAKE2 of the index

Rows are read at their positions, not through a mapping: what was read stays the system's to
forget, and a file that was cut is an error instead of a crash.
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
"""bytes, modified, changed, where the path ends among the paths, digest of the row"""
DIGEST_BYTES = 16
ROWS_CHECKED = 32
"""of a file that is opened: all of them would take as long as reading it"""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The image file that a row was made of."""

    path: str
    size: int
    """bytes"""
    modified: int
    """when its content was written: nanoseconds"""
    changed: int
    """when anything of it changed: also a file that was moved there with its old time tells"""
    digest: str
    """of the row"""


class RowIndex:
    """An entry for each row, as bytes: as objects they would take more memory than small images."""

    def __init__(self, records: bytes | memoryview = b"", paths: bytes | memoryview = b"") -> None:
        self._records, self._paths = bytearray(records), bytearray(paths)

    def __len__(self) -> int:
        return len(self._records) // RECORD.size

    def __getitem__(self, place: int) -> SourceFile:
        if not 0 <= place < len(self):
            raise IndexError(place)
        size, modified, changed, end, digest = RECORD.unpack_from(
            self._records, place * RECORD.size
        )
        start = self._end(place - 1) if place else 0
        path = self._paths[start:end].decode(errors="surrogateescape")
        return SourceFile(path, size, modified, changed, digest.hex())

    def _end(self, place: int) -> int:
        end: int = RECORD.unpack_from(self._records, place * RECORD.size)[3]
        return end

    def digest(self, place: int) -> str:
        """As `self[place].digest`, for one after another."""
        end = (place + 1) * RECORD.size
        return self._records[end - DIGEST_BYTES : end].hex()

    def places(self) -> dict[str, int]:
        """The place of each path. It takes memory: not to be kept."""
        found, start = {}, 0
        for place, (_, _, _, end, _) in enumerate(RECORD.iter_unpack(self._records)):
            found[self._paths[start:end].decode(errors="surrogateescape")] = place
            start = end
        return found

    def add(self, entry: SourceFile) -> None:
        self._paths += entry.path.encode(errors="surrogateescape")
        end, digest = len(self._paths), bytes.fromhex(entry.digest)
        self._records += RECORD.pack(entry.size, entry.modified, entry.changed, end, digest)

    def __bytes__(self) -> bytes:
        return bytes(self._records + self._paths)


@dataclass(frozen=True, slots=True)
class Footer:
    """How a file of rows is laid out."""

    rows: int
    row_bytes: int
    index_bytes: int
    facts_bytes: int
    digest: bytes
    """of the index"""

    @classmethod
    def of(cls, file: BinaryIO) -> Footer:
        """Errors: ValueError for a file that was cut, or is none of rows."""
        length = os.fstat(file.fileno()).st_size
        if length < FOOTER.size:
            raise ValueError("cut off")
        file.seek(length - FOOTER.size)
        magic, *values = FOOTER.unpack(file.read(FOOTER.size))
        footer = cls(*values)
        whole = footer.rows * footer.row_bytes + footer.index_bytes + FOOTER.size
        inside = footer.rows * RECORD.size + footer.facts_bytes
        if magic != MAGIC or length != whole or inside > footer.index_bytes:
            raise ValueError("cut off")
        return footer


class RowFile:
    """An open file of rows. Errors: ValueError for a damaged one, OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        self._lock = threading.Lock()
        weakref.finalize(self, self._file.close)
        footer = Footer.of(self._file)
        self.row_bytes = footer.row_bytes
        index = memoryview(self._at(footer.rows * footer.row_bytes, footer.index_bytes))
        if hashlib.blake2b(index, digest_size=DIGEST_BYTES).digest() != footer.digest:
            raise ValueError("damaged")
        records, facts = footer.rows * RECORD.size, footer.index_bytes - footer.facts_bytes
        self.entries = RowIndex(index[:records], index[records:facts])
        step = max(1, footer.rows // ROWS_CHECKED)
        for place in range(0, footer.rows, step):
            if digest_of(self.row(place)) != self.entries.digest(place):
                raise ValueError("damaged")

    def row(self, place: int) -> bytes:
        return self._at(place * self.row_bytes, self.row_bytes)

    def _at(self, offset: int, count: int) -> bytes:
        found = bytearray(count)
        self._read_into(offset, memoryview(found))
        return bytes(found)

    def _read_into(self, offset: int, into: memoryview) -> None:
        with self._lock:
            self._file.seek(offset)
            while into:
                count = self._file.readinto(into)
                if not count:
                    raise ValueError("cut off")
                into = into[count:]

    def gather(self, places: list[int], rows: np.ndarray) -> None:
        """Fill ``rows``, uint8 [n, bytes a row], with those at ``places``.

        Errors: `DataError` for a file that was damaged since it was opened.
        """
        try:
            for row, place in zip(rows, places, strict=True):
                self._read_into(place * self.row_bytes, memoryview(row))
        except (ValueError, OSError) as error:
            message = f"{self.path}: the cached images can no longer be read ({error})"
            raise DataError(message, "run the same command again: they are read anew") from None


def open_rows(path: Path) -> RowFile | None:
    """The file if it is there and whole."""
    try:
        return RowFile(path)
    except (OSError, ValueError):
        return None


def read_metadata(path: Path) -> tuple[dict[str, Any], int]:
    """What a file of rows says of itself, and how many there are; no index is read.

    Errors: ValueError for a damaged one, OSError.
    """
    with path.open("rb") as file:
        footer = Footer.of(file)
        file.seek(-FOOTER.size - footer.facts_bytes, os.SEEK_END)
        facts = json.loads(file.read(footer.facts_bytes))
    if not isinstance(facts, dict):
        raise ValueError("damaged")
    return facts, footer.rows


@contextmanager
def write_rows(path: Path, facts: Mapping[str, Any]) -> Iterator[RowWriter]:
    """Write a file of rows, which replaces ``path`` when the block ends without an exception.

    The partial file has a fixed name: the caller holds the file's lock, so a partial file that
    exists was left by a process that was killed. Errors: OSError.
    """
    with replacing(path, path.with_suffix(".partial")) as file:
        writer = RowWriter(file)
        yield writer
        writer.write_index(facts)


class RowWriter:
    """Writes rows, then their index, to an open file."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.entries = RowIndex()
        self.row_bytes = 0

    def add(self, entry: SourceFile, row: bytes) -> None:
        self.row_bytes = len(row)
        self.file.write(row)
        self.entries.add(entry)

    def write_index(self, facts: Mapping[str, Any]) -> None:
        encoded = json.dumps(dict(facts)).encode()
        index = bytes(self.entries) + encoded
        digest = hashlib.blake2b(index, digest_size=DIGEST_BYTES).digest()
        sizes = (len(self.entries), self.row_bytes, len(index), len(encoded))
        self.file.write(index)
        self.file.write(FOOTER.pack(MAGIC, *sizes, digest))


def digest_of(row: bytes | memoryview) -> str:
    return hashlib.blake2b(row, digest_size=DIGEST_BYTES).hexdigest()
