"""Image files that Pillow cannot write, byte by byte."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from numpy.typing import NDArray

GREY, COLOUR, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 4, 6
"""colour types of a PNG"""


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png(
    width: int,
    height: int,
    bits: int,
    colour_type: int,
    pixels: bytes,
    transparency: bytes = b"",
    exif: bytes = b"",
) -> bytes:
    """A PNG. ``pixels`` are its rows, each padded to whole bytes."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    stride = len(pixels) // height
    rows = b"".join(
        b"\0" + pixels[start : start + stride] for start in range(0, len(pixels), stride)
    )
    parts = [chunk(b"IHDR", header)]
    parts += [chunk(b"tRNS", transparency)] if transparency else []
    parts += [chunk(b"eXIf", exif)] if exif else []
    parts += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png16(values: NDArray[Any], transparency: tuple[int, ...] = ()) -> bytes:
    """A PNG of 16 bits per channel with the values [H, W] or [H, W, C]."""
    height, width, channels = (*values.shape, 1)[:3]
    kinds = {1: GREY, 2: GREY_ALPHA, 3: COLOUR, 4: COLOUR_ALPHA}
    clear = struct.pack(f">{len(transparency)}H", *transparency)
    return png(width, height, 16, kinds[channels], values.astype(">u2").tobytes(), clear)
