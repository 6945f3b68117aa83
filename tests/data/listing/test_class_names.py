"""Class names that are probably meant to be one."""

from __future__ import annotations

from pathlib import Path

import pytest

from sepcnn.data.listing.class_names import similar_names, similar_names_note
from sepcnn.data.listing.listing import list_images
from tests.data.listing.test_listing import fill


@pytest.mark.parametrize(
    "names",
    [
        ("cat", "CAT"),
        ("cat", "cat\u200b"),
        ("cat", "cat "),
        ("cat food", "cat_food"),
        ("cat", "cat (1)"),
        ("cat", "cat - Copy"),
        ("cat", "cat - Kopie (2)"),
        ("cat", "cat copy 2"),
    ],
)
def test_similar_names(names: tuple[str, str]) -> None:
    assert similar_names([*names, "dog"]) == [names]


def test_other_names_are_not_similar() -> None:
    names = ["1", "2", "10", "c", "C#", "copy", "photocopy", "(1)", "(2)", "cat", "cats", "a 1"]
    assert similar_names(names) == []


def test_they_are_listed(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.jpg", "Cat/1.jpg", "dog/1.jpg", "dog (1)/1.jpg")
    note = "separate classes with similar names: 'cat'/'Cat', 'dog'/'dog (1)'"
    names = ["cat", "Cat", "dog", "dog (1)"]
    assert similar_names_note(names) == [note]
    assert similar_names_note(["a", "a\u200b"]) == [
        "separate classes with similar names: 'a'/'a\\u200b'"
    ]
    assert list_images(tmp_path).notes()[0].startswith("separate classes with similar names: ")
