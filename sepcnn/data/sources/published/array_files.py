"""Readers of the array files that well-known sets are published in: to uint8 N×H×W×C and labels."""

from __future__ import annotations

import gzip
import importlib.util
import pickletools
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from sepcnn.errors import DataError

Pair = tuple[np.ndarray, np.ndarray]
"""images uint8 [N, H, W, C] and labels int64 [N]"""

IDX_UINT8 = 0x08


def read_bytes(path: Path) -> bytes:
    """A file's bytes, those of a ``.gz`` file unpacked. Errors: `DataError`."""
    try:
        return gunzip(path.read_bytes(), path) if path.suffix == ".gz" else path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def gunzip(content: bytes, path: Path) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged ({error})", "delete it and start again") from None


def read_idx(content: bytes, path: Path) -> np.ndarray:
    """MNIST's format: 0, 0, the kind of number, how many axes, their sizes, the numbers.

    LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/. Only uint8 is read.
    """
    axes = content[3] if len(content) > 3 else 0
    start = 4 + 4 * axes
    if content[:3] != bytes([0, 0, IDX_UINT8]) or axes not in (1, 3) or len(content) < start:
        raise DataError(f"{path}: not an IDX file of bytes")
    sizes = struct.unpack(f">{axes}I", content[4:start])
    numbers = np.frombuffer(content, np.uint8, offset=start)
    if len(numbers) != np.prod(sizes, dtype=np.int64):
        shape = "×".join(map(str, sizes))
        raise DataError(f"{path}: {len(numbers)} bytes, but they should be {shape}")
    return numbers.reshape(sizes)


def read_records(content: bytes, label_bytes: int, side: int, path: Path) -> Pair:
    """CIFAR's binary format: for each image its labels, the last the finest, then three planes.

    Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    length = label_bytes + 3 * side * side
    if not content or len(content) % length:
        raise DataError(f"{path}: {len(content)} bytes are not records of {length}")
    records = np.frombuffer(content, np.uint8).reshape(-1, length)
    return planes_last(records[:, label_bytes:], side), records[:, label_bytes - 1].astype(np.int64)


def planes_last(planes: np.ndarray, side: int, transposed: bool = False) -> np.ndarray:
    """Images of three planes as N×H×W×C; ``transposed``: the planes are stored by columns."""
    images = planes.reshape(-1, 3, side, side)
    axes = (0, 3, 2, 1) if transposed else (0, 2, 3, 1)
    return np.ascontiguousarray(images.transpose(axes))


def read_pickled_records(file: IO[bytes], label_key: str, side: int, path: Path) -> Pair:
    """The CIFAR files that torchvision downloads, without unpickling.

    Their instructions are listed, never followed: the images are the one text of their length,
    the labels the numbers after ``label_key``. The md5 of the file is checked before.
    """
    planes, key = b"", ""
    labels: list[int] = []
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name in ("SHORT_BINSTRING", "BINSTRING"):
                key = str(argument)
                if len(key) >= 3 * side * side:
                    planes = key.encode("latin-1")
            elif opcode.name in ("BININT1", "BININT2", "BININT") and key == label_key:
                labels.append(int(str(argument)))
    except (ValueError, UnicodeError) as error:
        raise DataError(f"{path}: damaged ({error})", "delete it and start again") from None
    if not labels or len(planes) != len(labels) * 3 * side * side:
        raise DataError(f"{path}: {len(planes)} bytes of images, but {len(labels)} labels")
    return planes_last(np.frombuffer(planes, np.uint8), side), np.array(labels, np.int64)


def require_scipy(what: str) -> None:
    """Errors: `DataError` where scipy is not installed."""
    if importlib.util.find_spec("scipy") is None:
        hint = "pip install 'sepcnn[datasets]'"
        raise DataError(f"{what} comes in MATLAB files, which need scipy", hint)


def read_matlab(path: Path) -> dict[str, Any]:
    """The arrays of a .mat file. Errors: `DataError`."""
    from scipy.io import loadmat

    try:
        return dict(loadmat(path))
    except Exception as error:  # damaged bytes make scipy and zlib raise anything
        raise DataError(f"{path}: not a readable MATLAB file ({error})") from None
