"""Finds the file that the path in a table probably means, for the hint of an error."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

MAX_FILES = 100_000
"""files that are compared, so that the error does not take long"""


def missing_file_hint(text: str, folder: Path) -> str:
    """Name the file whose path differs in suffix, case or leading folders, if there is one."""
    if re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE):
        return "URLs are not read: download the images"
    wanted = _key(text)
    nearest, most = "", 0
    for name in islice(_files(folder), MAX_FILES):
        same = 0
        for first, second in zip(reversed(_key(name)), reversed(wanted), strict=False):
            if first != second:
                break
            same += 1
        if same > most:
            nearest, most = name, same
    hint = f"paths are relative to {folder}"
    if nearest.endswith("/" + text):
        return f"{hint}: set path to {folder / nearest.removesuffix(text)}"
    return f"{hint}; the nearest file is '{nearest}'" if nearest else hint


def _key(text: str) -> tuple[str, ...]:
    path = PurePosixPath(text.replace("\\", "/").casefold())
    return path.with_suffix("").parts if path.name else ()


def _files(folder: Path) -> Iterator[str]:
    for base, _, files in os.walk(folder):
        for file in sorted(files):
            yield os.path.relpath(os.path.join(base, file), folder).replace(os.sep, "/")
