from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sepcnn.data.sources.shape_drawing import CLASS_NAMES, VERSION, draw


def distinct(images: NDArray[np.uint8]) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_there_are_ten_classes_with_different_names() -> None:
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 10


@pytest.mark.parametrize("size", [32, 48, 64])
@pytest.mark.parametrize("count", [0, 1, 13, 100])
def test_images_and_labels_have_the_documented_shape_and_dtype(count: int, size: int) -> None:
    images, labels = draw(0, "train", count, size)
    assert images.shape == (count, size, size, 3)
    assert images.dtype == np.uint8
    assert labels.shape == (count,)
    assert labels.dtype == np.int64


def test_the_version_identifies_these_images() -> None:
    """`VERSION` must change if a pixel changes, because caches and checkpoints depend on it."""
    images, labels = draw(0, "train", 64, 32)
    assert labels[:12].tolist() == [7, 6, 7, 7, 8, 2, 4, 2, 4, 2, 1, 0]
    assert images.mean() == pytest.approx(121.05448, abs=1e-3)
    assert images[3, 16, 16].tolist() == pytest.approx([82, 61, 170], abs=1)
    assert VERSION == "b90838484dadf841"


def test_images_are_64_pixels_wide_by_default() -> None:
    assert draw(0, "train", 2)[0].shape == (2, 64, 64, 3)


def test_the_same_call_gives_the_same_data() -> None:
    for first, second in zip(draw(5, "val", 150), draw(5, "val", 150), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("cores", [1, 7, None])
def test_the_number_of_cores_does_not_change_the_data(
    cores: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = draw(5, "train", 150)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    images_again, labels_again = draw(5, "train", 150)
    np.testing.assert_array_equal(images, images_again)
    np.testing.assert_array_equal(labels, labels_again)


def test_splits_and_seeds_share_no_image() -> None:
    # Neighbouring seeds, as these are what a sum of seed and split could confuse.
    parts = [draw(seed, split, 200)[0] for seed in (0, 1, 2) for split in ("train", "val", "test")]
    assert len(distinct(np.concatenate(parts))) == 200 * len(parts)


def test_splits_and_seeds_order_the_labels_differently() -> None:
    orders = [draw(seed, split, 50)[1] for seed in (0, 1) for split in ("train", "val", "test")]
    assert len({order.tobytes() for order in orders}) == len(orders)


@pytest.mark.parametrize("count", [1, 13, 200])
def test_classes_are_balanced(count: int) -> None:
    numbers = np.bincount(draw(3, "test", count)[1], minlength=10)
    assert numbers.sum() == count
    assert np.ptp(numbers) <= 1


def test_labels_are_shuffled() -> None:
    labels = draw(3, "train", 200)[1]
    assert not np.array_equal(labels, np.arange(200) % 10)


@pytest.mark.parametrize("size", [32, 64])
def test_every_image_shows_something(size: int) -> None:
    images = draw(0, "train", 500, size)[0].astype(np.float32)
    # Over the places only: the colours of one plain area differ too.
    deviation = images.std(axis=(1, 2)).max(axis=-1)
    assert deviation.min() > 12


def test_scenes_do_not_depend_on_the_size() -> None:
    small, large = (draw(0, "train", 40, size)[0].astype(np.float32) for size in (32, 64))
    shrunk = large.reshape(40, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    assert np.abs(shrunk - small).mean() < 20


@pytest.mark.exhaustive
def test_a_linear_model_has_low_accuracy() -> None:
    """Multinomial logistic regression on the pixels is far less accurate than a small network."""

    def tensors(split: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = draw(0, split, count)
        return torch.from_numpy(images).flatten(1) / 127.5 - 1, torch.from_numpy(labels)

    pixels, labels = tensors("train", 3000)
    weight = torch.zeros(pixels.shape[1], 10, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=20, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(pixels @ weight, labels)
        loss = loss + 0.1 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    pixels, labels = tensors("test", 1000)
    accuracy = (pixels @ weight).argmax(dim=1).eq(labels).double().mean().item()
    assert accuracy < 0.4
