"""Image folders for tests: photos of coloured noise in a folder per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = ("blue", "green", "red")


def picture(colour: str, seed: int = 0, size: tuple[int, int] = (20, 16)) -> Image.Image:
    """Noise in which one colour is strongest. ``size``: width and height."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 120, (height, width, 3), dtype=np.uint8)
    pixels[..., 2 - COLOURS.index(colour)] += 100
    return Image.fromarray(pixels)


def write_folder(root: Path, count: int = 12, splits: tuple[str, ...] = ()) -> Path:
    """Write ``count`` photos of each colour, in each split if there are splits."""
    for number, split in enumerate(splits or ("",)):
        for colour in COLOURS:
            folder = root / split / colour
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(count):
                seed = 1000 * number + index
                picture(colour, seed).save(folder / f"{index:03}.jpg", quality=95)
    return root
