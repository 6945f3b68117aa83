"""The classes of a folder, and how they are read if the layout of the folders is given."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sepcnn.data.listing.folder_tree import FolderTree
from sepcnn.data.listing.split_names import split_name
from sepcnn.errors import DataError

CSV_HINT = "put the images of each class in a folder of that name, or give a CSV: labels: FILE"
PATTERN = r"^(?:any/|split/)*class(?:/any|/split)*$"
"""of a layout: one level of folders per word"""


class LayoutError(DataError):
    """The folders can be read in several ways: the user must choose."""


@dataclass(frozen=True)
class ClassFolder:
    """A folder whose images, including its subfolders, have one class and split."""

    tree: FolderTree
    class_name: str
    split: str | None


@dataclass
class Reading:
    """The classes of a folder, and how they were found."""

    layout: str
    """one word per level of folders: any, split or class"""
    classes: list[ClassFolder] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    """images that are not in the folder of a class"""


def is_layout(text: str) -> bool:
    """Whether a text is a layout: words any, split and class, class once and split at most once."""
    return bool(re.match(PATTERN, text)) and text.split("/").count("split") <= 1


def read_as(root: FolderTree, layout: str) -> Reading:
    """Read a folder whose levels have the meanings of ``layout``. Errors: `DataError`."""
    reading = Reading(layout)
    level: list[tuple[FolderTree, str, str | None]] = [(root, "", None)]
    for word in layout.split("/"):
        inner: list[tuple[FolderTree, str, str | None]] = []
        for tree, class_name, split in level:
            reading.unlabelled += tree.images
            # An empty folder is an error only if it would be a class.
            for folder in tree.folders if word == "class" else tree.filled:
                if word == "split":
                    split = _given_split(folder, layout)
                inner.append((folder, folder.name if word == "class" else class_name, split))
        level = inner
    reading.classes = [ClassFolder(tree, name, split) for tree, name, split in level]
    if not any(one.tree.count for one in reading.classes):
        message = f"{root.location}: there are no images in folders of the layout {layout}"
        raise DataError(message, "give the levels of folders between path and the images")
    return reading


def _given_split(folder: FolderTree, layout: str) -> str:
    name = split_name(folder.name)
    if name is None:
        message = f"{folder.location}: '{folder.name}' is not the name of a split ({layout})"
        raise DataError(message, f"name it train, val or test, or exclude: {folder.name}")
    return name.split


def empty_class(folder: FolderTree) -> DataError:
    left_out = folder.all_left_out()
    hint = "; ".join([f"add images, or exclude: {folder.name}", *left_out.notes()])
    return DataError(f"{folder.location}: there are no images of this class", hint)


def no_classes(folder: FolderTree, *, of_split: bool = False) -> DataError:
    """The error for a folder that contains no class."""
    if folder.count:
        message = f"{folder.location}: there are images, but no folders named by class"
        hint = f"{CSV_HINT}, or exclude: {folder.name}" if of_split else CSV_HINT
        return DataError(message, hint)
    left_out = folder.all_left_out()
    message = f"{folder.location}: there are no images"
    if left_out.suffixes:
        message += f" that can be read; {left_out.notes()[0]}"
    return DataError(message, CSV_HINT)
