"""Which files count as images, by name; and which files and folders systems leave behind."""

from __future__ import annotations

import os
import re
from functools import cache

from PIL import Image

from sepcnn.data.decoding import heic
from sepcnn.data.decoding.opening import formats

ALSO_READ = (".mpo",)
"""a JPEG with several pictures; the reader of JPEG opens it"""
NOT_READ = (".pfm",)
"""floating-point numbers: a format that Pillow opens but `decoding` refuses"""
NO_SUFFIX = "no suffix"

SYSTEM_NAMES = {
    "@eadir": "Synology's thumbnails",
    "#recycle": "Synology's bin",
    "#snapshot": "Synology's snapshots",
    "@recycle": "QNAP's bin",
    "@recently-snapshot": "QNAP's snapshots",
    "__macosx": "metadata in archives from macOS",
    "network trash folder": "bin of macOS",
    "temporary items": "files of macOS",
    "icon\r": "icon of a folder on macOS",
    "system volume information": "Windows",
    "$recycle.bin": "bin of Windows",
    "recycler": "bin of Windows",
    "thumbs.db": "thumbnails of Windows",
    "ehthumbs.db": "thumbnails of Windows",
    "ehthumbs_vista.db": "thumbnails of Windows",
    "desktop.ini": "view of a folder on Windows",
    "found.000": "Windows, after a repair of the file system",
    "lost.dir": "Android, after a repair of the file system",
    "thevolumesettingsfolder": "macOS",
    "lost+found": "Linux, after a repair of the file system",
    "__pycache__": "Python",
}
"""names in lower case that are skipped as hidden ones are → where they come from"""

_SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|II[*+]\0|MM\0[*+]|P[1-6][\s#]"
    rb"|BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0"
    rb"|\xff\x4f\xff\x51|\0\0\0\x0cjP  |....ftyp(?:avif|avis)",
    re.DOTALL,
)
_HEIC_SIGNATURE = re.compile(rb"....ftyp(?:" + b"|".join(heic.BRANDS) + rb")", re.DOTALL)
_SIGNATURE_BYTES = 18


@cache
def image_suffixes() -> frozenset[str]:
    """The suffixes, in lower case, of the formats that are read here."""
    registered = Image.registered_extensions()
    readable = set(formats())
    names = {suffix for suffix, format_ in registered.items() if format_ in readable}
    return frozenset(names.union(ALSO_READ).difference(NOT_READ))


def suffix_of(name: str) -> str:
    """The suffix in lower case; "" if there is none. Spaces and dots at the end do not count."""
    return os.path.splitext(name.rstrip(" ."))[1].lower()


def is_image(name: str, path: str) -> bool:
    """Whether a file counts as an image: by its suffix, or without one by its first bytes."""
    suffix = suffix_of(name)
    return suffix in image_suffixes() if suffix else begins_as_image(path)


def begins_as_image(path: str) -> bool:
    """Whether a file begins like an image; False if it cannot be opened."""
    if not os.path.isfile(path):  # opening a link to a pipe waits for a writer
        return False
    try:
        with open(path, "rb") as file:
            start = file.read(_SIGNATURE_BYTES)
    except OSError:
        return False
    if _HEIC_SIGNATURE.match(start):
        return "HEIF" in formats()
    return _SIGNATURE.match(start) is not None


def skipped_as(name: str) -> str | None:
    """The name under which a hidden or system file or folder is counted; None for others."""
    if name.startswith("."):
        return "._*" if name.startswith("._") else name
    return name.rstrip() if name.lower() in SYSTEM_NAMES else None
