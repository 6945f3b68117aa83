"""Random streams: each name has its own, which never changes."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sepcnn.randomness import balanced_order, key, order, stream

Name = tuple[int, *tuple[str | int, ...]]


def test_neighbouring_names_have_different_keys() -> None:
    purposes = ("order", "augment", "dropout", "weights", "validation")
    names = list(product(range(20), purposes, range(200)))
    assert len({key(*name) for name in names}) == len(names)


def test_neighbouring_names_have_different_streams() -> None:
    """torch's CPU generator uses 32 bits of the key, so these must differ too."""
    names = product(range(5), ("order", "augment"), range(200))
    first = [torch.rand((), generator=stream(*name), dtype=torch.float64).item() for name in names]
    assert len(set(first)) == len(first)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, "a", 23), (12, "a", 3)),
        ((0, "ab", "c"), (0, "a", "bc")),
        ((0, "a"), (0, "a", "")),
        ((0, "a", "b"), (0, "b", "a")),
        ((0,), (0, 0)),
    ],
    ids=["digits", "letters", "empty", "order", "length"],
)
def test_parts_of_a_name_are_separated(one: Name, other: Name) -> None:
    assert key(*one) != key(*other)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ((0, "order", 0), 6_759_659_632_403_048_684),
        ((7, "weights", "dense.weight"), 4_837_373_576_912_535_547),
    ],
    ids=["order", "weights"],
)
def test_keys_never_change(name: Name, expected: int) -> None:
    """A later version must repeat a run exactly."""
    assert key(*name) == expected


@given(st.integers(0, 2**63), st.text(), st.integers(0, 2**40))
def test_a_key_is_a_seed_of_63_bits(seed: int, purpose: str, step: int) -> None:
    assert 0 <= key(seed, purpose, step) < 2**63


def test_each_call_returns_a_new_stream() -> None:
    first, second = (torch.rand(5, generator=stream(3, "dropout", 4)) for _ in range(2))
    assert torch.equal(first, second)


def test_streams_do_not_change_the_global_state() -> None:
    before = torch.get_rng_state()
    torch.rand(5, generator=stream(3, "dropout", 4))
    assert torch.equal(torch.get_rng_state(), before)


@given(st.integers(0, 2**31), st.integers(0, 1000), st.integers(0, 500))
def test_an_order_is_a_permutation(seed: int, epoch: int, count: int) -> None:
    found = order(seed, epoch, count)
    assert found.dtype == torch.int64
    assert torch.equal(found.sort().values, torch.arange(count))


def test_every_epoch_and_seed_has_its_own_order() -> None:
    orders = {tuple(order(seed, epoch, 50).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


# ── balanced orders ──────────────────────────────────────────────────────────────────────────

some_labels = st.lists(st.integers(0, 6), min_size=1, max_size=80).map(torch.tensor)


def spread(counts: torch.Tensor) -> int:
    return int(counts.max() - counts.min())


@given(st.integers(0, 2**31), st.integers(0, 1000), some_labels)
def test_a_balanced_order_has_equal_shares_of_classes_and_images(
    seed: int, epoch: int, labels: torch.Tensor
) -> None:
    found = balanced_order(seed, epoch, labels)
    assert found.dtype == torch.int64
    assert found.shape == labels.shape
    shown = torch.bincount(labels[found], minlength=7)
    present = labels.unique()
    assert spread(shown[present]) <= 1
    for label in present:
        members = (labels == label).nonzero().flatten()
        assert spread(torch.bincount(found, minlength=len(labels))[members]) <= 1


def test_a_balanced_order_is_a_function_of_seed_and_epoch() -> None:
    labels = torch.tensor([0] * 40 + [1] * 8 + [2] * 2)
    again, same = (balanced_order(3, 5, labels) for _ in range(2))
    assert torch.equal(again, same)
    orders = {
        tuple(balanced_order(seed, epoch, labels).tolist())
        for seed in range(5)
        for epoch in range(5)
    }
    assert len(orders) == 25


def test_the_next_epoch_uses_the_remaining_images_of_a_large_class() -> None:
    """A class of 40 images has 16 or 17 per epoch: the first two epochs share none."""
    labels = torch.tensor([0] * 40 + [1] * 8 + [2] * 2)
    for turn in (0, 2, 4):
        epochs = (balanced_order(1, turn + window, labels) for window in range(2))
        first, second = (set(e[labels[e] == 0].tolist()) for e in epochs)
        assert len(first) in {16, 17}
        assert not first & second


@given(st.integers(0, 2**31), st.integers(1, 12), some_labels)
def test_over_a_run_images_of_a_class_are_equally_frequent(
    seed: int, epochs: int, labels: torch.Tensor
) -> None:
    orders = torch.cat([balanced_order(seed, epoch, labels) for epoch in range(epochs)])
    seen = torch.bincount(orders, minlength=len(labels))
    for label in labels.unique():
        assert spread(seen[labels == label]) <= 1


def test_the_remainder_of_a_share_changes_between_classes() -> None:
    labels = torch.tensor([0] * 40 + [1] * 8 + [2] * 2)
    seen = torch.cat([balanced_order(0, epoch, labels) for epoch in range(3)])
    assert torch.bincount(labels[seen]).tolist() == [50, 50, 50]


def test_each_image_of_equal_classes_is_used_once() -> None:
    labels = torch.arange(30) % 3
    assert torch.equal(balanced_order(0, 4, labels).sort().values, torch.arange(30))


def test_classes_are_mixed() -> None:
    labels = torch.tensor([0] * 900 + [1] * 100)
    halves = labels[balanced_order(0, 0, labels)].reshape(2, 500).sum(dim=1)
    assert all(200 < half < 300 for half in halves.tolist())
