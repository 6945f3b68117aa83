"""Remembers the image files that cannot be read, next to the cache of decoded images."""

from __future__ import annotations

import json
from pathlib import Path

from sepcnn.atomic_file import replace_file
from sepcnn.data.cache.file_reading import Unreadable
from sepcnn.errors import StorageError

SUFFIX = ".unreadable"


def load_unreadable(rows: Path, reader: str) -> dict[str, Unreadable]:
    """The unreadable files by path; empty unless they were stored by the same ``reader``."""
    try:
        stored = json.loads(rows.with_suffix(SUFFIX).read_text())
        if stored["reader"] != reader:
            return {}
        files = stored["files"].items()
        return {
            path: Unreadable(str(message), (int(size), int(modified), int(changed)))
            for path, (size, modified, changed, message) in files
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # missing or damaged
        return {}


def save_unreadable(rows: Path, reader: str, unreadable: dict[str, Unreadable]) -> None:
    """Replace the stored files by ``unreadable``. Errors: OSError."""
    path = rows.with_suffix(SUFFIX)
    files = {
        name: [*file.version, file.message] for name, file in unreadable.items() if file.version
    }
    if not files:
        path.unlink(missing_ok=True)
        return
    try:
        replace_file(path, json.dumps({"reader": reader, "files": files}).encode())
    except StorageError as error:
        raise OSError(str(error)) from None
