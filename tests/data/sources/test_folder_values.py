"""Pixel values of a folder: the range is measured on training images and governs afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sepcnn.data.dataset import Dataset
from sepcnn.data.sources.base import Request
from sepcnn.data.sources.folder import Folder
from sepcnn.errors import DataError

SHAPE = (8, 8, 1)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """12-bit images: 0 to 1,000 for training, 0 to 4,000 for validation."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for split, top in (("train", 1000), ("val", 4000)):
        for number, name in enumerate(("a", "b")):
            folder = tmp_path / "scans" / split / name
            folder.mkdir(parents=True)
            for index in range(3):
                values = np.full((8, 8), top // (1 + number + index), np.uint16)
                values[0, 0] = 0
                Image.fromarray(values).save(folder / f"{index}.png")
    return tmp_path / "scans"


def opened(root: Path, **fields: Any) -> Dataset:
    return Folder(path=root, **fields).open(Request(SHAPE, 0.1, 0))


def brightest(data: Dataset, split: str) -> int:
    images = data.split(split)
    return int(images.read(torch.arange(len(images))).images.max())


def test_a_note_says_what_is_suspicious(root: Path) -> None:
    data = opened(root)
    assert data.value_range is None
    assert data.notes == (
        "pixel values: 6 images of 16 bits have only values from 0 to 1,000, read as 0 to 4 of "
        "255; probably 10-bit data: set value_range in data.source.Folder: [0, 1023], or auto",
    )
    assert brightest(data, "train") == 4


def test_a_given_range(root: Path) -> None:
    data = opened(root, value_range=(0.0, 4000.0))
    assert (brightest(data, "train"), brightest(data, "val")) == (64, 255)
    assert opened(root, value_range=(0.0, 1000.0)).value_range == (0, 1000)


def test_auto_measures_training_images_only(root: Path) -> None:
    data = opened(root, value_range="auto")
    assert data.value_range == (0, 1000)
    assert (brightest(data, "train"), brightest(data, "val")) == (255, 255)
    assert data.notes == ("value_range: auto is [0, 1000], from the training images",)
    assert data.summary()["value_range"] == [0, 1000]


def test_each_range_has_its_own_cache(root: Path) -> None:
    for _ in range(2):
        assert brightest(opened(root), "train") == 4
        assert brightest(opened(root, value_range=(0.0, 1000.0)), "train") == 255


def test_single_images_are_read_by_the_same_rule(root: Path) -> None:
    file = root / "val" / "a" / "0.png"
    source = Folder(path=root, value_range="auto")
    assert source.read_image(file, SHAPE).max() == 16  # not measured yet
    measured = source.with_measurements(source.open(Request(SHAPE, 0.1, 0)))
    assert measured.read_image(file, SHAPE).max() == 255
    assert measured.read_image(root / "train" / "b" / "2.png", SHAPE).max() == 64


def test_the_limit_of_pixels_is_a_field(root: Path) -> None:
    with pytest.raises(DataError, match=r"set max_megapixels in data\.source\.Folder, or"):
        opened(root, max_megapixels=0.00006)
    with pytest.raises(DataError, match="megapixels to decode"):
        Folder(path=root, max_megapixels=0.00006).read_image(root / "val/a/0.png", SHAPE)
