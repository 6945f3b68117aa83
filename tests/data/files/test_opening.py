"""Limits while image files are opened."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from sepcnn.data.files.opening import PixelBudget
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
from sepcnn.data.files import decoding, opening

opening.MIN_PIXEL_BUDGET, opening.free_memory = 20_000_000, lambda: None
decoding.read_image(Path(sys.argv[1]), (8, 8, 3))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(3) as pool:
    list(pool.map(lambda _: decoding.read_image(Path(sys.argv[2]), (8, 8, 3)), range(3)))
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
