"""Splits, held-out images, and the summary of a data set for checkpoints."""

from __future__ import annotations

import pytest
import torch

from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.data.sources.base import Request, hold_out
from sepcnn.errors import DataError

CPU = torch.device("cpu")


def split(labels: list[int], first: int = 0) -> InMemorySplit:
    """1×1 images whose value is their number."""
    numbers = torch.arange(first, first + len(labels), dtype=torch.uint8)
    return InMemorySplit(numbers.reshape(-1, 1, 1, 1), torch.tensor(labels))


def numbers(part: InMemorySplit) -> list[int]:
    return part.images.flatten().tolist()


def request(validation: float, split_seed: int = 0) -> Request:
    return Request((1, 1, 1), validation, split_seed)


def held(
    part: InMemorySplit, validation: float, split_seed: int = 0
) -> tuple[list[int], list[int]]:
    train, val = hold_out(part, request(validation, split_seed))
    return numbers(train), numbers(val) if val else []


def test_read_returns_the_images_and_labels_at_the_indices() -> None:
    batch = split([5, 6, 7, 8]).read(torch.tensor([3, 0, 3]))
    images, labels = batch.images, batch.labels
    assert images.flatten().tolist() == [3, 0, 3]
    assert labels.tolist() == [8, 5, 8]
    assert (images.dtype, images.shape, labels.dtype) == (torch.uint8, (3, 1, 1, 1), torch.int64)


def test_moving_a_split_keeps_its_content() -> None:
    part = split([1, 0, 1])
    moved = part.to(CPU)
    assert (numbers(moved), moved.labels.tolist()) == (numbers(part), [1, 0, 1])


def test_held_out_and_remaining_images_are_all_images_in_order() -> None:
    train, val = held(split([0, 1, 2] * 40), 0.25)
    assert sorted(train + val) == list(range(120))
    assert (train, val) == (sorted(train), sorted(val))


@pytest.mark.parametrize("validation", [0.1, 0.25, 0.5, 0.9])
def test_the_same_share_of_every_class_is_held_out(validation: float) -> None:
    labels = [0] * 100 + [1] * 40 + [3] * 10
    train, val = hold_out(split(labels), request(validation))
    assert val is not None
    counts = [round(size * validation) for size in (100, 40, 0, 10)]
    assert val.labels.bincount(minlength=4).tolist() == counts
    rest = [size - count for size, count in zip((100, 40, 0, 10), counts, strict=True)]
    assert train.labels.bincount(minlength=4).tolist() == rest


def test_classes_are_drawn_independently() -> None:
    _, val = held(split([0] * 50 + [1] * 50), 0.2)
    assert [number + 50 for number in val if number < 50] != [n for n in val if n >= 50]


def test_the_split_seed_decides_what_is_held_out() -> None:
    part = split([0, 1] * 50)
    assert held(part, 0.2, split_seed=1) == held(part, 0.2, split_seed=1)
    assert held(part, 0.2, split_seed=1) != held(part, 0.2, split_seed=2)


@pytest.mark.parametrize(
    ("labels", "validation"), [([0, 1] * 50, 0.0), ([0, 1, 2], 0.9), ([0] * 4, 0.1)]
)
def test_no_validation_split_if_nothing_is_held_out(labels: list[int], validation: float) -> None:
    part = split(labels)
    train, val = hold_out(part, request(validation))
    assert val is None
    assert numbers(train) == numbers(part)


def test_every_class_keeps_an_image_for_training() -> None:
    train, _ = hold_out(split([0, 0, 1, 2, 2, 2]), request(0.95))
    assert train.labels.tolist() == [0, 1, 2]


def dataset(**splits: InMemorySplit | None) -> Dataset:
    parts = {"train": split([0, 1, 0]), "val": split([1], 10), "test": split([0, 1], 20)}
    return Dataset(class_names=("cat", "dog"), **{**parts, **splits})  # type: ignore[arg-type]


def test_the_summary_has_class_names_and_counts() -> None:
    facts = dataset().summary()
    assert facts["class_names"] == ["cat", "dog"]
    assert facts["counts"] == {"train": 3, "val": 1, "test": 2}
    assert dataset(test=None).summary()["counts"] == {"train": 3, "val": 1}
    assert facts["fingerprints"] == {
        n: s.fingerprint().hex() for n, s in dataset().splits().items()
    }


def test_the_fingerprint_depends_on_the_content() -> None:
    first = dataset().summary()["fingerprint"]
    assert first == dataset().summary()["fingerprint"]
    others = [
        dataset(train=split([0, 1, 1])),
        dataset(train=split([0, 1, 0], first=1)),
        dataset(test=None),
        Dataset(("dog", "cat"), split([0, 1, 0]), split([1], 10), split([0, 1], 20)),
    ]
    assert len({first, *(other.summary()["fingerprint"] for other in others)}) == 5


def test_changed_splits_are_found() -> None:
    facts = dataset().summary()
    assert dataset().changed_splits(["train", "val", "test"], facts) == []
    other = dataset(train=split([0, 1, 1]), test=split([0, 1], 21))
    assert other.changed_splits(["train", "val", "test"], facts) == ["train", "test"]
    assert dataset().changed_splits(["test"], dataset(test=None).summary()) == ["test"]


def test_a_split_by_name() -> None:
    data = dataset()
    assert data.split("val") is data.val


def test_a_missing_split_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        dataset(val=None).split("val")
    expected = "the data set has no 'val' split, only train, test\n   use --split test"
    assert str(caught.value) == expected
