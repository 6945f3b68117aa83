"""Streams: as many as there are names, each the same for ever."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sepcnn.randomness import key, order, stream

Name = tuple[int, *tuple[str | int, ...]]


def test_neighbouring_names_share_no_key() -> None:
    purposes = ("order", "augment", "dropout", "weights", "validation")
    names = list(product(range(20), purposes, range(200)))
    assert len({key(*name) for name in names}) == len(names)


def test_neighbouring_names_share_no_stream() -> None:
    """torch's CPU generator takes 32 bits of the key: these must differ too."""
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
def test_parts_of_a_name_do_not_run_together(one: Name, other: Name) -> None:
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
    """Otherwise a run could not be repeated with a later version."""
    assert key(*name) == expected


@given(st.integers(0, 2**63), st.text(), st.integers(0, 2**40))
def test_a_key_is_a_seed_of_63_bits(seed: int, purpose: str, step: int) -> None:
    assert 0 <= key(seed, purpose, step) < 2**63


def test_a_stream_is_fresh_at_every_call() -> None:
    first, second = (torch.rand(5, generator=stream(3, "dropout", 4)) for _ in range(2))
    assert torch.equal(first, second)


def test_streams_leave_the_global_state_alone() -> None:
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
