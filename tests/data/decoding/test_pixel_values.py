"""Pixel values of every type, as 8 bits: the full range of the type, or a given range."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from sepcnn.data.decoding.pixel_values import ValueRange
from sepcnn.data.decoding.reading import ReadingRules, read_image
from sepcnn.errors import DataError
from tests.raw_images import GREY, png, png16

PHOTOMETRIC, WHITE_IS_ZERO = 262, 0


def read(
    content: bytes, shape: tuple[int, int, int], value_range: ValueRange | None = None
) -> NDArray[np.uint8]:
    rules = ReadingRules(value_range)
    return read_image(Path("image"), shape, rules=rules, content=content)


def tiff(values: NDArray[Any], tags: dict[int, int] | None = None, **options: Any) -> bytes:
    directory = ImageFileDirectory_v2()
    for tag, value in (tags or {}).items():
        directory[tag] = value
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF", tiffinfo=directory, **options)
    return file.getvalue()


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


GREYS = np.array([[0, 1000, 2047, 4095]])


# ── a given range ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["png", "tiff", "tiff-big-endian", "tiff-lzw"])
def test_12_bit_values_in_16_bits_use_all_of_8_bits(kind: str) -> None:
    values = GREYS.astype(np.uint16)
    content = {
        "png": lambda: png16(values),
        "tiff": lambda: tiff(values),
        "tiff-big-endian": lambda: tiff(values.astype(">u2")),
        "tiff-lzw": lambda: tiff(values, compression="tiff_lzw"),
    }[kind]()
    shape = (1, 4, 1)
    assert read(content, shape).ravel().tolist() == [0, 4, 8, 16]
    assert read(content, shape, (0, 4095)).ravel().tolist() == [0, 62, 127, 255]


def test_values_outside_the_range_are_clipped() -> None:
    content = png16(np.array([[10, 100, 150, 200, 65535]]))
    assert read(content, (1, 5, 1), (100, 200)).ravel().tolist() == [0, 0, 128, 255, 255]


def test_masks_of_0_and_1() -> None:
    mask = np.array([[0, 1, 1, 0]], np.uint8)
    for image in (Image.fromarray(mask), Image.fromarray(mask).convert("RGB")):
        content = encoded(image)
        assert read(content, (1, 4, 1), (0, 1)).ravel().tolist() == [0, 255, 255, 0]
    palette = Image.fromarray(mask).convert("P")
    assert read(encoded(palette), (1, 4, 3), (0, 1))[..., 2].ravel().tolist() == [0, 255, 255, 0]


def test_opacity_is_not_scaled() -> None:
    content = encoded(Image.new("RGBA", (2, 2), (0, 1, 1, 128)))
    assert read(content, (2, 2, 4), (0, 1))[0, 0].tolist() == [0, 255, 255, 128]
    content = png16(np.array([[[100, 300]]]))  # grey and opacity
    assert read(content, (1, 1, 4), (0, 200))[0, 0].tolist() == [128, 128, 128, 1]


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_a_type_that_cannot_hold_the_range_keeps_its_own(mode: str) -> None:
    """Files of 8 bits next to files of 12 bits are usually scaled already."""
    content = encoded(Image.new(mode, (2, 2), "white"))
    assert (read(content, (2, 2, 3), (0, 4095)) == 255).all()


def test_floating_point_and_signed_values_need_a_range() -> None:
    heights = np.array([[-10, 0.5, 30]], np.float32)
    with pytest.raises(DataError, match=r"floating-point pixels from -10 to 30 need a value_range"):
        read(tiff(heights), (1, 3, 1))
    assert read(tiff(heights), (1, 3, 1), (-10, 30)).ravel().tolist() == [0, 67, 255]
    signed = np.array([[-1024, 0, 3071]], np.int32)  # Hounsfield units
    with pytest.raises(DataError, match=r"pixels from -1,024 to 3,071 need a value_range"):
        read(tiff(signed), (1, 3, 1))
    assert read(tiff(signed), (1, 3, 1), (-1024, 3071)).ravel().tolist() == [0, 64, 255]


def test_not_a_number_is_black() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 1]], np.float32)
    assert read(tiff(values), (1, 4, 1), (0, 2)).ravel().tolist() == [0, 255, 0, 128]


@pytest.mark.parametrize("channels", [3, 4])
def test_low_bytes_of_colours_are_used(channels: int) -> None:
    """Pillow has no mode for colours of 16 bits, and reads their high bytes only."""
    values = np.arange(2 * 3 * channels).reshape(2, 3, channels) * 40
    values[..., 3:] = 65535
    found = read(png16(values), (2, 3, 3), (0, 1000))
    np.testing.assert_array_equal(found, (values[..., :3] * 0.255).clip(0, 255).round())


def test_low_bytes_of_a_rotated_photo(tmp_path: Path) -> None:
    values = np.arange(6).reshape(2, 3, 1).repeat(3, 2) * 100
    exif = Image.Exif()
    exif[0x0112] = 6
    content = png16(values)
    chunk = encoded(Image.new("L", (1, 1)), exif=exif)
    start = chunk.index(b"eXIf") - 4
    length = struct.unpack(">I", chunk[start : start + 4])[0] + 12
    at = content.index(b"IDAT") - 4
    content = content[:at] + chunk[start : start + length] + content[at:]
    found = read(content, (3, 2, 1), (0, 1000))
    expected = np.rot90(values[..., 0], -1) * 0.255
    np.testing.assert_array_equal(found[..., 0], expected.round())


# ── the full range of the type ────────────────────────────────────────────────────────────────


def test_inverted_tiffs_are_shown_inverted() -> None:
    """Pillow inverts those of 8 bits only."""
    for compression in (None, "tiff_lzw"):
        values = np.array([[0, 65535]], np.uint16)
        content = tiff(values, {PHOTOMETRIC: WHITE_IS_ZERO}, compression=compression)
        assert read(content, (1, 2, 1)).ravel().tolist() == [255, 0]
    content = tiff(np.array([[0, 1, 4]], np.float32), {PHOTOMETRIC: WHITE_IS_ZERO})
    assert read(content, (1, 3, 1), (0, 4)).ravel().tolist() == [255, 191, 0]


def test_12_bits_per_pixel_have_their_own_range() -> None:
    content = bytearray(tiff(np.zeros((1, 2), np.uint16)))
    at = content.index(struct.pack("<HHI", 258, 3, 1))
    content[at + 8 : at + 10] = struct.pack("<H", 12)
    offset = content.index(struct.pack("<HHI", 273, 4, 1)) + 8
    start = struct.unpack("<I", content[offset : offset + 4])[0]
    content[start : start + 3] = bytes([0xFF, 0xF7, 0xFF])  # 4095 and 2047
    assert read(bytes(content), (1, 2, 1)).ravel().tolist() == [255, 127]


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_grey_keeps_its_transparency(bits: int) -> None:
    """Two pixels, 1 and 0, of which 1 is transparent; Pillow knows that for 1 and 8 bits."""
    row = {1: b"\x80", 2: b"\x40", 4: b"\x10", 8: b"\1\0", 16: b"\0\1\0\0"}[bits]
    content = png(2, 1, bits, GREY, row, transparency=b"\0\1")
    assert read(content, (1, 2, 4))[0, :, 3].tolist() == [0, 255]
    assert read(content, (1, 2, 3))[0, :, 0].tolist() == [255, 0]


def test_a_transparent_colour_of_16_bits() -> None:
    values = np.array([[[1000, 2000, 3000], [1001, 2000, 3000]]])
    content = png16(values, transparency=(1000, 2000, 3000))
    assert read(content, (1, 2, 4))[0, :, 3].tolist() == [0, 255]
    assert read(content, (1, 2, 3))[0, :, 0].tolist() == [255, 4]


def test_grey_with_premultiplied_opacity() -> None:
    content = encoded(Image.new("LA", (2, 2), (100, 255)), "TIFF")
    content = bytearray(content)
    at = content.index(struct.pack("<HHI", 338, 3, 1))  # type: ignore[attr-defined]
    content[at + 8] = 1  # type: ignore[index]
    for channels in (1, 3, 4):
        assert (read(bytes(content), (2, 2, channels))[..., 0] == 100).all()


@pytest.mark.parametrize(("top", "expected"), [(1, 255), (255, 255), (4095, 255), (65535, 16)])
def test_the_maximum_in_a_netpbm_file_counts(top: int, expected: int) -> None:
    value = min(top, 4095)
    pixel = struct.pack(">H", value) if top > 255 else bytes([value])
    assert read(f"P5 1 1 {top}\n".encode() + pixel, (1, 1, 1)) == expected
