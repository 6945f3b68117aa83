"""A file of decoded images: rows of equal length in bytes, followed by an index.

    rows | index: one record per row, the paths, metadata (JSON) |
    footer: magic, rows, bytes per row, bytes of index and metadata, BLAKE2 of the index

Rows are read at their positions, not through a memory mapping: the system can drop pages that were
read, and a truncated file raises an error instead of crashing the process.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sepcnn.atomic_file import replacing
from sepcnn.errors import DataError

FOOTER = struct.Struct("<8sQQQQ16s")
MAGIC = b"sepcnn 4"
RECORD = struct.Struct("<QqqQ16s16s")
"""size, modified, changed, end of the path in the paths, digests of the content and of the row"""
DIGEST_BYTES = 16
DECODE_AGAIN = "run the command again to decode the images again"
ROWS_CHECKED = 32
"""rows whose digest is checked when a file is opened; the others when they are first read"""


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
    content: str
    """BLAKE2 of the content of the file, hexadecimal"""


class DamagedRowsError(ValueError):
    """A row file is cut off or damaged."""


Repair = Callable[[SourceFile], bytes]
"""makes a damaged row again from its source file; errors: `DataError`"""


def no_repair(source_file: SourceFile) -> bytes:
    raise DataError(f"the cached pixels of {source_file.path} are damaged", DECODE_AGAIN)


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
        size, modified, changed, end, content, digest = RECORD.unpack_from(
            self._records, number * RECORD.size
        )
        start = self._end(number - 1) if number else 0
        path = self._paths[start:end].decode(errors="surrogateescape")
        return SourceFile(path, size, modified, changed, digest.hex(), content.hex())

    def _end(self, number: int) -> int:
        end: int = RECORD.unpack_from(self._records, number * RECORD.size)[3]
        return end

    def digest(self, number: int) -> str:
        """As ``self[number].digest``, but faster."""
        end = (number + 1) * RECORD.size
        return self._records[end - DIGEST_BYTES : end].hex()

    def content(self, number: int) -> str:
        """As ``self[number].content``, but faster."""
        end = (number + 1) * RECORD.size - DIGEST_BYTES
        return self._records[end - DIGEST_BYTES : end].hex()

    def row_numbers(self) -> dict[str, int]:
        """Map each path to its row number. It is large, so callers should not keep it."""
        found, start = {}, 0
        for number, (_, _, _, end, _, _) in enumerate(RECORD.iter_unpack(self._records)):
            found[self._paths[start:end].decode(errors="surrogateescape")] = number
            start = end
        return found

    def add(self, source_file: SourceFile) -> None:
        self._paths += source_file.path.encode(errors="surrogateescape")
        version = source_file.size, source_file.modified, source_file.changed
        digests = bytes.fromhex(source_file.content), bytes.fromhex(source_file.digest)
        self._records += RECORD.pack(*version, len(self._paths), *digests)

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
        """Read the footer of an open file. Errors: DamagedRowsError if it is not complete."""
        length = os.fstat(file.fileno()).st_size
        if length < FOOTER.size:
            raise DamagedRowsError("cut off")
        file.seek(length - FOOTER.size)
        magic, *values = FOOTER.unpack(file.read(FOOTER.size))
        footer = cls(*values)
        whole = footer.rows * footer.row_bytes + footer.index_bytes + FOOTER.size
        inside = footer.rows * RECORD.size + footer.metadata_bytes
        if magic != MAGIC or length != whole or inside > footer.index_bytes:
            raise DamagedRowsError("cut off")
        return footer


class RowFile:
    """An open row file. Errors: DamagedRowsError if it is damaged, OSError."""

    def __init__(self, path: Path, repair: Repair = no_repair) -> None:
        self.path, self.repair = path, repair
        self._file = path.open("rb", buffering=0)
        self._lock = threading.Lock()
        weakref.finalize(self, self._file.close)
        footer = Footer.read(self._file)
        self.row_bytes = footer.row_bytes
        self._checked = bytearray(footer.rows)
        self._repaired: dict[int, bytes] = {}  # rows that could not be written
        index = memoryview(self._read(footer.rows * footer.row_bytes, footer.index_bytes))
        if hashlib.blake2b(index, digest_size=DIGEST_BYTES).digest() != footer.digest:
            raise DamagedRowsError("damaged")
        records, metadata = footer.rows * RECORD.size, footer.index_bytes - footer.metadata_bytes
        self.index = RowIndex(index[:records], index[records:metadata])
        step = max(1, footer.rows // ROWS_CHECKED)
        for number in range(0, footer.rows, step):
            if row_digest(self.row(number)) != self.index.digest(number):
                raise DamagedRowsError("damaged")

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
                    raise DamagedRowsError("cut off")
                into = into[count:]

    def gather(self, row_numbers: list[int], rows: np.ndarray) -> None:
        """Read rows into ``rows``, uint8 [n, bytes per row].

        Errors: `DataError` if the file was damaged after it was opened.
        """
        try:
            for row, number in zip(rows, row_numbers, strict=True):
                self._read_into(number * self.row_bytes, memoryview(row))
                # Checking costs a few percent of the reading, and only the first time.
                if not self._checked[number]:
                    self._check(number, row)
        except (DamagedRowsError, OSError) as error:
            message = f"{self.path}: the cached images can no longer be read ({error})"
            raise DataError(message, DECODE_AGAIN) from None

    def _check(self, number: int, row: np.ndarray) -> None:
        """Check the digest of a row that was read for the first time; repair it if it is wrong."""
        if row_digest(row.data) == self.index.digest(number):
            self._checked[number] = 1
            return
        if number not in self._repaired:
            source_file = self.index[number]
            self._repaired[number] = self.repair(source_file)
            text = "the cached pixels of %a were damaged on disk: decoded again"
            logging.getLogger(__name__).warning(text, source_file.path)
            with suppress(OSError):
                self._write(number, self._repaired[number])
        row[:] = np.frombuffer(self._repaired[number], np.uint8)

    def _write(self, number: int, content: bytes) -> None:
        """Overwrite a damaged row, unless another process has replaced the file."""
        with self.path.open("r+b", buffering=0) as file:
            if os.path.samestat(os.fstat(file.fileno()), os.fstat(self._file.fileno())):
                file.seek(number * self.row_bytes)
                file.write(content)


def open_rows(path: Path, repair: Repair = no_repair) -> RowFile | None:
    """Open a row file; None if it is missing or damaged."""
    try:
        return RowFile(path, repair)
    except (OSError, DamagedRowsError):
        return None


def read_metadata(path: Path) -> tuple[dict[str, Any], int]:
    """The metadata of a row file and its number of rows, without reading its index.

    Errors: DamagedRowsError if the file is damaged, OSError.
    """
    with path.open("rb") as file:
        footer = Footer.read(file)
        file.seek(-FOOTER.size - footer.metadata_bytes, os.SEEK_END)
        metadata = json.loads(file.read(footer.metadata_bytes))
    if not isinstance(metadata, dict):
        raise DamagedRowsError("damaged")
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
