"""The user's cache folder: files that can be recreated at any time."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import platformdirs
from filelock import FileLock, Timeout

from sepcnn.atomic_file import replacing

DOWNLOADS = "datasets"
"""Name of the folder of downloaded data sets in the cache folder. Its files are never removed one
by one: a data set with missing files could pass for a complete one, and the user may have put
files there."""


def cache_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/sepcnn``, or the folder where the system keeps caches."""
    if root := os.environ.get("XDG_CACHE_HOME"):
        return Path(root) / "sepcnn"
    # A user without a home, as in some containers: newer versions of platformdirs raise an error,
    # older ones return "~/.cache".
    with suppress(RuntimeError):
        folder = platformdirs.user_cache_path("sepcnn", appauthor=False)
        if folder.is_absolute():
            return folder
    return Path(tempfile.gettempdir()) / "sepcnn-cache"


def keep(name: str, write: Callable[[BinaryIO], object]) -> bool:
    """Write a cache file completely or not at all, and return whether that worked.

    A full disk or a read-only home is not an error: it only costs time in the next run.
    """
    path = cache_folder() / name
    # Several processes may write the same file.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, partial) as file:
            write(file)
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
    """time of the last use, in seconds since 1970"""


def cache_files() -> list[CacheFile]:
    """Return the files of the cache folder except downloaded data sets, the largest first."""
    files = []
    for path in cache_folder().rglob("*"):
        if path.is_relative_to(cache_folder() / DOWNLOADS):
            continue
        with suppress(OSError):  # another process may be clearing it
            if path.is_file() and path.suffix != ".lock":
                status = path.stat()
                used = max(status.st_atime, status.st_mtime)
                files.append(CacheFile(path, status.st_size, used))
    return sorted(files, key=lambda file: (-file.size, file.path))


def remove(file: CacheFile) -> bool:
    """Remove a cache file. Return False if it is being written or cannot be removed.

    A process that reads it is not disturbed: the system keeps the content until it is closed.
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
