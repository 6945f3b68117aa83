"""Readers of the file formats of published data sets: images uint8 N×H×W×C and labels."""

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
from sepcnn.file_kind import system_error

ImagesAndLabels = tuple[np.ndarray, np.ndarray]
"""images uint8 [N, H, W, C] and labels int64 [N]"""

IDX_UINT8 = 0x08


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, decompressed if its name ends with ``.gz``. Errors: `DataError`."""
    try:
        return gunzip(path.read_bytes(), path) if path.suffix == ".gz" else path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {system_error(path, error)}") from None


def gunzip(content: bytes, path: Path) -> bytes:
    """Decompress ``content``; errors name ``path``. Errors: `DataError`."""
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: damaged ({error})", "delete it and run the command again"
        ) from None


def read_idx(content: bytes, path: Path) -> np.ndarray:
    """Read the IDX format of MNIST: 0, 0, type code, number of axes, their sizes, the values.

    LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/. Only uint8 is supported, with 1 or
    3 axes. Errors: `DataError`.
    """
    axes = content[3] if len(content) > 3 else 0
    start = 4 + 4 * axes
    if content[:3] != bytes([0, 0, IDX_UINT8]) or axes not in (1, 3) or len(content) < start:
        raise DataError(f"{path}: not an IDX file of uint8 values")
    sizes = struct.unpack(f">{axes}I", content[4:start])
    numbers = np.frombuffer(content, np.uint8, offset=start)
    if len(numbers) != np.prod(sizes, dtype=np.int64):
        shape = "×".join(map(str, sizes))
        raise DataError(f"{path}: found {len(numbers)} values, expected {shape}")
    return numbers.reshape(sizes)


def read_records(content: bytes, label_bytes: int, side: int, path: Path) -> ImagesAndLabels:
    """Read the binary format of CIFAR: per image its labels, then its red, green and blue planes.

    The last label, which is the finest, is used. Krizhevsky,
    https://www.cs.toronto.edu/~kriz/cifar.html. Errors: `DataError`.
    """
    length = label_bytes + 3 * side * side
    if not content or len(content) % length:
        raise DataError(
            f"{path}: {len(content)} bytes are not a multiple of {length}, the size of a record"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, length)
    return planes_last(records[:, label_bytes:], side), records[:, label_bytes - 1].astype(np.int64)


def planes_last(planes: np.ndarray, side: int, transposed: bool = False) -> np.ndarray:
    """Reshape planes N×3×H×W to N×H×W×C; ``transposed``: each plane is stored by columns."""
    images = planes.reshape(-1, 3, side, side)
    axes = (0, 3, 2, 1) if transposed else (0, 2, 3, 1)
    return np.ascontiguousarray(images.transpose(axes))


def read_pickled_records(file: IO[bytes], label_key: str, side: int, path: Path) -> ImagesAndLabels:
    """Read the pickled CIFAR files of torchvision without unpickling them.

    Opcodes are listed, not executed: the images are the only long string, the labels are the
    integers after ``label_key``. The caller has checked the MD5 of the file. Errors: `DataError`.
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
        raise DataError(
            f"{path}: damaged ({error})", "delete it and run the command again"
        ) from None
    if not labels or len(planes) != len(labels) * 3 * side * side:
        raise DataError(f"{path}: {len(planes)} bytes of images do not match {len(labels)} labels")
    return planes_last(np.frombuffer(planes, np.uint8), side), np.array(labels, np.int64)


def require_scipy(what: str) -> None:
    """Errors: `DataError` if scipy is not installed; ``what`` is the name of the data set."""
    if importlib.util.find_spec("scipy") is None:
        hint = "pip install 'sepcnn[datasets]'"
        raise DataError(f"{what} is published as MATLAB files, which need scipy", hint)


def read_matlab(path: Path) -> dict[str, Any]:
    """The arrays of a .mat file. Errors: `DataError`."""
    from scipy.io import loadmat

    try:
        return dict(loadmat(path))
    except Exception as error:  # scipy and zlib raise many kinds for damaged bytes
        raise DataError(f"{path}: not a readable MATLAB file ({error})") from None
