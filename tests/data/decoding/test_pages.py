"""EXIF data of every kind of damage: the image is read as upright."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sepcnn.data.decoding.reading import read_image

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of some damage

ORIENTATION, MAKER, EXIF_FOLDER = 0x0112, 0x010F, 0x8769
SHAPE = (16, 8, 1)


def photo() -> Image.Image:
    """White above, black below."""
    pixels = np.zeros((16, 8), np.uint8)
    pixels[:8] = 255
    return Image.fromarray(pixels).convert("RGB")


def encoded(kind: str, exif: bytes | Image.Exif) -> bytes:
    file = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95}
    photo().save(file, kind, exif=exif, **({} if kind == "TIFF" else options))
    return file.getvalue()


def is_upright(content: bytes) -> bool:
    found = read_image(Path("photo"), SHAPE, content=content)
    return bool(found[:7].min() > 200 and found[9:].max() < 50)


def damaged_exif() -> Iterator[bytes]:
    yield from (b"rubbish", b"Exif\0\0", b"Exif\0\0rubbish", b"\0" * 50, b"II*\0\xff\xff\xff\xff")
    start = b"Exif\0\0II*\0\x08\0\0\0"
    entries = [(2, 4, b"abc\0"), (5, 1, b"\0" * 4), (12, 1, b"\0" * 4), (3, 1, b"\x63\0\0\0")]
    entries += [(99, 1, b"\6\0\0\0"), (3, 1 << 30, b"\6\0\0\0"), (3, 1, b"\0\0\0\0")]
    for kind, count, value in entries:
        yield start + struct.pack("<HHHI", 1, ORIENTATION, kind, count) + value + b"\0" * 4


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "JPEG2000"])
def test_damaged_exif_means_upright(kind: str) -> None:
    for exif in damaged_exif():
        assert is_upright(encoded(kind, exif)), exif


def test_damaged_exif_of_an_avif() -> None:
    """libavif refuses the file."""
    exif = Image.Exif()
    exif[MAKER] = "somebody"
    content = encoded("AVIF", exif)
    assert is_upright(content)
    end = content.index(b"somebody") + 8
    damaged = content[: end - 34] + b"\x55" * 34 + content[end:]
    with pytest.raises((ValueError, SyntaxError)):
        Image.open(io.BytesIO(damaged)).load()
    assert is_upright(damaged)


def test_damaged_exif_folders_of_a_tiff() -> None:
    exif = Image.Exif()
    exif[MAKER] = "x"
    content = bytearray(encoded("TIFF", exif))
    at = content.index(struct.pack("<HH", MAKER, 2))
    for offset in (0, 1, 8, len(content) - 1, 1 << 31):
        content[at : at + 12] = struct.pack("<HHII", EXIF_FOLDER, 4, 1, offset)
        assert is_upright(bytes(content))
