"""The user's cache folder: files that can be made again at any time."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

DOWNLOADS = "datasets"
"""the folder of downloaded sets within the cache folder: no files of it are removed one by one,
since half of a set may pass for the whole, and some may have been put there by hand"""


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/sepcnn``, or the system's usual place for caches."""
    if home := os.environ.get("XDG_CACHE_HOME"):
        return Path(home) / "sepcnn"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "sepcnn"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "sepcnn" / "cache"
    try:
        return Path.home() / ".cache" / "sepcnn"
    except RuntimeError:  # a container without a home
        return Path(tempfile.gettempdir()) / "sepcnn-cache"


def keep(name: str, write: Callable[[BinaryIO], object]) -> bool:
    """Write a cache file whole or not at all; whether it worked.

    A full disk or a read-only home only costs time in the next run, so it is no error.
    """
    path = cache_folder() / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            temporary = Path(file.name)
            try:
                write(file)  # type: ignore[arg-type]
            except BaseException:  # an interrupt too leaves nothing behind
                temporary.unlink(missing_ok=True)
                raise
        temporary.replace(path)
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class CacheFile:
    """A file of the cache folder."""

    path: Path
    size: int
    """bytes"""
    used: float
    """seconds since 1970"""


def cache_files() -> list[CacheFile]:
    """What the cache folder holds but for downloaded sets, the largest first."""
    found = []
    for path in cache_folder().rglob("*"):
        if path.is_relative_to(cache_folder() / DOWNLOADS):
            continue
        with suppress(OSError):  # another process may be clearing it
            if path.is_file() and path.suffix != ".lock":
                status = path.stat()
                used = max(status.st_atime, status.st_mtime)
                found.append(CacheFile(path, status.st_size, used))
    return sorted(found, key=lambda file: (-file.size, file.path))


def remove(file: CacheFile) -> bool:
    """Remove a cache file; False for one that is being written, or that may not be removed.

    Whoever reads it goes on: the system keeps a file until it is closed.
    """
    try:
        if file.path.suffix == ".partial":
            with FileLock(file.path.with_suffix(".lock"), timeout=0):
                file.path.unlink(missing_ok=True)
        else:
            file.path.unlink(missing_ok=True)
    except (OSError, Timeout):
        return False
    return True
