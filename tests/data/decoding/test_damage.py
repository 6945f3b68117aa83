"""Files that are cut off, and files that decode to other pixels than the photo's."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from sepcnn.data.decoding.reading import read_image
from sepcnn.errors import DataError

SHAPE = (8, 8, 3)
CUT_OFF = "cannot be read (the file is cut off; download or copy it again)"


def complaint(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read_image(path, SHAPE)
    return error.value.message.removeprefix(f"{path}: ")


def encoded(format_name: str, **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format_name, **options)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize("name", ["JPEG", "WEBP"])
def test_a_missing_end_that_is_filled_with_zeros(tmp_path: Path, name: str) -> None:
    """Interrupted downloads that reserved their space; Pillow decodes them without an error."""
    whole = encoded(name, quality=90)
    half = len(whole) // 2
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[:half] + bytes(len(whole) - half))
    assert complaint(path) == CUT_OFF


@pytest.mark.parametrize("name", ["JPEG", "WEBP"])
def test_zeros_after_the_end_are_padding(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.jpg"
    whole = encoded(name)
    path.write_bytes(whole)
    expected = read_image(path, SHAPE)
    path.write_bytes(whole + bytes(4096))
    np.testing.assert_array_equal(read_image(path, SHAPE), expected)


def test_a_jpeg_with_a_thumbnail_is_cut_off(tmp_path: Path) -> None:
    """The thumbnail in the EXIF data has an end marker, too."""
    exif = Image.Exif()
    exif[0x010E] = "x" + encoded("JPEG").hex()[:4000]
    whole = bytearray(encoded("JPEG", exif=exif))
    place = whole.index(b"x", 20)
    whole[place + 10 : place + 12] = b"\xff\xd9"
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert complaint(path) == CUT_OFF


@pytest.mark.parametrize("kind", ["dng", "nef"])
def test_the_thumbnail_of_a_raw_photo_is_not_read(tmp_path: Path, kind: str) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if kind == "dng":
        tags[50706] = b"\x01\x04\x00\x00"
        tags.tagtype[50706] = 1
    else:
        tags[254] = 1
        tags[330] = 8
        tags.tagtype[330] = 4
    path = tmp_path / "a.tif"
    Image.new("RGB", (16, 12)).save(path, tiffinfo=tags)
    assert complaint(path).startswith("not an image file: it is a raw photo of a camera")
