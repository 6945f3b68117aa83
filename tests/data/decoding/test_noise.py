"""Pillow and libtiff print nothing about odd files."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.runs import environment

READ = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sepcnn.data.decoding.reading import read_image
from sepcnn.errors import DataError

def read(path):
    try:
        read_image(path, (8, 8, 3))
        return "read"
    except DataError as error:
        return error.message

with ThreadPoolExecutor(2) as pool:
    for path, result in zip(sys.argv[1:], pool.map(read, map(Path, sys.argv[1:]))):
        print(Path(path).name, result.replace(path, "PATH"))
"""


def write_odd_files(folder: Path) -> list[Path]:
    """Files about which Pillow warns, or libtiff prints lines to file descriptor 2."""
    noise = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    palette = image.convert("P")
    palette.save(folder / "palette.png", transparency=bytes(range(100)))
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(60))
    image.save(folder / "exif.jpg", exif=exif)
    for name, compression in (("lzw", "tiff_lzw"), ("deflate", "tiff_adobe_deflate")):
        file = io.BytesIO()
        image.save(file, "TIFF", compression=compression)
        content = bytearray(file.getvalue())
        content[50:90] = bytes(40)
        (folder / f"{name}.tif").write_bytes(content)
    # An unknown tag, about which libtiff warns.
    file = io.BytesIO()
    image.save(file, "TIFF", compression="tiff_lzw", tiffinfo={65000: "x"})
    (folder / "tag.tif").write_bytes(file.getvalue())
    samples = bytearray(file.getvalue())
    place = samples.index(struct.pack("<HHI", 277, 3, 1))
    samples[place + 8] = 200  # samples per pixel: Pillow logs an error
    (folder / "samples.tif").write_bytes(samples)
    return sorted(folder.iterdir())


def test_odd_files_print_nothing(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", READ, *map(str, write_odd_files(tmp_path))],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = dict(line.split(" ", 1) for line in result.stdout.splitlines())
    assert lines["palette.png"] == lines["exif.jpg"] == lines["tag.tif"] == "read"
    assert lines["lzw.tif"].startswith("PATH: cannot be read (")
    if sys.platform == "win32":
        pytest.skip("libtiff cannot be silenced here")
    assert result.stderr == ""
