"""The user's cache folder: files that can be made again at any time."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


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


def keep(name: str, write: Callable[[BinaryIO], None]) -> bool:
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
