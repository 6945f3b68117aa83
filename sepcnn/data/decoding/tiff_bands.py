"""Reads TIFFs whose bands Pillow has no mode for: multispectral images, bands of 16 bits, floats.

libtiff, which Pillow contains, undoes the compression: it gets a description of the file in which
each byte of a row is a grey pixel. NumPy then takes the bytes for what they are.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from sepcnn.data.decoding.opening import BYTES_PER_PIXEL, MAX_PIXELS, identify
from sepcnn.data.decoding.pages import MAX_UINT8, MAX_UINT16, Page, upright

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_SIZES = 273, 274, 277, 278, 279
PLANAR, PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES = 284, 317, 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339
"""tags of TIFF"""
COMPRESSIONS = {1, 5, 8, 32773, 32946, 34925, 50000}
"""none, LZW, Deflate, PackBits, old Deflate, LZMA, Zstandard: each byte is kept"""
RGB, SEPARATE = 2, 2
"""value of PHOTOMETRIC; value of PLANAR: one band after the other"""
HORIZONTAL, FLOATING = 2, 3
"""values of PREDICTOR: differences of values, and of bytes for floating-point numbers"""
KINDS = {1: "u", 2: "i", 3: "f"}
"""kind of NumPy by SAMPLE_FORMAT"""
BYTES_IN_MEMORY = 4
"""while the bands are read, per byte of the pixels"""


@dataclass(frozen=True, slots=True)
class Bands:
    """The layout of the first page of a TIFF."""

    order: Literal["<", ">"]
    tags: dict[int, Any]
    width: int
    height: int
    count: int
    dtype: np.dtype[Any]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        turned = self.tags.get(ORIENTATION) in (5, 6, 7, 8)
        return (self.height, self.width) if turned else (self.width, self.height)

    @property
    def pixels_to_decode(self) -> int:
        """The pixels of a usual image that needs as much memory."""
        size = self.width * self.height * self.count * self.dtype.itemsize
        return size * BYTES_IN_MEMORY // BYTES_PER_PIXEL

    def __str__(self) -> str:
        return f"{self.count} bands of {self.dtype.newbyteorder('=').name}"

    def are_channels(self, channels: int) -> bool:
        """Whether the bands are read as the channels: Pillow lacks a mode, or would drop bands."""
        if self.count != channels or self.count == 1:
            return False
        separate = self.tags.get(PLANAR) == SEPARATE and self.dtype.itemsize > 1
        is_rgb = self.tags.get(PHOTOMETRIC) == RGB and self.dtype.kind == "u"
        extra = self.tags.get(EXTRA_SAMPLES, ())
        if channels == 3:
            return separate or not is_rgb or self.dtype.itemsize > 2
        if channels == 4:
            return not is_rgb or extra == (0,) or separate or self.dtype.itemsize > 2
        return True


def read_bands(path: Path, content: bytes | None = None) -> Bands | None:
    """The layout of a TIFF; None for other files, and for pixels that are not plain numbers."""
    with path.open("rb") if content is None else io.BytesIO(content) as file:
        head = file.read(16)
        if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0"):  # Pillow reads no MM\0+
            return None
        try:
            directory = ImageFileDirectory_v2(head[:8] if 42 in head[2:4] else head)
            file.seek(directory.next)
            directory.load(file)
            tags = dict(directory)
            bits = set(tags.get(BITS, (1,)))
            whole_bytes = all(width % 8 == 0 for width in bits)
            formats = set(tags.get(SAMPLE_FORMAT, (1,)))
            dtype = np.dtype(f"{KINDS[formats.pop()]}{bits.pop() // 8}")
            count = int(tags.get(SAMPLES, 1))
            plain = whole_bytes and not bits and not formats
            plain = plain and tags.get(COMPRESSION, 1) in COMPRESSIONS
            bands = Bands(
                "<" if head[:2] == b"II" else ">",
                tags,
                int(tags[WIDTH]),
                int(tags[HEIGHT]),
                count,
                dtype,
            )
        except Exception:  # damaged in any way: Pillow words the error
            return None
    return bands if plain and tags.get(PHOTOMETRIC) in (0, 1, RGB) and count > 0 else None


def load_bands(bands: Bands, path: Path, content: bytes | None) -> Iterator[Page]:
    """Decode the bands. Errors: any error of Pillow; ValueError if parts are missing."""
    content = path.read_bytes() if content is None else content
    if Image.MAX_IMAGE_PIXELS is not None:  # the bytes of a row count as pixels
        needed = bands.pixels_to_decode * BYTES_PER_PIXEL // BYTES_IN_MEMORY
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS, needed)
    separate = bands.tags.get(PLANAR) == SEPARATE
    together = None if separate else unpack(bands, content, range(1), bands.count)
    for number in range(bands.count):
        if together is None:
            values = unpack(bands, content, range(number, number + 1), 1)[..., 0]
        else:
            values = together[..., number]
        image, limit = as_image(values)
        yield Page(upright(image, int(bands.tags.get(ORIENTATION, 1))), None, limit)


def as_image(values: np.ndarray) -> tuple[Image.Image, int | None]:
    """Values as an image of Pillow, and the largest value of their type if it is unsigned."""
    if values.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(values)), MAX_UINT8
    if values.dtype == np.uint16:
        return Image.fromarray(np.ascontiguousarray(values)), MAX_UINT16
    small = values.dtype.kind == "i" and values.dtype.itemsize <= 4
    return Image.fromarray(values.astype(np.int32 if small else np.float32)), None


def unpack(bands: Bands, content: bytes, planes: range, samples: int) -> np.ndarray:
    """The values of a plane, [H, W, samples], in the byte order of this machine."""
    scale = samples * bands.dtype.itemsize
    file = io.BytesIO(as_bytes(bands, content, planes.start, scale))
    with identify(file, "") as image:
        rows = np.asarray(image).reshape(bands.height, bands.width * scale)
    predictor = bands.tags.get(PREDICTOR, 1)
    if predictor == FLOATING:
        return undo_floating(rows, bands, samples)
    numbers = rows.view(bands.dtype.newbyteorder(bands.order)).astype(bands.dtype)
    values = numbers.reshape(bands.height, bands.width, samples)
    if predictor == HORIZONTAL:
        unsigned = values.view(f"u{bands.dtype.itemsize}")
        return np.cumsum(unsigned, axis=1, dtype=unsigned.dtype).view(bands.dtype)
    return values


def undo_floating(rows: np.ndarray, bands: Bands, samples: int) -> np.ndarray:
    """Undo predictor 3: rows of the first bytes of all numbers, the second, …, as differences.

    It is described in TIFF Technical Note 3.
    """
    size = bands.dtype.itemsize
    steps = rows.reshape(bands.height, -1, samples)
    summed = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(bands.height, size, -1)
    big_endian = np.ascontiguousarray(summed.transpose(0, 2, 1))
    values = big_endian.view(bands.dtype.newbyteorder(">")).astype(bands.dtype)
    return values.reshape(bands.height, bands.width, samples)


def as_bytes(bands: Bands, content: bytes, plane: int, scale: int) -> bytes:
    """The file with another directory: a grey image of 8 bits, ``scale`` times as wide.

    Errors: ValueError if the file does not have enough strips or tiles.
    """
    tags, tiled = bands.tags, TILE_OFFSETS in bands.tags
    offsets = tags[TILE_OFFSETS if tiled else STRIP_OFFSETS]
    sizes = tags[TILE_SIZES if tiled else STRIP_SIZES]
    rows = int(tags[TILE_HEIGHT] if tiled else tags.get(ROWS_PER_STRIP, bands.height))
    columns = int(tags[TILE_WIDTH]) if tiled else bands.width
    parts = -(-bands.height // rows) * -(-bands.width // columns)
    chosen = slice(plane * parts, (plane + 1) * parts)
    if len(offsets[chosen]) < parts or len(sizes[chosen]) < parts:
        raise ValueError("strips or tiles are missing")
    entries: dict[int, tuple[int, ...]] = {
        WIDTH: (bands.width * scale,),
        HEIGHT: (bands.height,),
        BITS: (8,),
        COMPRESSION: (int(tags.get(COMPRESSION, 1)),),
        PHOTOMETRIC: (1,),
        SAMPLES: (1,),
        TILE_OFFSETS if tiled else STRIP_OFFSETS: tuple(offsets[chosen]),
        TILE_SIZES if tiled else STRIP_SIZES: tuple(sizes[chosen]),
        **(
            {TILE_WIDTH: (columns * scale,), TILE_HEIGHT: (rows,)}
            if tiled
            else {ROWS_PER_STRIP: (rows,)}
        ),
    }
    start = len(content) + len(content) % 2
    arrays = start + 2 + 12 * len(entries) + 4
    directory, more = struct.pack(f"{bands.order}H", len(entries)), b""
    for tag, values in sorted(entries.items()):
        packed = struct.pack(f"{bands.order}{len(values)}I", *values)
        directory += struct.pack(f"{bands.order}HHI", tag, 4, len(values))
        if len(values) > 1:
            directory += struct.pack(f"{bands.order}I", arrays + len(more))
            more += packed
        else:
            directory += packed
    mark = b"II" if bands.order == "<" else b"MM"
    header = mark + struct.pack(f"{bands.order}HI", 42, start)
    padding = b"\0" * (start - len(content))
    return header + content[8:] + padding + directory + b"\0\0\0\0" + more
