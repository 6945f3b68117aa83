"""Limits while image files are opened."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sepcnn.data.decoding import opening
from sepcnn.data.decoding.opening import PixelBudget
from sepcnn.data.decoding.reading import ReadingRules, read_image
from sepcnn.errors import DataError
from tests.runs import environment


def test_images_wait_for_the_pixel_budget() -> None:
    budget, most, now = PixelBudget(10), 0, 0
    lock = threading.Lock()

    def decode(pixels: int) -> None:
        nonlocal now, most
        with budget.reserve(pixels):
            with lock:
                now += pixels
                most = max(most, now)
            threading.Event().wait(0.005)
            with lock:
                now -= pixels

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [3, 4, 5, 6, 7, 2, 1, 10] * 3))
    assert 5 < most <= 10
    with budget.reserve(1000):  # alone
        assert budget.left == 0
    assert budget.left == 10


LARGE = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sepcnn.data.decoding import reading
from sepcnn.data.decoding import opening

opening.MIN_PIXEL_BUDGET, opening.free_memory = 20_000_000, lambda: None
reading.read_image(Path(sys.argv[1]), (8, 8, 3))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(3) as pool:
    list(pool.map(lambda _: reading.read_image(Path(sys.argv[2]), (8, 8, 3)), range(3)))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count it in other units")
def test_large_images_are_decoded_one_by_one(tmp_path: Path) -> None:
    """80 MB each in Pillow: all three at once, with intermediate results, took 1.1 GB."""
    small, large = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("RGBA", (8, 8)).save(small)
    Image.new("RGBA", (5000, 4000)).save(large, compress_level=1)
    result = subprocess.run(
        [sys.executable, "-c", LARGE, str(small), str(large)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 330


# ── the limit of pixels ───────────────────────────────────────────────────────────────────────


def limited(path: Path, megapixels: float, side: int = 8) -> np.ndarray:
    rules = ReadingRules(max_pixels=round(megapixels * 1e6))
    return read_image(path, (side, side, 1), rules=rules)


def test_a_large_jpeg_counts_as_it_is_decoded(tmp_path: Path) -> None:
    """An eighth of each side: 1.6 megapixels of 100."""
    path = tmp_path / "a.jpg"
    Image.new("L", (10_000, 10_000), 200).save(path)
    assert (limited(path, 90) == 200).all()
    with pytest.raises(DataError) as caught:
        limited(path, 1)
    assert caught.value.message == (
        f"{path}: 10,000×10,000 pixels: 2 megapixels to decode, more than max_megapixels 1"
    )
    with pytest.raises(DataError, match="25 megapixels"):
        limited(path, 5, side=1300)  # half of each side


def test_a_progressive_jpeg_needs_memory_for_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("L", (2_000, 1_000)).save(path, progressive=True)
    with pytest.raises(DataError, match=r"1 megapixels to decode, more than max_megapixels 0\.5"):
        limited(path, 0.5)
    assert limited(path, 1).shape == (8, 8, 1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF", "WEBP", "BMP"])
def test_the_limit_can_be_raised_and_lowered(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow has a limit for all formats, here of 1 megapixel."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    path = tmp_path / "a"
    Image.new("L", (1_500, 1_000), 7).save(path, kind, lossless=True)
    for limit in (1.0, 1.4):
        with pytest.raises(DataError, match="2 megapixels to decode, more than max_megapixels 1"):
            limited(path, limit)
    assert (limited(path, 1.5) == 7).all()


def test_every_page_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pages = [Image.new("L", size) for size in ((10, 10), (2_000, 1_000))]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    rules = ReadingRules(max_pixels=1_000_000)
    with pytest.raises(DataError, match="2,000×1,000 pixels"):
        read_image(path, (8, 8, 2), rules=rules)


@pytest.mark.parametrize(
    ("free", "expected"), [(None, 100), (1 << 30, 100), (6_000_000_000, 125), (1 << 40, 170)]
)
def test_the_memory_of_decoding_is_bounded(
    monkeypatch: pytest.MonkeyPatch, free: int | None, expected: int
) -> None:
    """A quarter of the free memory alone grows with the machine."""
    monkeypatch.setattr(opening, "free_memory", lambda: free)
    assert opening.pixel_budget.__wrapped__().pixels == expected * 1_000_000


ONE_COPY = """
import resource, sys
from pathlib import Path
from sepcnn.data import inspection

inspection.measure_image(Path(sys.argv[1]), 3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
inspection.measure_image(Path(sys.argv[2]), 3)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count it in other units")
def test_an_image_of_the_right_mode_is_in_memory_once(tmp_path: Path) -> None:
    """80 MB in Pillow; with copies for conversion and measurement `check` took twice that."""
    small, large = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("RGB", (8, 8)).save(small)
    Image.new("RGB", (5000, 4000)).save(large, compress_level=1)
    result = subprocess.run(
        [sys.executable, "-c", ONE_COPY, str(small), str(large)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert int(result.stdout) < 110
