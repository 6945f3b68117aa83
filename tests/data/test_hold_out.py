"""The rules of held-out images: spread, independence of classes, equal images, small classes."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sepcnn.data.dataset import InMemorySplit
from sepcnn.data.hold_out import (
    LEAST_EXPECTED,
    held_out_by_content,
    held_out_by_names,
    image_hash,
    same_share_by_content,
)
from sepcnn.data.sources.base import Request, hold_out

HABITS: dict[str, Callable[[int, int], str]] = {
    "numbered": lambda _, number: f"image ({number}).jpg",
    "padded": lambda _, number: f"{number:03}.png",
    "class first": lambda label, number: f"class{label}_{number}.jpg",
    "camera": lambda label, number: f"IMG_{20240000 + 1000 * label + number}.JPG",
}


def digests(habit: str, classes: int, images: int) -> tuple[list[str], list[str], list[int]]:
    """Digests of different contents, names by a naming habit, and labels."""
    pairs = [(label, number) for label in range(classes) for number in range(images)]
    contents = [hashlib.blake2b(repr(p).encode(), digest_size=16).hexdigest() for p in pairs]
    return contents, [HABITS[habit](*pair) for pair in pairs], [label for label, _ in pairs]


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize(("classes", "images"), [(20, 15), (20, 30)])
def test_the_share_spreads_like_independent_draws(habit: str, classes: int, images: int) -> None:
    """Over 1,000 seeds; the standard deviation is measured to within 2.2 %."""
    contents, _, labels = digests(habit, classes, images)
    share, count = 0.1, classes * images
    found = [sum(held_out_by_content(contents, labels, share, s)) / count for s in range(1000)]
    assert statistics.stdev(found) <= 1.07 * math.sqrt(share * (1 - share) / count)
    # Classes that would hold out no image hold out one.
    none_held = (1 - share) ** images
    assert statistics.mean(found) == pytest.approx(share + none_held / images, abs=0.002)


def test_names_alone_spread_much_more() -> None:
    _, names, labels = digests("numbered", 20, 15)
    found = [sum(held_out_by_names(names, labels, 0.1, seed)) / 300 for seed in range(200)]
    assert statistics.stdev(found) > 3 * math.sqrt(0.09 / 300)


CONTENTS = st.lists(
    st.tuples(st.integers(0, 60).map(str), st.sampled_from(["cat", "dog", "fox"])),
    min_size=1,
    max_size=60,
)


@example(images=[("0", "dog"), ("14", "cat"), ("0", "cat"), ("1", "cat")], share=0.75, seed=1)
@settings(deadline=None)
@given(images=CONTENTS, share=st.floats(0, 0.999), seed=st.integers(0, 9))
def test_every_rule_of_the_content(images: list[tuple[str, str]], share: float, seed: int) -> None:
    contents, classes = zip(*images, strict=True)
    held = held_out_by_content(contents, classes, share, seed)
    sides = dict(zip(contents, held, strict=True))
    assert [sides[content] for content in contents] == held  # equal images are on one side
    hashes = {content: image_hash(seed, content) for content in contents}
    shared = {c for c in contents if len({name for d, name in images if d == c}) > 1}
    for name in set(classes):
        own = {content for content, other in images if other == name}
        out = {content for content in own if sides[content]}
        assert own - out, "each class keeps an image for training"
        below = {content for content in own if hashes[content] < share}
        if own & shared:
            continue
        if below == own:
            below.remove(max(own, key=hashes.__getitem__))
        if not below and share and len(own) * share >= LEAST_EXPECTED and len(own) > 1:
            below = {min(own, key=hashes.__getitem__)}
        assert out == below
    order = sorted(range(len(images)), key=lambda i: hashes[contents[i]])
    again = held_out_by_content(
        [contents[i] for i in order], [classes[i] for i in order], share, seed
    )
    assert again == [held[i] for i in order]


def test_a_class_in_which_an_image_is_expected_holds_out_the_smallest_hash() -> None:
    for seed in range(50):
        held = held_out_by_content(list("abcde"), ["cat"] * 5, 0.1, seed)
        assert held[min(range(5), key=lambda i: image_hash(seed, "abcde"[i]))]
    counts = [sum(held_out_by_content(list("abcd"), ["cat"] * 4, 0.1, s)) for s in range(50)]
    assert 0 in counts


def test_equal_images_in_arrays_are_on_one_side() -> None:
    values = torch.arange(100).repeat(3).to(torch.uint8)  # the last 100 have other labels
    labels = torch.cat([torch.arange(200) % 2, 1 - torch.arange(100) % 2])
    train, val = hold_out(
        InMemorySplit(values.reshape(-1, 1, 1, 1), labels), Request((1, 1, 1), 0.2, 0)
    )
    assert val is not None
    assert len(val) > 50
    assert not set(train.images.flatten().tolist()) & set(val.images.flatten().tolist())


def test_arrays_of_an_older_run_are_drawn_by_position() -> None:
    values = torch.arange(100, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    request = Request((1, 1, 1), 0.1, 0, split_rule="names")
    _, val = hold_out(InMemorySplit(values, torch.zeros(100, dtype=torch.int64)), request)
    assert val is not None
    assert val.images.flatten().tolist() == [9, 14, 35, 39, 42, 43, 53, 57, 61, 71]


def test_a_group_that_does_not_fit_into_the_share_stays_in_training() -> None:
    held = same_share_by_content(["a"] * 9 + ["b"], [0] * 10, 0.1, 0)
    assert held == [False] * 9 + [True]
