"""Walks through folders: the image files of each, and what is left out in it."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from sepcnn.data.listing.image_names import is_image, skipped_as, suffix_of
from sepcnn.data.listing.labels import nfc
from sepcnn.data.listing.left_out import LeftOut
from sepcnn.errors import DataError
from sepcnn.file_kind import system_error


@dataclass(slots=True, eq=False)
class FolderTree:
    """A folder: its image files and subfolders, both sorted by name."""

    location: str
    name: str
    """in Unicode normal form C"""
    parent: FolderTree | None = None
    identity: tuple[int, int] = (0, 0)
    """device and inode: they identify a folder independently of symbolic links"""
    images: list[str] = field(default_factory=list)
    """paths of the image files directly in the folder"""
    folders: list[FolderTree] = field(default_factory=list)
    left_out: LeftOut | None = None
    """what is left out directly in the folder; None if nothing is"""
    count: int = 0
    """number of images in the folder and below"""

    @property
    def filled(self) -> list[FolderTree]:
        """The subfolders that have images, directly or below."""
        return [folder for folder in self.folders if folder.count]

    def walk(self) -> Iterator[FolderTree]:
        """Yield the folder and all folders below it."""
        waiting = [self]  # no recursion, because folders may be nested a thousand deep
        while waiting:
            tree = waiting.pop()
            yield tree
            waiting += reversed(tree.folders)

    def all_left_out(self) -> LeftOut:
        """What is left out in the folder and below."""
        total = LeftOut()
        for tree in self.walk():
            if tree.left_out:
                total.add(tree.left_out)
        return total


class Patterns:
    """The patterns of ``exclude``.

    One with a / applies to the path below ``root``, another one to the name of every file and
    folder. A pattern that ends with / applies to folders only.
    """

    def __init__(self, root: Path, patterns: Sequence[str]) -> None:
        self.start = len(os.path.join(root, ""))
        self.patterns = [nfc(pattern) for pattern in patterns]

    def match(self, location: str, folder: bool) -> str | None:
        """The first pattern that excludes a file or folder; None if there is none."""
        path = nfc(location[self.start :].replace(os.sep, "/"))
        return self._match(path, folder)

    def match_with_folders(self, path: str) -> str | None:
        """The first pattern that excludes a file below ``root``, or a folder that contains it."""
        ends = [end for end, letter in enumerate(path) if letter == "/" and end]
        folders = (self._match(path[:end], folder=True) for end in ends)
        return next(filter(None, folders), None) or self._match(path, folder=False)

    def _match(self, path: str, folder: bool) -> str | None:
        name = path.rpartition("/")[2]
        for pattern in self.patterns:
            bare = pattern.rstrip("/")
            if bare != pattern and not folder:
                continue
            if fnmatchcase(path.lstrip("/") if "/" in bare else name, bare.removeprefix("/")):
                return pattern
        return None


def read_tree(root: Path, exclude: Sequence[str] = ()) -> FolderTree:
    """Read a folder and everything below it. Errors: `DataError`."""
    trees = list(walk_folders(root, exclude))
    for tree in reversed(trees):
        tree.count += len(tree.images)
        if tree.parent:
            tree.parent.count += tree.count
    return trees[0]


def walk_folders(root: Path, exclude: Sequence[str] = ()) -> Iterator[FolderTree]:
    """Yield a folder and its subfolders, each with its images and with the subfolders seen so far.

    Links are followed, but not to a folder that contains the link. Hidden and system folders are
    not entered. Errors: `DataError`.
    """
    patterns = Patterns(root, exclude) if exclude else None
    waiting = [FolderTree(str(root), nfc(root.name))]
    while waiting:
        tree = waiting.pop()
        tree.identity = _identity(tree.location)
        if _is_above(tree):
            continue
        if tree.parent:
            tree.parent.folders.append(tree)
        folders = _scan(tree, patterns)
        yield tree
        waiting += [FolderTree(path, nfc(name), tree) for path, name in reversed(folders)]


def _is_above(tree: FolderTree) -> bool:
    """Whether the folder is one of those that contain it, by way of a link."""
    parent = tree.parent
    while parent:
        if parent.identity == tree.identity:
            return True
        parent = parent.parent
    return False


def _identity(folder: str) -> tuple[int, int]:
    try:
        status = os.stat(folder)
    except OSError as error:
        raise DataError(f"{folder}: {system_error(Path(folder), error)}") from None
    return status.st_dev, status.st_ino


def _scan(tree: FolderTree, patterns: Patterns | None) -> list[tuple[str, str]]:
    """Fill in the images of a folder and what is left out; return its subfolders: path and name.

    A broken link counts as an image, so that reading it reports the error. Errors: `DataError`.
    """
    folders: list[tuple[str, str]] = []
    suffixes: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    excluded: Counter[str] = Counter()
    try:
        with os.scandir(tree.location) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name, path = entry.name, entry.path
                if skip := skipped_as(name):
                    skipped[skip] += 1
                    continue
                is_folder = _is_folder(entry)
                if patterns and (pattern := patterns.match(path, is_folder)):
                    excluded[pattern] += 1
                elif is_folder:
                    folders.append((path, name))
                elif not (entry.is_symlink() or entry.is_file()):
                    continue  # a pipe or a device
                elif is_image(name, path):
                    tree.images.append(path)
                else:
                    suffixes[suffix_of(name)] += 1
    except OSError as error:
        raise DataError(f"{tree.location}: {system_error(Path(tree.location), error)}") from None
    if suffixes or skipped or excluded:
        tree.left_out = LeftOut(suffixes, skipped, excluded)
    return folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise
