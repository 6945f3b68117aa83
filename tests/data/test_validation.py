"""The note on missing validation images."""

from __future__ import annotations

import pytest
import torch

from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.data.sources.base import Request, hold_out
from sepcnn.data.validation import missing_classes_note, validation_note


def split(labels: list[int]) -> InMemorySplit:
    images = torch.arange(len(labels), dtype=torch.uint8).reshape(-1, 1, 1, 1)
    return InMemorySplit(images, torch.tensor(labels))


def note(train: list[int], val: list[int] | None, share: float = 0.1, classes: int = 9) -> str:
    names = tuple("abcdefghi"[:classes])
    return validation_note(Dataset(names, split(train), split(val) if val else None, None), share)


@pytest.mark.parametrize(
    ("train", "val", "expected"),
    [
        ([0, 1, 2], [2, 1, 0], ""),
        ([0, 1], [0, 1, 5], ""),  # what cannot be learnt is no fault of validation
        ([0, 1, 2], [0, 2], "val has no images of b: val metrics say nothing about them"),
        (
            [*range(6)],
            [5],
            "val has no images of a, b, c, d, e: val metrics say nothing about them",
        ),
        (
            [*range(9)],
            [8],
            "val has no images of a, b, c, d, e and 3 more: val metrics say nothing about them",
        ),
    ],
)
def test_training_classes_without_validation_images_are_noted(
    train: list[int], val: list[int], expected: str
) -> None:
    assert note(train, val) == expected


def test_a_share_that_holds_out_no_image_is_noted() -> None:
    assert note([0, 1, 2, 1], None) == (
        "none of the 4 training images is held out for validation (validation: 0.1): "
        "the best epoch is chosen by training images"
    )
    assert note([0, 1], None, share=0) == ""


def test_small_classes_hold_out_no_image() -> None:
    labels = [0] * 40 + [1] * 4
    train, val = hold_out(split(labels), Request((1, 1, 1), 0.1, 0))
    dataset = Dataset(("cat", "dog"), train, val, None)
    expected = "val has no images of dog: val metrics say nothing about them"
    assert validation_note(dataset, 0.1) == expected


def test_training_classes_without_test_images_are_noted() -> None:
    dataset = Dataset(("cat", "dog"), split([0, 1]), None, split([1, 1]))
    expected = "test has no images of cat: test metrics say nothing about them"
    assert missing_classes_note(dataset, "test") == expected
    assert missing_classes_note(dataset, "val") == ""
