"""Recognises image files that are cut off, and those whose pixels are not the photo."""

from __future__ import annotations

import re
from pathlib import Path

from PIL.ImageFile import ImageFile

from sepcnn.errors import DataError
from sepcnn.file_kind import COPY_AGAIN, EXPORT, system_error

NEW_SUBFILE_TYPE, SUB_IFDS, DNG_VERSION = 254, 330, 50706
"""tags of TIFF"""
REDUCED = 1
"""bit of NEW_SUBFILE_TYPE: the page is a smaller copy of another page"""
TAIL_BYTES = 64
CUT_OFF = f"the file is cut off; {COPY_AGAIN}"


def refuse_other_pixels(image: ImageFile, path: Path) -> None:
    """Refuse files that Pillow decodes without an error to pixels that are not the photo's.

    They are raw photos of a camera, whose first page is a thumbnail, and interrupted downloads
    whose missing end is filled with zeros. Errors: `DataError`.
    """
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        reduced = int(tags.get(NEW_SUBFILE_TYPE, 0)) & REDUCED
        if DNG_VERSION in tags or (reduced and SUB_IFDS in tags):
            name = "a raw photo of a camera (NEF, ARW, DNG …)"
            raise DataError(f"{path}: not an image file: it is {name}; {EXPORT}")
    elif image.format in ("JPEG", "WEBP") and image.fp is not None and ends_in_zeros(image):
        raise DataError(f"{path}: cannot be read ({CUT_OFF})")


def ends_in_zeros(image: ImageFile) -> bool:
    """Whether the end of a JPEG or WebP is missing and filled with zeros."""
    file = image.fp
    assert file is not None
    position = file.tell()
    try:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        if any(file.read()):
            return False
        file.seek(0)
        content = file.read()
    finally:
        file.seek(position)
    if image.format == "WEBP":  # zeros after the length in the header are padding
        return not any(content[: _riff_length(content)][-TAIL_BYTES:])
    return not has_end_of_jpeg(content)


def has_end_of_jpeg(content: bytes) -> bool:
    """Whether the end marker follows the last scan. A thumbnail in the EXIF data has one, too."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:  # segments of the header
        marker = content[position + 1]
        if marker == 0xDA:
            break
        if marker == 0xFF:  # padding
            position += 1
            continue
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return content.find(b"\xff\xd9", position) >= 0


def is_cut_off(content: bytes) -> bool:
    """Whether the end of an image file is missing; False if its format does not show it."""
    if content.startswith(b"\xff\xd8\xff"):
        return not has_end_of_jpeg(content)
    if content.startswith(b"\x89PNG"):
        return b"IEND" not in content
    if content.startswith(b"GIF8"):
        return not content.rstrip(b"\0").endswith(b";")
    if content.startswith(b"RIFF"):
        return _riff_length(content) > len(content)
    if content.startswith(b"BM"):
        return int.from_bytes(content[2:6], "little") > len(content)
    if header := re.match(rb"P([56])\s(?:#.*\n)*(\d+)\s+(\d+)\s+(\d+)\s", content):
        samples = int(header[2]) * int(header[3]) * (3 if header[1] == b"6" else 1)
        return len(content) < header.end() + samples * (1 if int(header[4]) < 256 else 2)
    return False


def _riff_length(content: bytes) -> int:
    return 8 + int.from_bytes(content[4:8], "little")


def reading_error(path: Path, content: bytes | None, error: Exception) -> str:
    """Return why an image file cannot be decoded."""
    if isinstance(error, OSError) and error.errno:
        return system_error(path, error)
    try:
        if is_cut_off(path.read_bytes() if content is None else content):
            return CUT_OFF
    except OSError:
        pass
    return str(error)
