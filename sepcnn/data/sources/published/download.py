"""One published file from its mirrors: whole and of the right hash, or not there at all."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sepcnn.data.files.locks import held
from sepcnn.errors import DataError, StorageError

BLOCK_BYTES = 1 << 18
TIMEOUT_SECONDS = 20.0
"""without a byte, after which the next mirror is tried"""
ROOM_BYTES = 1 << 24
"""beyond the size of a file, which is only known about"""
RANGE_NOT_SATISFIABLE = 416

Progress = Callable[[int], None]
"""told how many bytes of the file are there"""


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A published file."""

    path: str
    """its place below the root folder"""
    md5: str
    """as its authors or torchvision publish it"""
    size: int
    """bytes, about: for the progress, and to leave a mirror that sends much more"""
    addresses: tuple[str, ...]
    """where to get it; the next is tried when one fails. None: only by hand"""

    @property
    def most_bytes(self) -> int:
        """A mirror that sends more sends something else, which may fill the disk."""
        return self.size + self.size // 4 + ROOM_BYTES

    def by_hand(self, root: Path) -> str:
        """What to do without a network."""
        return f"{root / self.path}  (md5 {self.md5})"


class TransferError(Exception):
    """One attempt failed; another may go better."""


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def verify(path: Path, md5: str) -> None:
    """Errors: `DataError` for a file that is not the published one, or cannot be read."""
    try:
        found = md5_of(path)
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    if found != md5:
        message = f"{path}: not the published file: its md5 is {found}, not {md5}"
        raise DataError(message, "delete it, and it is downloaded again where download is true")


def lock_of(path: Path) -> Path:
    """Held by the run that makes ``path``."""
    return path.with_name(f".{path.name}.lock")


def fetch(
    remote: PublishedFile, root: Path, progress: Progress, timeout: float = TIMEOUT_SECONDS
) -> None:
    """Download a file to its place below ``root``, unless it is there.

    What arrived is kept beside it as ``NAME.part``; the next attempt, or the next run, goes on
    from there. Two runs at once wait for each other.
    Errors: `DataError` if no mirror gives it, `StorageError` if it cannot be written.
    """
    path = root / remote.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(lock_of(path), f"downloading {path}"):
            if not path.exists():
                part = path.with_name(f"{path.name}.part")
                _from_a_mirror(remote, root, part, progress, timeout)
                part.replace(path)
    except OSError as error:
        raise StorageError.of(path, error) from None
    progress(remote.size)


def _from_a_mirror(
    remote: PublishedFile, root: Path, part: Path, progress: Progress, timeout: float
) -> None:
    failures = []
    for address in remote.addresses:
        try:
            _whole(address, remote, part, progress, timeout)
            return
        except TransferError as error:
            failures.append(f"{address}: {error}")
    told = "\n   ".join(failures)
    hint = f"without a network, put the file at {remote.by_hand(root)}"
    raise DataError(f"{Path(remote.path).name} could not be downloaded\n   {told}", hint)


def _whole(
    address: str, remote: PublishedFile, part: Path, progress: Progress, timeout: float
) -> None:
    """All of a file from one mirror; a transfer that breaks off is gone on with while it moves."""
    while True:
        before = part.stat().st_size if part.exists() else 0
        complete = _transfer(address, remote.most_bytes, part, progress, timeout)
        if complete:
            found = md5_of(part)
            if found == remote.md5:
                return
            part.unlink()
            if not before:
                raise TransferError(f"not the published file: its md5 is {found}")
        elif part.stat().st_size <= before:
            raise TransferError("the transfer breaks off")


def _transfer(address: str, most: int, part: Path, progress: Progress, timeout: float) -> bool:
    """Add to ``part`` what a mirror sends; whether the file is complete.

    Errors: `TransferError` where there was no answer, or one of over ``most`` bytes, `OSError`
    where it cannot be written.
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
            return True  # nothing is missing; whether it is right, its hash tells
        raise TransferError(f"{error.code} {error.reason}".lower()) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TransferError(_reason(error)) from None
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            done = 0  # a mirror that cannot go on sends it from the start
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
    """The next block; nothing at the end, also where it came too early or the line went dead."""
    try:
        return response.read1(BLOCK_BYTES)
    except (OSError, http.client.HTTPException):
        return b""


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return str(getattr(reason, "strerror", None) or reason).lower()
