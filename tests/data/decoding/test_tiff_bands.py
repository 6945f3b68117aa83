"""TIFFs of several bands: layouts that Pillow cannot open, or of which it drops bands."""

from __future__ import annotations

import itertools
import lzma
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sepcnn.data.decoding.pixel_values import ValueRange
from sepcnn.data.decoding.reading import ReadingRules, read_image
from sepcnn.errors import DataError

FORMATS = {"u": 1, "i": 2, "f": 3}
COMPRESS: dict[int, Any] = {1: bytes, 8: zlib.compress, 34925: lzma.compress}


def differences(values: NDArray[Any], predictor: int) -> NDArray[Any]:
    """What a predictor stores for the values of a strip, [H, W, C]."""
    if predictor == 2:
        unsigned = values.view(f"u{values.itemsize}")
        return np.diff(unsigned, axis=1, prepend=unsigned[:, :1] * 0)
    if predictor == 3:
        height, width, channels = values.shape
        big_endian = values.astype(values.dtype.newbyteorder(">")).view(np.uint8)
        planes = big_endian.reshape(height, width * channels, -1).transpose(0, 2, 1)
        steps = planes.reshape(height, -1, channels)
        return np.diff(steps, axis=1, prepend=steps[:, :1] * 0).astype(np.uint8)
    return values


def tiff(
    values: NDArray[Any],
    *,
    order: str = "<",
    separate: bool = False,
    compression: int = 1,
    predictor: int = 1,
    rows: int = 3,
    tile: int = 0,
    extra: tuple[int, ...] | None = None,
    photometric: int = 1,
    orientation: int = 1,
    big: bool = False,
) -> bytes:
    """A TIFF with the bands [H, W, C] in strips of ``rows`` or in square tiles."""
    height, width, channels = values.shape
    planes = [values[..., [c]] for c in range(channels)] if separate else [values]
    parts = []
    for plane in planes:
        if tile:
            down, across = -(-height // tile), -(-width // tile)
            padded = np.zeros((down * tile, across * tile, plane.shape[2]), plane.dtype)
            padded[:height, :width] = plane
            parts += [
                padded[y * tile : (y + 1) * tile, x * tile : (x + 1) * tile]
                for y, x in itertools.product(range(down), range(across))
            ]
        else:
            parts += [plane[top : top + rows] for top in range(0, height, rows)]
    stored = []
    for part in parts:
        steps = differences(np.ascontiguousarray(part), predictor)
        stored.append(
            COMPRESS[compression](steps.astype(steps.dtype.newbyteorder(order)).tobytes())
        )
    start = 16 if big else 8
    offsets = [start + sum(map(len, stored[:i])) for i in range(len(stored))]
    extra = (0,) * (channels - (3 if photometric == 2 else 1)) if extra is None else extra
    tags = {
        256: (width,), 257: (height,), 258: (values.itemsize * 8,) * channels,
        259: (compression,), 262: (photometric,), 274: (orientation,), 277: (channels,),
        284: (2 if separate else 1,), 317: (predictor,),
        339: (FORMATS[values.dtype.kind],) * channels, 338: extra,
        **({322: (tile,), 323: (tile,), 324: offsets, 325: list(map(len, stored))} if tile else
           {273: offsets, 278: (rows,), 279: list(map(len, stored))}),
    }  # fmt: skip
    tags = {tag: entries for tag, entries in tags.items() if entries}
    body = b"".join(stored)
    at = start + len(body)
    entry, number, count = ("HHQ", "Q", "Q") if big else ("HHI", "I", "H")
    arrays = at + struct.calcsize(f"={count}") + (20 if big else 12) * len(tags) + (8 if big else 4)
    directory, more = struct.pack(f"{order}{count}", len(tags)), b""
    for tag, entries in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(entries)}I", *entries)
        directory += struct.pack(f"{order}{entry}", tag, 4, len(entries))
        if len(packed) > (8 if big else 4):
            directory += struct.pack(f"{order}{number}", arrays + len(more))
            more += packed
        else:
            directory += packed.ljust(8 if big else 4, b"\0")
    mark = b"II" if order == "<" else b"MM"
    head = (43, 8, 0, at) if big else (42, at)
    header = mark + struct.pack(f"{order}{'HHHQ' if big else 'HI'}", *head)
    return header + body + directory + bytes(8 if big else 4) + more


def read(
    content: bytes, shape: tuple[int, int, int], value_range: ValueRange | None = None
) -> NDArray[np.uint8]:
    return read_image(Path("a.tif"), shape, rules=ReadingRules(value_range), content=content)


def noise(dtype: str, channels: int, height: int = 7, width: int = 5) -> NDArray[Any]:
    values = np.random.default_rng(0).random((height, width, channels)) * 200
    return (values - (50 if dtype[0] != "u" else 0)).astype(dtype)


RANGES: dict[str, ValueRange] = {"u": (0, 200), "i": (-50, 150), "f": (-50, 150)}


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("separate", [False, True], ids=["together", "separate"])
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": 8}, {"predictor": 2, "compression": 8}, {"tile": 16}],
    ids=["plain", "deflate", "differences", "tiles"],
)
def test_five_bands(dtype: str, order: str, separate: bool, options: dict[str, Any]) -> None:
    values = noise(dtype, 5)
    content = tiff(values, order=order, separate=separate, **options)
    low, high = RANGES[dtype[0]]
    found = read(content, (7, 5, 5), (low, high))
    expected = ((values.astype(float) - low) * 255 / (high - low)).round().clip(0, 255)
    assert np.abs(found - expected).max() <= (0 if dtype != "f8" else 1)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("separate", [False, True], ids=["together", "separate"])
def test_the_predictor_of_floating_point_numbers(dtype: str, order: str, separate: bool) -> None:
    values = noise(dtype, 3, 4, 6)
    content = tiff(values, order=order, separate=separate, compression=8, predictor=3)
    expected = ((values + 50) * 255 / 200).round()
    assert np.abs(read(content, (4, 6, 3), (-50, 150)) - expected).max() <= 1


def test_big_tiff() -> None:
    values = noise("u2", 13, 20, 18)
    found = read(tiff(values, tile=16, big=True), (20, 18, 13), (0, 255))
    np.testing.assert_array_equal(found, values)


def test_bands_of_16_bits_have_their_full_range() -> None:
    values = np.array([[[0, 65535, 257 * 100, 257, 3]]], np.uint16)
    assert read(tiff(values), (1, 1, 5)).ravel().tolist() == [0, 255, 100, 1, 0]


def test_four_bands_are_not_taken_for_opacity() -> None:
    """Red, green, blue and infrared: Pillow drops the fourth band."""
    for dtype in ("u1", "u2"):
        values = noise(dtype, 4)
        content = tiff(values, photometric=2)
        np.testing.assert_array_equal(read(content, (7, 5, 4), (0, 255)), values)
        assert read(content, (7, 5, 3)).shape == (7, 5, 3)  # as a photo


def test_separate_colours_of_16_bits() -> None:
    """Pillow reads other pixels from the uncompressed form."""
    values = noise("u2", 3)
    content = tiff(values, photometric=2, separate=True, extra=())
    np.testing.assert_array_equal(read(content, (7, 5, 3), (0, 255)), values)


def test_bands_are_turned_upright() -> None:
    values = noise("u1", 5)
    found = read(tiff(values, orientation=6), (5, 7, 5))
    np.testing.assert_array_equal(found, np.rot90(values, -1))


@pytest.mark.parametrize("channels", [1, 3, 4, 6])
def test_other_numbers_of_bands_are_named(channels: int) -> None:
    with pytest.raises(DataError) as caught:
        read(tiff(noise("u2", 5)), (7, 5, channels))
    noun = "channel" if channels == 1 else "channels"
    assert str(caught.value) == (
        f"a.tif: 5 bands of uint16, expected {channels} {noun}\n"
        "   input_shape: [H, W, 5] reads all bands"
    )


def test_damaged_files_are_errors() -> None:
    content = tiff(noise("u2", 5), compression=8)
    numbers = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(content)
        for place in numbers.integers(len(content), size=3):
            damaged[place] = numbers.integers(256)
        try:
            assert read(bytes(damaged), (7, 5, 5)).shape == (7, 5, 5)
        except DataError:
            refused += 1
    assert refused > 60
    for end in range(0, len(content), 7):
        with pytest.raises(DataError):
            read(content[:end], (7, 5, 5))


def test_the_limit_counts_the_bytes_of_all_bands() -> None:
    content = tiff(noise("u2", 20, 100, 100))
    rules = ReadingRules(max_pixels=100_000)
    with pytest.raises(DataError, match=r"100×100 pixels: 1 megapixels to decode, more than"):
        read_image(Path("a.tif"), (8, 8, 20), rules=rules, content=content)


def test_bands_of_12_bits_are_refused() -> None:
    content = tiff(noise("u1", 5))
    packed = content.replace(struct.pack("<5I", *[8] * 5), struct.pack("<5I", *[12] * 5))
    assert packed != content
    with pytest.raises(DataError):
        read(packed, (7, 5, 5))
