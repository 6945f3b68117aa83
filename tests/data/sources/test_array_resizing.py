"""Resizing of arrays: compared with Pillow, fingerprints, and the memory limit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from sepcnn.data.dataset import InMemorySplit
from sepcnn.data.decoding.resizing import Resize
from sepcnn.data.sources import array_resizing
from sepcnn.data.sources.array_resizing import resize_images, resized_split
from sepcnn.errors import DataError


def images(count: int, *shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, *shape), generator=generator, dtype=torch.uint8)


def split(pixels: torch.Tensor) -> InMemorySplit:
    return InMemorySplit(pixels, torch.arange(len(pixels)))


def pillow(image: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    array = image.numpy()
    opened = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    shrunk = opened.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.array(shrunk).reshape(*size, array.shape[2])


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [(64, 64), (9, 9), (14, 40)])
def test_pixels_equal_pillow(count: int, size: tuple[int, int]) -> None:
    pixels = images(5, 28, 28, count)
    found = resize_images(pixels, size, "stretch")
    assert found.shape == (5, *size, count)
    for image, one in zip(pixels, found, strict=True):
        difference = one.numpy().astype(int) - pillow(image, size)
        assert abs(difference).max() <= 1  # fixed-point weights of another precision


def test_crop_keeps_the_centre() -> None:
    pixels = images(2, 30, 30, 3)
    assert torch.equal(resize_images(pixels, (30, 10), "crop"), pixels[:, :, 10:20])
    assert torch.equal(resize_images(pixels, (10, 30), "crop"), pixels[:, 10:20])


@pytest.mark.parametrize(("size", "place"), [((30, 50), (0, 10)), ((51, 30), (10, 0))])
def test_letterbox_adds_black_bars(size: tuple[int, int], place: tuple[int, int]) -> None:
    pixels = images(2, 30, 30, 3)
    found = resize_images(pixels, size, "letterbox")
    top, left = place
    assert torch.equal(found[:, top : top + 30, left : left + 30], pixels)
    assert found.long().sum() == pixels.long().sum()


@pytest.mark.parametrize("resize", ["crop", "letterbox", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (7, 13), (300, 2)])
def test_every_size_is_possible(resize: Resize, size: tuple[int, int]) -> None:
    assert resize_images(images(2, 28, 28, 1), size, resize).shape == (2, *size, 1)


def test_grey_is_repeated_and_colours_become_luma() -> None:
    grey, colour = images(3, 8, 8, 1), images(3, 8, 8, 3)
    repeated = resized_split(split(grey), (8, 8, 3), "crop").images
    assert torch.equal(repeated, grey.expand(3, 8, 8, 3))
    weighed = resized_split(split(colour), (8, 8, 1), "crop").images
    for image, one in zip(colour, weighed, strict=True):
        expected = np.array(Image.fromarray(image.numpy()).convert("L")).astype(int)
        assert abs(one[..., 0].numpy().astype(int) - expected).max() <= 1


def test_images_of_the_right_shape_are_unchanged() -> None:
    same = split(images(3, 8, 8, 3))
    assert resized_split(same, (8, 8, 3), "crop") is same


def test_images_are_resized_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = images(7, 8, 8, 1)
    whole = resized_split(split(pixels), (12, 12, 3), "crop")
    monkeypatch.setattr(array_resizing, "CHUNK", 3)
    assert torch.equal(resized_split(split(pixels), (12, 12, 3), "crop").images, whole.images)
    assert torch.equal(whole.labels, torch.arange(7))


def test_the_fingerprint_depends_on_images_size_and_mode() -> None:
    pixels, others = images(3, 8, 8, 1), images(3, 8, 8, 1, seed=1)
    found = {
        resized_split(split(one), (12, height, 1), way).fingerprint()
        for one in (pixels, others)
        for height in (12, 14)
        for way in ("crop", "stretch")
    }
    assert len(found) == 8


def test_images_larger_than_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_resizing, "free_memory", lambda: 4 << 30)
    few = split(torch.zeros((1, 8, 8, 1), dtype=torch.uint8).expand(60_000, 8, 8, 1))
    with pytest.raises(DataError) as caught:
        resized_split(few, (224, 224, 3), "crop")
    assert str(caught.value) == (
        "60000 images of 224×224×3 need 8 GiB of memory\n"
        "   write input_shape: [8, 8, 1] and make Resizing the first layer"
    )
