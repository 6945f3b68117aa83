"""Which splits a request needs."""

from __future__ import annotations

import pytest

from sepcnn.data.sources.base import LAST, Request


@pytest.mark.parametrize(
    ("split", "existing", "needed"),
    [
        (None, {"train", "val", "test"}, ("train", "val", "test")),
        ("val", {"train", "val", "test"}, ("val",)),
        ("train", {"train", "val", "test"}, ("train",)),
        # Validation images are held out from train.
        ("val", {"train", "test"}, ("train",)),
        (LAST, {"train", "test"}, ("test",)),
        (LAST, {"train", "val"}, ("val",)),
        (LAST, {"train"}, ("train",)),
        # There is no such split: the error names those that exist.
        ("test", {"train", "val"}, ("train", "val")),
    ],
)
def test_the_splits_that_are_opened(
    split: str | None, existing: set[str], needed: tuple[str, ...]
) -> None:
    assert Request((8, 8, 3), 0.1, 0, split=split).needed(existing) == needed
