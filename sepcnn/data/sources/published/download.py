"""Downloads of published files, checked by their MD5 before they get their final name."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sepcnn.data.cache.locks import locked
from sepcnn.errors import DataError, StorageError
from sepcnn.file_kind import identify, system_error

BLOCK_BYTES = 1 << 18
TIMEOUT_SECONDS = 20.0
"""without data, after which the next mirror is tried"""
TOLERANCE_BYTES = 1 << 24
"""added to the size of a file, which is only approximate"""
RANGE_NOT_SATISFIABLE = 416

BytesCallback = Callable[[int], None]
"""called with the number of bytes of the file so far"""


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A published file."""

    path: str
    """relative to the root folder"""
    md5: str
    """as published by its authors or by torchvision"""
    size: int
    """approximate, in bytes: for the progress, and to refuse a mirror that sends much more"""
    addresses: tuple[str, ...]
    """mirrors, tried in order; empty if the file must be added by hand"""

    @property
    def max_bytes(self) -> int:
        """A mirror that sends more sends another file, which may fill the disk."""
        return self.size + self.size // 4 + TOLERANCE_BYTES

    def by_hand(self, root: Path) -> str:
        """Where to put the file by hand, and its MD5."""
        return f"{root / self.path}  (md5 {self.md5})"


class TransferError(Exception):
    """A download from one mirror failed; another one may succeed."""


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def verify(path: Path, md5: str) -> None:
    """Errors: `DataError` if a file is not the published one or cannot be read."""
    try:
        found = md5_of(path)
    except OSError as error:
        raise DataError(f"{path}: {system_error(path, error)}") from None
    if found != md5:
        message = f"{path}: not the published file: its md5 is {found}, not {md5}{_kind(path)}"
        raise DataError(message, "delete it to download it again with download: true")


def _kind(path: Path) -> str:
    """The end of a message about a file that is not the published one."""
    kind = identify(path)
    return f"; it is {kind.name}" if kind else ""


def lock_of(path: Path) -> Path:
    """The lock file of the process that creates ``path``."""
    return path.with_name(f".{path.name}.lock")


def fetch(
    remote: PublishedFile, root: Path, progress: BytesCallback, timeout: float = TIMEOUT_SECONDS
) -> None:
    """Download a file below ``root``, unless it exists.

    Received bytes are kept as ``NAME.part``, and the next attempt or run resumes from there. If two
    processes download the same file, one waits. ``timeout`` is in seconds.
    Errors: `DataError` if all mirrors fail, `StorageError` if the file cannot be written.
    """
    path = root / remote.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock_of(path), f"downloading {path}"):
            if not path.exists():
                part = path.with_name(f"{path.name}.part")
                _try_mirrors(remote, root, part, progress, timeout)
                part.replace(path)
    except OSError as error:
        raise StorageError.of(path, error) from None
    progress(remote.size)


def _try_mirrors(
    remote: PublishedFile, root: Path, part: Path, progress: BytesCallback, timeout: float
) -> None:
    failures = []
    for address in remote.addresses:
        try:
            _from_mirror(address, remote, part, progress, timeout)
            return
        except TransferError as error:
            failures.append(f"{address}: {error}")
    reasons = "\n   ".join(failures)
    hint = f"without a network, put the file at {remote.by_hand(root)}"
    raise DataError(f"{Path(remote.path).name} could not be downloaded\n   {reasons}", hint)


def _from_mirror(
    address: str, remote: PublishedFile, part: Path, progress: BytesCallback, timeout: float
) -> None:
    """Download a whole file from one mirror, and resume interrupted transfers that make progress.

    Errors: `TransferError`, OSError.
    """
    while True:
        before = part.stat().st_size if part.exists() else 0
        complete = _transfer(address, remote.max_bytes, part, progress, timeout)
        if complete:
            found = md5_of(part)
            if found == remote.md5:
                return
            kind = _kind(part)
            part.unlink()
            if not before:
                raise TransferError(f"not the published file: its md5 is {found}{kind}")
        elif part.stat().st_size <= before:
            raise TransferError("the transfer was interrupted")


def _transfer(address: str, most: int, part: Path, progress: BytesCallback, timeout: float) -> bool:
    """Append what a mirror sends to ``part``; return whether the file is complete.

    Errors: `TransferError` if there is no response or more than ``most`` bytes, OSError if ``part``
    cannot be written.
    """
    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "sepcnn", "Accept-Encoding": "identity"}
    request = urllib.request.Request(address, headers=headers)
    if done:
        request.add_header("Range", f"bytes={done}-")
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == RANGE_NOT_SATISFIABLE and done:
            return True  # all bytes are there; the caller checks their MD5
        raise TransferError(f"{error.code} {error.reason}".lower()) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TransferError(_reason(error)) from None
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            done = 0  # the mirror cannot resume and sends the whole file
        length = response.headers.get("Content-Length")
        expected = done + int(length) if length and length.isdecimal() else None
        if expected is not None and expected > most:
            raise TransferError(f"not the published file: it has {expected:,} bytes")
        with part.open("ab" if done else "wb") as file:
            while block := _received(response):
                done += len(block)
                if done > most:
                    part.unlink()
                    raise TransferError(f"not the published file: it has over {most:,} bytes")
                file.write(block)
                progress(done)
    return expected is None or done >= expected


def _received(response: http.client.HTTPResponse) -> bytes:
    """The next block; empty at the end, even if the transfer was interrupted."""
    try:
        return response.read1(BLOCK_BYTES)
    except (OSError, http.client.HTTPException):
        return b""


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no response in time"
    return str(getattr(reason, "strerror", None) or reason).lower()
