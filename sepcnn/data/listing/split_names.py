"""Split words in the names of folders: ``train``, ``training_set``, ``seg_train``, ``val2017``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sepcnn.data.listing.table_columns import SPLIT_WORDS

NEUTRAL_WORDS = (
    *("set", "sets", "data", "dataset", "datasets", "folder", "dir", "split", "part", "x"),
    *("image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "pic", "pics"),
    *("sample", "samples"),
)
"""words that say nothing about the contents of a folder"""
_MAY_HAVE_SPLIT = re.compile("train|val|test", re.IGNORECASE)
_WORDS = re.compile(r"[^\W\d_]+|\d+")
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_JOINED = re.compile(f"({'|'.join(SPLIT_WORDS)})({'|'.join(sorted(NEUTRAL_WORDS))})")


@dataclass(frozen=True)
class SplitName:
    """The name of a folder that contains one split word."""

    split: str
    """train, val or test"""
    rest: tuple[str, ...]
    """its other words in lower case, without `NEUTRAL_WORDS` and numbers"""
    exact: bool
    """whether the name is only the word"""

    @property
    def clear(self) -> bool:
        """Whether the other words say nothing: ``training_set``, but not ``training shoes``."""
        return not self.rest


def split_name(name: str) -> SplitName | None:
    """Find the split word of a name; None if it has none, or words of two splits."""
    if not _MAY_HAVE_SPLIT.search(name):
        return None
    splits: set[str] = set()
    rest = []
    for word in _WORDS.findall(_CAMEL_CASE.sub(" ", name)):
        word = word.casefold()
        joined = _JOINED.fullmatch(word)
        if split := SPLIT_WORDS.get(joined[1] if joined else word):
            splits.add(split)
        elif not word.isdigit() and word not in NEUTRAL_WORDS:
            rest.append(word)
    if len(splits) != 1:
        return None
    return SplitName(splits.pop(), tuple(rest), name.casefold() in SPLIT_WORDS)


def clear_splits(names: Iterable[str]) -> set[str]:
    """The splits that are named clearly."""
    found = map(split_name, names)
    return {name.split for name in found if name and name.clear}


def is_several_splits(splits: set[str]) -> bool:
    """Whether there are training images and images of another split."""
    return "train" in splits and len(splits) > 1


def splits_by_rest(names: Sequence[str]) -> dict[tuple[str, ...], set[str]]:
    """The splits of names that differ only in the split: ``cat_train`` and ``cat_test``.

    Only names with other words, and only if there are training images and another split.
    """
    found: dict[tuple[str, ...], set[str]] = {}
    for name in map(split_name, names):
        if name and name.rest:
            found.setdefault(name.rest, set()).add(name.split)
    return {rest: splits for rest, splits in found.items() if is_several_splits(splits)}
